"""Draw captured packets as a sequence: who sends what to whom, one below the other."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from dockernb.arguments import NONE, TEXT, a, by_name, checked
from dockernb.errors import MeasureError
from dockernb.measure.capture import Capture, Packet
from dockernb.view.picture import FAINT, INK, LINE, NETWORK_COLOURS, Picture, framed, mark

_TIME, _ROW, _HEAD = 76, 34, 52
_LANES = {2: 430, 3: 300}  # between two machines; with few of them the arrows have room for more words
_CROWD = 240
_MOST = 30  # packets that are drawn
_LETTER = 6.0  # the width of one on an arrow
_COLOURS = dict(zip(("ARP", "TCP", "UDP", "ICMP"), NETWORK_COLOURS, strict=False))
_ADDRESSED = ("IPv4", "IPv6", "ARP")


@checked(
    MeasureError,
    capture=a(Capture, "what dn.capture or dn.pcap gave"),
    names=by_name(TEXT, 'texts by address, such as {"10.0.0.2": "web"}') | NONE,
)
def sequence(capture: Capture, *, names: Mapping[str, str] | None = None) -> Picture:
    """Draw packets as arrows between the machines that sent and received them, from the top down.

    Of a packet within a packet (VXLAN) the outer one is drawn. More than 30 packets are not drawn; the text says
    how many are left.

    Args:
        capture: What `capture` or `pcap` returned.
        names: What is written in place of an address.
    """
    steps = [step for packet in capture.packets[:_MOST] if (step := _step(packet, capture.packets[0].at))]
    if not steps:
        text = "No packet was captured."
        return Picture(f"<p>{text}</p>", text)
    who = list(dict.fromkeys(address for step in steps for address in step[1:3]))
    called = {address: (names or {}).get(address, address) for address in who}
    told = [
        f"{at:.4f} s  {called[source]} → {called[target]}: {what}" for at, source, target, _, what in steps
    ]
    if left := len(capture) - _MOST:
        told += [f"… and {left} more"] if left > 0 else []
    text = "\n".join(told)
    height = _HEAD + _ROW * len(steps) + (30 if len(told) > len(steps) else 12)
    lane = _LANES.get(len(who), _CROWD)
    width = _TIME + lane * max(1, len(who) - 1) + 170
    lanes = {address: _TIME + 80 + lane * number for number, address in enumerate(who)}
    body = "".join(
        [_lane(lanes[address], called[address], address, height) for address in who]
        + [
            _arrow(lanes, step, _HEAD + _ROW * row, round(lane / _LETTER) - 4)
            for row, step in enumerate(steps)
        ]
    )
    if len(told) > len(steps):
        body += (
            f'<text x="{_TIME}" y="{height - 8}" style="font-size:12px;fill:{FAINT}">{mark(told[-1])}</text>'
        )
    return framed(body, text, title="Who sends what to whom", width=width, height=height)


def _step(packet: Packet, first: float) -> tuple[float, str, str, str, str] | None:
    """When, from whom, to whom, which kind, and what; None where nobody is addressed."""
    for number, layer in enumerate(packet.layers):
        if layer.name in _ADDRESSED:
            inner = [layer] if layer.name == "ARP" else packet.layers[number + 1 :]
            kind = inner[0].name if inner else layer.name
            what = " ".join(part for part in (kind, inner[0].detail if inner else "") if part)
            # An ARP question is for everybody, and it is the one who has the address that is asked.
            return packet.at - first, layer.source, layer.target, kind, what
    return None


def _lane(x: float, called: str, address: str, height: float) -> str:
    """A machine: its name at the top, and its line through time."""
    below = f'<text x="{x:g}" y="36" text-anchor="middle" style="font-size:10.5px;fill:{FAINT}">{mark(address)}</text>'
    return (
        f'<line x1="{x:g}" y1="42" x2="{x:g}" y2="{height - 6:g}" style="stroke:{LINE};stroke-width:1.5"/>'
        f'<text x="{x:g}" y="20" text-anchor="middle" style="font-size:13px;font-weight:600;fill:{INK}">'
        f"{mark(called)}</text>{below if called != address else ''}"
    )


def _arrow(lanes: Mapping[str, float], step: tuple[float, str, str, str, str], y: float, most: int) -> str:
    """One packet: its time on the left, an arrow, and what it is above the arrow."""
    at, source, target, kind, what = step
    begin, end = lanes[source], lanes[target]
    label = textwrap.shorten(what, most, placeholder=" …")
    colour = _COLOURS.get(kind, "#808080")
    time = f'<text x="4" y="{y + 24:g}" style="font-size:11px;fill:{FAINT}">{at * 1000:.2f} ms</text>'
    y += 20
    if begin == end:
        line, head = f"M{begin:g} {y:g} h34 v8 h-28", f"M{begin + 1:g} {y + 8:g} l9 -4.5 v9 z"
        middle, anchor = begin + 42, "start"
    else:
        side = 1 if end > begin else -1
        line, head = f"M{begin:g} {y:g} H{end - 8 * side:g}", f"M{end - side:g} {y:g} l{-9 * side} -4.5 v9 z"
        middle, anchor = (begin + end) / 2, "middle"
    return (
        f"<g><title>{mark(what)}</title>{time}"
        f'<path d="{line}" style="fill:none;stroke:{colour};stroke-width:1.8"/>'
        f'<path d="{head}" style="fill:{colour}"/>'
        f'<text x="{middle:g}" y="{y - 5:g}" text-anchor="{anchor}" style="font-size:11.5px;fill:{INK}">'
        f"{mark(label)}</text></g>"
    )
