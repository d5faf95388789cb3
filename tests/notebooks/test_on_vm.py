"""Every lesson by nbval on a lab host that is a virtual machine.

Emulated, that takes most of the time of all tests. So a lesson is run a second time only where the second run is not
the one that test_on_container.py makes, because cells are left out there; `make thorough` runs all of them twice.
"""

import os
from collections.abc import Iterator

import pytest

from dockernb.labhost import LabHost, start
from dockernb.session import LESSONS
from tests.notebooks.lessons import TWICE, runs
from tests.support.lesson import NOTEBOOKS


@pytest.fixture(scope="module")
def host() -> Iterator[LabHost]:
    running = start("tests-lessons", provider="vm", owner=os.getpid())
    yield running
    running.stop()


def test_the_lessons_of_the_library_are_those_of_the_folder() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(LESSONS)


def leaves_out_cells_elsewhere(lesson: str) -> bool:
    text = (NOTEBOOKS / f"{lesson}.ipynb").read_text(encoding="utf-8")
    return any(words in text for words in ("%%needs", "needs a kernel with"))


@pytest.mark.timeout(TWICE)
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs(lesson: str, host: LabHost, pytestconfig: pytest.Config) -> None:
    runs(lesson, host, again=pytestconfig.getoption("thorough") or leaves_out_cells_elsewhere(lesson))
