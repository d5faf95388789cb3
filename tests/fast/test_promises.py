"""What the committed lessons promise: their ignored outputs, their errors, the quantities that their prose names."""

import json
import re
from typing import Any

import pytest

from tests.support.lesson import NOTEBOOKS
from tests.support.promises import IGNORED, RAISES, broken, kinds, said

LESSONS = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
QUANTITY = re.compile(
    r"(?<![\w.,/-])(\d[\d.,]*(?:\s×\s\d+)?)\s"
    r"(ms|s|µs|seconds|MB/s|Mbit/s|Gbit/s|Mbit|bytes|kB|MB|GB|KiB|MiB|GiB|%|times)(?!\w)"
)


def cells(lesson: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((NOTEBOOKS / f"{lesson}.ipynb").read_text(encoding="utf-8"))[
        "cells"
    ]
    return found


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_committed_outputs_keep_what_the_cells_promise(lesson: str) -> None:
    code = [(number, cell) for number, cell in enumerate(cells(lesson)) if cell["cell_type"] == "code"]
    problems = {number: found for number, cell in code if (found := broken(cell, cell["outputs"]))}
    assert not problems


@pytest.mark.parametrize("lesson", LESSONS)
def test_no_cell_is_ignored_that_shows_nothing(lesson: str) -> None:
    silent = [
        number
        for number, cell in enumerate(cells(lesson))
        if IGNORED in cell["metadata"].get("tags", ())
        and not said(cell["outputs"]).strip()
        and "dockernb" not in cell["metadata"]
        and not "".join(cell["source"]).startswith("%%needs")
    ]
    assert not silent


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_prose_names_no_quantity_that_nothing_shows(lesson: str) -> None:
    """It stands in a cell's source or output, or the metadata say that it is known: {"known": ["50 bytes"]}."""
    shown = "\n".join(
        "".join(cell["source"]) + said(cell["outputs"])
        for cell in cells(lesson)
        if cell["cell_type"] == "code"
    )
    numbers = set(re.findall(r"\d[\d.,]*\d|\d", shown))
    for number, cell in enumerate(cells(lesson)):
        if cell["cell_type"] == "markdown":
            known = cell["metadata"].get("dockernb", {}).get("known", [])
            named = {match[0]: match[1] for match in QUANTITY.finditer("".join(cell["source"]))}
            assert not {text for text, digits in named.items() if digits not in numbers} - set(known), number
            assert set(known) <= set(named), f"cell {number} knows what it does not name"


def cell(outputs: list[dict[str, Any]], *tags: str, source: str = "", **stated: Any) -> dict[str, Any]:
    return {"metadata": {"tags": [*tags], "dockernb": stated}, "outputs": outputs, "source": source}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def html(text: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {"text/html": text, "text/plain": "<object>"}}


def test_words_may_not_change_and_numbers_and_ids_may() -> None:
    before = cell([stream("web 172.17.0.2 veth1a2b3c4@if5, 12 ms")], IGNORED)
    assert not broken(before, [stream("web 172.17.0.9 vethfedcba9@if77, 3.5 ms")])
    [problem] = broken(before, [stream("api 172.17.0.2 veth1a2b3c4@if5, 12 ms")])
    assert "gone: web; new: api" in problem


def test_another_engines_words_are_its_own_but_not_what_a_cell_states() -> None:
    before = cell([stream("rule 2 of chain DOCKER-ISOLATION-STAGE-2 drops it")], IGNORED)
    assert not broken(before, [stream("rule 1 of chain PREROUTING drops it")], alike=False)
    stating = cell([stream("rule 2 drops it")], IGNORED, shows=["drops it"])
    assert broken(stating, [stream("accepted")], alike=False)


def test_a_day_has_another_name_tomorrow_and_what_was_started_gets_older() -> None:
    before = cell([stream("2 root Mon Nov 30 03:25 nginx.conf, Up Less than a second")], IGNORED)
    assert not broken(before, [stream("2 root Tue Dec  1 03:25 nginx.conf, Up 2 minutes")])
    assert broken(before, [stream("2 root Tue Dec  1 03:25 nginx.conf, Exited 2 minutes")])


def test_a_picture_is_read_by_its_words() -> None:
    picture = '<style>.a{}</style><img alt="two bridges" src="x"><svg aria-label="a switch"><title>wire</title></svg>'
    assert said([html(picture)]).split() == ["two", "bridges", "a", "switch", "wire"]
    assert broken(cell([html(picture)], IGNORED), [html("<p>two bridges")])


def test_an_output_that_is_not_there_is_missed() -> None:
    [problem, *_] = broken(cell([stream("x"), html("x")], IGNORED), [stream("x")])
    assert "the committed output has text/html, text/plain, and this one has none" in problem


def test_what_a_cell_states_is_looked_for_and_not_its_words() -> None:
    stated = cell([stream("Total: 20 Mbit/s")], IGNORED, shows=["^Total", r"Mbit/s$"])
    assert not broken(stated, [stream("first\nTotal: others, 20 Mbit/s")])
    [problem] = broken(stated, [stream("nload: 20 Mbit/s")])
    assert problem.startswith("'^Total' is to be seen 1 times, and is 0 times")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1.5 ms\n2 ms\n", ""),
        ("1.5 ms\n", "is to be seen 2 times, and is 1 times"),
        ("1.5 ms\n200 ms\n", "gives 200, not 0.1 to 100"),
        ("0.01 ms\n2 ms\n", "gives 0.01, not 0.1 to 100"),
    ],
)
def test_numbers_are_held_to_a_range(text: str, says: str) -> None:
    shows = [{"pattern": r"([\d.]+) ms", "least": 0.1, "most": 100, "count": 2}]
    problems = broken(cell([], shows=shows), [stream(text)])
    assert says in "".join(problems) and bool(problems) == bool(says)


def test_an_error_that_is_meant_has_to_come() -> None:
    error = {"output_type": "error", "ename": "CommandError", "evalue": "Exit code 1: false", "traceback": []}
    meant = cell([error], RAISES)
    assert not broken(meant, [error])
    assert broken(meant, [stream("fine")]) == ["it is meant to end with an error, and did not"]
    assert kinds([error]) == {"error"} and "Exit code 1" in said([error])


def test_what_a_kernel_cannot_do_is_missed_only_on_one_that_can() -> None:
    step = cell([stream("exported")], IGNORED, RAISES, source="%%needs nfs\nmount", shows=["exported"])
    left_out = [stream("Left out: the kernel of this lab host has no nfs.\n")]
    assert not broken(step, left_out, complete=False)
    assert broken(step, left_out)
    assert broken(step | {"source": "mount"}, left_out, complete=False), (
        "only where the cell says what it needs"
    )
    dark = cell([stream("ESP")], IGNORED, shows=["ESP"], elsewhere=["cannot encrypt"])
    assert not broken(dark, [stream("this kernel cannot encrypt")], complete=False)
    assert broken(dark, [stream("this kernel cannot encrypt")])
    assert broken(dark, [stream("")], complete=False)
