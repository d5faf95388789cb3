"""Derive the explanation of a verdict from what `_trace` read on the Docker host. Nothing is asked here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dockernb.model import Container, Endpoint, Network, Snapshot
from dockernb.probe.engine_rules import Purpose, purpose
from dockernb.probe.explanation import AHEAD, PASSED, STOPPED, Explanation, Step
from dockernb.probe.rules import Packet, Rule, met
from dockernb.probe.verdict import HOST, OUTSIDE, Outcome, Verdict, not_running

_EMBEDDED_DNS = "127.0.0.11"
_HOSTS_FILE = "hosts file"  # as `_inside` says it
_VANISHED = {Outcome.TIMED_OUT, Outcome.NO_ANSWER}
_SHOWN = 6  # counted rules that an accepted packet's evidence shows


class _End(NamedTuple):
    """Where a namespace is plugged in: its interface, the veth on the Docker host, the bridge."""

    inner: Mapping[str, Any]
    outer: Mapping[str, Any]
    bridge: str


class _Cause(NamedTuple):
    """What stopped the packet, or kept it from arriving whole; `at` is the kind of step or its place."""

    at: str
    what: str
    evidence: str = ""
    explains: bool = True


def derive(
    state: Snapshot, verdict: Verdict, trace: Mapping[str, Any], full: Verdict | None = None
) -> Explanation:
    """Explain a verdict.

    Args:
        state: the engine's state before the probe.
        verdict: what was measured.
        trace: what `_trace` told; empty when nothing needed to be asked.
        full: the verdict on an echo of full size, where one was made.
    """
    return _Derivation(state, verdict, trace, full).explanation()


def owner_of(state: Snapshot, name: str) -> Container | None:
    """The container with this name or address, or the one in whose network namespace it lives."""
    found = state.container(name)
    if found is None:
        found = next((c for c in state.containers for e in c.endpoints if name in e.addresses), None)
    return state.sandbox(found) if found else None


class _Derivation:
    def __init__(
        self, state: Snapshot, verdict: Verdict, trace: Mapping[str, Any], full: Verdict | None
    ) -> None:
        self.state, self.trace, self.full = state, trace, full
        self.verdict = self.with_size(verdict)
        self.asker = owner_of(state, verdict.source)
        self.asked = owner_of(state, verdict.address or verdict.target) or owner_of(state, verdict.target)
        self.rules = met(trace)
        self.address = self.destination()
        self.route = self.trace.get("routes", {}).get(verdict.address) or {}
        self.source_end = self.end("source", self.route.get("dev", ""))
        self.target_end = self.end("target", "", self.address) if self.to_container else None
        self.packets = self.possible_packets()

    def with_size(self, verdict: Verdict) -> Verdict:
        """The verdict, unless large packets vanish where small ones are answered."""
        if self.full is None or self.full.outcome is not Outcome.BLACK_HOLE:
            return verdict
        reason = f"{verdict.reason.removesuffix('.')}; but packets of {self.trace['size']} bytes vanish."
        return replace(verdict, outcome=Outcome.BLACK_HOLE, reason=reason)

    # -- who is where ------------------------------------------------------------------------------------

    @property
    def to_container(self) -> bool:
        return self.asked is not None and not self.asked.uses_host_network

    @property
    def to_host(self) -> bool:
        """Whether the address is one of the Docker host's own."""
        if self.verdict.target == HOST or (self.asked is not None and self.asked.uses_host_network):
            return True
        return any(self.address in self.state.gateways(network.name) for network in self.state.networks)

    @property
    def medium(self) -> Network | None:
        """The network on which the target has the address that was asked."""
        endpoint = self.endpoint(self.asked, self.address) if self.asked else None
        return self.state.network(endpoint.network) if endpoint else None

    @property
    def from_container(self) -> bool:
        return self.asker is not None and not self.asker.uses_host_network

    @property
    def translation(self) -> Rule | None:
        """The rule that turned the packet to another address, for a published port."""
        found = [rule for rule in self.rules if rule.place == "host" and rule.target == "DNAT"]
        return found[0] if found and self.verdict.how == "published" else None

    def destination(self) -> str:
        """The address at which the packet was to arrive."""
        if self.verdict.how != "published":
            return self.verdict.address
        if self.translation is not None:
            return self.translation.leads_to
        addresses = [a for e in (self.asked.endpoints if self.asked else ()) for a in e.addresses]
        return addresses[0] if addresses else ""

    @property
    def port(self) -> int | None:
        """The port at which it was to arrive."""
        if self.verdict.how != "published" or self.asked is None:
            return self.verdict.port
        ports = [p.container_port for p in self.asked.published if p.host_port == self.verdict.port]
        return ports[0] if ports else self.verdict.port

    def end(self, place: str, device: str, address: str = "") -> _End | None:
        links = self.trace.get("links", {})
        for inner in links.get(place, ()):
            if (address in inner["addresses"]) if address else (inner["ifname"] == device):
                for outer in links["host"]:
                    if outer["ifindex"] == inner.get("link_index") and outer.get("master"):
                        return _End(inner, outer, outer["master"])
        return None

    def network_of(self, bridge: str) -> Network | None:
        return next((n for n in self.state.networks if n.bridge and n.bridge == bridge), None)

    def net(self, bridge: str) -> str:
        """The Docker network of a bridge by name; the bridge's own name where there is none."""
        found = self.network_of(bridge)
        return found.name if found else bridge

    @property
    def inward(self) -> str:
        """The host's interface by which the packet comes; empty when the host sends it."""
        if self.source_end is not None:
            return self.source_end.bridge
        return "dnb-outside" if self.verdict.source == OUTSIDE else ""

    @property
    def outward(self) -> str:
        """The host's interface by which it goes on; empty when the host keeps it."""
        if self.target_end is not None:
            return self.target_end.bridge
        if self.to_host:
            return ""
        if self.medium is not None:
            return self.medium.bridge
        pools = [n for n in self.state.networks if any(self.holds(n, self.address))]
        return pools[0].bridge if pools else ""

    @staticmethod
    def holds(network: Network, address: str) -> list[bool]:
        versions = 6 if ":" in address else 4
        return [True for p in network.subnets if address and p.version == versions and p.holds(address)]

    @staticmethod
    def endpoint(container: Container, address: str) -> Endpoint | None:
        return next((e for e in container.endpoints if address in e.addresses), None)

    def possible_packets(self) -> tuple[list[Packet], list[Packet]]:
        """The packet as the firewall may see it on its way, and the answer."""
        mine = self.route.get("prefsrc", "")
        if self.verdict.source == OUTSIDE:
            mine = "203.0.113.2"
        protocol = self.verdict.protocol
        there = {(self.address, self.port), (self.verdict.address, self.verdict.port)}
        asks = [Packet(mine, to, self.inward, self.outward, protocol, port) for to, port in there]
        backs = [Packet(to, mine, self.outward, self.inward, protocol) for to, _port in there]
        return asks, backs

    # -- rules -------------------------------------------------------------------------------------------

    def dropping(self, rules: Sequence[Rule]) -> tuple[Rule, bool] | None:
        """The rule that dropped the packet (True: the answer to it)."""
        for answer, packets in enumerate(self.packets):
            for rule in rules:
                own = rule.place != "host"  # there the interfaces are those of the container
                if rule.drops and any(
                    rule.fits(replace(p, into="", out="") if own else p) for p in packets if p.source or own
                ):
                    return rule, bool(answer)
        return None

    def meaning(self, rule: Rule) -> str:
        """What a rule is for."""
        if rule.place != "host":
            return "a rule within the container's own network namespace"
        if not rule.number:
            return f"what no rule of {rule.chain} accepts is dropped"
        if rule.chain == "DOCKER-USER":
            said = f', with the comment "{rule.comment}"' if rule.comment else ""
            return f"a policy that somebody added{said}: Docker leaves this chain to the administrator"
        found, bridge = purpose(rule)
        network, came = self.net(bridge), f" from {self.net(self.inward)}" if self.inward else ""
        match found:
            case None:  # what a rule is for, its author says best
                return rule.comment or "no rule of Docker's"
            case Purpose.INTO_INTERNAL:
                return f"it lets nobody else into the internal network {network}"
            case Purpose.OUT_OF_INTERNAL:
                return f"it lets nothing out of the internal network {network}"
            case Purpose.APART:
                return f"it keeps Docker's networks apart: nothing passes{came} to {network}"
            case Purpose.ICC:
                return f"inter-container communication (icc) is off on network {network}"
            case Purpose.UNPUBLISHED:
                return f"Docker opens published ports only: nothing else passes{came} to {network}"
            case Purpose.DIRECT:
                return "Docker lets nobody to a container's own address from outside its network"
            case Purpose.LOOPBACK:
                return "the port is published on the Docker host's loopback only"

    @property
    def firewall(self) -> str:
        """In whose words the rule that decided is told: iptables or nftables."""
        dropped = self.dropping(self.rules)
        decided = [dropped[0]] if dropped else self.accepting()
        return "nftables" if decided and decided[0].tool == "nft" else "iptables"

    def passed_by(self) -> list[Rule]:
        """The rules of the Docker host that met the packet and did not drop it."""
        family = 6 if ":" in self.address else 4
        return [
            rule
            for rule in self.rules
            if rule.place == "host"
            and rule.family == family
            and (rule.table == "filter" or rule.tool == "nft")
            and not rule.drops
            and any(rule.fits(packet) for packet in self.packets[0])
        ]

    def accepting(self) -> list[Rule]:
        """Those of them that let it through."""
        chain = "FORWARD" if self.inward and self.outward else ("INPUT" if self.inward else "OUTPUT")
        return [
            rule
            for rule in self.passed_by()
            if rule.target == "ACCEPT"
            and "ESTABLISHED" not in rule.text.upper()
            and (rule.number or rule.chain == chain)
        ]

    def passing(self) -> tuple[str, str]:
        """How the firewall let the packet pass, and the rules that met it."""
        evidence = "\n".join(rule.evidence for rule in self.passed_by()[:_SHOWN])
        accepts = self.accepting()
        network = self.medium
        if self.from_container and self.to_container and network is not None and network.driver != "bridge":
            if network.parent:
                return (
                    f"is not asked: {network.parent} hands it from one {network.driver} child to the other",
                    "",
                )
            return f"is not asked: packets of {network.driver} networks pass no bridge of the Docker host", ""
        if accepts:
            return f"{accepts[0].name} accepts it", evidence
        within = self.inward and self.inward == self.outward
        if within and not self.trace["bridged"]["6" if ":" in self.address else "4"]:
            return "is not asked: within one bridge packets are not shown to it here", evidence
        return "no rule counted it as dropped", evidence

    # -- causes ------------------------------------------------------------------------------------------

    def cause(self) -> _Cause | None:
        """What stopped the packet; None when nothing did."""
        match self.verdict.outcome:
            case Outcome.REACHABLE:
                return None
            case Outcome.NOT_RUNNING | Outcome.PAUSED:
                return self.not_taking_part()
            case Outcome.NOT_RESOLVED:
                return self.unresolved()
            case Outcome.NO_ROUTE:
                return self.no_route()
            case Outcome.BLACK_HOLE:
                return self.too_large()
            case Outcome.REFUSED:
                return self.refused()
            case Outcome.TIMED_OUT | Outcome.NO_ANSWER | Outcome.REJECTED:
                return self.vanished()
            case _:
                return _Cause("source", self.verdict.reason.removesuffix("."), explains=False)

    def not_taking_part(self) -> _Cause:
        asker = self.state.container(self.verdict.source)
        if asker is not None and (not asker.alive or asker.paused):
            what = "paused" if asker.paused else not_running(asker).removeprefix(f"{asker.name} ")
            return _Cause("source", f"{'is ' * asker.paused}{what}, so it sends nothing")
        target = self.state.container(self.verdict.target) or self.asked
        if target is not None and target.paused:
            return _Cause(
                "target",
                "is paused: its kernel opens the connection, but its frozen program reads and answers nothing",
            )
        if target is not None and not target.alive:
            gone = not_running(target).removeprefix(f"{target.name} ")
            return _Cause("target", f"{gone}, so it has no interface and no address")
        return _Cause("source", "stopped while the probe was made", explains=False)

    def unresolved(self) -> _Cause:
        """Whether the name should be known, by the rules of Docker's name service."""
        said = self.verdict.reason.removesuffix(".")
        target = self.state.container(self.verdict.target)
        shared = self.shared(target) if target is not None and target.alive else []
        if self.asker is not None:
            known = {
                alias
                for other in self.state.containers
                if other.alive
                for e in other.endpoints
                if e.network in self.asker.networks and e.network != "bridge"
                for alias in (*e.aliases, other.name)
            }
            if self.verdict.asked in known:
                said += f"; yet it is a name on {' and '.join(shared) or 'a network of its own'}"
                return _Cause("name", said, self.resolver(), explains=False)
            if target is None:
                said += f"; no container has that name or alias on {self.networks_in_words()}"
            elif not shared and target.alive:
                said += (
                    f" ({self.verdict.source} is on {', '.join(self.asker.networks) or 'none'}, "
                    f"{target.name} on {', '.join(self.state.sandbox(target).networks) or 'none'})"
                )
        return _Cause("name", said, self.resolver())

    def shared(self, target: Container | None) -> list[str]:
        if self.asker is None or target is None:
            return []
        return list(self.state.shared_networks(self.asker, target))

    def networks_in_words(self) -> str:
        networks = self.asker.networks if self.asker else ()
        return f"{self.verdict.source}'s networks ({', '.join(networks) or 'none'})"

    def resolver(self) -> str:
        for lookup in self.trace.get("probe", {}).get("lookups", ()):
            if lookup["trouble"] == _HOSTS_FILE:
                return f"/etc/hosts: {', '.join(lookup['addresses'])}"
            return f"{lookup['server'] or 'no server'}: {lookup['trouble'] or ', '.join(lookup['addresses'])}"
        return ""

    def no_route(self) -> _Cause:
        v = self.verdict
        if not self.trace:
            return _Cause("target", "is on no network, so it has no address")
        if not self.route:
            networks = self.asker.networks if self.asker else ()
            internal = [n for n in networks if (found := self.state.network(n)) and found.internal]
            what = f"has no route to {v.address}"
            if networks and len(internal) == len(networks):
                what += f": it is on internal networks only ({', '.join(internal)}), which have no gateway"
            return _Cause("source", what, f"ip route get {v.address}: unreachable")
        if (apart := self.parent_apart()) is not None:
            return apart
        if self.asked is not None and self.asked.alive and self.verdict.network in self.shared(self.asked):
            said = f"the ARP question for {v.address} stays unanswered, though {self.asked.name} has it"
            return self.plugged_out() or _Cause("bridge", said, explains=False)
        if self.route.get("gateway"):
            return _Cause("host", f"has no way to {v.address} either", v.reason)
        where = self.net(self.inward or str(self.route.get("dev", "")))
        return _Cause(
            "bridge" if self.source_end else "source",
            f"nobody on network {where} has the address {v.address}: the ARP question stays unanswered",
            f"no endpoint of {where} has it",
        )

    def parent_apart(self) -> _Cause | None:
        """A macvlan or ipvlan child and what is on its parent: they never hear each other (Linux, macvlan.c)."""
        if not self.from_container and self.medium is not None and self.verdict.source != OUTSIDE:
            network, parent = self.medium, self.medium.parent
            if not parent or self.route.get("dev") != parent:
                return None
            what = f"sends it out of {parent}, the parent of network {network.name}"
        else:
            networks = [self.state.network(name) for name in (self.asker.networks if self.asker else ())]
            parents = {n.parent: n for n in networks if n is not None and n.parent}
            links = self.trace.get("links", {}).get("host", ())
            on = [link["ifname"] for link in links if self.address in link["addresses"]]
            found = next((name for name in on if name in parents), "")
            if not found:
                return None
            network = parents[found]
            what = f"sends it to an address on {found}, the parent of its network {network.name}"
        at = "host" if self.verdict.source == HOST else "source"
        return _Cause(at, f"{what}: a parent and its {network.driver} children never hear each other")

    def plugged_out(self) -> _Cause | None:
        """A link on the way that is down."""
        for at, end in (("veth", self.source_end), ("target veth", self.target_end)):
            for link in (end.inner, end.outer) if end else ():
                if "UP" not in link["flags"]:
                    return _Cause(at, f"the interface {link['ifname']} is down")
        return None

    def ruled(self, *, later: bool = False) -> _Cause | None:
        """A rule that dropped the packet."""
        found = self.dropping(met(self.trace, later=later))
        if found is None:
            return None
        rule, answer = found
        what = "the answer" if answer else "it"
        verb = "rejects" if rule.target == "REJECT" else "drops"
        at = {"host": "rules", "source": "source", "target": "target"}[rule.place]
        return _Cause(at, f"{rule.name} {verb} {what}: {self.meaning(rule)}", rule.evidence)

    def vanished(self) -> _Cause:
        target = self.state.container(self.verdict.target) or self.asked
        found = self.ruled() or self.plugged_out() or self.parent_apart()
        if found is not None:
            return found
        if self.trace.get("spoofed"):
            return _Cause(
                "rules", "the kernel's reverse path filter drops it: it came by the wrong interface"
            )
        if self.inward and self.outward and self.inward != self.outward and not self.trace["forwarding"]:
            return _Cause("rules", "the Docker host forwards nothing (net.ipv4.ip_forward is 0)")
        if self.verdict.outcome is Outcome.NO_ANSWER and target is not None:
            if target.paused:
                return _Cause("target", "is paused, so its program answers nothing")
            if self.listeners():
                return _Cause("target", f"listens on {self.door}, and may be one that does not answer")
        return _Cause(
            "target",
            "nothing comes back, and no rule on the Docker host counted a packet of this pair as dropped",
            explains=False,
        )

    @property
    def door(self) -> str:
        return f"{self.verdict.protocol.upper()} port {self.port}"

    def listeners(self) -> list[str]:
        """The addresses on which the target listens at this port and which cover the one asked."""
        rows = (self.trace.get("listening") or {}).get(self.verdict.protocol, ())
        return [a for a, port in rows if port == self.port and a in {"0.0.0.0", "::", self.address}]

    def refused(self) -> _Cause:
        found = self.ruled()
        if found is not None:
            return found
        if self.verdict.reason.endswith("docker-proxy found nothing behind it."):
            return _Cause(
                "target",
                f"nothing listens on {self.door}, so docker-proxy closes the connection",
                self.heard(),
            )
        exact = [a for a in self.listeners() if (a == "::") is (":" in self.address) or a == self.address]
        if exact:
            said = f"answers with a reset, though it listens on {self.door}"
            return _Cause("target", said, self.heard(), explains=False)
        answer = "a reset (RST)" if self.verdict.protocol == "tcp" else "ICMP port unreachable"
        rows = (self.trace.get("listening") or {}).get(self.verdict.protocol, ())
        elsewhere = sorted({a for a, port in rows if port == self.port})
        ports = sorted({port for a, port in rows if not a.startswith("127.")})
        if elsewhere:
            what = f"it listens there on {' and '.join(elsewhere)} only, not on {self.address}"
        elif ports:
            what = f"nothing listens on {self.door}, but on {', '.join(map(str, ports))}"
        else:
            what = f"nothing listens on {self.door}, nor on any other"
        return _Cause(
            "target", f"gets the packet, and its kernel answers with {answer}: {what}", self.heard()
        )

    def heard(self) -> str:
        rows = (self.trace.get("listening") or {}).get(self.verdict.protocol)
        if rows is None:
            return ""
        rows = [row for row in rows if row[0] != _EMBEDDED_DNS]  # Docker's own, in every namespace
        told = ", ".join(f"[{a}]:{p}" if ":" in a else f"{a}:{p}" for a, p in rows)
        return f"listening: {told or 'nothing'}"

    def too_large(self) -> _Cause:
        size = self.trace["size"]
        by_rule = self.ruled(later=True)
        if by_rule is not None:
            return by_rule
        lost = f"a packet of {size} bytes does not fit and is dropped without a word; small packets pass"
        links = self.trace["links"]["host"]
        way: list[tuple[str, Mapping[str, Any]]] = []
        if self.source_end:
            way.append(("veth", self.source_end.outer))
        if self.inward != self.outward:
            names = (self.inward, self.outward)
            way += [("bridge", link) for link in links if link["ifname"] in names]
        if self.target_end:
            way += [("target veth", self.target_end.outer), ("target", self.target_end.inner)]
        for at, link in way:
            if link["mtu"] < size:
                evidence = f"{link['ifname']} mtu {link['mtu']}"
                return _Cause(at, f"takes at most {link['mtu']} bytes (MTU): {lost}", evidence)
        return _Cause(
            "target", f"a packet of {size} bytes is lost, and no MTU on the way says why", explains=False
        )

    # -- steps -------------------------------------------------------------------------------------------

    def explanation(self) -> Explanation:
        cause = self.cause()
        contradiction = self.contradiction() if cause is None else ""
        steps = list(self.stations())
        if cause is not None:
            steps = self.stopped(steps, cause)
        return Explanation(
            self.verdict,
            tuple(steps),
            self.sentence(steps, cause, contradiction),
            not contradiction and (cause is None or cause.explains),
        )

    @staticmethod
    def stopped(steps: list[Step], cause: _Cause) -> list[Step]:
        """Put the cause to the step where it belongs; what comes after lies ahead."""
        kind = cause.at.removeprefix("target ")
        places = [number for number, step in enumerate(steps) if step.kind == kind]
        places = places or [len(steps) - 1]  # no such thing on this way: the last that there is
        at = places[-1] if cause.at != kind else places[0]
        told = replace(
            steps[at], what=cause.what, evidence=cause.evidence or steps[at].evidence, state=STOPPED
        )
        return [*steps[:at], told, *(replace(step, state=AHEAD) for step in steps[at + 1 :])]

    def stations(self) -> list[Step]:
        steps = [self.source_step()]
        if self.verdict.how in {"name", "alias"}:  # a name is asked before anything is sent
            steps.insert(int(not self.route), self.name_step())
        if not self.trace or (self.verdict.outcome is Outcome.NOT_RESOLVED):
            return [*steps, self.target_step()]
        if self.source_end is not None:
            steps += self.plug(self.source_end, self.verdict.source, outward=True)
        if self.verdict.outcome is Outcome.NO_ROUTE and not self.target_end:
            ends_on_bridge = self.route and not self.route.get("gateway")
            return (
                steps if ends_on_bridge or not self.route else [*steps, Step("Docker host", "", kind="host")]
            )
        how, evidence = self.passing()
        if self.verdict.how == "published":
            steps.append(self.published_step())
        if self.verdict.outcome != Outcome.NO_ROUTE:
            steps.append(Step(self.firewall, how, evidence, "rules"))
        if self.target_end is not None:
            far = self.plug(self.target_end, self.verdict.target, outward=False)
            steps += far[1:] if self.outward == self.inward else far
        return [*steps, self.target_step()]

    def source_step(self) -> Step:
        kind = "host" if self.verdict.source == HOST else "source"
        where = {HOST: "Docker host", OUTSIDE: "outside"}.get(self.verdict.source, self.verdict.source)
        if not self.trace or not self.route:
            return Step(where, f"asks for {self.verdict.asked or self.verdict.target}", kind=kind)
        mine, device = self.route.get("prefsrc", ""), self.route.get("dev", "")
        gateway = self.route.get("gateway", "")
        own = self.endpoint(self.asker, mine) if self.asker else None
        network = self.net(self.source_end.bridge) if self.source_end else own.network if own else ""
        by = f" ({device}, network {network})" if network else f" ({device})"
        way = f"by its gateway {gateway}" if gateway else "straight"
        route = f"ip route get: {self.verdict.address}{f' via {gateway}' if gateway else ''} dev {device} src {mine}"
        return Step(
            where, f"sends from {mine}{by} {way} to {self.verdict.address}", route, kind, PASSED, network
        )

    def name_step(self) -> Step:
        lookups = self.trace.get("probe", {}).get("lookups", ())
        if any(lookup["trouble"] == _HOSTS_FILE for lookup in lookups):
            said = f"says that {self.verdict.asked} is {self.verdict.address}"
            return Step(f"hosts file of {self.verdict.source}", said, self.resolver(), "name")
        server = next((lookup["server"] for lookup in lookups), "")
        where = f"name server {server}" if server else "name server"
        who = "Docker's own" if server == _EMBEDDED_DNS else "not Docker's"
        return Step(
            where,
            f"says that {self.verdict.asked} is {self.verdict.address} ({who})",
            self.resolver(),
            "name",
        )

    def plug(self, end: _End, container: str, *, outward: bool) -> list[Step]:
        """A veth and its bridge, in the order in which the packet meets them."""
        network = self.network_of(end.bridge)
        name = network.name if network else ""
        inner, outer = end.inner["ifname"], end.outer["ifname"]
        veth = Step(
            outer, f"the other end of {inner} in {container}", f"mtu {end.outer['mtu']}", "veth", network=name
        )
        told = f"the Linux bridge of network {name}" if network else "a Linux bridge"
        if network is not None and network.internal:
            told += ", which is internal"
        bridge = Step(end.bridge, told, f"bridge link: {outer} master {end.bridge}", "bridge", network=name)
        return [veth, bridge] if outward else [bridge, veth]

    def published_step(self) -> Step:
        rule = self.translation
        if rule is not None:
            what = f"{rule.name} turns it to {self.address}:{self.port} (DNAT)"
            return Step("Docker host", what, rule.evidence, "proxy")
        return Step(
            "Docker host", f"docker-proxy takes it and connects to {self.address}:{self.port}", "", "proxy"
        )

    def target_step(self) -> Step:
        v = self.verdict
        kind = "target"
        where = {HOST: "Docker host", OUTSIDE: "outside"}.get(v.target, v.target)
        network = self.net(self.outward) if self.outward else ""
        if v.outcome is Outcome.REACHABLE:
            did = {"tcp": "accepts the connection", "icmp": "answers the echo request"}.get(
                v.protocol, "answers"
            )
            what = "" if v.protocol == "dns" else f"{did} at {self.where}{self.others()}"
            return Step(
                where, what or "was not asked: only its name was", self.heard(), kind, PASSED, network
            )
        return Step(where, f"would be at {self.address}" if self.address else "", "", kind, PASSED, network)

    @property
    def where(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}" if self.port else self.address

    def others(self) -> str:
        """What happened at the target's other addresses."""
        told = []
        for shot in self.trace["probe"]["shots"]:
            if (
                not shot
                or shot["address"] == self.verdict.address
                or shot["event"] in {"connected", "echoed"}
            ):
                continue
            version = "IPv6" if ":" in shot["address"] else "IPv4"
            how = "refused" if shot["event"] == "error" and shot.get("errno") == 111 else "not reached"
            told.append(f"{version} {shot['address']} is {how}")
        if not told:
            return ""
        version = "IPv6" if ":" in self.address else "IPv4"
        return f", over {version} only ({', '.join(told)})"

    # -- words -------------------------------------------------------------------------------------------

    def contradiction(self) -> str:
        """What the configuration has against a packet that arrived all the same."""
        found = self.dropping(self.rules)
        if found is not None and not found[1]:
            return f"{found[0].name} counted a drop all the same"
        if self.verdict.how == "published" or self.asked is None or self.asker is None:
            return ""
        if not (self.from_container and self.to_container) or self.asked is self.asker:
            return ""
        if self.inward != self.outward:
            return f"{self.verdict.source} and {self.verdict.target} share no network"
        network = self.network_of(self.inward)
        if network is not None and not network.icc:
            return f"inter-container communication (icc) is off on network {network.name}"
        return ""

    def sentence(self, steps: Sequence[Step], cause: _Cause | None, contradiction: str) -> str:
        v = self.verdict
        target = "" if v.target in {self.address, v.address} else f"{v.target} at "
        goal = f"{target}{self.where}" if self.address else v.target
        if v.outcome is Outcome.REACHABLE:
            said = f"{v.source} reaches {goal}"
            if v.protocol == "dns":
                said = f"{v.source} finds the address of {v.asked}: {v.address}"
            if self.inward and self.inward == self.outward:
                said += f": both are on network {self.net(self.inward)}"
            elif (
                self.medium is not None and self.medium.parent and self.medium.name in self.shared(self.asked)
            ):
                said += f": both are on network {self.medium.name}"
            elif v.how == "published":
                said += f" through the Docker host's published port {v.port}"
            elif self.inward and self.to_host and v.target != HOST:
                said += f": that is the Docker host's own address on network {self.net(self.inward)}"
            said += self.others() if v.protocol != "dns" else ""
            return f"{said}; yet {contradiction}." if contradiction else f"{said}."
        stop = next(step for step in steps if step.state == STOPPED)
        assert cause is not None
        where = "" if stop.kind in {"rules", "name"} else f"{stop.where} "
        if stop.kind in {"bridge"}:
            where = f"on {stop.where}, "
        what = stop.what
        if where == f"{stop.where} " and not what.split(" ", 1)[0].endswith("s"):
            where = f"at {stop.where}, "
        apart = ""
        both = self.asker is not None and self.asked is not None and self.asked.alive and self.from_container
        if v.outcome in _VANISHED and both and not self.shared(self.asked):
            names = [self.net(bridge) for bridge in (self.inward, self.outward) if bridge]
            told = f" ({names[0]} and {names[1]})" if len(names) == 2 else ""
            apart = f" They share no network{told}."
        verb = "reaches" if v.outcome is Outcome.BLACK_HOLE else "does not reach"
        extra = " with small packets only" if v.outcome is Outcome.BLACK_HOLE else ""
        return f"{v.source} {verb} {goal}{extra}: {where}{what}.{apart}"
