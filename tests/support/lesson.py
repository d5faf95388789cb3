"""The cells of a lesson, and running command lines as its cells do."""

import json
from pathlib import Path
from typing import Any

from dockernb.errors import CommandError
from dockernb.session import Lab, magic

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


class Lesson:
    """A lesson's notebook."""

    def __init__(self, name: str) -> None:
        self._cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]

    def texts(self, kind: str = "code") -> list[str]:
        """Its cells of a kind ("code", "markdown")."""
        return ["".join(cell["source"]) for cell in self._cells if cell["cell_type"] == kind]

    def cell(self, text: str, kind: str = "code") -> str:
        """The one cell that has this text."""
        [found] = [source for source in self.texts(kind) if text in source]
        return found

    def folds(self, solution: str) -> bool:
        """Whether the notebook tells this solution."""
        return any(solution.strip() in text for text in self.texts("markdown"))


def attempt(lab: Lab, script: str, **options: Any) -> tuple[int, str]:
    """Run a script, or a %%docker cell, on the lab host: its exit code, and what it said, its error at the end."""
    said: list[str] = []
    try:
        magic.run_cell(lab, script.removeprefix("%%docker\n"), show=said.append, **options)
    except CommandError as problem:
        return problem.code, "".join([*said, f"{problem}\n"])
    return 0, "".join(said)


def shell(lab: Lab, script: str) -> str:
    """As `attempt`, of what must not fail: what it said."""
    code, said = attempt(lab, script.strip())
    assert code == 0, said
    return said
