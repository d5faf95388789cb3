"""What iperf3 printed, as numbers with units. Pure: text in, a `Throughput` out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dockernb.measure.series import Reading


@dataclass(frozen=True, slots=True)
class Throughput(Reading):
    """The result of one iperf3 run. What iperf3 does not report for a protocol or a direction is None.

    Attributes:
        throughput_gbit_s: What arrived at the receiver, in 10^9 bits a second, without the omitted warm-up.
        retransmits: TCP segments that the sender had to send again.
        rtt_mean_ms: Mean of the round-trip times that the sender's TCP saw, in milliseconds, over its
            streams.
        jitter_ms: UDP only: variation of the transit time, in milliseconds.
        lost_percent: UDP only: datagrams that did not arrive.
        cpu_sender_percent: CPU time of the sending process; 100 is one CPU.
        cpu_receiver_percent: The same for the receiving process.
    """

    throughput_gbit_s: float | None = None
    retransmits: int | None = None
    rtt_mean_ms: float | None = None
    jitter_ms: float | None = None
    lost_percent: float | None = None
    cpu_sender_percent: float | None = None
    cpu_receiver_percent: float | None = None


def parse(text: str) -> Throughput:
    """Read the output of ``iperf3 --json``.

    The exit code is no guide: iperf3 3.12 exits 0 when the connection was refused. An ``error`` key, a
    missing sum or text that is no JSON all make a failed run.

    Args:
        text: Standard output of the client.
    """
    if not text.strip():
        return Throughput(error="iperf3 printed nothing")
    try:
        data = json.loads(text)
    except ValueError:
        return Throughput(error="iperf3's output is not complete JSON: the run was cut short")
    if not isinstance(data, dict):
        return Throughput(error="iperf3's output is not the report of a run")
    start = _section(data, "start")
    version = str(start.get("version", "")).removeprefix("iperf ")
    if data.get("error"):
        return Throughput(version=version, error=_plain(str(data["error"])))
    end = _section(data, "end")
    received = _section(end, "sum_received")
    if "bits_per_second" not in received:
        return Throughput(version=version, error="iperf3 reported no sum for the receiver")

    test = _section(start, "test_start")
    udp, reverse = test.get("protocol") == "UDP", bool(test.get("reverse"))
    sent, cpu = _section(end, "sum_sent"), _section(end, "cpu_utilization_percent")
    sender, receiver = ("remote", "host") if reverse else ("host", "remote")
    # The kernel's round-trip time is known where the client sends; in reverse iperf3 prints 0.
    rtts = [rtt for stream in end.get("streams", ()) if (rtt := _section(stream, "sender").get("mean_rtt"))]
    return Throughput(
        throughput_gbit_s=received["bits_per_second"] / 1e9,
        retransmits=None if udp else sent.get("retransmits"),
        rtt_mean_ms=sum(rtts) / len(rtts) / 1000 if rtts else None,
        jitter_ms=received.get("jitter_ms") if udp else None,
        lost_percent=received.get("lost_percent") if udp else None,
        cpu_sender_percent=cpu.get(f"{sender}_total"),
        cpu_receiver_percent=cpu.get(f"{receiver}_total"),
        version=version,
    )


def _plain(error: str) -> str:
    """Iperf3's own words, without the guesses that newer versions add to a failed connection."""
    text = error.removeprefix("error - ")
    connecting = "unable to connect to server"
    return f"{connecting}: {text.rpartition(': ')[2]}" if text.startswith(connecting) else text


def _section(data: Any, key: str) -> Mapping[str, Any]:
    """A part of the report, empty where it is missing or of another kind."""
    part = data.get(key) if isinstance(data, dict) else None
    return part if isinstance(part, dict) else {}
