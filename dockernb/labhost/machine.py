"""What a provider has to offer: one lab host as the keeper drives it."""

import dataclasses
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dockernb.errors import HostError

SEGMENT = (
    "198.51.100"  # /24, reserved for documentation (RFC 5737): joins several lab hosts, never a real network
)


class PortError(HostError):
    """A port of the learner's loopback cannot be had."""


@dataclass(frozen=True)
class Plan:
    """What is to be started.

    Attributes:
        name: Name of the lab host; also the name of its directory.
        provider: "vm" or "container".
        owner: Process id; the lab host ends when that process does.
        directory: Private directory for sockets and credentials.
        hostname: Name inside.
        index: 0 for a host by itself, else its number on the segment (1 is the hub).
        hub: Name of the lab host that offers the segment, or None.
        engine: Which suite its engine comes from, "testing" or "stable".
        outer: URL of the learner's own engine (container provider only).
    """

    name: str
    provider: str
    owner: int
    directory: Path
    engine: str
    hostname: str = "lab"
    index: int = 0
    hub: str | None = None
    outer: str | None = None

    def to_line(self) -> str:
        """The plan as an argument of the keeper's command line; it holds no secret."""
        return json.dumps({**dataclasses.asdict(self), "directory": str(self.directory)})

    @classmethod
    def from_line(cls, line: str) -> "Plan":
        """The plan that to_line made the line of."""
        values = json.loads(line)
        return cls(**{**values, "directory": Path(values["directory"])})

    @property
    def segment(self) -> dict[str, str] | None:
        """The second card's settings, as the agent takes them."""
        if not self.index:
            return None
        return {
            "device": "eth1",
            "mac": f"52:54:00:00:01:{self.index:02x}",
            "address": f"{SEGMENT}.{self.index}/24",
        }


@dataclass
class Facts:
    """What a started machine says of itself, for the badge and the captions."""

    emulation: str
    notes: list[str] = field(default_factory=list)
    paused: str = ""  # why it stands still and what to do, or nothing


class Machine(Protocol):
    """One lab host of one provider. All methods raise HostError in one sentence."""

    api_port: int
    facts: Facts

    async def start(self) -> None:
        """Start it, until its engine can be reached through the front with the plan's credentials."""

    @property
    def stands(self) -> bool:
        """Whether there is a machine now; a reset that failed may have left the one that was there, or none."""

    async def reset(self) -> None:
        """A pristine host again: same port, same credentials."""

    async def stop(self) -> None:
        """End it, and leave nothing. Harmless when it has ended."""

    async def ended(self) -> str:
        """Return, in words, why the machine ended by itself; waits until then."""

    async def forward(self, host_port: int, guest_port: int, protocol: str) -> None:
        """Lead a port of the learner's loopback to a port of the lab host; raises PortError if it is taken."""

    async def unforward(self, host_port: int, protocol: str) -> None:
        """Close such a port."""

    async def segment_port(self) -> dict[str, Any]:
        """Make a place on this host's segment for one more host, and say how to reach it."""


def free_port(protocol: str = "tcp") -> int:
    """A loopback port that was free a moment ago."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
