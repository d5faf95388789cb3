"""Every lesson by nbval on a lab host that is a container in a Docker engine: twice in a row, and against its CLI twin."""

from pathlib import Path

import pytest

from dockernb.labhost import LabHost
from dockernb.session import LESSONS
from tests.notebooks.lessons import SEVERAL, TWICE, runs
from tests.support import twins
from tests.support.engine import why_not
from tests.support.shared import Shared

pytestmark = [pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"), pytest.mark.timeout(TWICE)]


@pytest.fixture
def host(shared_container: Shared) -> LabHost:
    return shared_container.pristine()


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_twice_and_the_lines_of_its_twin_do_what_it_did(
    lesson: str, host: LabHost, tmp_path: Path
) -> None:
    """A lesson on several hosts has a twin for each; tests/engine/test_twin.py compares their calls one by one."""
    runs(lesson, host, run="from a fresh host")
    twin = None if lesson in SEVERAL else tmp_path / "twin.json"
    runs(lesson, host, run="again", twin=twin)
    if twin:
        host.reset()
        twins.compare(lesson, host, twin)
