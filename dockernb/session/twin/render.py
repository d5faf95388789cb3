"""From requests to lines: fold the calls that one line covers, drop mere look-ups, keep the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dockernb.session.twin import containers, networks, swarm
from dockernb.session.twin.calls import Call, Known, Request, Unrenderable
from dockernb.session.twin.script import Line

HANDLERS = containers.HANDLERS | networks.HANDLERS | swarm.HANDLERS


def render(requests: Sequence[Request], known: Known) -> list[Line]:
    """The whole translation: learn names, fold calls that one line covers, drop mere look-ups."""
    calls = [Call.of(request) for request in requests]
    for call in calls:
        known.learn(call)
    covered = _implied(calls, known)
    done: list[Line] = []
    for index, call in enumerate(calls):
        if index not in covered:
            members = [index]
            try:
                line, members = _line(calls, index, known)
            except Unrenderable as reason:
                line = Line(comment=f"{call.where(known.name(call.target))}: {reason}")
            covered.update(members)
            if call.acts or not done or line != done[-1]:  # looking twice is one line
                done.append(line)
            done += [_refusal(calls[i]) for i in members if calls[i].request.status >= 400]
        known.remember_spec(call)
    return done


def _line(calls: Sequence[Call], index: int, known: Known) -> tuple[Line, list[int]]:
    """The line for the call at an index, and the indices of all calls that it covers."""
    call = calls[index]
    if call.matches("POST", "containers", "create"):
        return containers.container(calls, index, known)
    if call.matches("POST", "containers", "exec"):
        return containers.execute(calls, index, known)
    handler = HANDLERS.get((call.request.method, call.kind, call.action or ("*" if call.target else "")))
    if handler is None:
        raise Unrenderable("no line for this call here")
    return Line(tuple(handler(call, known))), [index]


def _refusal(call: Call) -> Line:
    """What the engine said to a call that failed."""
    text = " ".join(str(call.answer.get("message", "")).split())
    return Line(comment=f"refused ({call.request.status}){': ' * bool(text)}{text}")


def _touched(call: Call, known: Known) -> set[tuple[str, str]]:
    """The objects that a call is about, by kind and name."""
    objects = {(call.kind, known.name(call.target))} if call.target else set()
    if call.action == "create":
        created = (call.request.query.get("name"), call.body.get("Name"), call.created_id)
        objects |= {(call.kind, known.name(str(name))) for name in created if name}
    if call.kind == "networks" and call.action in {"connect", "disconnect"}:
        objects.add(("containers", known.name(str(call.body.get("Container", "")))))
    return objects


def _implied(calls: Sequence[Call], known: Known) -> set[int]:
    """Indices of calls that nobody typed: docker-py makes them to look an object up or to refresh it."""
    found = set()
    listed: set[Any] = set()
    previous: Call | None = None  # the last call that was not itself implied
    for index, call in enumerate(calls):
        implied = False
        if call.kind == "_ping" or (call.kind == "exec" and not call.acts):
            implied = True
        elif call.kind == "swarm" and not call.acts:
            # `client.swarm` reads the swarm each time it is used
            implied = any(c.kind == "swarm" and c.acts for c in calls)
        elif call.inspects:
            this = (call.kind, known.name(call.target))
            later = [c for c in calls[index + 1 :] if c.acts]
            implied = (
                call.target in listed
                or any(this in _touched(c, known) for c in later)
                or (previous is not None and this in _touched(previous, known) and _refreshes(previous))
            )
        if implied:
            found.add(index)
        else:
            previous = call
            answer = call.request.response
            items = answer if not call.acts and isinstance(answer, list) else []
            listed = {item.get("Id") or item.get("ID") for item in items if isinstance(item, dict)}
    return found


def _refreshes(call: Call) -> bool:
    """Whether docker-py inspects the object by itself after this call."""
    return call.action in {"create", "logs", "attach"}
