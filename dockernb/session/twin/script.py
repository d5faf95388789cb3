"""The twin as text: lines, folded for the eye, and the block that a notebook shows."""

from __future__ import annotations

import html
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH = 88
Group = tuple[str, ...]
"""Words that belong together on a line: an option and its value."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the twin: a command in groups that belong together on a folded line, or a comment."""

    groups: tuple[Group, ...] = ()
    comment: str = ""

    def __str__(self) -> str:
        if self.comment:
            return f"# {self.comment}"
        return " ".join(_quoted(g) for g in self.groups)

    def folded(self, width: int = _WIDTH) -> str:
        """The line, with one option a line and backslashes where it is longer than the width."""
        line = str(self)
        if self.comment or len(line) <= width:
            return line
        return " \\\n    ".join(_quoted(g) for g in self.groups)


class Script:
    """Lines to show under a cell."""

    def __init__(self, commands: Sequence[Line]) -> None:
        self.commands = tuple(commands)

    @property
    def lines(self) -> list[str]:
        """One string a command, not folded."""
        return [str(line) for line in self.commands]

    def __str__(self) -> str:
        return "\n".join(line.folded() for line in self.commands)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.commands:
            return ""
        text = html.escape(str(self), quote=False)
        return (
            '<figure style="margin: 0.5em 0" aria-label="The same with the docker command line">'
            '<figcaption style="font-size: 85%; color: var(--jp-content-font-color2, #57606a)">'
            "The same with the docker command line</figcaption>"
            '<pre style="margin: 0.2em 0 0; padding: 0.5em 0.8em; overflow-x: auto; '
            "font-family: var(--jp-code-font-family, ui-monospace, monospace); "
            "background: var(--jp-layout-color2, #f2f3f5); color: var(--jp-content-font-color1, #1f2328); "
            f'border-left: 3px solid var(--jp-border-color1, #a0a8b0)">{text}</pre></figure>'
        )


def _quoted(group: Group) -> str:
    return " ".join(shlex.quote(word) for word in group)
