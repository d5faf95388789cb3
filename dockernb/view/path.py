"""Draw the way of a packet between two containers, station by station, up to where it ended.

Both stand above, each in a network namespace of its own. A cable (veth) leads from each down into the Docker
host's own namespace, where the bridges are and where the rules of iptables or nftables decide. The wires are always
drawn; the packet's way lies over them as a bold line with numbers, and ends with the sign of the outcome.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dockernb.arguments import a, checked
from dockernb.errors import ProbeError
from dockernb.probe import Explanation, Outcome, Step
from dockernb.view.picture import (
    FAINT,
    FONT,
    INK,
    LINE,
    NETWORK_COLOURS,
    PAPER,
    SHADE,
    SIGNS,
    Picture,
    cut,
    identity,
    mark,
    text_at,
)

_WIDTH = 760
_LEFT, _MIDDLE, _RIGHT = 104, 380, 656  # x of the three columns
_BOX, _BOX_HEIGHT = 150, 46
_TOP = 14  # y of the boxes above
_FRAME = 96  # y where the Docker host's namespace begins
_VETH = 134
_BUS = 218
_RULES = 276  # width of the box in which the rules decide
_LINE = 14  # from one line of text to the next
_MARK = 11  # radius of the sign at the end


@dataclass(frozen=True, slots=True)
class _Point:
    """Where a station is on the way, and how the way gets there from the one before: first down or up."""

    step: Step
    x: float
    y: float


@checked(ProbeError, explanation=a(Explanation, "what dn.why returned"))
def path(explanation: Explanation) -> Picture:
    """Draw the packet's way.

    Args:
        explanation: what `probe.why` returned.
    """
    return Picture(_Path(explanation).svg(), str(explanation))


class _Path:
    def __init__(self, explanation: Explanation) -> None:
        self.explanation = explanation
        self.steps = explanation.steps
        rules = [number for number, step in enumerate(self.steps) if step.kind in {"rules", "proxy"}]
        middle = rules[0] if rules else len(self.steps)
        self.near = [s for s in self.steps[:middle] if s.kind in {"veth", "bridge"}]
        self.far = [s for s in self.steps[middle:] if s.kind in {"veth", "bridge"}]
        self.decisions = [step for step in self.steps if step.kind in {"rules", "proxy"}]
        self.names = [step for step in self.steps if step.kind == "name"]
        self.first = next(step for step in self.steps if step.kind != "name")
        last = self.steps[-1]
        self.last = last if last is not self.first and last.kind in {"target", "host"} else None
        self.lines = [self.lines_of(step) for step in self.decisions]
        self.height = max(46, sum(map(len, self.lines)) * _LINE + 30)
        self.floor = max(_BUS + 64.0, _BUS + self.height / 2 + 18)
        self.colours: dict[str, str] = {}
        for step in (*self.near, *self.far):
            self.colours.setdefault(step.network, NETWORK_COLOURS[len(self.colours) % len(NETWORK_COLOURS)])

    @staticmethod
    def lines_of(step: Step) -> list[tuple[str, bool]]:
        """What a deciding rule says, in lines that fit its box; True for those that stop the packet."""
        head, _, rest = step.what.partition(": ")
        stops = step.state == "stopped"
        return [(line, stops) for line in _wrap(head, 37)] + [(line, False) for line in _wrap(rest, 40)]

    # -- drawing -----------------------------------------------------------------------------------------

    def svg(self) -> str:
        wired = bool(self.near or self.far or self.decisions)
        parts = [self.frame(), *self.wires()] if wired else []
        parts += [self.way(), *self.boxes(), self.rules_box(), *self.labels(), *self.numbers()]
        bottom = self.floor + 24 if wired else _FRAME + 22.0
        outcome = self.explanation.verdict.outcome
        parts.append(text_at(12, bottom, f"{SIGNS[outcome]} {outcome.value}", size=12.5, bold=True))
        story = _wrap(self.explanation.sentence, 112)
        if not self.explanation.agrees:
            story += _wrap(self.explanation.agreement, 112)
        parts += [text_at(12, bottom + 17 * n, line, size=12.5) for n, line in enumerate(story, 1)]
        body = "".join(parts)
        height = bottom + 17 * len(story) + 8
        name, told = identity("dnb-title", body), identity("dnb-desc", body)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{name} {told}" '
            f'viewBox="0 0 {_WIDTH} {height:g}" style="width:100%;max-width:{_WIDTH}px;height:auto;'
            f'font-family:{FONT};background:{PAPER}">'
            f'<title id="{name}">The way of a packet: {mark(self.explanation.question)}</title>'
            f'<desc id="{told}">{mark(str(self.explanation))}</desc>{body}</svg>'
        )

    def frame(self) -> str:
        return (
            f'<rect x="6" y="{_FRAME}" width="{_WIDTH - 12}" height="{self.floor - _FRAME:g}" rx="10" '
            f'style="fill:none;stroke:{FAINT};stroke-width:1.5"/>'
            + text_at(_MIDDLE, _FRAME + 18, "Docker host", bold=True, anchor="middle", size=12.5)
        )

    def wires(self) -> list[str]:
        """Cables and bridges, whether the packet used them or not."""
        drawn = []
        half = _RULES / 2
        for x, side, inner in ((_LEFT, self.near, _MIDDLE - half), (_RIGHT, self.far, _MIDDLE + half)):
            colour = self.colour_of(x)
            if any(step.kind == "veth" for step in side):
                drawn.append(_wire(f"M{x} {_TOP + _BOX_HEIGHT}V{_BUS}", colour, 2))
            elif self.is_above(x):
                drawn.append(_wire(f"M{x} {_TOP + _BOX_HEIGHT}V{_BUS}H{inner:g}", LINE, 2))
            if any(step.kind == "bridge" for step in side) or (x == _RIGHT and self.one_bridge):
                outer = x - 84 if x == _LEFT else x + 84
                until = inner if self.decisions else _RIGHT + 84  # nothing comes after a bridge where it ends
                drawn.append(_wire(f"M{outer} {_BUS}H{until:g}", colour, 5))
            elif not self.is_above(x) and (x == _LEFT or self.last is not None):
                drawn.append(_wire(f"M{x} {_BUS}H{inner:g}", LINE, 2))
        return drawn

    @property
    def one_bridge(self) -> bool:
        """Whether both hang on one bridge, which the steps name once."""
        return bool(self.near and self.far) and not any(step.kind == "bridge" for step in self.far)

    def colour_of(self, x: float) -> str:
        side = self.near if x == _LEFT else self.far
        return self.colours.get(side[0].network, LINE) if side else LINE

    def is_above(self, x: float) -> bool:
        """Whether the column's end stands above, in a namespace of its own."""
        step = self.first if x == _LEFT else self.last
        return step is not None and not self.is_host(step)

    @staticmethod
    def is_host(step: Step) -> bool:
        return step.where == "Docker host"

    def way(self) -> str:
        """The bold line from the source to where the packet ended."""
        reached = [p for p in self.points() if p.step.state != "ahead" and p.step.kind != "name"]
        if len(reached) < 2:
            return ""
        if not (self.near or self.far or self.decisions):  # nothing was sent
            return _wire(f"M{reached[0].x:g} {reached[0].y:g}H{reached[1].x:g}", LINE, 2, dash="2 5")
        drawn = f"M{reached[0].x:g} {reached[0].y:g}"
        for before, after in pairwise(reached):
            rises = after.x == _RIGHT and before.x != _RIGHT
            drawn += f"H{after.x:g}V{after.y:g}" if rises else f"V{after.y:g}H{after.x:g}"
        return _wire(drawn, INK, 3)

    def points(self) -> list[_Point]:
        """Every station in the order of the steps."""
        placed = []
        side = _LEFT
        wired = bool(self.near or self.far or self.decisions)
        for step in self.steps:
            if step.kind == "name":
                placed.append(_Point(step, _MIDDLE - 100, _TOP + _BOX_HEIGHT / 2))
            elif step.kind in {"rules", "proxy"}:
                side = _RIGHT
                second = len(self.decisions) > 1 and step is self.decisions[-1]
                placed.append(_Point(step, _MIDDLE + _RULES / 2 * (1 if second else -1), _BUS))
            elif step.kind == "veth":
                placed.append(_Point(step, side, _VETH))
            elif step.kind == "bridge":
                placed.append(_Point(step, side, _BUS))
            else:
                x = _LEFT if step is self.first else _RIGHT
                low = wired and self.is_host(step)
                beside = _BOX / 2 if x == _LEFT else -_BOX / 2
                if not wired or low:
                    placed.append(_Point(step, x + beside, _BUS if low else _TOP + _BOX_HEIGHT / 2))
                else:
                    placed.append(_Point(step, x, _TOP + _BOX_HEIGHT + _MARK + 2))
        return placed

    def boxes(self) -> list[str]:
        drawn = [self.box(self.first, _LEFT)]
        if self.last is not None:
            drawn.append(self.box(self.last, _RIGHT))
        for step in self.names:
            x, y = _MIDDLE - 100, _TOP
            drawn.append(
                _wire(f"M{_LEFT + _BOX / 2:g} {y + _BOX_HEIGHT / 2:g}H{x}", INK, 1.5, dash="2 4")
                + f'<rect x="{x}" y="{y}" width="200" height="{_BOX_HEIGHT}" rx="{_BOX_HEIGHT / 2}" '
                f'style="fill:{SHADE};stroke:{INK};stroke-width:1.2"/>'
                + text_at(_MIDDLE, y + 19, cut(step.where, 28), anchor="middle", size=11.5, bold=True)
                + text_at(_MIDDLE, y + 35, self.answer(step), anchor="middle", size=10.5, code=True)
            )
        return drawn

    def answer(self, step: Step) -> str:
        v = self.explanation.verdict
        return cut(f"{v.asked}: {v.address if step.state == 'passed' else v.outcome.short}", 29)

    def box(self, step: Step, x: float) -> str:
        low = self.is_host(step) and bool(self.near or self.far or self.decisions)
        y = _BUS - _BOX_HEIGHT / 2 if low else float(_TOP)
        dead = step.state == "stopped" and self.explanation.verdict.outcome in {
            Outcome.NOT_RUNNING,
            Outcome.PAUSED,
        }
        faint = step.state == "ahead"
        dash = ";stroke-dasharray:4 3" if dead or faint else ""
        style = f"fill:{PAPER if dead or faint else SHADE};stroke:{FAINT if faint else INK};stroke-width:1.2{dash}"
        second = self.address(step)
        parts = [
            f'<g><title>{mark(f"{step.where}: {step.what}")}</title><rect x="{x - _BOX / 2:g}" y="{y:g}" '
            f'width="{_BOX}" height="{_BOX_HEIGHT}" rx="6" style="{style}"/>',
            text_at(
                x, y + (20 if second else 28), cut(step.where, 20), anchor="middle", size=12.5, bold=True
            ),
        ]
        if second:
            parts.append(text_at(x, y + 36, second, anchor="middle", size=10.5, code=True))
        return "".join(parts) + "</g>"

    def address(self, step: Step) -> str:
        """What stands below the name: where the packet comes from or goes to."""
        v = self.explanation.verdict
        words = step.what.split()
        if step is self.first:
            if words[:2] == ["sends", "from"]:
                return words[2]
            return f"to {v.address}:{v.port}" if v.how == "published" else ""
        if v.how == "published":
            return ""
        address = v.address
        if not address or address == step.where:
            return f"{v.protocol.upper()} {v.port}" if v.port else ""
        return cut((f"[{address}]" if ":" in address else address) + (f":{v.port}" if v.port else ""), 23)

    def rules_box(self) -> str:
        if not self.decisions:
            return ""
        top = _BUS - self.height / 2
        x = _MIDDLE - _RULES / 2
        proxy = any(step.kind == "proxy" and not step.evidence for step in self.decisions)
        firewall = next((step.where for step in self.decisions if step.kind == "rules"), "iptables")
        title = f"docker-proxy and {firewall}" if proxy else firewall
        ahead = all(step.state == "ahead" for step in self.decisions)
        parts = [
            f'<rect x="{x:g}" y="{top:g}" width="{_RULES}" height="{self.height:g}" rx="6" '
            f'style="fill:{PAPER};stroke:{FAINT if ahead else INK};stroke-width:1.2"/>',
            text_at(_MIDDLE, top + 18, title, anchor="middle", bold=True, size=12.5),
        ]
        y = top + 18
        for step, lines in zip(self.decisions, self.lines, strict=True):
            for line, bold in lines if step.state != "ahead" else ():
                y += _LINE
                parts.append(text_at(_MIDDLE, y, line, anchor="middle", size=11, bold=bold))
        return "".join(parts)

    def labels(self) -> list[str]:
        """Names of cables, bridges and networks beside their lines."""
        drawn = []
        for x, side in ((_LEFT, self.near), (_RIGHT, self.far)):
            anchor, inner = ("start", x + 18) if x == _LEFT else ("end", x - 18)
            edge = x - 84 if x == _LEFT else x + 84
            for step in side:
                if step.kind == "veth":
                    drawn.append(text_at(inner, _VETH + 4, step.where, anchor=anchor, size=10.5, code=True))
                    drawn.append(
                        text_at(inner, _VETH + 18, "cable (veth)", anchor=anchor, size=10.5, colour=FAINT)
                    )
                else:
                    outer = "start" if x == _LEFT else "end"
                    drawn.append(
                        text_at(edge, _BUS + 22, cut(step.network, 18), anchor=outer, bold=True, size=12.5)
                    )
                    drawn.append(text_at(edge, _BUS + 36, step.where, anchor=outer, size=10.5, code=True))
                    drawn.append(text_at(edge, _BUS + 49, "bridge", anchor=outer, size=10.5, colour=FAINT))
        return drawn

    def numbers(self) -> Sequence[str]:
        """The stations' numbers as in the text, and the outcome's sign at the last one."""
        drawn = []
        points = [point for point in self.points() if point.step.state != "ahead"]
        outcome = self.explanation.verdict.outcome
        for number, point in enumerate(points, 1):
            step, x, y = point.step, point.x, point.y
            final = point is points[-1]
            tip = mark(f"{step.where}: {step.what}")
            if final:
                drawn.append(
                    f'<g><title>{tip}</title><circle cx="{x:g}" cy="{y:g}" r="{_MARK}" style="fill:{INK}"/>'
                    + text_at(x, y + 5, SIGNS[outcome], anchor="middle", size=14, bold=True, colour=PAPER)
                    + "</g>"
                )
            else:
                drawn.append(
                    f'<g><title>{tip}</title><circle cx="{x:g}" cy="{y:g}" r="8.5" '
                    f'style="fill:{PAPER};stroke:{INK};stroke-width:1.5"/>'
                    + text_at(x, y + 3.8, str(number), anchor="middle", size=10.5, bold=True)
                    + "</g>"
                )
        return drawn


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _wire(path: str, colour: str, width: float, *, dash: str = "") -> str:
    dashes = f";stroke-dasharray:{dash}" if dash else ""
    return f'<path d="{path}" style="fill:none;stroke:{colour};stroke-width:{width:g};stroke-linejoin:round{dashes}"/>'
