"""Take a snapshot of the lesson's part of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import docker.errors

from dockernb.errors import ProbeError
from dockernb.model import Snapshot

if TYPE_CHECKING:
    from dockernb.session import Lab

_LABEL = "org.dockernb.lab"


def snapshot(lab: Lab, *, everything: bool = False) -> Snapshot:
    """What the engine says now.

    Args:
        lab: the lesson.
        everything: not only what the lesson made, but all that is on the lab host.

    Returns:
        The lesson's containers, networks and volumes, and those other networks that its containers are on.

    Raises:
        ProbeError: the engine did not answer.
    """
    filters = {} if everything else {"label": f"{_LABEL}={lab.name}"}
    api = lab.host.client().api
    try:
        containers = [
            found
            for row in api.containers(all=True, filters=filters)
            if (found := _inspect(api.inspect_container, row["Id"])) is not None
        ]
        used = {e["NetworkID"] for c in containers for e in c["NetworkSettings"]["Networks"].values()}
        listed = api.networks()
        volumes = api.volumes(filters=filters)["Volumes"] or []
    except docker.errors.DockerException as error:
        raise ProbeError(f"The Docker engine did not say what is there: {error}") from error
    wanted = [
        n for n in listed if everything or n["Id"] in used or (n.get("Labels") or {}).get(_LABEL) == lab.name
    ]
    return Snapshot.from_inspect(networks=wanted, containers=containers, volumes=volumes)


def _inspect(ask: Any, identity: str) -> dict[str, Any] | None:
    """One inspect; None for what has gone since it was listed."""
    try:
        found: dict[str, Any] = ask(identity)
    except docker.errors.NotFound:
        return None
    return found
