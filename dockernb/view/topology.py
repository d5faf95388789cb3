"""Draw the Docker host: its networks as buses, the containers between them, and the way out.

A container's box hangs below the first of its networks; lines to its further networks run down its column,
which is kept free for them. What goes elsewhere (to a box in a second row, to a published port) runs in
the gutters between the columns. So no line crosses a box, and where one crosses a bus without joining it,
it shows a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dockernb.model import Container, Endpoint, Network, PublishedPort, Snapshot
from dockernb.view.picture import (
    CODE_FONT,
    FAINT,
    FONT,
    INK,
    LINE,
    NETWORK_COLOURS,
    PAPER,
    SHADE,
    Picture,
    cut,
    identity,
    mark,
    text_at,
)

_BOX = 112
_BOX_HEIGHT = 42
_GUTTER = 30
_COLUMN = _BOX + _GUTTER
_BUS = 104  # x where the buses begin
_LEFT = 258  # x where the columns begin: left of it stand the networks' names
_EDGE = 62  # x of the host's left edge
_SPINE = 86  # x of the host's network stack
_TOP = 64  # the host's upper edge and its title
_LABEL = 20  # room above a bus for its name
_STEM = 40  # from a bus to the boxes below it, with room for an address
_ROW_GAP = 14
_BELOW = 32  # room below the boxes of a band, where addresses on the next bus stand
_SHARER = 15  # height of the line that names a container in the same network namespace
_BESIDE = 14  # between the lines that leave a box for its second, third, ... network
_COLUMNS = 6  # boxes side by side before a second row begins
_PUBLISHED, _TRUNK = 8, 22  # where in a gutter a line runs, from its left side
_NOWHERE = "none"


def topology(snapshot: Snapshot, before: Snapshot | None = None) -> Picture:
    """Draw what is on the Docker host.

    Args:
        snapshot: the state to draw.
        before: an earlier state; what has come since is marked with "+", what has gone with "−".
    """
    return Picture(_Drawing(snapshot, before).svg(), describe(snapshot))


def describe(snapshot: Snapshot) -> str:
    """The same in plain text: a line for each network, and for each container that has more to tell."""
    lines = []
    for network in in_order(snapshot):
        members = ", ".join(
            f"{container.name} {' '.join(endpoint.addresses) or '(no address)'}"
            for container in snapshot.containers
            if (endpoint := container.endpoint(network.name)) is not None
        )
        lines.append(f"{network.name} ({', '.join(facts(network))}): {members or 'no containers'}")
    for container in snapshot.containers:
        told = [] if container.running else [container.state]
        told += [f"published {port}" for port in _shown_ports(container)]
        if container.uses_host_network:
            told.append("on the Docker host's own network")
        elif container.network_owner:
            told.append(f"in the network namespace of {snapshot.sandbox(container).name}")
        elif container.networks in ((), (_NOWHERE,)):
            told.append("on no network")
        if told:
            lines.append(f"{container.name}: {', '.join(told)}")
    return "\n".join(lines) or "Nothing is here yet."


def facts(network: Network) -> list[str]:
    """What distinguishes a network, in a few words each."""
    return [network.driver, *(pool.subnet for pool in network.subnets), *_flags(network)]


def _flags(network: Network) -> list[str]:
    told = []
    if network.parent and "parent" in network.options:
        told.append(f"on {network.parent}")
    if mode := network.options.get("ipvlan_mode") or network.options.get("macvlan_mode"):
        told.append(mode)
    if network.internal:
        told.append("internal")
    if network.driver == "bridge" and not network.icc:
        told.append("icc off")
    if network.driver == "bridge" and not network.masquerade:
        told.append("no masquerade")
    return told


def in_order(snapshot: Snapshot) -> list[Network]:
    """The networks from the outer tier inwards: first one that publishes, then along shared containers."""
    networks = {n.name: n for n in snapshot.networks if n.name != _NOWHERE}

    def outer(name: str) -> tuple[bool, bool, bool, str]:
        members = snapshot.members(name)
        publishes = any(c.published for c in members) and not networks[name].internal
        return (networks[name].driver == "host", not publishes, networks[name].internal, name)

    ordered: list[Network] = []
    left = sorted(networks, key=outer)
    while left:
        near = {n for network in ordered[-1:] for c in snapshot.members(network.name) for n in c.networks}
        nearest = next((name for name in left if name in near), left[0])
        left.remove(nearest)
        ordered.append(networks[nearest])
    return ordered


def _shown_ports(container: Container) -> list[PublishedPort]:
    """The published ports without those that only repeat one for IPv6."""
    return [port for port in container.published if ":" not in port.host_ip]


@dataclass(slots=True)
class _Place:
    """Where a container stands."""

    container: Container
    buses: list[int]
    sharers: list[str]
    change: str = ""  # "+" or "−"
    column: int = 0
    row: int = 0
    y: float = 0.0

    @property
    def x(self) -> float:
        return _LEFT + self.column * _COLUMN

    @property
    def middle(self) -> float:
        return self.x + _BOX / 2

    @property
    def height(self) -> float:
        return _BOX_HEIGHT + _SHARER * len(self.sharers)


@dataclass(slots=True)
class _Bus:
    """One network, or the place for containers that are on none."""

    network: Network | None
    colour: str
    y: float = 0.0
    change: str = ""
    places: list[_Place] = field(default_factory=list)  # the boxes that hang below it


class _Drawing:
    def __init__(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        self.snapshot, self.before = snapshot, before
        self.everything = _union(snapshot, before)
        self.buses: list[_Bus] = []
        self.places: list[_Place] = []
        self.lines: list[str] = []
        self.over: list[str] = []
        self.collect()
        self.columns = self.arrange()
        self.width = _LEFT + self.columns * _COLUMN + 36.0
        self.bottom = self.stack()

    # -- layout ------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Find the buses, and for each container the buses it is on."""
        for number, network in enumerate(in_order(self.everything)):
            colour = FAINT if network.driver == "host" else NETWORK_COLOURS[number % len(NETWORK_COLOURS)]
            self.buses.append(_Bus(network, colour, change=self.network_change(network)))
        index = {bus.network.name: number for number, bus in enumerate(self.buses) if bus.network}
        sharers: dict[str, list[str]] = {}
        for container in self.everything.containers:
            owner = self.everything.sandbox(container)
            if owner is not container:
                sharers.setdefault(owner.name, []).append(container.name)
        for container in self.everything.containers:
            if self.everything.sandbox(container) is not container:
                continue
            on = sorted({index[n] for n in self.networks_of(container) if n in index})
            if not on:
                if not self.buses or self.buses[-1].network is not None:
                    self.buses.append(_Bus(None, FAINT))
                on = [len(self.buses) - 1]
            self.places.append(
                _Place(container, on, sharers.get(container.name, []), self.container_change(container))
            )

    def networks_of(self, container: Container) -> set[str]:
        """Its networks now and before."""
        earlier = self.before.container(container.name) if self.before else None
        return set(container.networks) | set(earlier.networks if earlier else ())

    def arrange(self) -> int:
        """Give every container a column and a row; return the number of columns."""
        taken: dict[int, set[int]] = {number: set() for number in range(len(self.buses))}  # columns, by band
        several = sorted(
            (p for p in self.places if len(p.buses) > 1), key=lambda p: (p.buses, p.container.name)
        )
        for place in several:
            bands = range(place.buses[0], place.buses[-1])
            free = [c for c in range(len(self.places) + 1) if all(c not in taken[b] for b in bands)]
            # A box does not hang where a line from above ends: the two would look like one wire.
            apart = [c for c in free[:_COLUMNS] if c not in taken.get(bands[0] - 1, ())]
            place.column = (apart or free)[0]
            for band in bands:
                taken[band].add(place.column)
        widest = max((place.column + 1 for place in several), default=1)
        columns = max(_COLUMNS, widest + 1)
        for number in range(len(self.buses)):
            singles = [p for p in self.places if p.buses == [number]]
            free = [c for c in range(columns) if c not in taken[number]]
            apart = [c for c in free if c not in taken.get(number - 1, ())]
            if len(singles) <= len(apart):
                free = apart
            for order, place in enumerate(singles):
                place.row, slot = divmod(order, len(free))
                place.column = free[slot]
                widest = max(widest, place.column + 1)
        for place in self.places:
            self.buses[place.buses[0]].places.append(place)
        return widest

    def stack(self) -> float:
        """Give everything its height; return the lower end of the last band."""
        y = float(_TOP + (28 if any(_shown_ports(p.container) for p in self.places) else 0))
        for bus in self.buses:
            y += _LABEL
            bus.y = y
            y += _STEM
            for row in range(max((p.row for p in bus.places), default=-1) + 1):
                places = [p for p in bus.places if p.row == row]
                for place in places:
                    place.y = y
                y += max(p.height for p in places) + _ROW_GAP
            y = max(y + _BELOW - _ROW_GAP, bus.y + 66) if bus.places else bus.y + 66
        return y

    # -- drawing -----------------------------------------------------------------------------------------

    def svg(self) -> str:
        for bus in self.buses:
            self.bus(bus)
        for place in self.places:
            for number in place.buses:
                self.endpoint(place, number)
        for place in self.places:
            self.publish(place)
        for place in self.places:
            self.box(place)
        bottom = self.bottom
        if not self.buses:
            self.over.append(text_at(_EDGE + 24, _TOP + 30, "Nothing is here yet.", colour=FAINT))
            bottom = _TOP + 40
        host = (
            f'<rect x="{_EDGE}" y="34" width="{self.width - _EDGE - 6:g}" height="{bottom - 26:g}" rx="10" '
            f'style="fill:none;stroke:{FAINT};stroke-width:1.5"/>'
            + text_at(_EDGE + 14, 54, "Docker host", bold=True, size=13)
        )
        body = host + self.spine() + "".join(self.lines) + "".join(self.over)
        height = bottom + 16
        summary = describe(self.snapshot)
        name, story = identity("dnb-title", body), identity("dnb-desc", body)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name} {story}" '
            f'viewBox="0 0 {self.width:g} {height:g}" '
            f'style="width:100%;max-width:{self.width:g}px;height:auto;'
            f'font-family:{FONT};background:{PAPER}">'
            f'<title id="{name}">The Docker host and its networks</title>'
            f'<desc id="{story}">{mark(summary)}</desc>'
            f"{body}</svg>"
        )

    def spine(self) -> str:
        """The host's own network stack, to which every bridge belongs, and the way out of the host."""
        joined = [bus for bus in self.buses if self.has_gateway(bus)]
        if not joined:
            return ""
        top, low = joined[0].y, joined[-1].y
        parts = [
            f'<line x1="{_SPINE}" y1="{top:g}" x2="{_SPINE}" y2="{low:g}" '
            f'style="stroke:{LINE};stroke-width:7;stroke-linecap:round"/>'
        ]
        if low - top > 100:
            y = (top + low) / 2
            parts.append(
                f'<text transform="translate({_SPINE - 9} {y:g}) rotate(-90)" text-anchor="middle" '
                f'style="font-size:10px;fill:{FAINT}">routing, iptables</text>'
            )
        outward = [bus for bus in joined if bus.network is not None and not bus.network.internal]
        if outward:
            y = outward[0].y
            parts.append(_arrow(_SPINE - 3, y, 18, y, FAINT))
            parts.append(text_at(4, y - 8, "outside", colour=FAINT, size=11))
        return "".join(parts)

    @staticmethod
    def has_gateway(bus: _Bus) -> bool:
        return bus.network is not None and bus.network.driver in {"bridge", "host"}

    def bus(self, bus: _Bus) -> None:
        network = bus.network
        left, right = float(_BUS), self.width - 24
        if network is None:
            self.over.append(text_at(left, bus.y - 8, "on no network", colour=FAINT, size=12))
            self.lines.append(_stroke((left, bus.y), (right, bus.y), LINE, 1, dash="2 6"))
            return
        dash = "10 5" if network.internal else ""
        gone = bus.change == "−"
        self.lines.append(_stroke((left, bus.y), (right, bus.y), bus.colour, 5, dash=dash, faint=gone))
        if self.has_gateway(bus):
            # The host has an address on an internal network, too; what ends there is the way out.
            dash = "2 3" if network.internal else ""
            self.lines.append(_stroke((_SPINE, bus.y), (left, bus.y), LINE, 3, dash=dash))
            title = self.gateway_title(network, self.everything.gateways(network.name))
            self.over.append(
                f'<circle cx="{_SPINE}" cy="{bus.y:g}" r="5" style="fill:{PAPER};stroke:{bus.colour};'
                f'stroke-width:2"><title>{mark(title)}</title></circle>'
            )
        if network.wired:
            self.lines.append(self.wire(bus, network.parent))
        inset = 0
        if network.internal:
            self.over.append(_padlock(left, bus.y - 19))
            inset = 17
        title = f"{network.name}: {', '.join(facts(network))}"
        if network.bridge and network.id[:12] not in network.bridge:
            title += f"; Linux bridge {network.bridge}"  # an id would make each run's picture another one
        sign = _change(bus.change) if bus.change else ""
        self.over.append(
            f'<text x="{left + inset:g}" y="{bus.y - 9:g}" style="font-size:13px;font-weight:700;fill:{INK}">'
            f"<title>{mark(title)}</title>{sign}{mark(cut(network.name, 16))}</text>"
        )
        below = [(pool.subnet, INK) for pool in network.subnets]
        below.append((", ".join([network.driver, *_flags(network)]), FAINT))
        if network.driver == "host":
            below = [("the host's own network", FAINT)]
        for line, (words, colour) in enumerate(below):
            y = bus.y + 16 + 13 * line
            self.over.append(text_at(left, y, words, size=10.5, code=colour == INK, colour=colour))

    @staticmethod
    def wire(bus: _Bus, parent: str) -> str:
        """From a macvlan or ipvlan network past the host's own stack to the wire: by its parent, at the edge."""
        width = max(6.6 * len(parent) + 8, 34)
        return (
            _stroke((_SPINE - 8, bus.y), (_SPINE + 8, bus.y), PAPER, 11)  # a gap in the stack's own line
            + _stroke((_BUS, bus.y), (24, bus.y), bus.colour, 2)
            + f'<path d="M18 {bus.y:g}l9 -4.5v9z" style="fill:{bus.colour}"/>'
            + f"<g><title>{mark(f'{parent}: the interface of the Docker host by which it is on the wire')}</title>"
            f'<rect x="{_EDGE - width / 2:g}" y="{bus.y - 9:g}" width="{width:g}" height="18" rx="3" '
            f'style="fill:{PAPER};stroke:{INK};stroke-width:1.2"/>'
            f'<text x="{_EDGE}" y="{bus.y + 4:g}" text-anchor="middle" style="font:10.5px {CODE_FONT};fill:{INK}">'
            f"{mark(parent)}</text></g>" + text_at(4, bus.y - 13, "wire", colour=FAINT, size=11)
        )

    @staticmethod
    def gateway_title(network: Network, gateways: tuple[str, ...]) -> str:
        gateway = " and ".join(gateways) or "without an address"
        if network.internal:
            return f"The Docker host is {gateway} on {network.name}, and forwards nothing from there"
        return f"The Docker host is {gateway} on {network.name}, and the way out of it"

    def endpoint(self, place: _Place, number: int) -> None:
        bus = self.buses[number]
        if bus.network is None:
            return
        endpoint, change = self.endpoint_of(place, bus.network.name)
        dash = "3 4" if change == "−" else ""
        width = 3.5 if change == "+" else 2
        first = number == place.buses[0]
        # Side by side down the column, or the line to a third network would hide the one to the second.
        x = place.middle + (0 if first else _BESIDE * (place.buses.index(number) - 1))
        if first and place.row:
            x = place.x - _GUTTER + _TRUNK
            y = place.y + _BOX_HEIGHT / 2
            path = f"M{x:g} {bus.y:g}V{y:g}H{place.x:g}"
            self.lines.append(_path(path, bus.colour, width, dash))
        elif first:
            self.lines.append(_path(f"M{x:g} {bus.y:g}V{place.y:g}", bus.colour, width, dash))
        else:
            path = f"M{x:g} {place.y + place.height:g}V{bus.y:g}"
            if number - place.buses[0] > 1:  # it passes buses that it may not join
                self.lines.append(_path(path, PAPER, width + 6, ""))
            self.lines.append(_path(path, bus.colour, width, dash))
        self.over.append(f'<circle cx="{x:g}" cy="{bus.y:g}" r="4.5" style="fill:{bus.colour}"/>')
        if first and place.row:
            return  # its address stands in the box
        shown = endpoint.addresses or (endpoint.configured_address or "no address",)
        if bus.network.driver == "host":
            shown = ()
        title = self.endpoint_title(place.container, endpoint)
        y = place.y - 11 - 12 * (len(shown) - 1) if first else bus.y - 9 - 12 * (len(shown) - 1)
        for line, address in enumerate(shown):
            sign = _change(change) if change and not line else ""
            self.over.append(
                f'<text x="{x:g}" y="{y + 12 * line:g}" text-anchor="middle" style="font:10.5px {CODE_FONT};'
                f'fill:{INK};stroke:{PAPER};stroke-width:5;paint-order:stroke">'
                f"<title>{mark(title)}</title>{sign}{mark(address)}</text>"
            )

    @staticmethod
    def endpoint_title(container: Container, endpoint: Endpoint) -> str:
        told = f"{container.name} on {endpoint.network}: {', '.join(endpoint.addresses) or 'no address'}"
        if endpoint.aliases:
            told += f", also called {', '.join(endpoint.aliases)}"
        return told

    def publish(self, place: _Place) -> None:
        """A published port: from the host's upper edge down the gutter to the box."""
        ports = _shown_ports(place.container)
        if not ports:
            return
        x, y = place.x + _BOX + _PUBLISHED, place.y + _BOX_HEIGHT / 2
        words = [
            f"{'' if port.host_ip == '0.0.0.0' else port.host_ip + ':'}{port.host_port}→{port.container_port}"
            + ("" if port.protocol == "tcp" else f"/{port.protocol}")
            for port in ports
        ]
        shown = "  ".join(words[:2]) + (f" +{len(words) - 2}" if len(words) > 2 else "")
        width = 6.4 * len(shown) + 14
        title = f"{place.container.name}: published {', '.join(map(str, ports))}"
        self.lines.append(_path(f"M{x:g} 46V{y:g}", PAPER, 6, ""))
        self.lines.append(_path(f"M{x:g} 46V{y:g}H{place.x + _BOX + 1:g}", FAINT, 1.5, "2 3"))
        self.over.append(
            f'<path d="M{place.x + _BOX + 1:g} {y:g}l6 -4v8z" style="fill:{FAINT}"/>'
            f'<g><title>{mark(title)}</title><rect x="{x - width / 2:g}" y="24" width="{width:g}" '
            f'height="20" rx="10" style="fill:{SHADE};stroke:{FAINT}"/>'
            f'<text x="{x:g}" y="38" text-anchor="middle" style="font:10.5px {CODE_FONT};fill:{INK}">'
            f"{mark(shown)}</text></g>"
        )

    def box(self, place: _Place) -> None:
        container = place.container
        gone = place.change == "−"
        frozen = not container.running or gone
        second = container.image.removeprefix("dockernb/")
        if place.row:
            endpoints = [e for e in container.endpoints if e.addresses]
            second = endpoints[0].addresses[0] if endpoints else "no address"
        if container.paused:
            second = "‖ paused"
        elif not container.running:
            second = f"■ {container.state}" + (
                f" ({container.exit_code})" if container.state == "exited" else ""
            )
        if gone:
            second = "removed"
        title = f"{container.name}: {container.image}, {container.state}"
        name = (_change(place.change) if place.change else "") + mark(cut(container.name, 17))
        size = 12.5 if len(container.name) <= 13 else 10.5
        parts = [
            f'<g><title>{mark(title)}</title><rect x="{place.x:g}" y="{place.y:g}" width="{_BOX}" '
            f'height="{place.height:g}" rx="6" style="fill:{PAPER if frozen else SHADE};stroke:{INK};'
            f'stroke-width:1.2{";stroke-dasharray:4 3" if frozen else ""}"/>',
            f'<text x="{place.middle:g}" y="{place.y + 18:g}" text-anchor="middle" '
            f'style="font-size:{size:g}px;font-weight:600;fill:{INK}">{name}</text>',
            f'<text x="{place.middle:g}" y="{place.y + 33:g}" text-anchor="middle" '
            f'style="font:10.5px {CODE_FONT};fill:{INK}">{mark(cut(second, 17))}</text>',
        ]
        for line, sharer in enumerate(place.sharers):
            y = place.y + _BOX_HEIGHT + _SHARER * line
            parts.append(_stroke((place.x, y), (place.x + _BOX, y), LINE, 1))
            parts.append(text_at(place.x + 8, y + 11, f"& {cut(sharer, 16)}", size=10.5))
        self.over.append("".join(parts) + "</g>")

    # -- differences -------------------------------------------------------------------------------------

    def network_change(self, network: Network) -> str:
        if self.before is None:
            return ""
        then, now = self.before.network(network.name), self.snapshot.network(network.name)
        if then is None or now is None:
            return "+" if then is None else "−"
        return "≠" if facts(then) != facts(now) else ""

    def container_change(self, container: Container) -> str:
        if self.before is None:
            return ""
        then, now = self.before.container(container.name), self.snapshot.container(container.name)
        if then is None or now is None:
            return "+" if then is None else "−"
        return "≠" if then.state != now.state else ""

    def endpoint_of(self, place: _Place, network: str) -> tuple[Endpoint, str]:
        """The endpoint now, or else the earlier one, and what changed."""
        now = self.snapshot.container(place.container.name)
        current = now.endpoint(network) if now else None
        then = self.before.container(place.container.name) if self.before else None
        earlier = then.endpoint(network) if then else None
        if current is None:
            assert earlier is not None
            return earlier, "−"
        return current, "+" if then is not None and earlier is None else ""


def _union(snapshot: Snapshot, before: Snapshot | None) -> Snapshot:
    """Both moments' networks and containers; where both know one, the present state."""
    if before is None:
        return snapshot
    networks = {n.name: n for n in (*before.networks, *snapshot.networks)}
    containers = {c.name: c for c in (*before.containers, *snapshot.containers)}
    return Snapshot(
        tuple(networks[name] for name in sorted(networks)),
        tuple(containers[name] for name in sorted(containers)),
        snapshot.volumes,
    )


def _change(sign: str) -> str:
    return f'<tspan style="font-weight:800">{sign} </tspan>'


def _padlock(x: float, y: float) -> str:
    shackle = f"M{x + 2.5:g} {y + 5:g}v-2a3.5 3.5 0 0 1 7 0v2"
    return (
        f'<path d="{shackle}" style="fill:none;stroke:{INK};stroke-width:1.6"/>'
        f'<rect x="{x:g}" y="{y + 4.5:g}" width="12" height="8" rx="1.5" style="fill:{INK}"/>'
    )


def _stroke(
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    width: float,
    *,
    dash: str = "",
    faint: bool = False,
) -> str:
    style = f"stroke:{colour};stroke-width:{width:g}"
    if dash:
        style += f";stroke-dasharray:{dash}"
    if faint:
        style += ";opacity:0.4"
    return f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" y2="{end[1]:g}" style="{style}"/>'


def _path(path: str, colour: str, width: float, dash: str) -> str:
    dashes = f";stroke-dasharray:{dash}" if dash else ""
    return f'<path d="{path}" style="fill:none;stroke:{colour};stroke-width:{width:g}{dashes}"/>'


def _arrow(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return _stroke((x1, y1), (x2 + 6, y2), colour, 1.5) + (
        f'<path d="M{x2:g} {y2:g}l9 -4.5v9z" style="fill:{colour}"/>'
    )
