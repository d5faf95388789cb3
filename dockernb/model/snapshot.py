"""Everything of one moment: what `probe` plans from and `view` draws."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dockernb.model.entities import Container, Json, Network, Volume


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The networks, containers and volumes of one moment, each in alphabetical order."""

    networks: tuple[Network, ...]
    containers: tuple[Container, ...]
    volumes: tuple[Volume, ...] = ()

    @classmethod
    def from_inspect(
        cls, *, networks: Iterable[Json], containers: Iterable[Json], volumes: Iterable[Json] = ()
    ) -> Snapshot:
        """Make a snapshot from the JSON of ``inspect`` calls; no engine is asked."""
        return cls(
            networks=tuple(sorted((Network.from_inspect(n) for n in networks), key=lambda n: n.name)),
            containers=tuple(sorted((Container.from_inspect(c) for c in containers), key=lambda c: c.name)),
            volumes=tuple(sorted((Volume.from_inspect(v) for v in volumes), key=lambda v: v.name)),
        )

    def container(self, name: str) -> Container | None:
        """The container with this name or id (a prefix of 12 or more characters will do), or None."""
        for container in self.containers:
            if container.name == name or (len(name) >= 12 and container.id.startswith(name)):
                return container
        return None

    def network(self, name: str) -> Network | None:
        """The network with this name, or None."""
        return next((n for n in self.networks if n.name == name), None)

    def members(self, network: str) -> tuple[Container, ...]:
        """The containers that have an endpoint on the named network."""
        return tuple(c for c in self.containers if network in c.networks)

    def gateways(self, network: str) -> tuple[str, ...]:
        """The Docker host's own addresses on the named bridge network.

        An engine before 26 does not tell the gateway of a network that was created without one; then its
        endpoints know it, and on an empty network it is the pool's first address.
        """
        found = self.network(network)
        if found is None or found.driver != "bridge":
            return ()
        endpoints = [container.endpoint(network) for container in self.members(network)]
        known = [endpoint.gateway for endpoint in endpoints if endpoint is not None and endpoint.gateway]
        gateways = []
        for pool in found.subnets:
            told = [address for address in known if pool.holds(address)]
            gateways.append(pool.gateway.split("/")[0] or (told[0] if told else pool.first))
        return tuple(gateways)

    def sandbox(self, container: Container) -> Container:
        """The container whose network namespace this one uses: itself, unless it shares another's."""
        owner = self.container(container.network_owner) if container.network_owner else None
        return owner or container

    def shared_networks(self, one: Container, other: Container) -> tuple[str, ...]:
        """The names of the networks on which both have an endpoint."""
        theirs = self.sandbox(other).networks
        return tuple(n for n in self.sandbox(one).networks if n in theirs)
