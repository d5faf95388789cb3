"""Which rule of the firewall met a packet, and what it does with it.

Rules of iptables are known by their packet counters. Where `_trace` asked the kernel for each rule that a packet
of the probe met, its answer counts instead, for those of nft and of iptables alike.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

_DROPS = {"DROP", "REJECT"}
# iptables' options in nft's words
_NFT = {"-i": "iifname", "-o": "oifname", "-s": "ip6? saddr", "-d": "ip6? daddr"}
_MANAGED = {("ip", 4), ("ip6", 6)}  # families of nft whose tables can be those of iptables


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
    """A rule of iptables or nft, or a chain's policy, and how many packets it met during the probe.

    Attributes:
        place: whose namespace: "host", "source" or "target".
        family: 4 or 6.
        table: filter, nat, mangle, raw or security; with nft family and name, as "inet firewalld".
        chain: the chain's name.
        number: the place in its chain, from 1; 0 for the policy.
        text: as ``iptables-save`` prints it, or as ``nft -s list ruleset`` does.
        packets: how many it met: what it counted, or what the kernel told.
        tool: "iptables" or "nft", of whose words `text` is.
        verdict: what the kernel told that became of the packet: "drop", "accept", or "" when it went on.
        seen: from where to where the packet went, as the kernel told; None when the rule only counted it.
    """

    place: str
    family: int
    table: str
    chain: str
    number: int
    text: str
    packets: int
    tool: str = "iptables"
    verdict: str = ""
    seen: tuple[str, str] | None = None

    @property
    def target(self) -> str:
        """What it does: ACCEPT, DROP, the name of another chain, ..."""
        if self.tool == "nft":
            said = re.search(r"\b(reject|dnat)\b", self.words)
            return (said[0] if said else self.verdict).upper()
        words = self.text.split()
        if not self.number:
            return words[1]
        return next((words[at + 1] for at, word in enumerate(words[:-1]) if word in {"-j", "-g"}), "")

    @property
    def drops(self) -> bool:
        """Whether a packet ends here."""
        return self.verdict == "drop" if self.seen else self.target in _DROPS

    @property
    def words(self) -> str:
        """The text without a comment of nft."""
        return self.text.partition(' comment "')[0]

    @property
    def comment(self) -> str:
        """What its author wrote on it."""
        if self.tool == "nft":
            return self.text.partition(' comment "')[2].removesuffix('"')
        return self.option("--comment")[0]

    @property
    def leads_to(self) -> str:
        """The address to which it turns a packet; empty when it does not."""
        if self.tool == "nft":
            said = re.search(r"\bdnat (?:ip6? )?to (\S+)", self.words)
            door = said[1] if said else ""
        else:
            door = self.option("--to-destination")[0]
        return door.rpartition(":")[0].strip("[]")

    @property
    def name(self) -> str:
        """How to speak of it."""
        table = "" if self.table == "filter" else f" (table {self.table})"
        where = f"chain {self.chain}{table}"
        return f"rule {self.number} of {where}" if self.number else f"the policy of {where}"

    @property
    def evidence(self) -> str:
        """The rule and its count."""
        packets = f"(+{self.packets} packet{'s' * (self.packets != 1)})"
        if self.tool == "nft":
            return f"nft list chain {self.table} {self.chain}: {self.text}   {packets}"
        tool = "iptables" if self.family == 4 else "ip6tables"
        order = self.text if self.number else f"-P {self.chain} {self.target}"
        return f"{tool} -t {self.table} {order}   {packets}"

    def option(self, *names: str) -> tuple[str, bool]:
        """The value of an option of iptables, and whether a "!" before it turns it round; ("", False) without it."""
        if self.tool == "nft":
            found = [
                re.search(rf'\b{_NFT[name]} (!= )?"?([^"\s]+)', self.words) for name in names if name in _NFT
            ]
            return next(((one[2], bool(one[1])) for one in found if one), ("", False))
        words = shlex.split(self.text)
        for at, word in enumerate(words[:-1]):
            if word in names:
                return words[at + 1], at > 0 and words[at - 1] == "!"
        return "", False

    def fits(self, packet: Packet) -> bool:
        """Whether the packet is the one that it met, or, where it only counted, one of which it speaks.

        It speaks of a packet whose interfaces, addresses, protocol and port are those that it names.
        """
        if self.seen:
            return (packet.source, packet.target) == self.seen
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


def met(trace: Mapping[str, Any], *, later: bool = False) -> list[Rule]:
    """The rules that met packets, in the order in which they did, or in which iptables lists them.

    Args:
        trace: what `_trace` told.
        later: during the echo of full size, not during the probe itself.
    """
    told = trace.get("rules", ())
    found, places = [], set()
    for place, ruleset, *events in trace.get("traced", ()):
        if rules := _traced(place, ruleset, events[later], told):
            found += rules
            places.add(place)
    by_count = [row for row in told if row[0] not in places or not _is_nft(row[2])]
    return found + counted(by_count, later=later)


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


def _traced(
    place: str, ruleset: str, events: Sequence[Mapping[str, Any]], told: Sequence[Sequence[Any]]
) -> list[Rule]:
    """The rules of one namespace that the kernel says its packets met; what iptables made, in its words."""
    listed = dict(_listed(ruleset))
    saved = {
        (family, *key[:3]): key[3]
        for where, family, before, *_ in told
        if where == place and _is_nft(before)
        for key in _read(before)
    }
    packets: dict[Rule, int] = {}
    for event in events:
        family = 6 if ":" in event["source"] else 4
        table, name, chain = f"{event['family']} {event['table']}", event["table"], event["chain"]
        number, text = listed.get((table, chain, event["handle"]), (0, ""))
        if not text or not (number or event["verdict"]):
            continue  # a rule that is gone, or the end of a chain, before its policy
        tool = "nft"
        own = saved.get((family, name, chain, number)) if (event["family"], family) in _MANAGED else None
        if own is not None and (not number or _made_by_iptables(text, own)):
            tool, table, text = "iptables", name, own
        ends = (event["source"], event["target"])
        rule = Rule(place, family, table, chain, number, text, 0, tool, event["verdict"], ends)
        packets[rule] = packets.get(rule, 0) + 1
    return [replace(rule, packets=count) for rule, count in packets.items()]


def _made_by_iptables(text: str, own: str) -> bool:
    """Whether iptables tells all of a rule: in one that nft made it leaves out what it does not know, without a word.

    Args:
        text: the rule in nft's words.
        own: the same in iptables' words.
    """
    words = text.partition(' comment "')[0]
    return "counter" in words and ("multiport" in own or not re.search(r"[{@]", words))


def _is_nft(saved: str) -> bool:
    """Whether iptables' tables, as ``iptables-save`` tells them, are tables of nft's."""
    return "(nf_tables)" in saved.partition("\n")[0]


def _listed(ruleset: str) -> Iterator[tuple[tuple[str, str, int | None], tuple[int, str]]]:
    """Each rule and policy of ``nft -a -s list ruleset``: (table, chain, handle), and number and text.

    A policy has no handle, and is number 0.
    """
    table, chain, number = "", "", 0
    for line in ruleset.splitlines():
        depth = len(line) - len(line.lstrip("\t"))
        words = line.split()
        if depth == 0 and line.startswith("table "):
            table, chain = " ".join(words[1:3]), ""
        elif depth == 1:
            chain, number = (words[1], 0) if words[0] == "chain" else ("", 0)
        elif depth == 2 and chain and (policy := re.fullmatch(r"type .* hook .*(policy \w+);", line.strip())):
            yield (table, chain, None), (0, policy[1])
        elif depth == 2 and chain and (rule := re.fullmatch(r"(.+) # handle (\d+)", line.strip())):
            number += 1
            yield (table, chain, int(rule[2])), (number, rule[1])


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
