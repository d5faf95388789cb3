"""A capture from a container's file, and the picture of it: who sends what to whom."""

from __future__ import annotations

import io
import struct
import tarfile
import xml.etree.ElementTree as ET
from typing import Any

import docker.errors
import pytest

from dockernb.errors import MeasureError
from dockernb.measure.capture import Capture, pcap
from dockernb.view.sequence import sequence

TILL, WEB = bytes([10, 9, 0, 3]), bytes([10, 9, 0, 2])
SYN, SYN_ACK, PUSH = 0x02, 0x12, 0x18


def packet(source: bytes, target: bytes, flags: int, content: bytes = b"") -> bytes:
    """A frame with TCP: the customer's port is 4000, the server's is 80."""
    ports = (4000, 80) if source == TILL else (80, 4000)
    tcp = struct.pack(">HHIIBBHHH", *ports, 0, 0, 5 << 4, flags, 0, 0, 0) + content
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + source + target
    return bytes.fromhex("024200000001 024200000002 0800") + head + tcp


def file(*frames: bytes) -> bytes:
    """A pcap file, with a millisecond between two frames."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    return head + b"".join(
        struct.pack("<IIII", 100, 1000 * n, len(f), len(f)) + f for n, f in enumerate(frames)
    )


ASKED = file(
    packet(TILL, WEB, SYN),
    packet(WEB, TILL, SYN_ACK),
    packet(TILL, WEB, PUSH, b"GET /shop HTTP/1.1\r\nHost: web\r\n\r\n"),
    packet(WEB, TILL, PUSH, b"HTTP/1.1 404 Not Found\r\n\r\nlost"),
    packet(WEB, TILL, PUSH, b"\x00\x01GET / HTTP/1.1"),
)


class Box:
    """A container with one file."""

    name = "tools"

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def get_archive(self, path: str) -> tuple[Any, dict[str, Any]]:
        if self.content is None:
            raise docker.errors.NotFound("no such file")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            about = tarfile.TarInfo(path.rpartition("/")[2])
            about.size = len(self.content)
            archive.addfile(about, io.BytesIO(self.content))
        data = buffer.getvalue()
        return iter([data[:1000], data[1000:]]), {}


def read(content: bytes | None) -> Capture:
    box: Any = Box(content)
    return pcap(box, "/tmp/capture.pcap")


def test_a_file_in_a_container_is_read() -> None:
    assert read(ASKED).table["carries"].tolist() == [
        "TCP 4000 → 80 SYN",
        "TCP 80 → 4000 SYN ACK",
        "TCP 4000 → 80 ACK, 33 bytes: GET /shop HTTP/1.1",
        "TCP 80 → 4000 ACK, 30 bytes: HTTP/1.1 404 Not Found",
        "TCP 80 → 4000 ACK, 16 bytes",
    ]


def test_no_file_is_said() -> None:
    with pytest.raises(MeasureError, match=r'"tools" has no file /tmp/capture\.pcap'):
        read(None)


@pytest.mark.parametrize("content", [b"", b"something else altogether, long enough for a header"])
def test_another_file_is_said(content: bytes) -> None:
    with pytest.raises(MeasureError, match="cannot be read: this is not a pcap file"):
        read(content)


def test_a_file_that_ends_within_a_packet_has_the_packets_before() -> None:
    assert len(read(ASKED[:-3])) == 4


def test_the_sequence_in_words_and_as_a_picture() -> None:
    shown = sequence(read(ASKED), names={"10.9.0.3": "till"})
    lines = shown.text.splitlines()
    assert lines[0] == "0.0000 s  till → 10.9.0.2: TCP 4000 → 80 SYN"
    assert lines[3] == "0.0030 s  10.9.0.2 → till: TCP 80 → 4000 ACK, 30 bytes: HTTP/1.1 404 Not Found"
    drawing = ET.fromstring(shown.html)
    words = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert words[:3] == ["till", "10.9.0.3", "10.9.0.2"]  # a name with its address below, and an address
    assert drawing.get("role") == "img"
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}g"))) == 5


def test_a_long_capture_says_how_much_is_not_drawn() -> None:
    shown = sequence(read(file(*[packet(TILL, WEB, SYN)] * 42)))
    assert shown.text.splitlines()[-1] == "… and 12 more"
    assert "… and 12 more" in shown.html


def test_no_packets() -> None:
    assert sequence(read(file())).text == "No packet was captured."


def test_who_talks_to_himself() -> None:
    shown = sequence(read(file(packet(TILL, TILL, SYN))))
    assert shown.text == "0.0000 s  10.9.0.3 → 10.9.0.3: TCP 4000 → 80 SYN"
    ET.fromstring(shown.html)
