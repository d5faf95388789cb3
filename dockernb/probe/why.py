"""Explain one pair: measure it, watch the Docker host meanwhile, and put both into words."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING

from dockernb.arguments import LAB, NAME, NONE, PORT, checked
from dockernb.errors import ProbeError
from dockernb.model import Container, Snapshot
from dockernb.probe.derive import derive, owner_of
from dockernb.probe.explanation import Explanation
from dockernb.probe.plan import Plan, make_plan
from dockernb.probe.reach import GRACE, inside, verdicts
from dockernb.probe.snapshot import snapshot as take_snapshot
from dockernb.probe.verdict import HOST, OUTSIDE, Ask, Outcome, Verdict

if TYPE_CHECKING:
    from dockernb.session import Lab

_FUTURE = "from __future__ import annotations\n"  # valid at the head of a text only
_TIMEOUT = 1.0  # seconds without an answer that count as dropped


@checked(ProbeError, lab=LAB, a=NAME, b=NAME, port=PORT | NONE, by=NAME, protocol=NAME)
def why(
    lab: Lab, a: str, b: str, port: int | None = None, *, by: str = "address", protocol: str = "tcp"
) -> Explanation:
    """Measure whether `a` reaches `b`, and explain it from the live configuration of the Docker host.

    One helper call reads the packet counters of all iptables rules, makes the probe, and reads them again, so
    that the rule that dropped a packet is the one that counted it. Where there are rules that iptables does not
    tell (nft, firewalld, an engine with the nftables backend), the kernel is asked meanwhile which rules the
    packets meet. Where the pair can talk, a packet of full size is sent, too, to find a path that swallows large
    ones.

    Args:
        lab: the lesson.
        a: who asks: a container, "host" or "outside".
        b: who is asked: the same, or any name or address. What is neither container nor address is asked for
            by name.
        port: without it the first port that the target exposes, and without such a port an ICMP echo.
        by: "name", "alias", "address" or "published"; see `reach`.
        protocol: "tcp", "udp", "icmp" or "dns".

    Returns:
        The measured verdict with its explanation. Where the two do not go together, `Explanation.agrees` is
        False and the text says so.

    Raises:
        ProbeError: an unknown container or way of asking, or a pair that cannot be asked in this way.
        HostError: the lab host did not answer.
    """
    state = take_snapshot(lab)
    plan = _plan(state, a, b, port, by=by, protocol=protocol)
    if not plan.asks:
        (verdict,) = verdicts(plan, {}, state, _TIMEOUT)
        return derive(state, verdict, {})
    asker, asked = owner_of(state, a), owner_of(state, b)
    order = {
        "plan": plan.message(_TIMEOUT),
        "source": plan.processes.get(a, 0) if asker is None else 0 if asker.uses_host_network else asker.pid,
        "target": asked.pid if asked and asked.alive and not asked.uses_host_network else None,
        "ports": _ports(plan, asked),
        "full": by != "published" and asked is not None and not asked.paused and protocol != "dns",
    }
    trace = lab.host.call(_source(), order, timeout=6 * _TIMEOUT + GRACE)
    verdict = min(verdicts(plan, trace["probe"], state, _TIMEOUT), key=lambda v: v.outcome.rank)
    return derive(state, verdict, trace, _full(state, plan, trace, verdict))


def _source() -> str:
    """What runs on the lab host: `_inside`, and behind it `_trace`, which calls the former's `main` ``probe``."""
    trace = resources.files("dockernb.probe").joinpath("_trace.py").read_text(encoding="utf-8")
    return f"{inside()}\nprobe = main\n{trace.replace(_FUTURE, '')}"


def _plan(state: Snapshot, a: str, b: str, port: int | None, *, by: str, protocol: str) -> Plan:
    """The plan of one question; several rows are the addresses of one endpoint."""
    if a == b:
        raise ProbeError(f"{a} always reaches itself; ask for two different ones.")
    if by == "address" and b not in (HOST, OUTSIDE) and state.container(b) is None and not _is_address(b):
        by = "name"
    plan = make_plan(
        state, [a], [b], ports=[port] if port else None, protocols=[protocol], by=[by], networks=None
    )
    if not plan.rows:
        raise ProbeError(f"{b} cannot be asked by {by} over {protocol}; try by='name' or by='address'.")
    asker, asked = state.container(a), state.container(b)
    shared = state.shared_networks(asker, asked) if asker and asked else ()
    first = next((row for row in plan.rows if row.network in shared), plan.rows[0])
    return replace(plan, rows=tuple(row for row in plan.rows if _question(row) == _question(first)))


def _ports(plan: Plan, asked: Container | None) -> list[int]:
    """The ports to which the packets go: those that are asked, and those in the container behind them."""
    ports = {ask.port for ask in plan.asks if ask.port}
    behind = {port.container_port for port in (asked.published if asked else ()) if port.host_port in ports}
    return sorted(ports | behind)


def _question(row: Ask | Verdict) -> tuple[str, str, int | None, str]:
    return (row.network, row.asked if row.how == "alias" else "", row.port, row.protocol)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _full(state: Snapshot, plan: Plan, trace: dict[str, object], verdict: Verdict) -> Verdict | None:
    """The verdict on the echo of full size."""
    answer = trace["full"]
    if not isinstance(answer, dict) or verdict.outcome is not Outcome.REACHABLE:
        return None
    ask = Ask(verdict.source, verdict.target, "address", verdict.address, "", None, "icmp")
    (told,) = verdicts(replace(plan, rows=(ask,)), answer, state, _TIMEOUT)
    return told
