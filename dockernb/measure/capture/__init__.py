"""Capture packets on an interface of a lab host while something happens, and read them as a table.

with dn.capture(host, "udp port 4789", interface="eth1") as wire:
    anna.exec_run("ping -c 2 ben")
wire.table
"""

from __future__ import annotations

import base64
import contextlib
import io
import tarfile
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING, Any

import docker.errors
import pandas as pd

from dockernb.arguments import HOST, NAME, SECONDS, TEXT, checked, having
from dockernb.errors import HostError, MeasureError
from dockernb.labhost import LabHost
from dockernb.measure.capture._packets import Layer, Packet, packets

if TYPE_CHECKING:
    from docker.models.containers import Container

__all__ = ["Capture", "Layer", "Packet", "capture", "pcap"]

LIMIT = 120.0  # seconds
MOST = 2000  # packets


class Capture:
    """What was captured: empty until its block has ended.

    Attributes:
        pcap: The file as tcpdump wrote it, for other programs to read.
        packets: The packets, taken apart.
    """

    def __init__(self) -> None:
        self.pcap = b""
        self.packets: tuple[Packet, ...] = ()

    def read(self, pcap: bytes) -> None:
        """Take a pcap file in.

        Raises:
            ValueError: It is none, or one of another kind of link than Ethernet.
        """
        self.pcap, self.packets = pcap, tuple(packets(pcap))

    def __len__(self) -> int:
        return len(self.packets)

    def __repr__(self) -> str:
        return f"<Capture of {len(self)} packets>"

    @property
    def table(self) -> pd.DataFrame:
        """One row a packet.

        Returns:
            Columns: seconds (since the first packet), bytes (on the wire), source and target (the outer addresses),
            carries (the outer layers), vni (of a VXLAN packet, else missing), inner_source, inner_target, inner (what
            a VXLAN packet holds, else empty).
        """
        first = self.packets[0].at if self.packets else 0.0
        rows = [_row(packet, packet.at - first) for packet in self.packets]
        columns = [
            "seconds",
            "bytes",
            "source",
            "target",
            "carries",
            "vni",
            "inner_source",
            "inner_target",
            "inner",
        ]
        return pd.DataFrame(rows, columns=columns).astype({"vni": "Int64"})


def _row(packet: Packet, seconds: float) -> dict[str, Any]:
    """One row of the table."""
    names = [layer.name for layer in packet.layers]
    cut = names.index("VXLAN") + 1 if "VXLAN" in names else len(names)
    outer, inner = packet.layers[:cut], packet.layers[cut:]
    row: dict[str, Any] = {"seconds": round(seconds, 4), "bytes": packet.size}
    row["source"], row["target"] = _addresses(outer)
    row["carries"] = _said(outer)
    row["vni"] = int(outer[-1].detail.removeprefix("VNI ")) if inner else pd.NA
    row["inner_source"], row["inner_target"] = _addresses(inner)
    row["inner"] = _said(inner)
    return row


def _addresses(layers: tuple[Layer, ...]) -> tuple[str, str]:
    """The addresses of the innermost of these layers that has some."""
    return next(((one.source, one.target) for one in reversed(layers) if one.source), ("", ""))


def _said(layers: tuple[Layer, ...]) -> str:
    """The layers within Ethernet and IP, in words."""
    told = [layer for layer in layers if layer.name not in {"Ethernet", "IPv4", "VXLAN"}]
    words = [f"{layer.name} {layer.detail}".strip() for layer in told]
    return ", ".join([*words, *(["VXLAN"] if any(layer.name == "VXLAN" for layer in layers) else [])])


@checked(MeasureError, host=HOST, filter=TEXT, interface=NAME, limit=SECONDS)
@contextlib.contextmanager
def capture(host: LabHost, filter: str = "", *, interface: str, limit: float = LIMIT) -> Iterator[Capture]:
    """Capture what passes an interface of a lab host while the block runs.

    Args:
        host: The lab host.
        filter: Which packets, as tcpdump takes it (pcap-filter(7)); empty for all.
        interface: The interface, for example "eth1".
        limit: Seconds after which the capture ends by itself.

    Yields:
        The capture, which has its packets when the block has ended. More than 2000 are not taken.

    Raises:
        MeasureError: tcpdump does not know the interface or the filter.
        HostError: The lab host is gone.
    """
    source = resources.files(__package__).joinpath("_inside.py").read_text(encoding="utf-8")
    order = {"do": "begin", "interface": interface, "filter": filter, "limit": limit, "most": MOST}
    try:
        place = host.call(source, order)["place"]
    except HostError as problem:
        if "RuntimeError" not in str(problem):
            raise
        said = str(problem).partition("RuntimeError: ")[2].splitlines()[-1]
        raise MeasureError(f"The capture did not begin: {said}.") from problem
    taken = Capture()
    try:
        yield taken
    finally:
        found = host.call(source, {"do": "end", "place": place})
        taken.read(base64.b64decode(found["pcap"]))


_CONTAINER = having("get_archive", "a container, as lab.docker.containers.get gives it")


@checked(MeasureError, container=_CONTAINER, path=NAME)
def pcap(container: Container, path: str) -> Capture:
    """Read a pcap file that tcpdump wrote in a container.

    Args:
        container: The container, which need not run any more.
        path: Where the file is in it, for example "/tmp/capture.pcap".

    Raises:
        MeasureError: There is no such file, or it is none of tcpdump's, or not of Ethernet.
    """
    try:
        stream, _ = container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            held = archive.extractfile(archive.getmembers()[0])
            content = held.read() if held else b""
    except docker.errors.NotFound:
        raise MeasureError(
            f'"{container.name}" has no file {path}: has tcpdump written it, and where?'
        ) from None
    except (KeyError, IndexError, tarfile.TarError):  # a link that leads nowhere
        raise MeasureError(f'{path} of "{container.name}" is no file.') from None
    taken = Capture()
    try:
        taken.read(content)
    except ValueError as problem:
        raise MeasureError(f"{path} cannot be read: {problem}.") from None
    return taken
