"""What to ask of whom: from a snapshot to a list of questions, without asking anybody."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dockernb.errors import ProbeError
from dockernb.model import Container, Snapshot
from dockernb.probe.verdict import HOST, OUTSIDE, Ask, Outcome, Verdict, not_running

WAYS = ("name", "alias", "address", "published")
PROTOCOLS = ("tcp", "udp", "icmp", "dns")

# The Docker host as the outside sees it, and the outside itself: `_inside._Outside` makes both.
_HOST_SEEN_OUTSIDE, _OUTSIDE_ADDRESS = "203.0.113.1", "203.0.113.2"
_OUTSIDE_PORT = 80
_EVERYWHERE = {"0.0.0.0", "::", ""}


@dataclass(frozen=True, slots=True)
class Plan:
    """The questions in the order of their answers; a `Verdict` stands where nothing needs to be asked."""

    rows: tuple[Ask | Verdict, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    processes: dict[str, int]
    ipv6: bool
    outside_ports: tuple[int, ...]

    @property
    def asks(self) -> list[Ask]:
        """Those rows that need asking."""
        return [row for row in self.rows if isinstance(row, Ask)]

    def message(self, timeout: float, payload: int | None = None) -> dict[str, Any]:
        """The plan as `_inside.main` takes it."""
        asks = self.asks
        needed = {ask.source for ask in asks}
        return {
            "timeout": timeout,
            "payload": payload,
            "ipv6": self.ipv6,
            "outside": list(self.outside_ports) if OUTSIDE in needed | {a.target for a in asks} else None,
            "nodes": {name: pid for name, pid in self.processes.items() if name in needed},
            "asks": [
                [
                    ask.source,
                    "name" if ask.by_name else "address",
                    ask.asked,
                    ask.port,
                    ask.protocol,
                    ask.watch,
                    self.processes.get(ask.target, 0),
                ]
                for ask in asks
            ],
        }


def make_plan(
    snapshot: Snapshot,
    sources: Sequence[str] | None,
    targets: Sequence[str] | None,
    *,
    ports: Sequence[int] | None,
    protocols: Sequence[str],
    by: Sequence[str] | None,
    networks: Sequence[str] | None,
) -> Plan:
    """Lay out the questions; the arguments are those of `probe.reach`.

    Raises:
        ProbeError: an unknown container, network, protocol or way of asking.
    """
    for given, known, what in ((by or (), WAYS, "way of asking"), (protocols, PROTOCOLS, "protocol")):
        for word in given:
            if word not in known:
                raise ProbeError(f"There is no {what} called {word!r}; choose from {', '.join(known)}.")
    for name in networks or ():
        if snapshot.network(name) is None:
            raise ProbeError(
                f"There is no network called {name!r} here; there are {_list(snapshot.networks)}."
            )
    inside = [c.name for c in snapshot.containers if networks is None or set(networks) & set(c.networks)]
    sources = list(dict.fromkeys(inside if sources is None else sources))
    targets = list(dict.fromkeys(inside if targets is None else targets))
    for name in sources:
        if name not in (HOST, OUTSIDE) and snapshot.container(name) is None:
            raise ProbeError(
                f"There is no container called {name!r} here; there are {_list(snapshot.containers)}."
            )
    planner = _Planner(snapshot, ports, protocols, by, networks)
    rows = [row for source in sources for target in targets for row in planner.pair(source, target)]
    return Plan(
        rows=tuple(rows),
        sources=tuple(sources),
        targets=tuple(targets),
        processes={HOST: 0, OUTSIDE: -1} | {c.name: c.pid for c in snapshot.containers if c.alive},
        ipv6=any(network.ipv6 for network in snapshot.networks),
        outside_ports=tuple(ports or (_OUTSIDE_PORT,)),
    )


def _list(things: Iterable[Any]) -> str:
    return ", ".join(thing.name for thing in things) or "none"


@dataclass(frozen=True, slots=True)
class _Planner:
    snapshot: Snapshot
    ports: Sequence[int] | None
    protocols: Sequence[str]
    by: Sequence[str] | None
    networks: Sequence[str] | None

    def ways(self, source: str, asked: Container | None) -> Sequence[str]:
        """How the source turns to the target: as it would, unless the caller says how."""
        if self.by is not None:
            return self.by
        if source == OUTSIDE:
            return ("published",) if asked is not None and asked.published else ("address",)
        return ("address",) if source == HOST else ("name", "alias", "address")

    def pair(self, source: str, target: str) -> Iterator[Ask | Verdict]:
        """All questions of one pair."""
        if source == target:
            return
        asker, asked = self.snapshot.container(source), self.snapshot.container(target)
        for way, subject, network in self.subjects(asker, source, asked, target):
            for port, protocol in self.doors(way, asked, target):
                ask = Ask(
                    source,
                    target,
                    way,
                    subject,
                    network,
                    port,
                    protocol,
                    watch=protocol == "tcp" and (way == "published" or target == HOST),
                )
                yield self.foregone(ask, asker, asked) or ask

    def subjects(
        self, asker: Container | None, source: str, asked: Container | None, target: str
    ) -> Iterator[tuple[str, str, str]]:
        """Each (way, name or address, network) by which the source may turn to the target."""
        ways = self.ways(source, asked)
        if "name" in ways and target not in (HOST, OUTSIDE) and not _is_address(target):
            yield "name", target, ""
        if "alias" in ways and asked is not None:
            # An alias is a name on one network; who is not on it is asked about it only on request.
            near = asker.networks if self.by is None and asker is not None else None
            for endpoint in asked.endpoints:
                chosen = self.networks is None or endpoint.network in self.networks
                if chosen and (near is None or endpoint.network in near):
                    for alias in endpoint.aliases:
                        if alias != target:
                            yield "alias", alias, endpoint.network
        if "address" in ways:
            for address, network in self.addresses(asker, source, asked, target):
                yield "address", address, network
        if "published" in ways and asked is not None and asked.published:
            for address, network in self.host_addresses(asker, source):
                yield "published", address, network

    def addresses(
        self, asker: Container | None, source: str, asked: Container | None, target: str
    ) -> Iterator[tuple[str, str]]:
        if target == OUTSIDE:
            yield _OUTSIDE_ADDRESS, ""
        elif target == HOST:
            yield from self.host_addresses(asker, source)
        elif asked is None:
            if _is_address(target):
                yield target, ""
        else:
            sandbox = self.snapshot.sandbox(asked)
            if sandbox.uses_host_network:
                yield from self.host_addresses(asker, source)
                return
            found = [
                (address, endpoint.network)
                for endpoint in sandbox.endpoints
                if self.networks is None or endpoint.network in self.networks
                for address in endpoint.addresses
            ]
            yield from found or [("", "")]

    def host_addresses(self, asker: Container | None, source: str) -> Iterator[tuple[str, str]]:
        """The Docker host's addresses, as the source sees it: its gateways, or loopback."""
        sandbox = self.snapshot.sandbox(asker) if asker is not None else None
        if source == OUTSIDE:
            yield _HOST_SEEN_OUTSIDE, ""
        elif sandbox is None or sandbox.uses_host_network:
            yield "127.0.0.1", ""
        else:
            for name in sandbox.networks:
                if self.networks is None or name in self.networks:
                    yield from ((gateway, name) for gateway in self.snapshot.gateways(name))

    def doors(self, way: str, asked: Container | None, target: str) -> Iterator[tuple[int | None, str]]:
        """Each (port, protocol) to try."""
        for protocol in self.protocols:
            if protocol in {"icmp", "dns"}:
                if protocol == "icmp" or way in {"name", "alias"}:
                    yield None, protocol
                continue
            known = self.known_ports(way, asked, target, protocol)
            if known:
                yield from ((port, protocol) for port in known)
            elif protocol == "tcp" and way != "published":
                yield None, "icmp"

    def known_ports(self, way: str, asked: Container | None, target: str, protocol: str) -> list[int]:
        if way == "published" and asked is not None:
            return sorted(
                {
                    p.host_port
                    for p in asked.published
                    if p.protocol == protocol and (not self.ports or p.container_port in self.ports)
                }
            )
        if self.ports:
            return list(self.ports)
        if target == OUTSIDE:
            return [_OUTSIDE_PORT] if protocol == "tcp" else []
        if target == HOST:
            containers = self.snapshot.containers
            return sorted({p.host_port for c in containers for p in c.published if p.protocol == protocol})
        return [port for port, proto in asked.exposed if proto == protocol] if asked is not None else []

    def foregone(self, ask: Ask, asker: Container | None, asked: Container | None) -> Verdict | None:
        """The verdict on a question that cannot be asked, or None."""
        if asker is not None and not asker.alive:
            return ask.answer(Outcome.NOT_RUNNING, f"{not_running(asker)}, so it asks nothing")
        if asker is not None and asker.paused:
            return ask.answer(Outcome.PAUSED, f"{asker.name} is paused, so it asks nothing")
        if ask.by_name or ask.asked:
            return None
        if asked is not None and not asked.alive:
            return ask.answer(Outcome.NOT_RUNNING, f"{not_running(asked)}, so it has no address")
        return ask.answer(Outcome.NO_ROUTE, f"{ask.target} is on no network, so it has no address")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
