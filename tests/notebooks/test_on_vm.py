"""Lessons by nbval on a lab host that is a virtual machine.

On an emulated machine that takes more time than anything else that is tested, and the quick lab host runs every lesson
twice (test_on_container.py). So `make test` runs here what only this machine has (`ONLY_HERE`), and one lesson of every
other kind (`ONE_OF_A_KIND`); `make thorough PART=lessons` runs all, twice in a row, and `PART=stable` all on the older engine.
"""

from collections.abc import Iterator

import pytest

from dockernb.labhost import LabHost
from dockernb.session import LESSONS
from tests.notebooks.lessons import TWICE, runs
from tests.support.lesson import NOTEBOOKS
from tests.support.shared import Shared

ONLY_HERE = {
    "04-overlay-swarm": "several machines on a segment, IPVS, an encrypted overlay",
    "05-macvlan": "VLANs, ipvlan",
    "09-troubleshoot-and-measure": "netem, ipvlan",
    "12-network-storage": "kernel clients of NFS and SMB",
    "16-storage-performance": "loop devices, dm-crypt; volumes and a database, too",
}
ONE_OF_A_KIND = {  # and 06 in the browser: networks, panel, probes
    "01-network-model": "the kernel's own view, a driver, rules",
}


@pytest.fixture
def host(shared_vm: Shared) -> LabHost:
    return shared_vm.pristine()


@pytest.fixture(scope="session")
def shared_stable() -> Iterator[Shared]:
    """A lab host with the engine of Debian stable, whose template is built when it is missing."""
    shared = Shared("vm", "stable")
    yield shared
    shared.stop()


def test_the_lessons_of_the_library_are_those_of_the_folder() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(LESSONS)


@pytest.mark.timeout(TWICE)
@pytest.mark.parametrize("lesson", sorted(ONLY_HERE | ONE_OF_A_KIND))
def test_a_lesson_runs(lesson: str, host: LabHost) -> None:
    runs(lesson, host, run="from a fresh host")


@pytest.mark.thorough("lessons")
@pytest.mark.timeout(TWICE)
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_twice(lesson: str, host: LabHost) -> None:
    runs(lesson, host, run="from a fresh host")
    runs(lesson, host, run="again")


@pytest.mark.thorough("stable")
@pytest.mark.timeout(TWICE)
@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_on_the_stable_engine(lesson: str, shared_stable: Shared) -> None:
    """Nothing fails that is not meant to, and each cell shows what it states; its words may be another engine's."""
    runs(lesson, shared_stable.pristine(), run="on the stable engine")
