"""What sockperf printed, as numbers with units. Pure: text in, a `RoundTrip` out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dockernb.measure.series import Reading

_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_PERCENTILE = re.compile(r"percentile (\d+\.\d+) = +([\d.]+)")
_MEAN = re.compile(r"avg-rtt=([\d.]+)")
_COUNT = re.compile(r"Total (\d+) observations")
_VERSION = re.compile(r"version #([\d.]+)")


@dataclass(frozen=True, slots=True)
class RoundTrip(Reading):
    """The result of one sockperf run: times from sending a message to having its answer.

    Attributes:
        latency_p50_ms: Half of the round trips took no longer, in milliseconds.
        latency_p99_ms: 99 of 100 took no longer.
        latency_mean_ms: Their mean.
        messages: How many there were.
    """

    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    latency_mean_ms: float | None = None
    messages: int | None = None


def parse(text: str) -> RoundTrip:
    """Read the output of ``sockperf ping-pong --full-rtt``, whose times are microseconds.

    Args:
        text: Standard output of the client.
    """
    text = _COLOURS.sub("", text)
    version = found[1] if (found := _VERSION.search(text)) else ""
    if "ERROR" in text:
        reason = text.partition("ERROR:")[2].strip().splitlines()
        said = reason[0] if reason else "sockperf gave no reason"
        said = re.sub(r"\(errno=\d+ (.*)\)", r"(\1)", said.replace(" (errno=0 Success)", ""))
        return RoundTrip(version=version, error=said.replace("`", "'"))
    shares = {share: float(value) / 1000 for share, value in _PERCENTILE.findall(text)}
    mean, count = _MEAN.search(text), _COUNT.search(text)
    if not (mean and count and {"50.000", "99.000"} <= shares.keys()):
        return RoundTrip(version=version, error="sockperf's report is not complete: the run was cut short")
    return RoundTrip(
        version=version,
        latency_p50_ms=shares["50.000"],
        latency_p99_ms=shares["99.000"],
        latency_mean_ms=float(mean[1]) / 1000,
        messages=int(count[1]),
    )
