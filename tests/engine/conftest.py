"""One lab host for the whole test session (provider vm), pristine again before each test that asks for it; and for each
file that asks for it a lab host that need not be a machine, or a stage: containers and networks in a native engine."""

import os
import shutil
from collections.abc import Iterator

import pytest

from dockernb.labhost import LabHost, qemu, start
from tests.support.engine import engine, why_not
from tests.support.stage import Stage


@pytest.fixture(scope="session")
def running_host() -> Iterator[LabHost]:
    """A lab host that ends with this process, whatever happens to it."""
    if not shutil.which(qemu.PROGRAM):
        pytest.fail(f"{qemu.PROGRAM} is missing: sudo apt-get install qemu-system-x86")
    host = start("tests", provider="vm", owner=os.getpid())
    yield host
    host.stop()


@pytest.fixture
def host(running_host: LabHost) -> LabHost:
    """The session's lab host, pristine."""
    running_host.reset()
    return running_host


@pytest.fixture(scope="module")
def quick_host(request: pytest.FixtureRequest) -> Iterator[LabHost]:
    """A lab host where either provider will do: a container, ten times as quick as an emulated machine, if there
    can be one."""
    if why_not():
        yield request.getfixturevalue("running_host")
        return
    request.getfixturevalue("learner")
    host = start("tests", provider="container", owner=os.getpid())
    yield host
    host.stop()


@pytest.fixture
def fresh_quick_host(quick_host: LabHost) -> LabHost:
    """The file's quick lab host, pristine."""
    quick_host.reset()
    return quick_host


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A native engine with nothing in it but the stage's image."""
    if reason := why_not():
        pytest.skip(reason)
    if not shutil.which("nsenter"):
        pytest.skip("no nsenter here: apt-get install util-linux")
    with engine() as native:
        yield Stage(native)


@pytest.fixture
def tiers(stage: Stage) -> Stage:
    """web on front, api on front and back, db on back (internal)."""
    stage.network("front", "172.20.1.0/24")
    stage.network("back", "172.21.1.0/24", internal=True)
    stage.run("web", "front", 80, publish={80: 8080})
    stage.run("api", "front", 3000)
    stage.docker.networks.get("back").connect("api", aliases=["api-service"])
    stage.run("db", "back", 5432)
    return stage
