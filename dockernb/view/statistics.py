"""Medians, their intervals, and what may be claimed from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.9
"""At least this probability that an interval holds the true median; five runs give 0.94."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One group of samples; `low` to `high` is the interval of the median, `sure` if it has `CONFIDENCE`."""

    name: str
    samples: tuple[float, ...]
    failed: int
    median: float
    low: float
    high: float
    sure: bool


def summarise(name: str, samples: Sequence[float], failed: int = 0) -> Summary:
    """Median of the samples and an interval for the true median, by order statistics.

    The interval assumes nothing about how the samples are distributed: it runs from the k-th smallest to the
    k-th largest, with the largest k that holds the true median with a probability of at least `CONFIDENCE`
    (binomial; Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2). Five to seven runs give the
    full range; fewer than five never reach the probability, and the range is what is left.
    """
    values = sorted(samples)
    n = len(values)
    if n == 0:
        return Summary(name, (), failed, math.nan, math.nan, math.nan, sure=False)
    tail, k = 0.5**n, 1
    while k < n // 2 and 1 - 2 * (tail + math.comb(n, k) * 0.5**n) >= CONFIDENCE:
        tail += math.comb(n, k) * 0.5**n
        k += 1
    middle = (values[(n - 1) // 2] + values[n // 2]) / 2
    return Summary(
        name, tuple(samples), failed, middle, values[k - 1], values[n - k], sure=1 - 2 * 0.5**n >= CONFIDENCE
    )


def verdict(groups: Sequence[Summary], *, least: bool = False) -> str:
    """Which group is the best, in a sentence; "No winner" where its interval meets another's.

    Args:
        groups: What is compared.
        least: Small is good, as with times.
    """
    measured = sorted((g for g in groups if g.samples), key=lambda g: g.median if least else -g.median)
    if not measured:
        return "No run succeeded."
    if len(measured) == 1:
        return ""
    best, second = measured[:2]
    if few := [g.name for g in measured if not g.sure]:
        return f"No winner: {_listed(few)} need{'s' * (len(few) == 1)} five good runs."
    if close := [g.name for g in measured[1:] if g.high >= best.low and g.low <= best.high]:
        return f"No winner: the intervals of {_listed([best.name, *close])} overlap."
    if least:
        return (
            f"{best.name} is quickest: {second.name} takes {_times(second.median / best.median)} × as long."
        )
    if second.median <= 0:
        return f"{best.name} is fastest: nothing came through {second.name}."
    return f"{best.name} is fastest: {_times(best.median / second.median)} × {second.name}; the intervals are apart."


def _times(ratio: float) -> str:
    """A ratio by its first two digits: 1.7, 4, 820."""
    return f"{float(f'{ratio:.2g}'):,g}"


def _listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
