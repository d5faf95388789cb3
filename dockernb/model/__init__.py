"""What the engine says, as plain immutable data. Nothing here talks to Docker."""

from dockernb.model.entities import Container, Endpoint, Json, Mount, Network, PublishedPort, Subnet, Volume
from dockernb.model.snapshot import Snapshot
from dockernb.model.swarm import Swarm

__all__ = [
    "Container",
    "Endpoint",
    "Json",
    "Mount",
    "Network",
    "PublishedPort",
    "Snapshot",
    "Subnet",
    "Swarm",
    "Volume",
]
