"""sockperf between two containers: how long a small message takes there and back."""

from __future__ import annotations

from dataclasses import dataclass

import docker

from dockernb.arguments import check_fields
from dockernb.errors import MeasureError
from dockernb.measure.between import Pair
from dockernb.measure.series import Plan, whole_seconds
from dockernb.measure.sockperf._parse import RoundTrip, parse

__all__ = ["RoundTrip", "Sockperf", "parse"]

_PROGRAM = "/usr/bin/sockperf"


@dataclass(frozen=True, slots=True)
class Sockperf:
    """One arrangement to measure: a message over TCP and its answer, one after the other.

    Attributes:
        server: Name of the container that answers.
        client: Name of the container that asks.
        to: Address which the client connects to; without it as for `dockernb.measure.Iperf3`.
        message_bytes: Size of the message and of its answer; sockperf's least is 14.
        port: Port on which the server listens.
    """

    server: str
    client: str
    to: str | None = None
    message_bytes: int = 64
    port: int = 11111

    def __post_init__(self) -> None:
        check_fields(MeasureError, self)

    def command(self, address: str, seconds: int) -> list[str]:
        """The client's arguments, as one would type them after ``sockperf``."""
        words = ["ping-pong", "--tcp", "--ip", address, "--port", str(self.port), "--time", str(seconds)]
        return [*words, "--msg-size", str(self.message_bytes), "--full-rtt"]

    def plan(self, engine: docker.APIClient, name: str, seconds: float, omit: float) -> Plan:
        """Look both containers up and settle the address.

        Raises:
            MeasureError: A container does not exist, does not run or has no address, or a field makes no sense.
        """
        if not 14 <= self.message_bytes <= 65_000:
            raise MeasureError(f'"{name}": message_bytes is between 14 and 65000.')
        whole = sum(whole_seconds(name, seconds, omit))
        pair = Pair.of(engine, self.server, self.client, self.to)
        # sockperf leaves out the first 0.4 seconds by itself, and has no option for it.
        return pair.plan(
            # Without --uc-reuseaddr the port is taken for a minute after each run.
            [_PROGRAM, "server", "--tcp", "--ip", "0.0.0.0", "--port", str(self.port), "--uc-reuseaddr"],
            [_PROGRAM, *self.command(pair.address, whole)],
            port=self.port,
            seconds=seconds + omit,
            columns={"message_bytes": self.message_bytes},
            kind=RoundTrip,
            parse=parse,
        )
