"""The line protocol of the lab host's agent (recipe/host/usr/lib/dockernb/agent.py), seen from outside."""

import asyncio
import base64
import json
import subprocess
from typing import Any

from dockernb.errors import HostError


class Channel:
    """An asyncio stream to the agent: one JSON line out, one JSON line back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def receive(self, timeout: float) -> dict[str, Any]:
        """The next reply.

        Raises:
            HostError: Nothing came in time, or the host is gone.
        """
        try:
            line = await asyncio.wait_for(self._reader.readline(), timeout)
        except TimeoutError:
            raise HostError(f"The lab host did not answer within {timeout:.0f} s.") from None
        except ValueError:  # what asyncio makes of a line beyond its limit
            raise HostError("The lab host's answer is too long.") from None
        if not line:
            raise HostError("The lab host ended while it was starting.")
        reply: dict[str, Any] = json.loads(line)
        return reply

    async def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Send a request and return its reply; an error in the reply is raised as HostError."""
        self._writer.write(json.dumps(request).encode() + b"\n")
        reply = await self.receive(timeout)
        if "error" in reply:
            raise HostError(f"The lab host says: {reply['error']}.")
        return reply

    async def run(self, *argv: str, timeout: float = 30.0) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the Docker host; a non-zero exit is in the result."""
        reply = await self.ask({"op": "run", "argv": argv, "timeout": timeout}, timeout + 10)
        return completed(list(argv), reply)


def completed(argv: list[str], reply: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
    """An agent's reply to `run` in the standard library's words."""
    return subprocess.CompletedProcess(
        argv, reply["code"], base64.b64decode(reply["out"]), base64.b64decode(reply["err"])
    )
