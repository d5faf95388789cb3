"""tcpdump on the lab host, begun by one call and ended by another; standard library only."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_PATIENCE = 20.0  # seconds for tcpdump to begin or to end


def main(argument: dict[str, Any]) -> dict[str, Any]:
    """Do `argument["do"]`.

    "begin" takes interface, filter, limit (seconds, after which it ends by itself) and most (packets), and answers
    with the place where the capture lies. "end" takes that place and answers with the pcap file in base64.
    """
    return _begin(argument) if argument["do"] == "begin" else _end(Path(argument["place"]))


def _begin(argument: dict[str, Any]) -> dict[str, Any]:
    place = Path(tempfile.mkdtemp(prefix="capture-"))
    command = ["timeout", f"{argument['limit']:g}"]
    # Each packet at once, and as root: the user that tcpdump would become does not exist here.
    command += ["tcpdump", "-i", argument["interface"], "-n", "-U", "--immediate-mode", "-Z", "root"]
    command += ["-c", str(argument["most"]), "-w", str(place / "pcap"), argument["filter"]]
    with (place / "said").open("wb") as said:
        tcpdump = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    (place / "pid").write_text(str(tcpdump.pid))
    deadline = time.monotonic() + _PATIENCE
    while b"listening on" not in (text := (place / "said").read_bytes()):
        if tcpdump.poll() is not None or time.monotonic() > deadline:
            tcpdump.kill()
            raise RuntimeError(text.decode(errors="replace").strip() or "tcpdump did not begin")
        time.sleep(0.02)
    return {"place": str(place)}


def _end(place: Path) -> dict[str, Any]:
    pid = int((place / "pid").read_text())
    deadline = time.monotonic() + _PATIENCE
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.02)
    pcap = (place / "pcap").read_bytes()
    for path in (*place.iterdir(), place):
        path.rmdir() if path.is_dir() else path.unlink()
    return {"pcap": base64.b64encode(pcap).decode()}
