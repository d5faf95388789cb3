"""One fio run in a container's file system; runs on the lab host with the standard library only.

fio is started below the container's root, so that it finds what is mounted there, without `docker exec` (which costs
a fifth of a second under emulation). It belongs to the lab host's own memory group, not to the container's.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PROGRAM = "/usr/bin/fio"


def main(argument: dict[str, Any]) -> dict[str, str | None]:
    """Run fio and remove its file, whatever became of the run.

    `argument` has pid (a process in the container), directory, file, arguments (for fio) and limit (seconds). The
    answer has output (what fio printed), error (what went wrong around it, or an empty string) and file_system.
    """
    kind = _file_system(argument["pid"], argument["directory"])
    prctl = ctypes.CDLL(None).prctl
    os.chroot(f"/proc/{argument['pid']}/root")  # this process is a fork for this one call
    os.chdir("/")
    # fio would make a directory that is missing, and measure the wrong one.
    if not Path(argument["directory"]).is_dir():
        return _failed(f"there is no directory {argument['directory']}")
    try:
        done = subprocess.run(
            [_PROGRAM, *argument["arguments"]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=argument["limit"],
            check=False,
            # An interrupted run leaves nothing behind.
            preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
        )
    except subprocess.TimeoutExpired:
        return _failed(f"the run did not end within {argument['limit']:g} s", kind)
    except FileNotFoundError:
        return _failed(f"the container has no {_PROGRAM}", kind)
    finally:
        with contextlib.suppress(OSError):
            Path(argument["file"]).unlink()
    output = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
    return {"output": output, "error": "", "file_system": kind}


def _failed(error: str, kind: str | None = None) -> dict[str, str | None]:
    return {"output": "", "error": error, "file_system": kind}


def _file_system(pid: int, directory: str) -> str | None:
    """The kind of the mount that a directory lies on, from /proc/PID/mountinfo (proc(5)); the last one covers."""
    best, kind = "", None
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        place = before.split()[4].rstrip("/")
        if (directory + "/").startswith(place + "/") and len(place) >= len(best):
            best, kind = place, after.split()[0]
    return kind
