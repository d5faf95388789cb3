"""What one probe found: the outcome, and the reason in one sentence.

The outcome is what was measured. The reason adds, after a semicolon, what the engine's configuration says
about it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dockernb.model import Container, Snapshot

HOST = "host"
OUTSIDE = "outside"

_EMBEDDED_DNS = "127.0.0.11"
_ADMINISTRATIVE = {("icmp", 3, 9), ("icmp", 3, 10), ("icmp", 3, 13), ("icmp6", 1, 1)}
_PORT_UNREACHABLE = {("icmp", 3, 3), ("icmp6", 1, 4)}


class Outcome(StrEnum):
    """How a probe ended, the best first: of several answers for one question the best counts."""

    REACHABLE = "reachable"
    PAUSED = "paused"
    BLACK_HOLE = "large packets lost"
    NO_ANSWER = "no answer"
    REFUSED = "refused"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"
    NO_ROUTE = "no route"
    NOT_RESOLVED = "name does not resolve"
    NOT_RUNNING = "not running"
    FAILED = "failed"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return list(Outcome).index(self)

    @property
    def short(self) -> str:
        """One or two words, for where a label says that it is about the name."""
        return "unresolved" if self is Outcome.NOT_RESOLVED else self.value


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question.

    Attributes:
        source: the container that asks, or "host", or "outside".
        target: the container that is asked, or "host", "outside", a name, an address.
        how: "name", "alias", "address", or "published" (through the Docker host's published port).
        asked: the name or address that was asked.
        network: the network to which the address belongs; empty for a name.
        address: the address that answered or failed; empty when there is none.
        port: the port, None for an echo.
        protocol: "tcp", "udp", "icmp" or "dns".
        outcome: what was measured.
        reason: one sentence.
        elapsed_s: seconds from the question to the end; 0 when nothing needed to be asked.
    """

    source: str
    target: str
    how: str
    asked: str
    network: str
    address: str
    port: int | None
    protocol: str
    outcome: Outcome
    reason: str
    elapsed_s: float = 0.0

    @property
    def key(self) -> tuple[str, str, str, str, str, int, str]:
        """What was asked, without the address, which may change when a network is made anew."""
        asked = self.asked if self.how in {"name", "alias"} else ""
        return (self.source, self.target, self.how, asked, self.network, self.port or 0, self.protocol)


@dataclass(frozen=True, slots=True)
class Ask:
    """One question of a plan; the fields are those of `Verdict`. ``watch``: see `_inside`."""

    source: str
    target: str
    how: str
    asked: str
    network: str
    port: int | None
    protocol: str
    watch: bool = False

    @property
    def by_name(self) -> bool:
        """Whether a name server is asked first."""
        return self.how in {"name", "alias"}

    def answer(self, outcome: Outcome, reason: str, *, address: str = "", elapsed_s: float = 0.0) -> Verdict:
        """Make the verdict on this question."""
        return Verdict(
            self.source,
            self.target,
            self.how,
            self.asked,
            self.network,
            address,
            self.port,
            self.protocol,
            outcome,
            self._sentence(reason),
            round(elapsed_s, 4),
        )

    def _sentence(self, reason: str) -> str:
        """Begin with a capital, unless the first word is a name, and end with a full stop."""
        first = reason.split(" ", 1)[0]
        if first not in {self.source, self.target, self.asked} or first in {HOST, OUTSIDE}:
            reason = reason[:1].upper() + reason[1:]
        return reason + "."


def judge(
    ask: Ask, told: Mapping[str, Any], snapshot: Snapshot, listeners: Mapping[str, Any], timeout: float
) -> Verdict:
    """Turn what `_inside` told about one question into a verdict.

    Args:
        ask: the question.
        told: what `_inside` tells about the question: the shot's fields, the lookup's under ``names``.
        snapshot: the engine's state when the plan was made; it serves the reason, never the outcome, but
            for a paused container, whose kernel opens connections that no program will ever read.
        listeners: the answer's ``listeners``.
        timeout: the time limit in seconds.
    """
    outcome, reason = _Judge(ask, told, snapshot, listeners, timeout).decide()
    names = told.get("names")
    address = told.get("address", "")
    elapsed = told.get("elapsed", 0.0) + (names["elapsed"] if names else 0.0)
    if names and names["addresses"]:
        address = address or names["addresses"][0]
        server = "its hosts file" if names["trouble"] == "hosts file" else _server(names["server"])
        reason = f"{ask.asked} is {address} ({server} says); {reason}"
    return ask.answer(outcome, reason, address=address, elapsed_s=elapsed)


def not_running(container: Container) -> str:
    """Say why a container without processes cannot take part."""
    if container.state == "created":
        return f"{container.name} was created and never started"
    if container.state == "exited":
        return f"{container.name} is stopped (exit code {container.exit_code})"
    return f"{container.name} is {container.state}"


def _server(address: str) -> str:
    return f"Docker's name server {address}" if address == _EMBEDDED_DNS else f"the name server {address}"


@dataclass(frozen=True, slots=True)
class _Judge:
    ask: Ask
    told: Mapping[str, Any]
    snapshot: Snapshot
    listeners: Mapping[str, Any]
    timeout: float

    def decide(self) -> tuple[Outcome, str]:
        names = self.told.get("names")
        if names and not names["addresses"]:
            return Outcome.NOT_RESOLVED, self.unresolved()
        if names and self.ask.protocol == "dns":
            return Outcome.REACHABLE, "only the name was asked"
        event = self.told.get("event")
        if event is None:
            return Outcome.NOT_RUNNING, f"{self.ask.source} stopped while the probe was made"
        if event in {"connected", "echoed"}:
            did = "accepted the connection" if event == "connected" else f"answered{self.kind_of_echo}"
            if self.target is not None and self.target.paused:
                return Outcome.PAUSED, f"the kernel {did}, but {self.target.name} is paused and stays silent"
            return Outcome.REACHABLE, f"{self.where} {did}"
        if event == "closed":
            found = "docker-proxy found nothing behind it"
            return Outcome.REFUSED, f"{self.where} accepted the connection and closed it at once: {found}"
        if event == "silence":
            return self.silence()
        return self.error()

    @property
    def target(self) -> Container | None:
        return self.snapshot.container(self.ask.target)

    @property
    def source(self) -> Container | None:
        return self.snapshot.container(self.ask.source)

    @property
    def where(self) -> str:
        address = self.told["address"]
        if self.ask.port is None:
            return str(address)
        return f"[{address}]:{self.ask.port}" if ":" in address else f"{address}:{self.ask.port}"

    @property
    def kind_of_echo(self) -> str:
        return " the echo request" if self.ask.protocol == "icmp" else " the datagram"

    def silence(self) -> tuple[Outcome, str]:
        if self.told.get("small"):
            return (
                Outcome.BLACK_HOLE,
                f"small packets to {self.told['address']} arrive, large ones vanish and nobody says why: "
                "an MTU black hole",
            )
        if self.told.get("alone"):
            on = f" on {self.ask.network}" if self.ask.network else ""
            return (
                Outcome.NO_ROUTE,
                f"nobody{on} answers for the address {self.told['address']} (ARP stays unanswered)",
            )
        within = f"within {self.timeout:g} s"
        if self.ask.protocol == "udp":
            if self.target is not None and self.target.paused:
                return Outcome.NO_ANSWER, f"nothing came back {within}; {self.ask.target} is paused"
            return (
                Outcome.NO_ANSWER,
                f"nothing came back {within}: with UDP a silent service and a dropped packet look the same"
                + self.configuration(),
            )
        return (
            Outcome.TIMED_OUT,
            f"no answer from {self.where} {within}: the packets are dropped" + self.configuration(),
        )

    def error(self) -> tuple[Outcome, str]:
        code, sender = self.told["errno"], self.told.get("from", "")
        packet = (self.told.get("origin"), *self.told.get("icmp", (None, None)))
        if packet in _ADMINISTRATIVE:
            return Outcome.REJECTED, f"{sender} answered that a rule prohibits it (ICMP)"
        if packet in _PORT_UNREACHABLE and (self.ask.protocol != "udp" or sender != self.told["address"]):
            return Outcome.REJECTED, f"a rule on {sender} rejects it (ICMP port unreachable)"
        if code == errno.ECONNREFUSED:
            how = "a reset (RST)" if self.ask.protocol == "tcp" else "ICMP port unreachable"
            nothing = (
                f"packets arrive, but nothing listens on {self.ask.protocol.upper()} port {self.ask.port}"
            )
            return (
                Outcome.REFUSED,
                f"{self.told['address']} answered with {how}: {nothing}" + self.listening(),
            )
        if code == errno.EMSGSIZE:
            if not sender:
                return (
                    Outcome.FAILED,
                    f"so large a packet does not fit out of {self.ask.source}'s own interface",
                )
            fit = f"at most {self.told['mtu']} bytes fit into one packet there"
            return Outcome.FAILED, f"{sender} answered that {fit} (ICMP)"
        if code in {errno.ENETUNREACH, errno.EHOSTUNREACH}:
            if sender:
                return (
                    Outcome.NO_ROUTE,
                    f"{sender} answered that it has no way to {self.told['address']} (ICMP)",
                )
            if code == errno.EHOSTUNREACH:
                return Outcome.NO_ROUTE, f"nobody answers for the address {self.told['address']}"
            return (
                Outcome.NO_ROUTE,
                f"{self.ask.source} has no route to {self.told['address']}" + self.no_gateway(),
            )
        if code in {errno.EPERM, errno.EACCES}:
            return (
                Outcome.REJECTED,
                f"a rule in the network namespace of {self.ask.source} forbids sending it",
            )
        return Outcome.FAILED, f"the kernel says: {os.strerror(code)}"

    def listening(self) -> str:
        """What the target listens on instead, read from its namespace at the time of the probe."""
        if self.target is None or self.ask.how == "published":
            return ""
        told = self.listeners.get(str(self.target.pid))
        if told is None:
            return ""
        rows = told[self.ask.protocol]
        here = sorted({address for address, port in rows if port == self.ask.port})
        everywhere = "::" if ":" in self.told["address"] else "0.0.0.0"
        if {everywhere, self.told["address"]} & set(here):
            return f"; yet {self.ask.target} listens there, so a rule may have answered in its place"
        if here:
            return f"; {self.ask.target} listens there on {' and '.join(here)} only"
        ports = sorted({port for address, port in rows if not address.startswith("127.")})
        if ports:
            return f"; {self.ask.target} listens on {', '.join(map(str, ports))}"
        return ""

    def no_gateway(self) -> str:
        """Whether the source's networks leave it no way out."""
        if self.source is None:
            return ""
        sandbox = self.snapshot.sandbox(self.source)
        if not sandbox.endpoints:
            return "" if sandbox.uses_host_network else "; it has no network"
        networks = [self.snapshot.network(name) for name in sandbox.networks]
        if all(network is not None and network.internal for network in networks):
            return f"; it is on internal networks only ({', '.join(sandbox.networks)})"
        return ""

    def configuration(self) -> str:
        """What the configuration says of a pair whose packets vanish."""
        if self.source is None or self.ask.how == "published":
            return ""
        if self.target is None:
            return self.no_gateway()
        shared = self.snapshot.shared_networks(self.source, self.target)
        if not shared:
            return f"; {self.ask.source} and {self.ask.target} share no network"
        if self.ask.network and self.ask.network not in shared:
            return f"; {self.ask.source} is not on {self.ask.network}"
        network = self.snapshot.network(self.ask.network or shared[0])
        if network is not None and not network.icc:
            return f"; inter-container communication is off on {network.name}"
        return ""

    def unresolved(self) -> str:
        names = self.told["names"]
        trouble, server = names["trouble"], names["server"]
        if trouble == "no server":
            return f"{self.ask.source} has no name server to ask"
        if trouble == "not a name":
            return f"{self.ask.asked!r} is no name that the DNS can hold"
        if trouble == "silent":
            said = f"{_server(server)} did not answer"
        elif trouble == "nxdomain":
            said = f"{_server(server)} knows no {self.ask.asked}"
        elif trouble == "no address":
            said = f"{_server(server)} knows no address of {self.ask.asked}"
        else:
            said = f"{_server(server)} did not help ({trouble})"
        return said + self.name_rule()

    def name_rule(self) -> str:
        """The rule of Docker's name service that fits this pair."""
        if self.source is None or self.target is None:
            return ""
        if not self.target.alive:
            return f"; {not_running(self.target)}, and only running containers have a name"
        shared = self.snapshot.shared_networks(self.source, self.target)
        if not shared:
            return f"; {self.ask.source} and {self.ask.target} share no network"
        if shared == ("bridge",):
            return "; the default bridge has no name service"
        return ""
