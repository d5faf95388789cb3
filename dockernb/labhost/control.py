"""The keeper's control socket, from both sides: one JSON line a request, one a reply."""

import contextlib
import json
import shlex
import socket
import time
from pathlib import Path
from typing import Any

from dockernb.errors import HostError
from dockernb.labhost import store

NAME = "control.sock"
STATUS_LIMIT = 2.0  # seconds, after the caller has waited for long
LONGEST_REPLY = 1 << 24  # bytes


def gone(directory: Path) -> str:
    """Why the lab host of that directory does not answer, and what to do, in one sentence."""
    name = directory.name
    why = ""
    with contextlib.suppress(OSError, ValueError, KeyError):
        why = json.loads((directory / "ended.json").read_text())["why"]
    if why or store.holder(directory) is None:
        reason = f" ({why})" if why else ""
        return (
            f"The lab host {name!r} does not answer any more{reason}: run the lesson's first cell again, "
            "or `dockernb start`, for a fresh one."
        )
    return late(
        directory,
        f"The lab host {name!r} runs, but its engine does not answer: one that has ended comes back by itself within "
        f"seconds; else run `dockernb reset --name {shlex.quote(name)}`.",
    )


def late(directory: Path, otherwise: str) -> str:
    """Why a lab host that runs has not answered in time, in one sentence, or the other sentence if it is not known."""
    with contextlib.suppress(HostError):
        if paused := ask(directory, {"do": "status"}, STATUS_LIMIT).get("paused"):
            return f"The lab host {directory.name!r} is {paused}, and it goes on by itself."
    return otherwise


def read_line(line: socket.socket, deadline: float, longest: int) -> bytes:
    """What the other side says up to the end of a line, or until it hangs up.

    Args:
        line: The connection; its limit of time is changed.
        deadline: Until when, in seconds of time.monotonic(), however often something comes.
        longest: Bytes.

    Raises:
        TimeoutError: The line was not over by then.
        HostError: It is longer.
    """
    pieces, size = [b""], 0
    while not pieces[-1].endswith(b"\n"):
        if (left := deadline - time.monotonic()) <= 0:
            raise TimeoutError
        line.settimeout(left)
        if not (piece := line.recv(1 << 16)):
            break
        pieces.append(piece)
        size += len(piece)
        if size > longest:
            raise HostError(f"The lab host's answer is longer than {longest / 1e6:.0f} MB: ask it for less.")
    return b"".join(pieces)


def parsed(answer: bytes) -> dict[str, Any]:
    """An answer's JSON object.

    Raises:
        HostError: It is none.
    """
    try:
        reply = json.loads(answer)
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise HostError(
            "The lab host's answer broke off, or is no answer: ask it again, or run `dockernb reset`."
        )
    return reply


def ask(directory: Path, request: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Ask the keeper of the lab host in that directory.

    Raises:
        HostError: No lab host runs there, it refused, or it did not answer in time.
    """
    deadline = time.monotonic() + timeout
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout)
            line.connect(str(directory / NAME))
            line.sendall(json.dumps(request).encode() + b"\n")
            answer = read_line(line, deadline, LONGEST_REPLY)
    except TimeoutError:
        raise HostError(
            f"The lab host {directory.name!r} did not answer within {timeout:.0f} s: "
            "run `dockernb stop`, then start it again."
        ) from None
    except OSError:
        raise HostError(
            f"No lab host {directory.name!r} is running: start one with `dockernb start`."
        ) from None
    if not answer:
        raise HostError(f"The lab host {directory.name!r} ended: start one with `dockernb start`.")
    reply = parsed(answer)
    if "error" in reply:
        raise HostError(reply["error"])
    return reply
