"""Put policies in force on the lab host, take them back, and say what is in force."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dockernb.arguments import LAB, TEXT, checked
from dockernb.errors import LabError
from dockernb.policy.rules import compile_policies
from dockernb.policy.schema import Policy, read_policies
from dockernb.probe import snapshot
from dockernb.session import ruleset

if TYPE_CHECKING:
    from dockernb.session import Lab

_NOT_BRIDGED = (
    "Packets between containers of one network pass by these rules, because the Docker host shows them to no "
    "iptables rule: run `modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1` there."
)
_STALE = (
    "The containers have changed since then, and these rules are for what they were: "
    "call dn.apply_policy(lab) again."
)


@dataclass(frozen=True)
class Policies:
    """What is in force.

    Attributes:
        policies: The policies, in the order in which they are asked.
        rules: The iptables rules that were made of them.
        stale: Whether other rules would be made of them for the containers that are there now.
        notes: What the reader has to know, a sentence each.
    """

    policies: tuple[Policy, ...]
    rules: tuple[str, ...]
    stale: bool
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the policies."""
        return tuple(policy.name for policy in self.policies)

    def __str__(self) -> str:
        if not self.policies:
            return "No policy is in force."
        lines = [f"In force, as {len(self.rules)} rules of iptables:"]
        for policy in self.policies:
            lines.append(f"  {' · '.join(_row(policy))}")
        return "\n".join([*lines, *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.policies:
            return "<p>No policy is in force.</p>"
        head = "".join(f'<th scope="col" style="text-align: left">{one}</th>' for one in _HEAD)
        rows = "".join(
            "<tr>"
            + "".join(f'<td style="text-align: left">{html.escape(one)}</td>' for one in _row(p))
            + "</tr>"
            for p in self.policies
        )
        notes = "".join(f"<p><strong>{html.escape(note)}</strong></p>" for note in self.notes)
        return (
            f"<table><caption style='text-align: left'>In force, as {len(self.rules)} rules of iptables</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"
        )


_LONGEST = 100_000  # characters of YAML, which takes a second or two to be read
_HEAD = ("policy", "selects", "types", "rules")


def _row(policy: Policy) -> tuple[str, str, str, str]:
    counts = [
        f"{len(rules)} {way}"
        for way, rules in (("ingress", policy.ingress), ("egress", policy.egress))
        if rules
    ]
    return policy.name, policy.selector.text, ", ".join(policy.types), ", ".join(counts) or "none"


@checked(LabError, lab=LAB, source=TEXT)
def apply_policy(lab: Lab, source: str = "") -> Policies:
    """Put policies in force, beside those that are; one of the same name takes the old one's place.

    The rules are for the containers of the lesson with the addresses that they have now: when containers come,
    go or move, apply again (without a source, what is in force is applied anew). All rules change in one step,
    or none.

    Args:
        lab: The session.
        source: The YAML text of one or more policies, or the name of a file on the lab host, where `%%docker`
            cells write (below /root).

    Returns:
        What is in force now.

    Raises:
        LabError: The file is missing, or the policy is not of the subset that can be enforced here.
        HostError: iptables refused, and nothing has changed.
    """
    file = source if source and "\n" not in source.strip() and ":" not in source else ""
    known = ruleset.read(lab.host, file)
    if file and known.text is None:
        raise LabError(
            f"There is no file {file} on the lab host: write it there in a %%docker cell, or give its text."
        )
    if len(known.text or source) > _LONGEST:
        raise LabError(f"This text has more than {_LONGEST} characters: give it in several calls.")
    try:
        fresh = read_policies(known.text or source) if source else ()
    except LabError as problem:
        raise LabError(f"{file}: {problem}" if file else str(problem)) from None
    policies = {policy.name: policy for policy in (*_remembered(known), *fresh)}
    return _enforce(lab, tuple(policies.values()), known)


@checked(LabError, lab=LAB, name=TEXT)
def remove_policy(lab: Lab, name: str = "") -> Policies:
    """Take a policy back; without a name, all of them. What is not in force is not missed.

    Args:
        lab: The session.
        name: The policy's metadata.name.

    Returns:
        What is in force now.

    Raises:
        HostError: iptables refused, and nothing has changed.
    """
    known = ruleset.read(lab.host)
    return _enforce(lab, tuple(p for p in _remembered(known) if name and p.name != name), known)


@checked(LabError, lab=LAB)
def policies(lab: Lab) -> Policies:
    """What is in force, and whether it still fits the containers.

    Raises:
        HostError: The lab host is gone.
    """
    known = ruleset.read(lab.host)
    remembered = _remembered(known)
    rules = tuple(known.memo["rules"]) if known.memo else ()
    return _told(remembered, rules, rules != compile_policies(remembered, snapshot(lab)), known)


def _remembered(known: ruleset.Known) -> tuple[Policy, ...]:
    return read_policies("---\n".join(known.memo["policies"])) if known.memo else ()


def _enforce(lab: Lab, wanted: tuple[Policy, ...], known: ruleset.Known) -> Policies:
    rules = compile_policies(wanted, snapshot(lab)) if wanted else ()
    ruleset.swap(lab.host, rules, {"policies": [policy.text for policy in wanted], "rules": rules})
    return _told(wanted, rules, False, known)


def _told(found: tuple[Policy, ...], rules: tuple[str, ...], stale: bool, known: ruleset.Known) -> Policies:
    notes = [note for note, true in ((_NOT_BRIDGED, not known.bridged), (_STALE, stale)) if true and found]
    ranked = sorted(found, key=lambda policy: (policy.order, policy.name))
    return Policies(tuple(ranked), rules, stale, tuple(notes))
