"""Packets taken apart: real ones of an overlay network between two lab hosts, and ones made for a case."""

from __future__ import annotations

import base64
import struct
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from dockernb.errors import HostError, MeasureError
from dockernb.measure.capture import Capture, Packet, capture
from dockernb.measure.capture._packets import packets
from dockernb.view import look

# Captured by tcpdump on the wire between two lab hosts: a ping from 10.20.1.2 to 10.20.1.4 over VXLAN, and its answer.
VXLAN = base64.b64decode(
    "1MOyoQIABAAAAAAAAAAAAAAABAABAAAAnWMFa4sJCQCUAAAAlAAAAFJUAAABA1JUAAABAggARQAAhjK3AABAEfNDxjNkAsYzZAPUERK1AHJU8AgA"
    "AAAAEAEAAkIKFAEEAkIKFAECCABFAABU5PxAAEABP38KFAECChQBBAgAL5cevQABnWMFawAAAAA/CQkAAAAAABAREhMUFRYXGBkaGxwdHh8gISIj"
    "JCUmJygpKissLS4vMDEyMzQ1NjedYwVrCgoJAJQAAACUAAAAUlQAAAECUlQAAAEDCABFAACGKHgAAEAR/YLGM2QDxjNkAtQRErUAclTwCAAAAAAQ"
    "AQACQgoUAQICQgoUAQQIAEUAAFQ8KgAAQAEoUgoUAQQKFAECAAA3lx69AAGdYwVrAAAAAD8JCQAAAAAAEBESExQVFhcYGRobHB0eHyAhIiMkJSYn"
    "KCkqKywtLi8wMTIzNDU2Nw=="
)


def pcap(*frames: bytes, link: int = 1) -> bytes:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)
    return head + b"".join(struct.pack("<IIII", 100 + n, 0, len(f), len(f)) + f for n, f in enumerate(frames))


def frame(content: bytes, kind: int = 0x0800, tag: bytes = b"") -> bytes:
    return bytes.fromhex("525400000103 525400000102") + tag + struct.pack(">H", kind) + content


def ipv4(protocol: int, content: bytes) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(content), 0, 0, 64, protocol, 0)
    return head + bytes([198, 51, 100, 2]) + bytes([198, 51, 100, 3]) + content


def taken(data: bytes) -> Capture:
    made = Capture()
    made.read(data)
    return made


def names(packet: Packet) -> list[tuple[str, int]]:
    return [(layer.name, layer.size) for layer in packet.layers]


def test_a_vxlan_packet_is_two_packets() -> None:
    wire = taken(VXLAN)
    assert len(wire) == 2
    assert names(wire.packets[0]) == [
        ("Ethernet", 14),
        ("IPv4", 20),
        ("UDP", 8),
        ("VXLAN", 8),
        ("Ethernet", 14),
        ("IPv4", 20),
        ("ICMP", 64),
    ]
    assert sum(layer.size for layer in wire.packets[0].layers) == wire.packets[0].size == 148
    there, back = wire.table.to_dict("records")
    assert (there["source"], there["target"], there["vni"]) == ("198.51.100.2", "198.51.100.3", 4097)
    assert (there["inner_source"], there["inner_target"]) == ("10.20.1.2", "10.20.1.4")
    assert (there["inner"], back["inner"]) == ("ICMP echo request", "ICMP echo reply")
    assert there["seconds"] == 0 < back["seconds"] < 0.01


def test_what_is_encrypted_says_who_talks_and_nothing_else() -> None:
    esp = struct.pack(">II", 0x8F1A8EC5, 3) + bytes(132)
    wire = taken(pcap(frame(ipv4(50, esp))))
    (row,) = wire.table.to_dict("records")
    assert names(wire.packets[0])[2:] == [("ESP", 8), ("encrypted", 132)]
    assert (row["source"], row["target"], row["inner_source"], row["inner"]) == (
        "198.51.100.2",
        "198.51.100.3",
        "",
        "",
    )
    assert row["carries"] == "ESP SPI 0x8f1a8ec5, encrypted"
    assert wire.table["vni"].isna().all()


@pytest.mark.parametrize(
    ("data", "carries"),
    [
        (
            frame(ipv4(6, struct.pack(">HHIIBBHHH", 40000, 80, 0, 0, 0x50, 0x02, 0, 0, 0))),
            "TCP 40000 → 80 SYN",
        ),
        (
            frame(ipv4(6, struct.pack(">HHIIBBHHH", 80, 40000, 0, 0, 0x50, 0x10, 0, 0, 0) + b"hello")),
            "TCP 80 → 40000 ACK, 5 bytes",
        ),
        (frame(ipv4(17, struct.pack(">HHHH", 50000, 53, 8, 0))), "UDP 50000 → 53"),
        (frame(ipv4(1, bytes([3, 1, 0, 0, 0, 0, 0, 0]))), "ICMP unreachable"),
        (frame(ipv4(89, b"x" * 8)), "? protocol 89"),
        (frame(ipv4(6, b"short")), "? protocol 6"),
        (frame(b"\x60" + bytes(39), 0x86DD), "IPv6"),
        (frame(b"x" * 10, 0x1234), "? type 0x1234"),
        (b"short", "?"),
        (
            frame(ipv4(1, bytes([8, 0, 0, 0, 0, 0, 0, 0])) + bytes(40)),
            "ICMP echo request",
        ),  # Ethernet's padding
    ],
)
def test_other_packets(data: bytes, carries: str) -> None:
    assert taken(pcap(data)).table["carries"].tolist() == [carries]


def test_arp_and_vlan() -> None:
    asks = (
        struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1)
        + bytes(6)
        + bytes([10, 0, 0, 1])
        + bytes(6)
        + bytes([10, 0, 0, 2])
    )
    wire = taken(pcap(frame(asks, 0x0806, tag=struct.pack(">HH", 0x8100, 42))))
    (row,) = wire.table.to_dict("records")
    assert (row["source"], row["target"], row["carries"]) == ("10.0.0.1", "10.0.0.2", "ARP who has 10.0.0.2?")
    assert wire.packets[0].layers[0].detail == "VLAN 42"
    assert names(wire.packets[0])[0] == ("Ethernet", 18)


def test_a_capture_that_was_cut_off_has_what_is_whole() -> None:
    assert len(list(packets(VXLAN[:-1]))) == 1


@pytest.mark.parametrize("data", [b"", b"no pcap file at all, but long enough", pcap(link=101)])
def test_what_is_no_capture(data: bytes) -> None:
    with pytest.raises(ValueError, match="this is"):
        list(packets(data))


def test_nothing_captured() -> None:
    empty = taken(pcap())
    assert len(empty.table) == 0
    assert "inner" in empty.table
    assert look(empty).text == "No packet was captured."


def test_the_picture_has_a_row_for_each_kind_of_packet() -> None:
    wire = taken(VXLAN + pcap(frame(ipv4(17, struct.pack(">HHHH", 5, 6, 8, 0))))[24:])
    picture = look(wire)
    words = [
        "".join(text.itertext())
        for text in ET.fromstring(picture.html).iter("{http://www.w3.org/2000/svg}text")
    ]
    assert words.count("2 packets like this, 148 bytes on the wire") == 1
    assert words.count("1 packet like this, 42 bytes on the wire") == 1
    assert {"VXLAN, 8 B", "VNI 4097", "10.20.1.2", "→ 10.20.1.4", "198.51.100.2"} <= set(words)
    assert picture.text.splitlines() == [
        "2 packets of 148 bytes: Ethernet 14, IPv4 20, UDP 8, VXLAN 8, Ethernet 14, IPv4 20, ICMP 64",
        "1 packet of 42 bytes: Ethernet 14, IPv4 20, UDP 8",
    ]


class Host:
    """A lab host whose tcpdump says what the test wants."""

    def __init__(self, begin: Any) -> None:
        self.begin, self.asked = begin, []  # type: ignore[var-annotated]

    def call(self, _source: str, argument: dict[str, Any]) -> Any:
        self.asked.append(argument["do"])
        if argument["do"] == "end":
            return {"pcap": base64.b64encode(VXLAN).decode()}
        if isinstance(self.begin, Exception):
            raise self.begin
        return self.begin


def test_the_capture_ends_with_its_block_however_that_ends() -> None:
    host = Host({"place": "/tmp/capture-x"})
    with pytest.raises(ZeroDivisionError), capture(host, interface="eth1") as wire:  # type: ignore[arg-type]
        assert len(wire) == 0
        raise ZeroDivisionError
    assert host.asked == ["begin", "end"]
    assert len(wire) == 2


def test_an_interface_that_is_not_there_is_a_sentence() -> None:
    host = Host(HostError("On the lab host: RuntimeError: tcpdump: eth7: No such device exists"))
    with (
        pytest.raises(
            MeasureError, match=r"The capture did not begin: tcpdump: eth7: No such device exists\."
        ),
        capture(host, interface="eth7"),
    ):  # type: ignore[arg-type]
        pass
    with pytest.raises(HostError, match="gone"), capture(Host(HostError("gone")), interface="eth1"):  # type: ignore[arg-type]
        pass
