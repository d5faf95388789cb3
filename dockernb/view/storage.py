"""Draw who mounts what: the containers of the Docker host with their mounts, and what these lead to.

Containers stand on the left, each with a line for every path at which something is mounted. Volumes, directories of
the host and memory stand on the right. Lines run only in the lane between the two columns, so none crosses a box.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dockernb.model import Container, Mount, Snapshot, Volume
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

_WIDTH = 880
_LEFT, _BOX = 30, 316  # x and width of the containers
_RIGHT, _CARD = 530, 320  # x and width of what is mounted
_TOP = 78  # y where both columns begin
_HEAD, _ROW = 28, 21  # of a container: its name, and each mount
_TITLE, _DETAIL = 40, 15  # of a card: name and kind, and each line below
_GAP = 14
_SECRET = re.compile(r"\b(pass(?:word)?)=[^,]*")

_KINDS = {"volume": "volume", "bind": "directory of the Docker host", "tmpfs": "tmpfs"}


@dataclass(slots=True)
class _Store:
    """Something that can be mounted, and where its card stands.

    Attributes:
        kind: As in a mount: "volume", "bind" or "tmpfs".
        name: What is written on it.
        details: Further lines: driver, options.
        anonymous: A volume that nobody gave a name.
        uses: Who mounts it: the container and the mount.
        idle: No container that is there mounts it.
    """

    kind: str
    name: str
    details: tuple[str, ...] = ()
    anonymous: bool = False
    uses: list[tuple[Container, Mount]] = field(default_factory=list)
    idle: bool = True
    change: str = ""  # "+" or "−"
    y: float = 0.0

    @property
    def what(self) -> str:
        """Its kind in words."""
        return "anonymous volume" if self.anonymous else _KINDS[self.kind]

    @property
    def height(self) -> float:
        return _TITLE + _DETAIL * len(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands below its name and kind."""
        return (*self.details, "nobody mounts it") if self.idle and self.change != "−" else self.details


def storage_picture(snapshot: Snapshot, before: Snapshot | None = None) -> Picture:
    """Draw who mounts what.

    Args:
        snapshot: The state to draw.
        before: An earlier state; what has come since is marked with "+", what has gone with "−".
    """
    return Picture(_Drawing(snapshot, before).svg(), describe(snapshot, before))


def describe(snapshot: Snapshot, before: Snapshot | None = None) -> str:
    """The same in plain text: a line for each thing that can be mounted, and for each container without mounts."""
    everything = _union(snapshot, before)
    lines = []
    for store in _stores(everything, snapshot, before):
        sign = f"{store.change} " if store.change else ""
        uses = ", ".join(
            f"{container.name} at {_at(mount)}"
            for container, mount in store.uses
            if snapshot.container(container.name)
        )
        told = ", ".join((store.what, *store.details))
        lines.append(
            f"{sign}{store.name} ({told}): {uses or ('removed' if store.change == '−' else 'nobody mounts it')}"
        )
    for container in everything.containers:
        change = _change(container.name, snapshot.container(container.name), before)
        facts = [] if container.running else [container.state]
        facts += [] if container.mounts else ["mounts nothing"]
        if change:
            facts = ["removed"] if change == "−" else ["new", *facts]
        if facts:
            lines.append(f"{f'{change} ' if change else ''}{container.name}: {', '.join(facts)}")
    return "\n".join(lines) or "Nothing is here yet."


def _at(mount: Mount) -> str:
    """Where something is mounted, and how."""
    how = [*_propagation(mount), *(["read-only"] if mount.read_only else [])]
    return mount.target + (f" ({', '.join(how)})" if how else "")


def _propagation(mount: Mount) -> tuple[str, ...]:
    """The options of a bind mount belong to the mount; those of a tmpfs say what it is."""
    return mount.options if mount.kind == "bind" else ()


def _stores(everything: Snapshot, now: Snapshot, before: Snapshot | None) -> list[_Store]:
    """All that is mounted or could be: volumes by name, then directories; memory belongs to its mount."""
    volumes = {volume.name: volume for volume in everything.volumes}
    stores: dict[tuple[str, ...], _Store] = {}
    for container in everything.containers:
        for mount in container.mounts:
            key = (
                mount.kind,
                mount.source,
                *((container.name, mount.target) if mount.kind == "tmpfs" else ()),
            )
            if key not in stores:
                name = mount.source or "memory"
                stores[key] = _Store(mount.kind, name, _details(mount, volumes), mount.anonymous)
            stores[key].uses.append((container, mount))
            stores[key].idle &= now.container(container.name) is None
    for volume in everything.volumes:
        key = ("volume", volume.name)
        stores.setdefault(key, _Store("volume", volume.name, _options(volume), volume.anonymous))
    nameless = [store for store in stores.values() if store.anonymous]
    for number, store in enumerate(nameless, 1):
        store.name = f"no name ({number})" if len(nameless) > 1 else "no name"
    if before is not None:
        there = {key for key, store in stores.items() if key[0] != "volume" and not store.idle}
        there |= {("volume", volume.name) for volume in now.volumes}
        earlier = {(m.kind, m.source) for c in before.containers for m in c.mounts}
        earlier |= {("volume", volume.name) for volume in before.volumes}
        for key, store in stores.items():
            store.change = "−" if key not in there else "" if key[:2] in earlier else "+"
    return list(stores.values())


def _details(mount: Mount, volumes: Mapping[str, Volume]) -> tuple[str, ...]:
    if mount.kind == "volume":
        return _options(volumes[mount.source]) if mount.source in volumes else ()
    return (", ".join(mount.options),) if mount.kind == "tmpfs" and mount.options else ()


def _options(volume: Volume) -> tuple[str, ...]:
    """Driver and options in short lines; the password of a network share stays where it is."""
    options = dict(volume.options)
    kind, device, flags = (options.pop(key, "") for key in ("type", "device", "o"))
    lines = [] if volume.driver == "local" else [f"driver {volume.driver}"]
    if kind or device:
        lines.append(f"{kind or 'a file system'} on {device}" if device and device != kind else kind)
    lines += [_SECRET.sub(r"\1=…", flags)] if flags else []
    lines += [_SECRET.sub(r"\1=…", f"{key}={value}") for key, value in options.items()]
    return tuple(lines)


def _union(now: Snapshot, before: Snapshot | None) -> Snapshot:
    """Both moments' containers and volumes; where both know one, the present state. Nameless volumes come last."""
    earlier = before or Snapshot((), ())
    containers = {one.name: one for one in (*earlier.containers, *now.containers)}
    volumes = {one.name: one for one in (*earlier.volumes, *now.volumes)}
    return Snapshot(
        now.networks,
        tuple(containers[name] for name in sorted(containers)),
        tuple(sorted(volumes.values(), key=lambda volume: (volume.anonymous, volume.name))),
    )


def _change(name: str, now: Container | None, before: Snapshot | None) -> str:
    """Whether a container has come or gone."""
    if before is None:
        return ""
    return "−" if now is None else "" if before.container(name) else "+"


class _Drawing:
    def __init__(self, now: Snapshot, before: Snapshot | None) -> None:
        self.now, self.before = now, before
        self.everything = _union(now, before)
        self.stores = _stores(self.everything, now, before)
        self.rows: dict[tuple[str, str], float] = {}  # y of each mount, by container and target
        self.lines: list[str] = []
        self.over: list[str] = []

    def svg(self) -> str:
        bottom = max(self.containers(), self.cards(), _TOP + 10.0)
        if not self.everything.containers and not self.stores:
            self.over.append(text_at(_LEFT, _TOP, "Nothing is here yet.", colour=FAINT))
        else:
            self.over.append(text_at(_LEFT, 62, "containers", size=11, colour=FAINT))
            self.over.append(text_at(_RIGHT, 62, "what they mount", size=11, colour=FAINT))
        height = bottom + 14
        body = (
            f'<rect x="8" y="8" width="{_WIDTH - 16}" height="{height - 16:g}" rx="10" '
            f'style="fill:none;stroke:{FAINT};stroke-width:1.5"/>'
            + text_at(22, 30, "Docker host", size=13, bold=True)
            + "".join(self.lines)
            + "".join(self.over)
        )
        name, story = identity("dnb-title", body), identity("dnb-desc", body)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name} {story}" '
            f'viewBox="0 0 {_WIDTH} {height:g}" style="width:100%;max-width:{_WIDTH}px;height:auto;'
            f'font-family:{FONT};background:{PAPER}">'
            f'<title id="{name}">Who mounts what on the Docker host</title>'
            f'<desc id="{story}">{mark(describe(self.now, self.before))}</desc>'
            f"{body}</svg>"
        )

    def containers(self) -> float:
        """Draw the left column; return its lower end."""
        y = float(_TOP)
        for container in self.everything.containers:
            y += self.box(container, y) + _GAP
        return y

    def box(self, container: Container, top: float) -> float:
        """One container with its mounts; returns its height."""
        change = _change(container.name, self.now.container(container.name), self.before)
        height = _HEAD + _ROW * max(len(container.mounts), 1) + 6.0
        frozen = not container.running or change == "−"
        state = container.image.removeprefix("dockernb/")
        if change == "−":
            state = "removed"
        elif not container.running:
            state = f"■ {container.state}" + (
                f" ({container.exit_code})" if container.state == "exited" else ""
            )
        title = f"{container.name}: {container.image}, {container.state}"
        sign = f'<tspan style="font-weight:800">{change} </tspan>' if change else ""
        parts = [
            f'<g><title>{mark(title)}</title><rect x="{_LEFT}" y="{top:g}" width="{_BOX}" height="{height:g}" rx="6" '
            f'style="fill:{PAPER if frozen else SHADE};stroke:{INK};stroke-width:1.2'
            f'{";stroke-dasharray:4 3" if frozen else ""}"/>',
            f'<text x="{_LEFT + 12}" y="{top + 19:g}" style="font-size:13px;font-weight:600;fill:{INK}">'
            f"{sign}{mark(cut(container.name, 22))}</text>",
            f'<text x="{_LEFT + _BOX - 12}" y="{top + 19:g}" text-anchor="end" '
            f'style="font:10.5px {CODE_FONT};fill:{INK}">{mark(cut(state, 18))}</text></g>',
        ]
        if not container.mounts:
            parts.append(text_at(_LEFT + 12, top + _HEAD + 14, "mounts nothing", size=11, colour=FAINT))
        for number, mount in enumerate(container.mounts):
            parts.append(self.row(container, mount, top + _HEAD + _ROW * number))
        self.over.append("".join(parts))
        return height

    def row(self, container: Container, mount: Mount, top: float) -> str:
        """One mount: the path, and whether it may be written."""
        y = top + 14
        self.rows[container.name, mount.target] = top + 10
        right = _LEFT + _BOX
        how = ", ".join(_propagation(mount))
        end = right - 88 if mount.read_only else right - 12  # of what stands there beside the lock
        room = (end - _LEFT - 20) / 6.9 - len(how)
        parts = [
            f'<line x1="{_LEFT + 1}" y1="{top:g}" x2="{right - 1}" y2="{top:g}" style="stroke:{LINE}"/>',
            f"<g><title>{mark(_at(mount))}</title>"
            f'<text x="{_LEFT + 12}" y="{y:g}" style="font:11px {CODE_FONT};fill:{INK}">'
            f"{mark(_shortened(mount.target, int(room)))}</text></g>",
        ]
        if how:
            parts.append(
                f'<text x="{end}" y="{y:g}" text-anchor="end" style="font-size:10.5px;fill:{INK}">{mark(how)}</text>'
            )
        if mount.read_only:
            parts.append(_padlock(right - 82, top + 3))
            parts.append(text_at(right - 66, y, "read-only", size=10.5))
        return "".join(parts)

    def cards(self) -> float:
        """Draw the right column, each card near those who mount it, and the lines; return its lower end."""

        def middle(store: _Store) -> float:
            ys = [self.rows[container.name, mount.target] for container, mount in store.uses]
            return sum(ys) / len(ys) if ys else float("inf")

        y = float(_TOP)
        ordered = sorted(self.stores, key=middle)
        for number, store in enumerate(ordered):
            store.y = max(y, middle(store) - store.height / 2) if store.uses else y
            y = store.y + store.height + _GAP
            self.card(store)
            self.join(store, NETWORK_COLOURS[number % len(NETWORK_COLOURS)])
        return y

    def card(self, store: _Store) -> None:
        """What is mounted: a volume as a drum, a directory as a folder, memory as a chip."""
        gone = store.change == "−"
        told = ", ".join((store.what, *store.lines))
        sign = f'<tspan style="font-weight:800">{store.change} </tspan>' if store.change else ""
        icon = {"volume": _drum, "bind": _folder, "tmpfs": _chip}[store.kind]
        parts = [
            f'<g><title>{mark(f"{store.name}: {told}")}</title><rect x="{_RIGHT}" y="{store.y:g}" '
            f'width="{_CARD}" height="{store.height:g}" rx="6" '
            f'style="fill:{PAPER if store.idle else SHADE};stroke:{INK};stroke-width:1.2'
            f'{";stroke-dasharray:4 3" if store.idle else ""}"/>',
            icon(_RIGHT + 12, store.y + 9),
            f'<text x="{_RIGHT + 46}" y="{store.y + 18:g}" style="font-size:13px;font-weight:600;fill:{INK}'
            f'{";font-style:italic" if store.anonymous else ""}">{sign}{mark(_shortened(store.name, 34))}</text>',
            text_at(
                _RIGHT + 46, store.y + 33, store.what + (", removed" if gone else ""), size=11, colour=FAINT
            ),
        ]
        for line, words in enumerate(store.lines):
            code = line < len(store.details)
            parts.append(
                text_at(
                    _RIGHT + 46,
                    store.y + 48 + _DETAIL * line,
                    cut(words, 40),
                    size=10.5 if code else 11,
                    code=code,
                    colour=INK if code else FAINT,
                )
            )
        self.over.append("".join(parts) + "</g>")

    def join(self, store: _Store, colour: str) -> None:
        """Lines from those who mount it: dashed where they may only read, dotted where they did until now."""
        count = len(store.uses)
        for number, (container, mount) in enumerate(store.uses):
            start, end = self.rows[container.name, mount.target], store.y + 8
            end += (store.height - 16) * (number + 0.5) / count
            x1, x2 = _LEFT + _BOX, _RIGHT
            bend = (x2 - x1) * 0.5
            path = f"M{x1} {start:g}C{x1 + bend:g} {start:g} {x2 - bend:g} {end:g} {x2} {end:g}"
            gone = self.now.container(container.name) is None
            dash = ";stroke-dasharray:2 5" if gone else ";stroke-dasharray:6 4" if mount.read_only else ""
            self.lines.append(f'<path d="{path}" style="fill:none;stroke:{PAPER};stroke-width:7"/>')
            self.lines.append(f'<path d="{path}" style="fill:none;stroke:{colour};stroke-width:2.2{dash}"/>')
            title = f"{container.name} mounts {store.name} at {_at(mount)}"
            self.over.append(
                f"<g><title>{mark(title)}</title>"
                f'<circle cx="{x1}" cy="{start:g}" r="4" style="fill:{colour}"/>'
                f'<circle cx="{x2}" cy="{end:g}" r="4" style="fill:{colour}"/></g>'
            )


def _shortened(path: str, length: int) -> str:
    """A path or name of which the end tells more."""
    return path if len(path) <= length else "…" + path[1 - length :]


_OUTLINE = f"fill:{PAPER};stroke:{INK};stroke-width:1.2"


def _padlock(x: float, y: float) -> str:
    shackle = f"M{x + 2.5:g} {y + 5:g}v-2a3.5 3.5 0 0 1 7 0v2"
    return (
        f'<path d="{shackle}" style="fill:none;stroke:{INK};stroke-width:1.5"/>'
        f'<rect x="{x:g}" y="{y + 4.5:g}" width="12" height="8" rx="1.5" style="fill:{INK}"/>'
    )


def _drum(x: float, y: float) -> str:
    return (
        f'<path d="M{x:g} {y + 4:g}v15c0 5 24 5 24 0v-15" style="{_OUTLINE}"/>'
        f'<ellipse cx="{x + 12:g}" cy="{y + 4:g}" rx="12" ry="4" style="{_OUTLINE}"/>'
    )


def _folder(x: float, y: float) -> str:
    return f'<path d="M{x:g} {y + 22:g}v-21h9l3 4h12v17z" style="{_OUTLINE}"/>'


def _chip(x: float, y: float) -> str:
    pins = "".join(f"M{x + 5 + 5 * n:g} {y + 1:g}v3M{x + 5 + 5 * n:g} {y + 18:g}v3" for n in range(4))
    return (
        f'<path d="{pins}" style="stroke:{INK};stroke-width:1.2"/>'
        f'<rect x="{x + 1:g}" y="{y + 4:g}" width="22" height="14" rx="2" style="{_OUTLINE}"/>'
    )
