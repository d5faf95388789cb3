"""Draw a swarm: its machines side by side, what runs in each, the overlay networks across them, and the wire."""

from __future__ import annotations

from dataclasses import dataclass

from dockernb.model.swarm import INGRESS, Node, Overlay, Swarm
from dockernb.view.picture import (
    CODE_FONT,
    FAINT,
    FONT,
    INK,
    NETWORK_COLOURS,
    PAPER,
    SHADE,
    Picture,
    identity,
    mark,
)

_LEFT = 206  # x where the machines begin: left of it stand the networks' names
_WIDTH, _GAP = 186, 18  # of a machine, and between two
_TOP, _HEAD = 8, 46
_ITEM, _ITEM_GAP = 40, 8
_BUS = 40  # from one network to the next


@dataclass(frozen=True, slots=True)
class _Item:
    """A task or a container, as it is drawn."""

    name: str
    addresses: tuple[tuple[str, str], ...]  # of the overlay networks, by name
    state: str
    service: str  # empty for a container that no service keeps
    change: str = ""  # "+" or "−"


def swarm_picture(swarm: Swarm, before: Swarm | None = None) -> Picture:
    """Draw a swarm.

    Args:
        swarm: The state to draw.
        before: An earlier state; what has come since is marked with "+", what has gone with "−".
    """
    return Picture(_svg(swarm, before), describe(swarm, before))


def describe(swarm: Swarm, before: Swarm | None = None) -> str:
    """The same in plain text: a line for each machine, service and overlay network."""
    lines = []
    for node in swarm.nodes:
        items = ", ".join(
            f"{one.change}{one.name}{_told(one, brackets=True)}" for one in _items(swarm, before, node)
        )
        lines.append(
            f"{node.name} ({node.role}, {node.address}, {node.state}): {items or 'nothing runs here'}"
        )
    for service in swarm.services:
        ports = "".join(f", published {port}" for port in service.ports)
        wanted = "one task on each node" if service.replicas is None else f"{service.replicas} tasks wanted"
        lines.append(f"{service.name}: {wanted}, endpoint mode {service.endpoint_mode}{ports}")
    lines += [f"{overlay.name}: {_facts(overlay)}" for overlay in _shown(swarm)]
    return "\n".join(lines)


def _shown(swarm: Swarm) -> list[Overlay]:
    """The overlay networks that somebody made; the ingress network only where a service publishes by it."""
    used = any(port.mode == INGRESS for service in swarm.services for port in service.ports)
    return [one for one in swarm.overlays if used or one.name != INGRESS]


def _facts(overlay: Overlay) -> str:
    told = [pool.subnet for pool in overlay.subnets]
    told += [f"VNI {overlay.vni}"] if overlay.vni else []
    told += ["encrypted"] if overlay.encrypted else []
    return ", ".join(told)


def _told(item: _Item, *, brackets: bool = False) -> str:
    """State and addresses in a few words."""
    words = [f"{network} {address}" for network, address in item.addresses if address]
    words = [item.state, *words] if item.state != "running" else words
    text = ", ".join(words)
    return f" ({text})" if brackets and text else text


def _items(swarm: Swarm, before: Swarm | None, node: Node) -> list[_Item]:
    """What is on a machine now, and what was."""
    now = _on(swarm, node)
    if before is None:
        return list(now.values())
    earlier = next((one for one in before.nodes if one.id == node.id), None)
    then = _on(before, earlier) if earlier else {}
    come = {key: "" if key in then else "+" for key in now}
    gone = {key: item for key, item in then.items() if key not in now}
    marked = [_marked(item, come[key]) for key, item in now.items()]
    return [*marked, *(_marked(item, "−") for item in gone.values())]


def _marked(item: _Item, change: str) -> _Item:
    return _Item(item.name, item.addresses, item.state, item.service, change)


def _on(swarm: Swarm, node: Node) -> dict[str, _Item]:
    """What is on a machine, by an identity that a moved task does not keep."""
    found = {}
    if node.state == "ready":  # what the manager last heard of the tasks of a lost machine means nothing
        for task in swarm.tasks:
            if task.node_id == node.id:
                addresses = tuple((name, value) for name, value in task.addresses.items() if name != INGRESS)
                found[task.id] = _Item(task.name, addresses, task.state, task.service)
        for one in swarm.loose:
            if one.node == node.name:
                names = {overlay.name for overlay in swarm.overlays}
                addresses = tuple((name, value) for name, value in one.addresses.items() if name in names)
                found[f"{one.node}/{one.name}"] = _Item(one.name, addresses, one.state, "")
    return found


def _svg(swarm: Swarm, before: Swarm | None) -> str:
    columns = [(node, _items(swarm, before, node)) for node in swarm.nodes]
    overlays = _shown(swarm)
    colours = {
        one.name: FAINT if one.name == INGRESS else NETWORK_COLOURS[number % len(NETWORK_COLOURS)]
        for number, one in enumerate(sorted(overlays, key=lambda one: (one.name == INGRESS, one.vni)))
    }
    deepest = max((len(items) for _, items in columns), default=0)
    first_bus = _TOP + _HEAD + max(deepest, 1) * (_ITEM + _ITEM_GAP) + 22
    bottom = first_bus + max(len(overlays), 1) * _BUS - 14
    wire = bottom + 44
    width = _LEFT + len(columns) * (_WIDTH + _GAP) + 4
    parts: list[str] = []
    for number, (node, items) in enumerate(columns):
        x = _LEFT + number * (_WIDTH + _GAP)
        parts.append(_machine(node, x, bottom, wire))
        for slot, item in enumerate(items):
            parts.append(_box(item, x + 10, _TOP + _HEAD + slot * (_ITEM + _ITEM_GAP), colours))
    right = width - _GAP - 4
    for number, one in enumerate(overlays):
        parts.append(_bus(one, first_bus + number * _BUS, right, colours[one.name]))
    parts.append(_line(_LEFT - 8, wire, right + 8, wire, INK, 3))
    parts.append(
        _text(4, wire - 4, "the wire", bold=True, size=13)
        + _text(4, wire + 12, "between the machines", faint=True)
    )
    body = "".join(parts)
    name, story = identity("dnb-title", body), identity("dnb-desc", body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name} {story}" '
        f'viewBox="0 0 {width:g} {wire + 22:g}" style="width:100%;max-width:{width:g}px;height:auto;'
        f'font-family:{FONT};background:{PAPER}"><title id="{name}">The machines of the swarm</title>'
        f'<desc id="{story}">{mark(describe(swarm, before))}</desc>{body}</svg>'
    )


def _machine(node: Node, x: float, bottom: float, wire: float) -> str:
    lost = node.state != "ready"
    style = f"fill:none;stroke:{FAINT};stroke-width:1.5" + (";stroke-dasharray:6 5" if lost else "")
    parts = [
        f'<rect x="{x:g}" y="{_TOP}" width="{_WIDTH}" height="{bottom - _TOP:g}" rx="10" style="{style}"/>',
        _text(x + 12, _TOP + 20, node.name, bold=True, size=14),
        _text(x + 12, _TOP + 36, f"{node.role}, {node.state}" + (" ✕" if lost else ""), faint=True),
        _line(x + _WIDTH / 2, bottom, x + _WIDTH / 2, wire, FAINT if lost else INK, 2, "3 4" if lost else ""),
        f'<circle cx="{x + _WIDTH / 2:g}" cy="{wire:g}" r="4" style="fill:{PAPER};stroke:{INK};stroke-width:2"/>',
        _text(x + _WIDTH / 2 + 8, wire - 8, node.address, code=True, size=11),
    ]
    return "".join(parts)


def _box(item: _Item, x: float, y: float, colours: dict[str, str]) -> str:
    gone = item.change == "−"
    dash = ";stroke-dasharray:4 4" if gone else ""
    fill = PAPER if gone or not item.service else SHADE
    stroke = 2.5 if item.change == "+" else 1.2
    inner = _WIDTH - 20
    parts = [
        f'<rect x="{x:g}" y="{y:g}" width="{inner}" height="{_ITEM}" rx="{5 if item.service else 0}" '
        f'style="fill:{fill};stroke:{INK};stroke-width:{stroke}{dash}"/>'
    ]
    for number, (network, _) in enumerate(item.addresses):
        if network in colours:
            parts.append(
                f'<rect x="{x + 3 + number * 6:g}" y="{y + 4:g}" width="4" height="{_ITEM - 8}" '
                f'style="fill:{colours[network]}"/>'
            )
    start = x + 10 + 6 * len(item.addresses)
    sign = f"{item.change} " if item.change else ""
    parts.append(_text(start, y + 17, sign + item.name, bold=True))
    words = "gone" if gone else ", ".join(address for _, address in item.addresses if address)
    if not gone and item.state != "running":
        words = item.state
    parts.append(_text(start, y + 32, words, faint=True, size=11))
    return f"<g><title>{mark(f'{item.name}: {_told(item) or item.state}')}</title>{''.join(parts)}</g>"


def _bus(overlay: Overlay, y: float, right: float, colour: str) -> str:
    dash = "2 3" if overlay.encrypted else ""
    pools = ", ".join(pool.subnet for pool in overlay.subnets)
    told = f"VNI {overlay.vni}" + (", encrypted" if overlay.encrypted else "")
    return (
        _text(4, y - 2, overlay.name, bold=True, size=13)
        + _text(4, y + 13, f"{pools}, {told}" if overlay.vni else pools, faint=True, size=10.5)
        + _line(_LEFT - 8, y, right + 8, y, colour, 5, dash)
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float, dash: str = "") -> str:  # noqa: PLR0917  # two points, then the pen
    dashes = f";stroke-dasharray:{dash}" if dash else ""
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" '
        f'style="stroke:{colour};stroke-width:{width:g}{dashes}"/>'
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    bold: bool = False,
    faint: bool = False,
    code: bool = False,
    size: float = 12,
) -> str:
    style = f"font-size:{size:g}px;fill:{FAINT if faint else INK}"
    style += ";font-weight:600" if bold else ""
    style += f";font-family:{CODE_FONT}" if code else ""
    return f'<text x="{x:g}" y="{y:g}" style="{style}">{mark(text)}</text>'
