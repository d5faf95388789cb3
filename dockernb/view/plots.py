"""Measurements as figures that one could publish: every sample, the median, its interval and the conditions.

Example:
    ```python
    frame = dn.measure.compare(lab, {"bridge": dn.measure.Iperf3("web", "lb"), ...})
    plots.throughput(frame)
    ```
"""

from __future__ import annotations

import io
import math
import re
import textwrap
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dockernb.errors import MeasureError
from dockernb.view.picture import PAPER, mark, portable

CONFIDENCE = 0.9
"""At least this probability that an interval holds the true median; five runs give 0.94."""

# Colours as the saved picture shows them, and what JupyterLab's theme makes of them in a notebook.
_INK, _QUIET, _GRID, _DOT, _BAND = "#1f2328", "#57606a", "#d4d8dd", "#2c7fb8", "#cfe3f1"
_THEMED = {
    _INK: "var(--jp-content-font-color1, #1f2328)",
    _QUIET: "var(--jp-content-font-color2, #57606a)",
    _GRID: "var(--jp-border-color2, #d4d8dd)",
    _BAND: "rgba(44, 127, 184, 0.25)",
}
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "xtick.color": _QUIET,
    "xtick.labelcolor": _INK,
    "ytick.color": _QUIET,
    "ytick.labelcolor": _INK,
    "figure.dpi": 110,
    "svg.hashsalt": "dockernb",  # the same picture is the same file
}
_WIDTH = 7.2  # inches, and how many characters of the two sizes fit into them
_SMALL_LINE, _LARGE_LINE = 118, 84
_alternatives: weakref.WeakKeyDictionary[Axes, str] = weakref.WeakKeyDictionary()


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


def verdict(groups: Sequence[Summary]) -> str:
    """Which group is the highest, in a sentence; "No winner" where its interval meets another's."""
    measured = sorted((g for g in groups if g.samples), key=lambda g: -g.median)
    if not measured:
        return "No run succeeded."
    if len(measured) == 1:
        return ""
    best, second = measured[:2]
    if few := [g.name for g in measured if not g.sure]:
        return f"No winner: {_listed(few)} need{'s' * (len(few) == 1)} five good runs."
    if close := [g.name for g in measured[1:] if g.high >= best.low]:
        return f"No winner: the intervals of {_listed([best.name, *close])} overlap."
    if second.median <= 0:
        return f"{best.name} is fastest: nothing came through {second.name}."
    return (
        f"{best.name} is fastest: {best.median / second.median:.2g} × {second.name}; the intervals are apart."
    )


def throughput(frame: pd.DataFrame, by: str = "arrangement", *, ax: Axes | None = None) -> Axes:
    """Throughput of every run as dots, with the median and its interval, from zero.

    Args:
        frame: What `dockernb.measure` returned.
        by: The column whose values are compared.
        ax: Draw into these axes and leave the caption to the caller; without it, a figure of its own.

    Returns:
        The axes. `alt_text` has their words, which are also the alternative text of the figure in a
            notebook.

    Raises:
        MeasureError: The frame has no runs, or no such column.
    """
    if by not in frame.columns or "throughput_gbit_s" not in frame.columns or frame.empty:
        raise MeasureError(
            f'There is nothing to plot: the frame has no runs, or no columns "{by}" and throughput.'
        )
    groups = [
        summarise(
            str(name),
            [float(v) for v in part["throughput_gbit_s"].dropna()],
            int(part["throughput_gbit_s"].isna().sum()),
        )
        for name, part in frame.groupby(by, sort=False)
    ]
    groups.sort(key=lambda g: (not g.samples, -g.median if g.samples else 0.0))
    told, conditions = verdict(groups), _caption(groups, frame.attrs)
    words = _words(groups, told, conditions)
    with mpl.rc_context(_STYLE):
        if ax is None:
            small = "\n".join(wrapped for line in conditions for wrapped in textwrap.wrap(line, _SMALL_LINE))
            large = textwrap.fill(told, _LARGE_LINE)
            height = (
                0.75 + 0.44 * len(groups) + 0.16 * small.count("\n") + 0.2 * (large.count("\n") + bool(large))
            )
            picture = plt.figure(FigureClass=Picture, figsize=(_WIDTH, height), layout="constrained")
            picture.alternative = words  # type: ignore[attr-defined]
            ax = picture.add_subplot()
            picture.supxlabel(small, x=0.01, ha="left", fontsize=8, color=_QUIET)
            if large:
                picture.suptitle(large, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
        _draw(ax, groups, "Throughput at the receiver (Gbit/s)")
    _alternatives[ax] = words
    return ax


def alt_text(ax: Axes) -> str:
    """The words for someone who cannot see the plot: verdict, figures of every group, conditions."""
    return _alternatives.get(ax, "")


def _caption(groups: Sequence[Summary], has: Mapping[Any, Any]) -> list[str]:
    """How to read the plot, and the conditions in the frame's attributes, in sentences."""
    runs = [len(g.samples) + g.failed for g in groups]
    least, most = min(runs), max(runs)
    band = (
        f"{CONFIDENCE:.0%} interval of the median" if all(g.sure for g in groups) else "smallest to largest"
    )
    each = f"n = {most} runs each" if least == most else f"n = {least} to {most} runs"
    if "seconds" in has:
        each += f" of {has['seconds']} s after {has.get('omit_s', 0)} s of warm-up"
    emulation = str(has.get("emulation", ""))
    machine = [
        f"{label}{has[key]}"
        for key, label in {"provider": "lab host: ", "engine": "Docker ", "kernel": "Linux "}.items()
        if key in has
    ]
    if "cpus" in has:
        machine.append(f"{has['cpus']} CPU" + "s" * (has["cpus"] != 1))
    machine += [{"TCG": "emulated (TCG)", "KVM": "virtualised (KVM)"}.get(emulation, emulation)]
    machine += [f"iperf3 {has['iperf3']}"] if has.get("iperf3") else []
    return [
        *([] if has.get("complete", True) else ["Stopped early: not all runs were made."]),
        f"{each}. Dot: a run; bar: median; band: {band}.",
        "All on one computer, so this is what its CPU can do, not a wire. " + _sentence(machine),
    ]


def _sentence(parts: Sequence[str]) -> str:
    """The parts that are not empty, as one sentence."""
    text = ", ".join(part for part in parts if part)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


class Picture(Figure):
    """A figure that a notebook shows as SVG in the colours of its theme, with alternative text."""

    alternative: str = ""

    def __repr__(self) -> str:
        return self.alternative or super().__repr__()

    def _repr_html_(self) -> str:
        buffer = io.StringIO()
        self.savefig(buffer, format="svg", transparent=True)
        drawing = buffer.getvalue()
        drawing = drawing[drawing.index("<svg") :]
        for colour, themed in _THEMED.items():
            drawing = drawing.replace(colour, themed)
        drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
        width = self.get_size_inches()[0] * 96  # pixels, as CSS counts them
        first = (
            f'<svg role="img" aria-label="{mark(self.alternative)}" '
            f'style="width:100%;max-width:{width:g}px;height:auto;background:{PAPER}" '
        )
        return portable(drawing.replace("<svg ", first, 1), self.alternative)

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Save as usual; a PNG or SVG carries the alternative text as its description."""
        kind = kwargs.get("format") or str(fname).rpartition(".")[2]
        if kind in {"png", "svg"}:
            kwargs.setdefault("metadata", {"Description": self.alternative})
        super().savefig(fname, **kwargs)


def _draw(ax: Axes, groups: Sequence[Summary], label: str) -> None:
    """Dots over their interval, median and its figure for each group, one row each, the first at the top."""
    highest = max((v for g in groups for v in g.samples), default=1.0) or 1.0
    for row, group in enumerate(groups):
        notes = []
        if group.samples:
            # The order of the runs spreads the dots, so that equal values stay visible.
            n = len(group.samples)
            offsets = [row + 0.13 * ((i % 5) - min(n - 1, 4) / 2) for i in range(n)]
            ax.barh(row, group.high - group.low, left=group.low, height=0.72, color=_BAND, zorder=2)
            ax.plot(group.samples, offsets, "o", color=_DOT, markersize=5.5, markeredgewidth=0, zorder=3)
            ax.plot([group.median] * 2, [row - 0.36, row + 0.36], color=_INK, linewidth=2.2, zorder=4)
            notes.append(_figure(group.median))
        if group.failed:
            notes.append(f"({group.failed} failed)" if group.samples else f"all {group.failed} runs failed")
        ax.annotate(
            " ".join(notes),
            (max(group.samples, default=0.0), row),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=_INK,
        )
    ax.set_yticks(range(len(groups)), [g.name for g in groups])
    ax.set_ylim(len(groups) - 0.45, -0.55)
    ax.set_xlim(0, highest * 1.16)  # room for the figures on the right
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    ax.set_xlabel(label)
    ax.grid(visible=True, axis="x", color=_GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def _words(groups: Sequence[Summary], told: str, conditions: Sequence[str]) -> str:
    """The alternative text."""
    lines = [
        f"{g.name}: median {_figure(g.median)} Gbit/s, interval {_figure(g.low)} to {_figure(g.high)},"
        f" {len(g.samples)} run{'s' * (len(g.samples) != 1)}" + (f", {g.failed} failed" if g.failed else "")
        if g.samples
        else f"{g.name}: all {g.failed} runs failed"
        for g in groups
    ]
    return " ".join(
        ["Dot plot of throughput.", *([told] if told else []), "; ".join(lines) + ".", *conditions]
    )


def _figure(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:#.3g}"


def _listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
