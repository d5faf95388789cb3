"""What the outputs of a lesson's cells promise to show.

nbval compares outputs letter by letter; a cell whose output is another one each time is tagged `nbval-ignore-output`,
and is held to something else. As a rule its words are those of the committed output, numbers and ids aside, whatever
their order. Where the words differ from run to run, the cell states in its metadata what it shows all the same:

    "dockernb": {"shows": ["web-server", {"pattern": "([0-9.]+) Gbit/s", "least": 0.05, "count": 2}]}

A text is a regular expression that the output must contain, line by line. The other form is one, too, of which there
are at least `count` matches; the numbers in its first group are at least `least` and at most `most`.

The kernel of an emulated machine can do everything. On another one a cell that begins with `%%needs` may be left out,
and what a cell states as `elsewhere`, in the same form, may stand in the place of the rest.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

IGNORED, RAISES = "nbval-ignore-output", "raises-exception"
LEFT_OUT = "Left out: the kernel of this lab host"
_READ_ALOUD = {"alt", "aria-label", "title"}
_SILENT = {"script", "style"}
# A day has another name tomorrow, and Docker says in words how long something has been there.
_WHEN = (
    r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b|"
    r"\b(?:Less than a|About an?|\d+) (?:second|minute|hour|day|week)s?\b"
)


class _Words(HTMLParser):
    """The text of a page, as it would be read aloud: pictures by their words."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        self.words.extend(text for name, text in attrs if name in _READ_ALOUD and text)
        if tag in {"tr", "br", "p", "div", "li"}:
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.words.append(data.strip())


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)


def kinds(outputs: Iterable[Mapping[str, Any]]) -> set[str]:
    """Which kinds of output there are: "stdout", "error", and of displays the types by which they are seen."""
    found: set[str] = set()
    for output in outputs:
        if output["output_type"] == "stream":
            found |= {output["name"]} - {"stderr"}
        elif output["output_type"] == "error":
            found.add("error")
        else:
            found |= {kind for kind in output["data"] if kind.startswith(("text/", "image/"))}
    return found


def said(outputs: Iterable[Mapping[str, Any]]) -> str:
    """The words of the outputs, of pictures and tables too."""
    parts = []
    for output in outputs:
        if output["output_type"] == "stream":
            parts.append(_text(output["text"]))
        elif output["output_type"] == "error":
            parts.append(f"{output['ename']}: {output['evalue']}\n")
        elif "text/html" in output["data"]:
            page = _Words()
            page.feed(_text(output["data"]["text/html"]))
            parts.append(" ".join(page.words) + "\n")
        elif "text/plain" in output["data"]:
            parts.append(_text(output["data"]["text/plain"]) + "\n")
    return "".join(parts)


def broken(
    cell: Mapping[str, Any], outputs: list[Mapping[str, Any]], *, complete: bool = True, alike: bool = True
) -> list[str]:
    """The promises of a cell that these outputs do not keep, each in a sentence; the committed ones are its own.

    Args:
        cell: As in the notebook.
        outputs: What it has shown now.
        complete: Whether the lab host's kernel has everything that a lesson may need.
        alike: Whether its engine is the one whose words were committed. On another what a cell states counts.
    """
    text, stated = said(outputs), cell["metadata"].get("dockernb", {})
    if not complete:
        if text.startswith(LEFT_OUT) and _text(cell["source"]).startswith("%%needs"):
            return []
        if "elsewhere" in stated and not _unkept(stated["elsewhere"], text):
            return []
    tags = cell["metadata"].get("tags", [])
    problems = []
    if RAISES in tags and "error" not in kinds(outputs):
        problems.append("it is meant to end with an error, and did not")
    problems += _unkept(stated.get("shows", []), text)
    if IGNORED in tags:
        if lacking := kinds(cell["outputs"]) - kinds(outputs):
            problems.append(f"the committed output has {', '.join(sorted(lacking))}, and this one has none")
        if "shows" not in stated and alike:
            problems += _unlike(said(cell["outputs"]), text)
    return problems


def _unlike(committed: str, text: str) -> list[str]:
    before, now = _words(committed), _words(text)
    told = [
        f"{what}: {' '.join(sorted(words))}"
        for what, words in (("gone", before - now), ("new", now - before))
        if words
    ]
    return (
        [f"its words are not those of the committed output ({'; '.join(told)[:800]}), in:\n{text[:2000]}"]
        if told
        else []
    )


def _words(text: str) -> set[str]:
    """The words of a text: not numbers, ids, a swarm's tokens, and the conditions in a figure's caption."""
    masked = re.sub(r"Lab host: \w+, Docker .*?(?:emulated|native|KVM)[^.]*\.", "", text)
    masked = re.sub(_WHEN, "#", masked)
    masked = re.sub(r"SWMTKN-\S+|veth[0-9a-f]+|[0-9a-fA-F.,:]*[0-9][0-9a-fA-F.,:]*", "#", masked)
    masked = re.sub(r"# (\w+?)s?\b", r"# \1", masked)  # one packet, two packets
    return {word for word in re.split(r"[\s,]+", masked) if re.search("[a-zA-Z]", word)}


def _unkept(statements: Iterable[Any], text: str) -> list[str]:
    return [
        problem
        for one in statements
        for problem in _wrong(one if isinstance(one, Mapping) else {"pattern": one}, text)
    ]


def _wrong(statement: Mapping[str, Any], text: str) -> Iterator[str]:
    pattern, count = statement["pattern"], statement.get("count", 1)
    matches = list(re.finditer(pattern, text, re.MULTILINE))
    if len(matches) < count:
        yield f"{pattern!r} is to be seen {count} times, and is {len(matches)} times, in:\n{text[:2000]}"
    elif "least" in statement or "most" in statement:
        least, most = statement.get("least", float("-inf")), statement.get("most", float("inf"))
        for number in (float(match[1].replace(",", "")) for match in matches):
            if not least <= number <= most:
                yield f"{pattern!r} gives {number:g}, not {least:g} to {most:g}"
