"""Tests run their lab hosts in a state directory of their own, beside those that a learner has running."""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_state() -> Iterator[None]:
    """The path is short because Unix sockets lie in it."""
    directory = tempfile.mkdtemp(prefix="dockernb-")
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = directory
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before
    shutil.rmtree(directory, ignore_errors=True)
