"""The lab hosts that the files of a process share, and for each file that asks for it a stage.

A stage is containers and networks in a native engine.
"""

import shutil
from collections.abc import Iterator

import pytest

from dockernb.labhost import LabHost
from dockernb.session import Lab
from tests.support.engine import engine, why_not
from tests.support.shared import Shared
from tests.support.stage import Stage


@pytest.fixture
def running_host(shared_vm: Shared) -> LabHost:
    """The emulated machine, with what others have left on it."""
    return shared_vm.as_it_is()


@pytest.fixture
def host(shared_vm: Shared) -> LabHost:
    """The emulated machine, pristine."""
    return shared_vm.pristine()


@pytest.fixture(scope="module")
def quick(request: pytest.FixtureRequest) -> Shared:
    """Where either provider will do: a container, ten times as quick as an emulated machine, if there can be one."""
    shared: Shared = request.getfixturevalue("shared_vm" if why_not() else "shared_container")
    return shared


@pytest.fixture
def quick_host(quick: Shared) -> LabHost:
    """The quick lab host, with what others have left on it."""
    return quick.as_it_is()


@pytest.fixture
def fresh_quick_host(quick: Shared) -> LabHost:
    """The quick lab host, pristine."""
    return quick.pristine()


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, quick: Shared) -> Lab:
    """The lab of the lesson that the file calls NAME, on the quick lab host, with nothing done in it."""
    return Lab(request.module.NAME, quick.pristine())


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
