"""What pgbench printed, as numbers with units. Pure: text in, `Transactions` out."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dockernb.measure.series import Reading


@dataclass(frozen=True, slots=True)
class Transactions(Reading):
    """The result of one pgbench run.

    Attributes:
        transactions: How many were done in the measured time.
        transactions_per_s: How many a second, without the time to connect.
        latency_mean_ms: What one took, in milliseconds, as its client saw it.
        latency_p50_ms: Half of them took no longer.
        latency_p99_ms: 99 of 100 took no longer.
    """

    transactions: int | None = None
    transactions_per_s: float | None = None
    latency_mean_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None


def parse(text: str) -> Transactions:
    """Read what ``pgbench --time`` prints, standard error among it.

    pgbench prints figures of what it did before it failed: a run with an error is a failed one whatever else it says.
    """
    version = _found(r"^pgbench \((\d[\w.]*)", text)
    if errors := re.findall(r"(?m)^pgbench: (?:error|fatal): (.*)$", text):
        return Transactions(version=version, error=errors[0].strip())
    count = _found(r"^number of transactions actually processed: (\d+)", text)
    failed = _found(r"^number of failed transactions: (\d+)", text)
    mean = _found(r"^latency average = ([\d.]+) ms", text)
    rate = _found(r"^tps = ([\d.]+) \(without initial connection time\)", text)
    if count == "0":
        return Transactions(version=version, error="no transaction was done in the measured time")
    if not (count and mean and rate):
        return Transactions(version=version, error="pgbench's output is not complete: the run was cut short")
    if failed and failed != "0":
        return Transactions(version=version, error=f"{failed} transactions failed")
    return Transactions(version, "", int(count), float(rate), float(mean))


def reading(answer: Mapping[str, Any]) -> Transactions:
    """A run that could not be made, or what pgbench printed, with the percentiles of its log."""
    if answer["error"]:
        return Transactions(error=answer["error"])
    read, times = parse(answer["output"]), sorted(answer["times_us"])
    if read.error or not times:
        return read
    return dataclasses.replace(read, latency_p50_ms=_share(times, 0.5), latency_p99_ms=_share(times, 0.99))


def _share(ordered: Sequence[int], share: float) -> float:
    """The smallest time that this share of all took at most (nearest rank), from microseconds to milliseconds."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] / 1000


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else ""
