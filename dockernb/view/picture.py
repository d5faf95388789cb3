"""A picture for a notebook: HTML that follows JupyterLab's theme, and the same in plain text."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from html import escape

from dockernb.probe import Outcome

# Each outcome has a sign and a word, so that nothing is told by colour alone. The colours are those of
# Okabe and Ito (https://jfly.uni-koeln.de/color/), which colour-blind people tell apart.
SIGNS = {
    Outcome.REACHABLE: "✓",
    Outcome.PAUSED: "‖",
    Outcome.BLACK_HOLE: "◐",
    Outcome.NO_ANSWER: "~",
    Outcome.REFUSED: "✕",
    Outcome.REJECTED: "⊘",
    Outcome.TIMED_OUT: "…",
    Outcome.NO_ROUTE: "↛",
    Outcome.NOT_RESOLVED: "?",
    Outcome.NOT_RUNNING: "■",
    Outcome.FAILED: "!",
}
COLOURS = {
    Outcome.REACHABLE: "0,158,115",
    Outcome.PAUSED: "86,180,233",
    Outcome.BLACK_HOLE: "230,159,0",
    Outcome.NO_ANSWER: "240,228,66",
    Outcome.REFUSED: "213,94,0",
    Outcome.REJECTED: "213,94,0",
    Outcome.TIMED_OUT: "230,159,0",
    Outcome.NO_ROUTE: "204,121,167",
    Outcome.NOT_RESOLVED: "0,114,178",
    Outcome.NOT_RUNNING: "128,128,128",
    Outcome.FAILED: "128,128,128",
}
NETWORK_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7b61c4", "#8c564b")

INK = "var(--jp-ui-font-color1, #222)"
FAINT = "var(--jp-ui-font-color2, #666)"
PAPER = "var(--jp-layout-color0, #fff)"
SHADE = "var(--jp-layout-color2, #eee)"
LINE = "var(--jp-border-color1, #bbb)"
FONT = "var(--jp-ui-font-family, system-ui, sans-serif)"
CODE_FONT = "var(--jp-code-font-family, ui-monospace, monospace)"


@dataclass(frozen=True, slots=True)
class Picture:
    """What a cell shows: ``html`` (a table, or one SVG element) where that can be drawn, ``text`` elsewhere."""

    html: str
    text: str

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        html = portable(self.html, self.text) if self.html.startswith("<svg") else self.html
        return {"text/html": html, "text/plain": self.text}

    def __repr__(self) -> str:
        return self.text


def cut(text: str, length: int) -> str:
    """The text, or as much of it as fits and an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def text_at(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    bold: bool = False,
    size: float = 12,
    colour: str = INK,
    code: bool = False,
) -> str:
    """One line of text in a drawing, which begins at a point, or has its "middle" or "end" there."""
    style = f"font-size:{size:g}px;fill:{colour}"
    if bold:
        style += ";font-weight:600"
    if code:
        style += f";font-family:{CODE_FONT}"
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" style="{style}">{mark(text)}</text>'


def framed(body: str, text: str, *, title: str, width: float, height: float) -> Picture:
    """A drawing of this size as a picture, with its title and its words for whoever cannot see it."""
    name, story = identity("dnb-title", body), identity("dnb-desc", body)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name} {story}" '
        f'viewBox="0 0 {width:g} {height:g}" style="width:100%;max-width:{width:g}px;height:auto;'
        f'font-family:{FONT};background:{PAPER}"><title id="{name}">{mark(title)}</title>'
        f'<desc id="{story}">{mark(text)}</desc>{body}</svg>'
    )
    return Picture(svg, text)


def portable(svg: str, text: str) -> str:
    """An SVG that also shows where the notebook is not trusted yet.

    There JupyterLab takes the tags out of an inline SVG and leaves its words in a heap, but it shows an
    image. So the output is an image, which a script, where scripts may run, replaces by the drawing that it
    holds: only inside the page does the drawing follow the theme and show its tooltips.
    """
    data = base64.b64encode(svg.encode()).decode()
    width = re.search(r"max-width:[0-9.]+px", svg)
    place = identity("dnb-picture", svg)
    return (
        f'<div data-dnb="{place}"><img alt="{mark(text)}" src="data:image/svg+xml;base64,{data}" '
        f'style="width:100%;{width[0] if width else ""}"></div>'
        f"<script>document.querySelectorAll('[data-dnb={place}]').forEach(place => {{"
        "const held = place.querySelector('img'); if (held) place.innerHTML = new TextDecoder().decode("
        "Uint8Array.from(atob(held.src.split(',')[1]), letter => letter.charCodeAt(0)));"
        "});</script>"
    )


def mark(text: str) -> str:
    """Escape text for HTML and SVG."""
    return escape(text, quote=True)


def identity(prefix: str, content: str) -> str:
    """An id that is the same for the same content, so that a committed output does not change by itself."""
    return f"{prefix}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"
