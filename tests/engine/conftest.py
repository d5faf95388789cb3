"""One lab host for the whole test session (provider vm), pristine again before each test that asks for it."""

import os
import shutil
from collections.abc import Iterator

import pytest

from dockernb.labhost import LabHost, qemu, start


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
