"""What is different on a learner's own engine: the rows, the boxes made from them, and what a version gets."""

import json
import re

import pytest

import dockernb as dn
from dockernb.course import engines
from dockernb.course.engines import DIFFERENCES, Difference
from dockernb.errors import CourseError
from tests.support.lesson import NOTEBOOKS

LESSONS = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))


def boxes(lesson: str) -> list[str]:
    cells = json.loads((NOTEBOOKS / f"{lesson}.ipynb").read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return [text for text in texts if "**On your own engine**" in text]


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_has_the_box_of_its_rows_and_no_other(lesson: str) -> None:
    assert boxes(lesson) == [text for text in [engines.box(lesson)] if text]


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: f"{row.lesson} {row.subject[:30]}")
def test_a_row_is_complete(row: Difference) -> None:
    assert any(lesson.startswith(row.lesson) for lesson in LESSONS)
    assert row.here
    assert row.older or row.newer, "nothing differs"
    assert bool(row.older) == bool(row.until)
    assert bool(row.newer) == bool(row.since)
    if row.newer or row.until.startswith("27"):
        assert row.source.startswith("https://"), "what cannot be measured here has a source"
    for text in (row.here, row.older, row.newer):
        assert not text.endswith("."), "the box ends the sentence"
        assert text.count("`") % 2 == 0


def test_a_box_is_short() -> None:
    for lesson in LESSONS:
        assert engines.box(lesson).count("\n- ") <= 6, lesson


def subjects(version: str, lesson: str | None = None) -> set[str]:
    said = dn.your_engine(version, lesson).text
    return {row.subject for row in DIFFERENCES if f"{row.lesson}  {row.subject}\n" in said}


@pytest.mark.parametrize(
    ("version", "differs", "alike"),
    [
        ("26.1", "hardware addresses of macvlan", "variables of a link (`BACKEND_PORT_…`)"),
        ("27.3.1", "hardware addresses of macvlan", "a second macvlan network on the same parent"),
        ("v28.0.0", "the chain `FORWARD`", "hardware addresses of macvlan"),
        ("29.1", "variables of a link (`BACKEND_PORT_…`)", "hardware addresses of macvlan"),
        ("29", "variables of a link (`BACKEND_PORT_…`)", "hardware addresses of macvlan"),
    ],
)
def test_a_version_gets_the_rows_that_matter_for_it(version: str, differs: str, alike: str) -> None:
    assert differs in subjects(version)
    assert alike not in subjects(version)


def test_of_one_lesson_only() -> None:
    assert subjects("26.1", "05-macvlan") == {
        row.subject for row in DIFFERENCES if row.lesson == "05" and row.older
    }
    assert subjects("26.1", "05") == subjects("26.1", "05-macvlan")
    assert dn.your_engine("26.1", "04").text == "Docker 26.1 does what lesson 04 shows, as far as we know."
    with pytest.raises(CourseError, match="no lesson"):
        dn.your_engine("26.1", "macvlan")


def test_the_lab_hosts_own_engine_differs_in_nothing() -> None:
    assert (
        dn.your_engine("28.5.2+dfsg4").text
        == "Docker 28.5.2+dfsg4 does what the lessons show, as far as we know."
    )


@pytest.mark.parametrize("version", ["24", "24.0.7", "30.1", "abc", "", "latest", "2 9"])
def test_a_version_that_nothing_is_known_of_gets_one_sentence(version: str) -> None:
    shown = dn.your_engine(version)
    assert shown.text.endswith(".")
    assert "\n" not in shown.text
    assert "<table" not in shown.html


def test_release_notes_are_named_as_such() -> None:
    said = dn.your_engine("29.1")
    assert said.text.count("(from the release notes)") == len(subjects("29.1"))
    assert "release notes" not in dn.your_engine("26.1").text


def test_the_table_has_captions_heads_and_code() -> None:
    html = dn.your_engine("29.1 <b>", "02").html
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html)[0] == "lesson"
    assert "<caption" in html
    assert re.search("<code[^>]*>.NetworkSettings.IPAddress</code>", html)
    assert "<b>" not in html
