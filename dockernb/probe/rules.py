"""Read iptables rules and their packet counters: which rule counted a packet, and what it does with it."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_DROPS = {"DROP", "REJECT"}


@dataclass(frozen=True, slots=True)
class Packet:
    """What a rule may look at; an empty string for what there is none of."""

    source: str
    target: str
    into: str
    out: str
    protocol: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of iptables, or a chain's policy, and how many packets it counted during the probe.

    Attributes:
        place: whose namespace: "host", "source" or "target".
        family: 4 or 6.
        table: filter, nat, mangle, raw or security.
        chain: the chain's name.
        number: the place in its chain, from 1; 0 for the policy.
        text: as ``iptables-save`` prints it.
        packets: what it counted.
    """

    place: str
    family: int
    table: str
    chain: str
    number: int
    text: str
    packets: int

    @property
    def target(self) -> str:
        """What it does: ACCEPT, DROP, the name of another chain, ..."""
        words = self.text.split()
        if not self.number:
            return words[1]
        return next((words[at + 1] for at, word in enumerate(words[:-1]) if word in {"-j", "-g"}), "")

    @property
    def drops(self) -> bool:
        """Whether a packet ends here."""
        return self.target in _DROPS

    @property
    def name(self) -> str:
        """How to speak of it."""
        table = "" if self.table == "filter" else f" (table {self.table})"
        where = f"chain {self.chain}{table}"
        return f"rule {self.number} of {where}" if self.number else f"the policy of {where}"

    @property
    def evidence(self) -> str:
        """The rule and its count."""
        tool = "iptables" if self.family == 4 else "ip6tables"
        order = self.text if self.number else f"-P {self.chain} {self.target}"
        return f"{tool} -t {self.table} {order}   (+{self.packets} packet{'s' * (self.packets != 1)})"

    def option(self, *names: str) -> tuple[str, bool]:
        """The value of an option, and whether a "!" before it turns it round; ("", False) without it."""
        words = shlex.split(self.text)
        for at, word in enumerate(words[:-1]):
            if word in names:
                return words[at + 1], at > 0 and words[at - 1] == "!"
        return "", False

    def fits(self, packet: Packet) -> bool:
        """Whether the packet's interfaces, addresses, protocol and port are those that the rule names."""
        tests = (
            (("-i",), packet.into, _interface),
            (("-o",), packet.out, _interface),
            (("-s",), packet.source, _within),
            (("-d",), packet.target, _within),
            (("-p",), packet.protocol, _protocol),
            (("--dport",), str(packet.port or ""), _port),
        )
        for names, value, same in tests:
            wanted, turned = self.option(*names)
            if wanted and same(wanted, value) is turned:
                return False
        return True


def _interface(wanted: str, value: str) -> bool:
    return value.startswith(wanted[:-1]) if wanted.endswith("+") else value == wanted


def _within(wanted: str, value: str) -> bool:
    return bool(value) and ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)


def _protocol(wanted: str, value: str) -> bool:
    return wanted in {value, "all"} or (wanted, value) == ("ipv6-icmp", "icmp")


def _port(wanted: str, value: str) -> bool:
    low, _, high = wanted.partition(":")
    return bool(value) and int(low) <= int(value) <= int(high or low)


def counted(told: Sequence[Sequence[Any]], *, later: bool = False) -> list[Rule]:
    """The rules that counted packets, in the order in which iptables lists them.

    Args:
        told: the ``rules`` of `_trace`.
        later: during the echo of full size, not during the probe itself.
    """
    found = []
    for place, family, *texts in told:
        before, after = (_read(text) for text in (texts[1:] if later else texts[:2]))
        for key, packets in after.items():
            if packets > before.get(key, 0):
                found.append(Rule(place, family, *key, packets - before.get(key, 0)))
    return found


def _read(text: str) -> Mapping[tuple[str, str, int, str], int]:
    return dict(_lines(text))


def _lines(text: str) -> Iterator[tuple[tuple[str, str, int, str], int]]:
    """Each rule of ``iptables-save -c`` as (table, chain, number, text), and its packets."""
    table, numbers = "", dict[str, int]()
    for line in text.splitlines():
        if line.startswith("*"):
            table, numbers = line[1:], {}
        elif line.startswith(":"):
            chain, policy, count = line[1:].split()
            if policy != "-":
                yield (table, chain, 0, f"{chain} {policy}"), int(count[1:].partition(":")[0])
        elif line.startswith("["):
            count, _, rule = line.partition(" ")
            chain = rule.split()[1]
            numbers[chain] = numbers.get(chain, 0) + 1
            yield (table, chain, numbers[chain], rule), int(count[1:].partition(":")[0])
