"""Running a lesson by nbval."""

import os
import re
import subprocess
import sys
from pathlib import Path

from dockernb.labhost import LabHost
from tests.support.lesson import NOTEBOOKS

LIMIT = 900  # seconds for one run of a lesson, on a slow machine; the lessons' own target is 90
TWICE = 2 * LIMIT + 60  # seconds for two runs and what is before them
BUDGET = "1"  # second for each comparison: one round of it; all rounds are made by `make lessons`

SEVERAL = {
    path.stem
    for path in NOTEBOOKS.glob("*.ipynb")
    if re.search(r"dn\.lab\([^)]*nodes=", path.read_text(encoding="utf-8"))
}
"""The lessons on several hosts."""


def runs(lesson: str, host: LabHost, *, run: str, twin: Path | None = None) -> None:
    """A lesson runs by nbval: its outputs are those that are committed, or show what they promise.

    Args:
        lesson: Its name.
        host: The lab host that it joins.
        run: What kind of run it is, for the message.
        twin: Where its twin is to be written down, for `tests.support.twins`.
    """
    notebook = NOTEBOOKS / f"{lesson}.ipynb"
    command = [
        *(sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=120"),
        *("-p", "tests.notebooks.plugin", "-p", "no:cacheprovider", "-q", "--no-header"),
        *("-c", os.devnull, "--rootdir", str(notebook.parent), str(notebook)),
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(NOTEBOOKS.parent),  # for the plugin
        "DOCKERNB_HOST": host.name,
        "DOCKERNB_PROVIDER": host.provider,
        "DOCKERNB_ENGINE": host.engine,
        "DOCKERNB_BUDGET_S": BUDGET,
    }
    if twin is not None:
        environment["DOCKERNB_WRITE_DOWN"] = str(twin)
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd=notebook.parent,
    )
    # A picture is one line of a hundred thousand characters, which would hide the name of the cell.
    lines = (done.stdout + done.stderr).splitlines()
    told = "\n".join(line if len(line) <= 300 else line[:300] + " …" for line in lines)
    assert done.returncode == 0, f"{lesson} {run} ({host.provider}):\n{told[-9000:]}"
