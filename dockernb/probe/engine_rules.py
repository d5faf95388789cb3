"""What the engine's own rules are for, whichever engine made them.

Up to 28 they stand in iptables, with DOCKER-ISOLATION chains; 29 has DOCKER-INTERNAL in their place, or, with the
nftables backend, tables of its own (moby, integration/network/bridge/{iptablesdoc,nftablesdoc}).
"""

from __future__ import annotations

from enum import Enum

from dockernb.probe.rules import Rule


class Purpose(Enum):
    """Why the engine drops a packet."""

    INTO_INTERNAL = "nothing gets into an internal network"
    OUT_OF_INTERNAL = "nothing gets out of an internal network"
    APART = "networks are kept apart"
    ICC = "containers of the network do not talk"
    UNPUBLISHED = "only published ports are open"
    DIRECT = "a container's address is no way in"
    LOOPBACK = "the port is published for the host itself"


_TABLES = {"ip docker-bridges", "ip6 docker-bridges"}
_COMMENTS = {
    "INTERNAL NETWORK INGRESS": Purpose.INTO_INTERNAL,
    "INTERNAL NETWORK EGRESS": Purpose.OUT_OF_INTERNAL,
    "ICC": Purpose.ICC,
    "UNPUBLISHED PORT DROP": Purpose.UNPUBLISHED,
    "DROP DIRECT ACCESS": Purpose.DIRECT,
    "DROP REMOTE LOOPBACK": Purpose.LOOPBACK,
}


def purpose(rule: Rule) -> tuple[Purpose | None, str]:
    """Why a dropping rule of the engine's is there, and the bridge of the network that it protects.

    Returns:
        None for a rule that is not the engine's; an empty bridge where the rule names none.
    """
    if rule.table in _TABLES:
        return _COMMENTS.get(rule.comment), rule.chain.partition("__")[2]
    table = rule.table.removeprefix("ip6 ").removeprefix("ip ")  # nft may tell iptables' tables, too
    if table not in {"filter", "raw"}:
        return None, ""
    (into, not_into), (out, _) = rule.option("-i"), rule.option("-o")
    if rule.chain in {"DOCKER-ISOLATION-STAGE-1", "DOCKER-INTERNAL"}:
        return (Purpose.INTO_INTERNAL, out) if out else (Purpose.OUT_OF_INTERNAL, into)
    if rule.chain == "DOCKER-ISOLATION-STAGE-2":
        return Purpose.APART, out
    if (table, rule.chain) == ("raw", "PREROUTING") and not_into and rule.option("-d")[0]:
        return (Purpose.LOOPBACK, "") if into == "lo" else (Purpose.DIRECT, into)
    if into and into == out and not not_into:
        return Purpose.ICC, into
    if rule.chain == "DOCKER":
        return Purpose.UNPUBLISHED, out
    return None, ""
