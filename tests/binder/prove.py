"""`make binder`: build what repo2docker generates from this repository, and learn in it within Binder's limits.

Needs root, runc, mmdebstrap, the Debian mirror and the Python package index. Everything stays in build/binder.
"""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.binder.dockerfile import Build, capture, tail
from tests.binder.sandbox import MEMORY, PROCESSES, Sandbox, disk_use
from tests.support.engine import which

WORK = Path(__file__).parents[2] / "build/binder"
LESSONS = ("00-start-here", "02-bridge", "06-three-tier-lab")
IDLE = 0.1  # of one processor, on a machine that may be busy; nothing happens there but the kernel's timers
SESSION_LIMIT = 1500.0  # seconds
# mybinder.org serves a session below a prefix that JupyterHub's spawner names in this variable.
PREFIX = "/user/learner/"


class Table:
    """What was measured, and whether it is as it has to be."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def row(self, what: str, value: object, right: bool = True) -> None:
        """Print one line."""
        print(f"  {'ok' if right else 'NO':2}  {what:44} {value}", flush=True)
        if not right:
            self.wrong.append(what)


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def build(work: Path, table: Table) -> Build:
    """repo2docker's build, postBuild last."""
    log = work / "build.log"
    log.unlink(missing_ok=True)
    context = capture(work)
    built = Build(work, context)
    built.carry_out(log)
    use = built.done["./binder/postBuild"]
    cache = built.root / built.environment["HOME"][1:] / ".cache/dockernb"
    table.row("postBuild, time on one processor", f"{use.seconds:.0f} s")
    table.row("postBuild, memory held at its peak", mebibytes(use.held), use.held < MEMORY and not use.killed)
    table.row("postBuild, disk at its peak", mebibytes(use.disk))
    table.row("template with its images, on disk", mebibytes(disk_use(cache)), cache.exists())
    return built


def is_right(what: str, value: Any) -> bool:
    """Whether what the session tells is as it has to be."""
    if what.startswith("page without"):
        return value in (302, 403)  # to the login page, or refused
    if what.startswith("idle"):
        return bool(value < IDLE)
    return value is not False


def learn(built: Build, table: Table) -> None:
    """A session: JupyterLab as Binder starts it, and the lessons."""
    work, log = built.work, built.work / "session.log"
    log.unlink(missing_ok=True)
    token = os.urandom(16).hex()
    environment = built.environment | {"JUPYTERHUB_SERVICE_PREFIX": PREFIX, "JUPYTER_TOKEN": token}
    sandbox = Sandbox(built.root, work, environment, built.directory, session=True)
    server = [
        "jupyter",
        "lab",
        "--ip=0.0.0.0",
        "--port=8888",
        "--no-browser",
        f"--ServerApp.base_url={PREFIX}",
    ]
    limit = threading.Timer(SESSION_LIMIT, sandbox.end)
    began = time.monotonic()
    with sandbox.measured():
        running = sandbox.start([*built.entry, *server], log)
        try:
            while running.poll() is None and "is running at" not in tail(log, 100_000):
                if time.monotonic() - began > 120:
                    raise RuntimeError(f"JupyterLab did not start:\n{tail(log)}")
                time.sleep(0.2)
            table.row("JupyterLab is up after", f"{time.monotonic() - began:.1f} s", running.poll() is None)
            table.row("memory held by JupyterLab alone", mebibytes(sandbox.use.held))
            limit.start()
            with sandbox.also(["python", "-m", "tests.binder.session", *LESSONS], log) as asked:
                assert asked.stdout
                for line in asked.stdout:
                    fact = json.loads(line)
                    table.row(fact["what"], fact["value"], is_right(fact["what"], fact["value"]))
        finally:
            limit.cancel()
            sandbox.end()
            running.wait(60)
    table.row("the session's checks ran to their end", asked.returncode == 0, asked.returncode == 0)
    held = sandbox.use.held
    table.row("session, memory held at its peak", mebibytes(held), held < MEMORY and not sandbox.use.killed)
    table.row("processes killed for want of memory", sandbox.use.killed, not sandbox.use.killed)
    if table.wrong:
        print(tail(log, 8000), file=sys.stderr)


def main() -> int:
    if os.geteuid() != 0:
        sys.exit("make binder needs root: it builds a root file system and starts containers.")
    if missing := [name for name in ("runc", "mmdebstrap", "git") if not (which(name) or shutil.which(name))]:
        sys.exit(f"make binder needs {' and '.join(missing)}: apt-get install them.")
    WORK.mkdir(parents=True, exist_ok=True)
    limits = f"{MEMORY >> 30} GB of memory, one processor, {PROCESSES} processes, uid 1000, no capability"
    print(f"Building what repo2docker generates; limits: {limits}", flush=True)
    table = Table()
    learn(build(WORK, table), table)
    print("Binder: " + (f"not right: {', '.join(table.wrong)}" if table.wrong else "all as it has to be"))
    return 1 if table.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
