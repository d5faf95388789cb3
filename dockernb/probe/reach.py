"""Measure who reaches whom."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from dockernb.arguments import LAB, NAMES, NONE, PORTS, a, checked, number, whole
from dockernb.errors import ProbeError
from dockernb.model import Snapshot
from dockernb.probe.matrix import Matrix
from dockernb.probe.plan import Plan, make_plan
from dockernb.probe.snapshot import snapshot as take_snapshot
from dockernb.probe.verdict import Verdict, judge

if TYPE_CHECKING:
    from dockernb.session import Lab

GRACE = 30.0  # seconds beyond the sockets' own limits before the helper call is given up


@checked(
    ProbeError,
    lab=LAB,
    sources=NAMES | NONE,
    targets=NAMES | NONE,
    ports=PORTS | NONE,
    protocols=NAMES,
    by=NAMES | NONE,
    networks=NAMES | NONE,
    timeout=number(0.01, 60, "a number of seconds"),
    payload=whole(0, 65507) | NONE,
    snapshot=a(Snapshot, "what dn.snapshot gave") | NONE,
)
def reach(
    lab: Lab,
    sources: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    *,
    ports: Sequence[int] | None = None,
    protocols: Sequence[str] = ("tcp",),
    by: Sequence[str] | None = None,
    networks: Sequence[str] | None = None,
    timeout: float = 1.0,
    payload: int | None = None,
    snapshot: Snapshot | None = None,
) -> Matrix:
    """Ask from inside each source whether it reaches each target.

    One helper call on the Docker host enters every source's network namespace, asks that container's own name
    servers, and opens all sockets at once; nothing runs in the containers and their images need no tool.

    Args:
        lab: the lesson.
        sources: containers by name, and "host" (the Docker host) or "outside" (a machine beyond it, made
            for the time of the probe); without it every container of the lesson.
        targets: the same, and any other name or address; without it every container of the lesson.
        ports: without it the ports that the target's image or command line exposes; for "host" those that the
            lesson publishes. A target without such a port is asked for an ICMP echo instead.
        protocols: of "tcp", "udp", "icmp" (echo) and "dns" (the name only, no connection).
        by: of "name", "alias", "address" and "published" (the host's address, the published port).
            Without it a container asks by name, by the aliases on its own networks and by address, the host by
            address, and the outside by published port, or by address where nothing is published.
        networks: only members of these networks, and only their addresses there.
        timeout: seconds without an answer that count as dropped.
        payload: bytes of data with which an echo must pass, too, in one piece: 1472 fill a packet of 1500
            bytes (IPv4). It concerns "icmp" only.
        snapshot: the state to plan from, when one has just been taken.

    Raises:
        ProbeError: an unknown container, network, protocol or way of asking.
        HostError: the lab host did not answer.
    """
    state = take_snapshot(lab) if snapshot is None else snapshot
    plan = make_plan(state, sources, targets, ports=ports, protocols=protocols, by=by, networks=networks)
    began = time.monotonic()
    answer = (
        lab.host.call(inside(), plan.message(timeout, payload), timeout=3 * timeout + GRACE)
        if plan.asks
        else {}
    )
    elapsed = time.monotonic() - began
    return Matrix(verdicts(plan, answer, state, timeout), plan.sources, plan.targets, round(elapsed, 3))


def inside() -> str:
    """The source of what runs on the lab host."""
    return resources.files("dockernb.probe").joinpath("_inside.py").read_text(encoding="utf-8")


def verdicts(plan: Plan, answer: Mapping[str, Any], state: Snapshot, timeout: float) -> tuple[Verdict, ...]:
    """What `_inside` answered to a plan, as one verdict for each row."""
    results = iter(answer.get("results", ()))

    def told() -> dict[str, Any]:
        """What was told about the next question."""
        shot, lookup = next(results)
        names = {} if lookup is None else {"names": answer["lookups"][lookup]}
        return names if shot is None else answer["shots"][shot] | names

    return tuple(
        row if isinstance(row, Verdict) else judge(row, told(), state, answer["listeners"], timeout)
        for row in plan.rows
    )
