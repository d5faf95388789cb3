"""One run of a program's server and client between two network namespaces; standard library only, on the lab host.

Server and client are started in the containers' own network namespaces, without `docker exec` (which costs
half a second each under emulation). The program comes from the container's own root file system, so that
names resolve as in there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
_LISTEN = "0A"  # state TCP_LISTEN in /proc/net/tcp


def main(argument: dict[str, Any]) -> dict[str, str]:
    """Start the server, wait until it listens, run the client, stop the server.

    `argument` has server_pid and client_pid (a process in each network namespace), port, server and client (commands,
    the program with its whole path) and limit (seconds for all of it). The answer has output (what the client
    printed) and error (what went wrong around it, or an empty string).
    """
    end = time.monotonic() + argument["limit"]
    server_pid, client_pid = argument["server_pid"], argument["client_pid"]
    try:
        server = _start(server_pid, client_pid, argument["server"])
    except (OSError, subprocess.SubprocessError) as problem:
        return {"output": "", "error": f"the server could not be started: {problem}"}
    try:
        if refusal := _wait_for_listener(server, argument["port"], end):
            return {"output": "", "error": refusal}
        try:
            client = _start(client_pid, server_pid, argument["client"])
        except (OSError, subprocess.SubprocessError) as problem:
            return {"output": "", "error": f"the client could not be started: {problem}"}
        try:
            output, complaint = client.communicate(timeout=max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return {"output": "", "error": f"the run did not end within {argument['limit']:g} s"}
        finally:
            _stop(client)
        said = output.strip() or complaint.strip()
        return {
            "output": output.decode(errors="replace"),
            "error": "" if said else "the client printed nothing",
        }
    finally:
        _stop(server)


def _start(pid: int, peer: int, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a program in the network namespace of `pid`, from its own file system or else the peer's."""
    roots = [f"/proc/{pid}/root", f"/proc/{peer}/root", "/"]
    root = next((r for r in roots if Path(r + command[0]).exists()), None)
    if root is None:
        raise FileNotFoundError(f"neither container has {command[0]}")
    libc = ctypes.CDLL(None)
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)

    def enter() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # an interrupted run leaves nothing behind
        os.setns(namespace, _CLONE_NEWNET)  # type: ignore[attr-defined,unused-ignore]  # new in 3.12
        os.chroot(root)
        os.chdir("/")

    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=enter,  # noqa: PLW1509  # the helper is a fresh fork with one thread
        )
    finally:
        os.close(namespace)


def _wait_for_listener(server: subprocess.Popen[bytes], port: int, end: float) -> str:
    """Wait until the server listens on the port; the answer is an empty string or what went wrong."""
    while time.monotonic() < end:
        if server.poll() is not None:
            output, complaint = server.communicate()
            return "the server: " + (complaint or output).decode(errors="replace").strip().splitlines()[0]
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            if _listens(server.pid, port):
                return ""
        time.sleep(0.005)
    return "the server did not listen in time"


def _listens(pid: int, port: int) -> bool:
    """Whether this process itself listens on the port: another server on it is not ours."""
    mine = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if (
                fields[1].endswith(f":{port:04X}")
                and fields[3] == _LISTEN
                and f"socket:[{fields[9]}]" in mine
            ):
                return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it and collect it."""
    process.kill()
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe:
            pipe.close()
