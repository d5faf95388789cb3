"""Draw what captured packets are made of: their layers side by side, from the outside inwards."""

from __future__ import annotations

from dockernb.measure.capture import Capture, Layer, Packet
from dockernb.view.picture import FAINT, INK, NETWORK_COLOURS, Picture, framed, mark

_LEFT = 4
_ROW, _BAR = 92, 46
_LEAST = 84  # width of a layer's box
_KINDS = 4  # kinds of packets that are drawn
_FILL = dict(zip(("Ethernet", "IPv4", "UDP", "VXLAN", "ICMP", "TCP", "ESP"), NETWORK_COLOURS, strict=False))


def packets_picture(capture: Capture) -> Picture:
    """Draw one packet of each kind, that is of each pile of layers, with the bytes of each layer."""
    kinds: dict[tuple[str, ...], list[Packet]] = {}
    for packet in capture.packets:
        kinds.setdefault(tuple(layer.name for layer in packet.layers), []).append(packet)
    shown = sorted(kinds.values(), key=len, reverse=True)[:_KINDS]
    text = "\n".join(_sentence(packets) for packets in shown) or "No packet was captured."
    if not shown:
        return Picture(f"<p>{text}</p>", text)
    drawn, width = [], 0.0
    for number, packets in enumerate(shown):
        row, end = _row(packets, number * _ROW)
        drawn.append(row)
        width = max(width, end)
    body = "".join(drawn)
    return framed(body, text, title="What the packets are made of", width=width, height=len(shown) * _ROW)


def _sentence(packets: list[Packet]) -> str:
    layers = ", ".join(f"{layer.name} {layer.size}" for layer in packets[0].layers)
    return f"{_count(packets)} of {packets[0].size} bytes: {layers}"


def _count(packets: list[Packet]) -> str:
    return f"{len(packets)} packet{'s' if len(packets) > 1 else ''}"


def _row(packets: list[Packet], y: float) -> tuple[str, float]:
    """One kind of packet: its boxes, and where they end."""
    packet = packets[0]
    about = f"{_count(packets)} like this, {packet.size} bytes on the wire"
    parts = [f'<text x="{_LEFT}" y="{y + 16:g}" style="font-size:12px;fill:{FAINT}">{about}</text>']
    x, inner = float(_LEFT), False
    for layer in packet.layers:
        lines = _lines(layer)
        wide = max(_LEAST, 14 + 7.6 * len(lines[0]), 14 + 6.4 * max(map(len, lines)))
        colour = _FILL.get(layer.name, "#808080")
        weight = 2.5 if inner else 1.2
        parts.append(
            f"<g><title>{mark(f'{layer.name}, {layer.size} bytes {layer.detail}')}</title>"
            f'<rect x="{x:g}" y="{y + 24:g}" width="{wide:g}" height="{_BAR + 12}" '
            f'style="fill:{colour};fill-opacity:0.18;stroke:{INK};stroke-width:{weight}"/>'
        )
        for number, line in enumerate(lines):
            style = f"font-size:{12 if number == 0 else 10.5:g}px;fill:{INK if number == 0 else FAINT}"
            style += ";font-weight:600" if number == 0 else ""
            parts.append(
                f'<text x="{x + 6:g}" y="{y + 40 + 14 * number:g}" style="{style}">{mark(line)}</text>'
            )
        parts.append("</g>")
        inner = inner or layer.name == "VXLAN"
        x += wide + 2
    return "".join(parts), x + 4


def _lines(layer: Layer) -> list[str]:
    """A layer's name and size, then its addresses or what else it says."""
    head = f"{layer.name}, {layer.size} B"
    if layer.source:
        return [head, layer.source, f"→ {layer.target}"]
    return [head, layer.detail] if layer.detail else [head]
