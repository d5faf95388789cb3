"""Tests run their lab hosts in a state directory of their own, beside those that a learner has running."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling

from dockernb.labhost import template
from tests.support import learner as learners
from tests.support import selection
from tests.support.engine import Engine
from tests.support.ledger import Ledger
from tests.support.selection import Parts
from tests.support.shared import Shared

GIB_A_WORKER = 2.5  # of memory: an emulated machine, a learner's engine and a browser


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough", metavar="PART", help='run what takes hours: a part of it by name, or "all"'
    )
    parser.addoption("--lessons", metavar="NAMES", help="run only what belongs to these lessons")


def pytest_xdist_auto_num_workers() -> int:
    """As many as the processors and the memory bear; two on a small machine, because much of a test is waiting."""
    bearable = psutil.virtual_memory().available / 2**30 / GIB_A_WORKER
    return max(2, min(os.cpu_count() or 2, int(bearable)))


class Scheduler(LoadScopeScheduling):
    """Tests of a file stay on one worker, which has the file's fixtures; each run of a lesson is by itself."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith("tests/notebooks/") else nodeid.split("::", maxsplit=1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduler:
    return Scheduler(config, log)


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
    config.addinivalue_line(
        "markers", "thorough(part): takes long, and belongs to this part of `make thorough`"
    )
    if hasattr(config, "workerinput"):
        return
    # xdist's controller hears what its workers report
    config.pluginmanager.register(AtOnce(config))
    config.pluginmanager.register(Ledger(int(config.getoption("numprocesses", 0) or 1)))
    if config.getoption("thorough"):
        config.pluginmanager.register(Parts(selection.RESULTS), "parts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the emulated machine, which takes longest, while somebody builds the tree of the container."""
    items.sort(key=lambda item: item.path.name != "test_on_vm.py")
    parts: Parts | None = config.pluginmanager.get_plugin("parts")
    here = parts.passed() if parts else ()
    selection.select(config, items, getattr(config, "workerinput", {}).get("passed", here))


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
