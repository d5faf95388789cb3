"""Every lesson by nbval on a lab host that is a virtual machine."""

import os
from collections.abc import Iterator

import pytest

from dockernb.labhost import LabHost, start
from dockernb.session import LESSONS
from tests.notebooks.lessons import runs_twice
from tests.support.lesson import NOTEBOOKS


@pytest.fixture(scope="module")
def host() -> Iterator[LabHost]:
    running = start("tests-lessons", provider="vm", owner=os.getpid())
    yield running
    running.stop()


def test_the_lessons_of_the_library_are_those_of_the_folder() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(LESSONS)


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_twice(lesson: str, host: LabHost) -> None:
    runs_twice(lesson, host)
