"""What the kernel of the Docker host says, for checks that must not take the engine's word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockernb.labhost import LabHost

# Run by the agent, which runs on the lab host already: no Python is started there.
_IP = """
import json, subprocess

def main(argv):
    done = subprocess.run(argv, capture_output=True, timeout=20)
    return json.loads(done.stdout or b"[]")
"""


def ip(host: LabHost, *words: str, pid: int = 0) -> list[dict[str, Any]]:
    """What `ip -json` says on the Docker host, or in the network namespace of one of its processes.

    Args:
        host: The lab host.
        words: Object and command, for example "link", "show", "dev", "eth0".
        pid: A process of the Docker host; 0 for the host itself.

    Returns:
        A dictionary for each thing, as in ip(8); nothing where `ip` finds none.

    Raises:
        HostError: The lab host is gone.
    """
    enter = ["nsenter", "--target", str(pid), "--net"] if pid else []
    found: list[dict[str, Any]] = host.call(_IP, [*enter, "ip", "-json", *words])
    return [thing for thing in found if thing]  # ip leaves empty ones where a filter took something out
