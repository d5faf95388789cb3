"""Every lesson by nbval, from a pristine lab host and again on what the first run left."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockernb.labhost import LabHost, start
from dockernb.session import LESSONS

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LIMIT = 600  # seconds for one lesson; the lessons' own target is 90


@pytest.fixture(scope="module")
def host() -> Iterator[LabHost]:
    running = start("tests-lessons", provider="vm", owner=os.getpid())
    yield running
    running.stop()


def nbval(notebook: Path, host: LabHost) -> tuple[int, str]:
    """Run a notebook's cells in a kernel and compare their outputs with those that are committed."""
    command = [
        *(sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"),
        *("-p", "no:cacheprovider", "-q", "--no-header", "-c", os.devnull, "--rootdir", str(notebook.parent)),
        str(notebook),
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "DOCKERNB_HOST": host.name, "DOCKERNB_PROVIDER": "vm"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd=notebook.parent,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_lessons_of_the_library_are_those_of_the_folder() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(LESSONS)


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_runs_from_a_fresh_host_and_again(lesson: str, host: LabHost) -> None:
    host.reset()
    notebook = NOTEBOOKS / f"{lesson}.ipynb"
    for run in ("from a fresh host", "again"):
        code, said = nbval(notebook, host)
        assert code == 0, f"{lesson} {run}:\n{said[-6000:]}"
