"""Take packets of a pcap file apart: Ethernet, IPv4, ARP, UDP, TCP, ICMP, VXLAN (RFC 7348), ESP (RFC 4303)."""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

VXLAN_PORT = 4789
_ETHERNET_LINK = 1
_IPV4, _ARP, _VLAN, _IPV6 = 0x0800, 0x0806, 0x8100, 0x86DD
_ICMP = {0: "echo reply", 3: "unreachable", 8: "echo request", 11: "time exceeded"}
_HTTP = re.compile(
    rb"(?:GET|HEAD|POST|PUT|DELETE) [!-~]{1,60} HTTP/1\.[01]|HTTP/1\.[01] [ -~]{3,60}"
)  # its first line
_FLAGS = ((0x02, "SYN"), (0x01, "FIN"), (0x04, "RST"), (0x10, "ACK"))


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a packet, from the outside inwards.

    Attributes:
        name: "Ethernet", "IPv4", "UDP", "VXLAN", ...
        size: Bytes of its header; of the last layer, of all that is left.
        source: Its source address, or empty.
        target: Its target address, or empty.
        detail: What else it says: ports, a VNI, an ICMP type.
    """

    name: str
    size: int
    source: str = ""
    target: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet: when it passed (seconds since 1970), how long it was on the wire (bytes), and its layers."""

    at: float
    size: int
    layers: tuple[Layer, ...]


def packets(pcap: bytes) -> Iterator[Packet]:
    """The packets of a pcap file as tcpdump writes it.

    Raises:
        ValueError: It is no such file, or one of another kind of link than Ethernet.
    """
    orders = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}
    order = orders.get(pcap[:4])
    if order is None or len(pcap) < 24:
        raise ValueError("this is not a pcap file")
    (link,) = struct.unpack_from(f"{order}I", pcap, 20)
    if link != _ETHERNET_LINK:
        raise ValueError(f"this is a capture of link type {link}, not of Ethernet")
    offset = 24
    while offset + 16 <= len(pcap):
        seconds, micro, held, size = struct.unpack_from(f"{order}4I", pcap, offset)
        offset += 16
        if offset + held > len(pcap):
            return  # the capture was cut off within a packet
        yield Packet(seconds + micro / 1e6, size, tuple(_ethernet(pcap[offset : offset + held])))
        offset += held


def _mac(data: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in data)


def _ethernet(data: bytes) -> Iterator[Layer]:
    if len(data) < 14:
        yield Layer("?", len(data))
        return
    (kind,) = struct.unpack_from(">H", data, 12)
    tag, rest = "", data[14:]
    if kind == _VLAN and len(rest) >= 4:
        number, kind = struct.unpack_from(">HH", rest)
        tag, rest = f"VLAN {number & 0xFFF}", rest[4:]
    yield Layer("Ethernet", len(data) - len(rest), _mac(data[6:12]), _mac(data[:6]), tag)
    if kind == _IPV4:
        yield from _ipv4(rest)
    elif kind == _ARP and len(rest) >= 28:
        asks = struct.unpack_from(">H", rest, 6)[0] == 1
        source, target = (str(ipaddress.IPv4Address(rest[at : at + 4])) for at in (14, 24))
        yield Layer("ARP", len(rest), source, target, f"who has {target}?" if asks else f"{source} is here")
    elif kind == _IPV6 and len(rest) >= 40:
        source, target = (str(ipaddress.IPv6Address(rest[at : at + 16])) for at in (8, 24))
        yield Layer("IPv6", len(rest), source, target)
    else:
        yield Layer("?", len(rest), detail=f"type {kind:#06x}")


def _ipv4(data: bytes) -> Iterator[Layer]:
    size = (data[0] & 0x0F) * 4 if data else 0
    if size < 20 or len(data) < size:
        yield Layer("?", len(data))
        return
    protocol = data[9]
    source, target = (str(ipaddress.IPv4Address(data[at : at + 4])) for at in (12, 16))
    yield Layer("IPv4", size, source, target)
    inside = data[size : max(size, struct.unpack_from(">H", data, 2)[0])]  # Ethernet pads short packets
    if protocol == 1 and len(inside) >= 8:
        yield Layer("ICMP", len(inside), detail=_ICMP.get(inside[0], f"type {inside[0]}"))
    elif protocol == 6 and len(inside) >= 20:
        yield _tcp(inside)
    elif protocol == 17 and len(inside) >= 8:
        yield from _udp(inside)
    elif protocol == 50 and len(inside) >= 8:
        yield Layer("ESP", 8, detail=f"SPI {struct.unpack_from('>I', inside)[0]:#010x}")
        yield Layer("encrypted", len(inside) - 8)
    else:
        yield Layer("?", len(inside), detail=f"protocol {protocol}")


def _tcp(data: bytes) -> Layer:
    here, there = struct.unpack_from(">HH", data)
    said = " ".join(name for bit, name in _FLAGS if data[13] & bit)
    content = data[(data[12] >> 4) * 4 :]
    about = f", {len(content)} bytes" if content else ""
    if line := _HTTP.match(content):
        about += f": {line[0].decode()}"
    return Layer("TCP", len(data), detail=f"{here} → {there} {said}{about}")


def _udp(data: bytes) -> Iterator[Layer]:
    here, there = struct.unpack_from(">HH", data)
    if there != VXLAN_PORT or len(data) < 16:
        yield Layer("UDP", len(data), detail=f"{here} → {there}")
        return
    yield Layer("UDP", 8, detail=f"{here} → {there}")
    yield Layer("VXLAN", 8, detail=f"VNI {struct.unpack_from('>I', data, 12)[0] >> 8}")
    yield from _ethernet(data[16:])
