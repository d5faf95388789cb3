"""Every lesson by nbval on a lab host that is a virtual machine.

On an emulated machine that takes more time than anything else that is tested. So they are run twice in a row only by
`make thorough`; test_on_container.py does that always.
"""

import pytest

from dockernb.labhost import LabHost
from dockernb.session import LESSONS
from tests.notebooks.lessons import TWICE, runs
from tests.support.lesson import NOTEBOOKS
from tests.support.shared import Shared


@pytest.fixture
def host(shared_vm: Shared) -> LabHost:
    return shared_vm.as_it_is()


def test_the_lessons_of_the_library_are_those_of_the_folder() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(LESSONS)


@pytest.mark.timeout(TWICE)
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs(lesson: str, host: LabHost, pytestconfig: pytest.Config) -> None:
    runs(lesson, host, again=pytestconfig.getoption("thorough"))
