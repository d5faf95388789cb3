"""The keeper's control socket, from both sides: one JSON line a request, one a reply."""

import json
import socket
from pathlib import Path
from typing import Any

from dockernb.errors import HostError

NAME = "control.sock"


def ask(directory: Path, request: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Ask the keeper of the lab host in that directory.

    Raises:
        HostError: No lab host runs there, it refused, or it did not answer in time.
    """
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout)
            line.connect(str(directory / NAME))
            line.sendall(json.dumps(request).encode() + b"\n")
            with line.makefile("rb") as replies:
                answer = replies.readline()
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
    reply: dict[str, Any] = json.loads(answer)
    if "error" in reply:
        raise HostError(reply["error"])
    return reply
