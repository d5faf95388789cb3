"""From policies to iptables: who is selected now, and which rules that makes. Nothing is asked here.

What Calico means by a policy (https://docs.tigera.io/calico/latest/reference/resources/networkpolicy):

- A container that no policy selects for a direction is free in that direction.
- For one that is selected, the policies are asked by `order`, then by name, and their rules from the first to
  the last; the first that fits decides. What no rule fits is dropped.
- A packet from one container to another needs the consent of both: the sender's egress and the receiver's ingress.
- Answers, and what belongs to a connection that is open already, pass.

Each selected container has a chain for each direction. There "RETURN" is the consent: the packet goes on to the
next chain, and from the last one to Docker's own rules, which may still have something against it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dockernb.errors import LabError
from dockernb.model import Container, Snapshot
from dockernb.policy.schema import EGRESS, INGRESS, Peer, Policy, Rule
from dockernb.session.ruleset import CHAINS, FIRST, LONGEST

_LONGEST_COMMENT = 250  # of 255 bytes (man 8 iptables-extensions)


def compile_policies(policies: Sequence[Policy], state: Snapshot) -> tuple[str, ...]:
    """The rules that enforce these policies on these containers, as iptables-save prints them.

    Args:
        policies: What is to hold.
        state: The containers with the labels and addresses that they have now.

    Raises:
        LabError: A selected container has an address whose packets pass no rule of the Docker host.
    """
    if not policies:
        return ()
    ranked = sorted(policies, key=lambda policy: (policy.order, policy.name))
    ends = [_End(container, _addresses(container, state)) for container in _selectable(state)]
    first, chains = [f"-A {FIRST} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"], list[str]()
    for direction, flag in ((EGRESS, "-s"), (INGRESS, "-d")):
        for end in ends:
            asked = [p for p in ranked if direction in p.types and p.selector(end.container.labels)]
            if not asked or not end.container.alive:
                continue
            _refuse_what_passes_by(end.container, asked[0], state)
            chain = _chain(direction, end.container.name)
            first += [f"-A {FIRST} {flag} {one}/32 -j {chain}" for one in end.addresses]
            chains += [f"-A {chain} {rest}" for rest in _decisions(end, direction, asked, ends)]
    return (*first, *chains)


@dataclass(frozen=True)
class _End:
    container: Container
    addresses: tuple[str, ...]


def _selectable(state: Snapshot) -> list[Container]:
    """Containers with a network of their own: one that shares another's, or the host's, has no address to filter."""
    return [c for c in state.containers if not c.network_owner and not c.uses_host_network]


def _addresses(container: Container, state: Snapshot) -> tuple[str, ...]:
    return tuple(e.address for e in container.endpoints if e.address and _bridged(e.network, state))


def _bridged(network: str, state: Snapshot) -> bool:
    known = state.network(network)
    return known is not None and known.driver == "bridge"


def _refuse_what_passes_by(container: Container, policy: Policy, state: Snapshot) -> None:
    for endpoint in container.endpoints:
        if endpoint.address6:
            raise LabError(
                f"Policy {policy.name} selects {container.name}, which has an IPv6 address on {endpoint.network}, "
                "and the rules here are for IPv4: select others, or take it off that network."
            )
        if endpoint.address and not _bridged(endpoint.network, state):
            raise LabError(
                f"Policy {policy.name} selects {container.name}, whose packets on {endpoint.network} pass no rule "
                "of the Docker host: select others, or take it off that network."
            )


def _decisions(end: _End, direction: str, policies: Sequence[Policy], ends: Sequence[_End]) -> Iterator[str]:
    """The rules of one container's chain."""
    own, other = ("-s", "-d") if direction == EGRESS else ("-d", "-s")
    for policy in policies:
        for number, rule in enumerate(policy.rules(direction)):
            here, there = (
                (rule.source, rule.destination) if direction == EGRESS else (rule.destination, rule.source)
            )
            if here.selector is not None and not here.selector(end.container.labels):
                continue
            done = "allows" if rule.allow else "denies"
            comment = f"policy {policy.name} {done} it by spec.{direction.lower()}[{number}]"
            for match in _matches(rule, _peers(there, other, ends)):
                # A drop names its container, too, so that whoever reads the counters knows whose packet it was.
                for mine in [""] if rule.allow else [f"{own} {one}/32" for one in end.addresses]:
                    yield _line(" ".join(filter(None, [mine, match])), comment, rule.allow)
    who = (
        f"{'policy' if len(policies) == 1 else 'policies'} {' and '.join(policy.name for policy in policies)}"
    )
    has = "has" if len(policies) == 1 else "have"
    way = "out of" if direction == EGRESS else "in to"
    comment = f"{who} {has} no {direction.lower()} rule that lets this {way} {end.container.name}"
    for address in end.addresses:
        yield _line(f"{own} {address}/32", comment, False)


def _peers(peer: Peer, flag: str, ends: Sequence[_End]) -> list[str]:
    """What iptables compares with the other end: an address each, or nothing where it may be anybody."""
    if peer.selector is None:
        return [""]
    return [
        f"{flag} {one}/32" for end in ends if peer.selector(end.container.labels) for one in end.addresses
    ]


def _matches(rule: Rule, peers: Sequence[str]) -> Iterator[str]:
    """What iptables compares: each peer with each pair of ports."""
    protocol = f"-p {rule.protocol}" if rule.protocol else ""
    for peer in peers:
        for source in rule.source.ports or [None]:
            for target in rule.destination.ports or [None]:
                words = [peer, protocol, _port("--sport", source), _port("--dport", target)]
                yield " ".join(filter(None, words))


def _port(option: str, ports: tuple[int, int] | None) -> str:
    if ports is None:
        return ""
    first, last = ports
    return f"{option} {first}" if first == last else f"{option} {first}:{last}"


def _line(match: str, comment: str, allow: bool) -> str:
    target = "RETURN" if allow else "DROP"
    return f'{match} -m comment --comment "{comment[:_LONGEST_COMMENT]}" -j {target}'.lstrip()


def _chain(direction: str, name: str) -> str:
    """A chain's name; a container's name that is too long for it is cut, and told apart by a few more letters."""
    chain = f"{CHAINS}{direction.upper()}-{name}"
    if len(chain) <= LONGEST:
        return chain
    return f"{chain[: LONGEST - 6]}-{hashlib.sha256(name.encode()).hexdigest()[:5]}"
