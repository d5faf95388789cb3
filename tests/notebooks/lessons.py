"""Running a lesson by nbval."""

import os
import subprocess
import sys

from dockernb.labhost import LabHost
from tests.support.lesson import NOTEBOOKS

LIMIT = 500  # seconds for one run of a lesson; the lessons' own target is 90
TWICE = 2 * LIMIT + 60  # seconds for two runs and what is before them
BUDGET = "1"  # second for each comparison: one round of it; all rounds are made by `make lessons`


def nbval(lesson: str, host: LabHost) -> tuple[int, str]:
    """Run a notebook's cells in a kernel and compare their outputs with those that are committed."""
    notebook = NOTEBOOKS / f"{lesson}.ipynb"
    command = [
        *(sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"),
        *("-p", "tests.notebooks.promises", "-p", "no:cacheprovider", "-q", "--no-header", "-c", os.devnull, "--rootdir", str(notebook.parent)),
        str(notebook),
    ]
    done = subprocess.run(
        command,
        env={
            **os.environ,
            "PYTHONPATH": str(NOTEBOOKS.parent),  # for the plugin
            "DOCKERNB_HOST": host.name,
            "DOCKERNB_PROVIDER": host.provider,
            "DOCKERNB_BUDGET_S": BUDGET,
        },
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd=notebook.parent,
    )
    return done.returncode, done.stdout + done.stderr


def runs(lesson: str, host: LabHost, *, again: bool) -> None:
    """A lesson runs from a pristine lab host, and if asked for again on what the first run left."""
    host.reset()
    for run in ("from a fresh host", "again")[: 1 + again]:
        code, said = nbval(lesson, host)
        # A picture is one line of a hundred thousand characters, which would hide the name of the cell.
        told = "\n".join(line if len(line) <= 300 else line[:300] + " …" for line in said.splitlines())
        assert code == 0, f"{lesson} {run} ({host.provider}):\n{told[-9000:]}"
