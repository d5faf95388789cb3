"""Every lesson by nbval on a lab host that is a container in a Docker engine."""

import pytest

from dockernb.labhost import LabHost
from dockernb.session import LESSONS
from tests.notebooks.lessons import TWICE, runs
from tests.support.engine import why_not
from tests.support.shared import Shared

pytestmark = [pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"), pytest.mark.timeout(TWICE)]


@pytest.fixture
def host(shared_container: Shared) -> LabHost:
    return shared_container.as_it_is()


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_twice(lesson: str, host: LabHost) -> None:
    runs(lesson, host, again=True)
