"""Take a snapshot of the lesson's part of the engine."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import docker
from docker.errors import DockerException, NotFound

from dockernb.arguments import FLAG, HOST, LAB, NONE, checked, having
from dockernb.errors import ProbeError
from dockernb.model import Snapshot

if TYPE_CHECKING:
    from dockernb.labhost import LabHost
    from dockernb.session import Lab

_LABEL = "org.dockernb.lab"
_AT_ONCE = 4  # inspections; the engine uses as many processors as it has

# A client of our own, since the lesson's records what the learner does. To make one costs a TLS handshake
# and a question for the version, so it is kept for as long as the host is the same.
_clients: WeakKeyDictionary[LabHost, tuple[object, docker.DockerClient]] = WeakKeyDictionary()


@checked(ProbeError, lab=LAB, host=having("docker_host", HOST.words) | NONE, everything=FLAG)
def snapshot(lab: Lab, *, host: LabHost | None = None, everything: bool = False) -> Snapshot:
    """What the engine says now.

    Args:
        lab: the lesson.
        host: one of a lesson's several machines; default: `lab.host`.
        everything: not only what the lesson made, but all that is on the lab host.

    Returns:
        The lesson's containers, networks and volumes, and those other networks and volumes that its containers use.

    Raises:
        ProbeError: the engine did not answer.
        HostError: the lab host is gone.
    """
    filters = {} if everything else {"label": f"{_LABEL}={lab.name}"}
    api = _client(host or lab.host).api
    try:
        containers = _inspect(api, [row["Id"] for row in api.containers(all=True, filters=filters)])
        listed = api.networks()
        stored = api.volumes()["Volumes"] or []
    except DockerException as error:
        raise ProbeError(f"The Docker engine did not say what is there: {error}") from error
    used = {e["NetworkID"] for c in containers for e in c["NetworkSettings"]["Networks"].values()}
    mounted = {m.get("Name") for c in containers for m in c["Mounts"]}
    volumes = [
        v
        for v in stored
        if everything or v["Name"] in mounted or (v.get("Labels") or {}).get(_LABEL) == lab.name
    ]
    networks = [
        n for n in listed if everything or n["Id"] in used or (n.get("Labels") or {}).get(_LABEL) == lab.name
    ]
    return Snapshot.from_inspect(networks=networks, containers=containers, volumes=volumes)


def _client(host: LabHost) -> docker.DockerClient:
    """Our client for this start of the host."""
    start = (host.docker_host, host.started)
    known = _clients.get(host)
    if known is None or known[0] != start:
        known = _clients[host] = (start, host.client())
    return known[1]


def _inspect(api: docker.APIClient, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Inspect containers, several at once; what has gone since it was listed is left out."""

    def one(identity: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = api.inspect_container(identity)
        except NotFound:
            return None
        return found

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [found for found in pool.map(one, ids) if found is not None]
