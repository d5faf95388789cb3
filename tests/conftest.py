"""Tests run their lab hosts in a state directory of their own, beside those that a learner has running."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockernb.labhost import template
from tests.support import learner as learners
from tests.support.engine import Engine
from tests.support.shared import Shared


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", action="store_true", help="run every lesson twice on an emulated machine, too"
    )


class AtOnce:
    """Tells of what failed, and of what is tried again, when it happens: a run ended from outside has no summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome in ("failed", "rerun"):
            writer = self._config.get_terminal_writer()
            writer.line(f"\n{report.outcome} after {report.duration:.0f} s: {report.nodeid}")
            writer.line(report.longreprtext[-3000:])


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C means what it does in a terminal, also where a shell has begun the tests in its background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):  # xdist's controller hears what its workers report
        config.pluginmanager.register(AtOnce(config))


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


@pytest.fixture(scope="session")
def built(request: pytest.FixtureRequest) -> Path:
    """The lab host as an image and as a tree; see `tests.support.learner`."""
    if lacks := template.missing():
        pytest.skip(lacks[0])
    return learners.built(Path(request.config.cache.mkdir("labhost")))


@pytest.fixture(scope="session")
def prepared(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Path]]:
    """A learner's engine with the lab host in it, and that learner's home."""
    home = tmp_path_factory.mktemp("home")
    with learners.prepared(built, built / "tree", home) as outer:
        yield outer, home


@pytest.fixture(scope="module")
def learner(prepared: tuple[Engine, Path], built: Path) -> Iterator[Engine]:
    """That engine, shared by the files, each of which stops its lab hosts; this thread is in its network namespace."""
    outer, home = prepared
    with learners.at(outer, built, home):
        yield outer


@pytest.fixture(scope="session")
def shared_vm() -> Iterator[Shared]:
    """This process's lab host that is an emulated machine."""
    shared = Shared("vm")
    yield shared
    shared.stop()


@pytest.fixture(scope="session")
def _container_of_the_learner(prepared: tuple[Engine, Path]) -> Iterator[Shared]:
    del prepared  # it is to be there for longer
    shared = Shared("container")
    yield shared
    shared.stop()


@pytest.fixture(scope="module")
def shared_container(learner: Engine, _container_of_the_learner: Shared) -> Shared:
    """This process's lab host that is a container, seen from where it can be reached: the learner's network."""
    del learner  # this thread is where it is
    return _container_of_the_learner
