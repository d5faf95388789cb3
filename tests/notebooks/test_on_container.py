"""Every lesson by nbval on a lab host that is a container in a Docker engine."""

import os
from collections.abc import Iterator

import pytest

from dockernb.labhost import LabHost, start
from dockernb.session import LESSONS
from tests.notebooks.lessons import TWICE, runs
from tests.support.engine import Engine, why_not

pytestmark = [pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"), pytest.mark.timeout(TWICE)]


@pytest.fixture(scope="module")
def host(learner: Engine) -> Iterator[LabHost]:
    del learner  # this thread is where it is
    running = start("tests-lessons", provider="container", owner=os.getpid())
    yield running
    running.stop()


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_twice(lesson: str, host: LabHost) -> None:
    runs(lesson, host, again=True)
