"""What somebody who cannot see a lesson goes by: its headings, and words for every picture.

A browser looks at more than that in tests/browser/test_accessibility.py; this takes no time.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMELESS = re.compile(r"!\[\s*\]\(|<img(?![^>]*\balt=\"[^\"]+\")[^>]*>", re.IGNORECASE)
UNTITLED = re.compile(r"<svg(?![^>]*\b(?:aria-label|aria-labelledby|aria-hidden)=)[^>]*>", re.IGNORECASE)


def text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)


def headings(notebook: dict[str, Any]) -> list[int]:
    """The levels of the headings, in their order."""
    prose = "\n".join(text(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    without_code = re.sub(r"^(```|~~~).*?^\1", "", prose, flags=re.MULTILINE | re.DOTALL)
    return [len(signs) for signs in re.findall(r"^(#{1,6}) ", without_code, re.MULTILINE)]


def barriers(notebook: dict[str, Any]) -> list[str]:
    """What shuts somebody out, as sentences."""
    found = []
    levels = headings(notebook)
    if levels[:1] != [1] or levels.count(1) != 1:
        found.append("it does not begin with its only heading of the first level")
    if any(after > before + 1 for before, after in itertools.pairwise(levels)):
        found.append(f"its headings skip a level: {levels}")
    for cell in notebook["cells"]:
        shown = [text(cell["source"])] if cell["cell_type"] == "markdown" else []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            shown += [
                text(data[kind]) for kind in ("text/html", "text/markdown", "image/svg+xml") if kind in data
            ]
            for kind in {"image/png", "image/jpeg"} & data.keys() if "text/html" not in data else ():
                if not output["metadata"].get(kind, {}).get("alt"):
                    found.append(f'cell {cell["id"]} shows a picture without words: Image(..., alt="...")')
        if any(NAMELESS.search(part) or UNTITLED.search(part) for part in shown):
            found.append(f"cell {cell['id']} has an image without words")
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_shuts_nobody_out(path: Path) -> None:
    assert barriers(json.loads(path.read_text())) == []


def notebook(source: str, output: dict[str, Any] | None = None) -> dict[str, Any]:
    """One with two headings, this prose, and this output of its only code."""
    prose = {"cell_type": "markdown", "id": "a", "source": f"# One\n\n## Two\n\n{source}"}
    code = {"cell_type": "code", "id": "b", "source": "1", "outputs": [output] if output else []}
    return {"cells": [prose, code]}


@pytest.mark.parametrize(
    ("source", "data", "metadata"),
    [
        ("```\n# no heading\n```\n\n### Three\n\n## Four", {}, {}),
        ("![words](a.png)", {}, {}),
        ("", {"image/png": "", "text/plain": ""}, {"image/png": {"alt": "words"}}),
        ("", {"image/png": "", "text/html": '<img src="x" alt="words">'}, {}),
        ("", {"text/html": '<svg role="img" aria-labelledby="t"><title id="t">words</title></svg>'}, {}),
    ],
)
def test_what_is_right_passes(source: str, data: dict[str, str], metadata: dict[str, Any]) -> None:
    assert barriers(notebook(source, {"data": data, "metadata": metadata})) == []


@pytest.mark.parametrize(
    ("source", "data", "sentence"),
    [
        ("#### Four", {}, "skip a level"),
        ("# Another", {}, "only heading"),
        ("![](a.png)", {}, "cell a has an image"),
        ('<img src="a.png">', {}, "cell a has an image"),
        ("", {"image/png": "", "text/plain": ""}, "cell b shows a picture"),
        ("", {"text/html": '<img alt="" src="x">'}, "cell b has an image"),
        ("", {"text/html": '<svg viewBox="0 0 1 1"></svg>'}, "cell b has an image"),
    ],
)
def test_each_barrier_is_found(source: str, data: dict[str, str], sentence: str) -> None:
    (barrier,) = barriers(notebook(source, {"data": data, "metadata": {}}))
    assert sentence in barrier
