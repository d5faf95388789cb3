"""pgbench against a container's PostgreSQL; runs on the lab host with the standard library only.

The program is the lab host's own; it finds the server by its socket in the container's file system. So nothing of it is
written to the storage that is measured.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PROGRAM = "/usr/lib/postgresql/17/bin/pgbench"


def main(argument: dict[str, Any]) -> dict[str, Any]:
    """Run pgbench, once for each of its lists of arguments.

    `argument` has pid (a process in the container), sql, options (for the server), runs (lists of arguments) and limit
    (seconds for all). The answer has output (what the last run printed), times_us (of its transactions) and error
    (what went wrong around it, or an empty string).
    """
    prctl = ctypes.CDLL(None).prctl
    with tempfile.TemporaryDirectory() as place:
        script = Path(place, "script.sql")
        script.write_text(f"{argument['sql'].rstrip().rstrip(';')};\n")
        common = [f"--host=/proc/{argument['pid']}/root/run/postgresql", f"--file={script}"]
        for number, words in enumerate(argument["runs"]):
            try:
                done = subprocess.run(
                    [_PROGRAM, *common, "--log", f"--log-prefix={place}/log{number}", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=argument["limit"],
                    check=False,
                    env={**os.environ, "PGOPTIONS": argument["options"], "PGCONNECT_TIMEOUT": "5"},
                    # An interrupted run leaves nothing behind.
                    preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
                )
            except subprocess.TimeoutExpired:
                return _failed(f"the run did not end within {argument['limit']:g} s")
            except FileNotFoundError:
                return _failed(f"the lab host has no {_PROGRAM}")
        lines = [line for file in Path(place).glob(f"log{number}*") for line in file.read_text().splitlines()]
    # client, transaction, microseconds, ...: https://www.postgresql.org/docs/17/pgbench.html, per-transaction logging
    times = [int(words[2]) for line in lines if (words := line.split())[2].isdigit()]
    return {"output": done.stdout.decode(errors="replace"), "times_us": times, "error": ""}


def _failed(error: str) -> dict[str, Any]:
    return {"output": "", "times_us": [], "error": error}
