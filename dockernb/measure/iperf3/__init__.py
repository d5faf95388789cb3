"""iperf3 between two containers: server and client are started, waited for and stopped for you."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import docker

from dockernb.arguments import check_fields
from dockernb.errors import MeasureError
from dockernb.measure.between import CONNECT_LIMIT_S, Pair
from dockernb.measure.iperf3._parse import Throughput, parse
from dockernb.measure.series import Plan, whole_seconds

__all__ = ["Iperf3", "Throughput", "parse"]

_PROGRAM = "/usr/bin/iperf3"


@dataclass(frozen=True, slots=True)
class Iperf3:
    """One arrangement to measure: which container serves, which connects, and how.

    Attributes:
        server: Name of the container that receives (that sends, with ``reverse``).
        client: Name of the container that connects.
        to: Address or name which the client connects to. Without it: the server's address on a network that
            both share, else its first address; for a server on the host network the gateway of the client's
            network, or 127.0.0.1 if the client is on the host network too.
        protocol: "tcp" or "udp".
        reverse: The server sends and the client receives.
        parallel: Number of streams.
        bitrate_mbit_s: Target of the sender over all streams in 10^6 bits a second; None sends as fast as
            it can.
        port: Port on which the server listens.
    """

    server: str
    client: str
    to: str | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    reverse: bool = False
    parallel: int = 1
    bitrate_mbit_s: float | None = None
    port: int = 5201

    def __post_init__(self) -> None:
        check_fields(MeasureError, self)

    def command(self, address: str, seconds: int, omit: int) -> list[str]:
        """The client's arguments, as one would type them after ``iperf3``."""
        words = ["--client", address, "--port", str(self.port), "--time", str(seconds), "--omit", str(omit)]
        words += ["--json", "--interval", "0", "--connect-timeout", str(CONNECT_LIMIT_S * 1000)]
        if self.protocol == "udp":
            words.append("--udp")
        if self.protocol == "udp" or self.bitrate_mbit_s is not None:
            # iperf3 sends UDP at 1 Mbit/s unless told otherwise; its target is for each stream.
            words += ["--bitrate", f"{(self.bitrate_mbit_s or 0) / self.parallel:g}M"]
        if self.reverse:
            words.append("--reverse")
        if self.parallel > 1:
            words += ["--parallel", str(self.parallel)]
        return words

    def plan(self, engine: docker.APIClient, name: str, seconds: float, omit: float) -> Plan:
        """Look both containers up and settle the address.

        Raises:
            MeasureError: A container does not exist, does not run or has no address, or a field makes no sense.
        """
        if self.parallel < 1 or self.protocol not in {"tcp", "udp"}:
            raise MeasureError(f'"{name}": protocol is "tcp" or "udp", and parallel at least 1.')
        whole, warm_up = whole_seconds(name, seconds, omit)
        pair = Pair.of(engine, self.server, self.client, self.to)
        return pair.plan(
            [_PROGRAM, "--server", "--one-off", "--port", str(self.port), "--interval", "0"],
            [_PROGRAM, *self.command(pair.address, whole, warm_up)],
            port=self.port,
            seconds=seconds + omit,
            columns={
                "protocol": self.protocol,
                "direction": "to client" if self.reverse else "to server",
                "parallel": self.parallel,
            },
            kind=Throughput,
            parse=parse,
        )
