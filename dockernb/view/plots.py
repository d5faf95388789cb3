"""Measurements as figures that one could publish: every sample, the median, its interval and the conditions.

Example:
    ```python
    frame = dn.measure.compare(lab, {"bridge": dn.measure.Iperf3("web", "lb"), ...})
    plots.throughput(frame)
    ```
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import textwrap
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from dockernb.arguments import NAME, NONE, a, checked, having
from dockernb.errors import MeasureError
from dockernb.view.picture import PAPER, mark, portable
from dockernb.view.statistics import CONFIDENCE, Summary, summarise, verdict

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


_UNITS = {
    "throughput_gbit_s": ("Throughput at the receiver", "Gbit/s"),
    "throughput_mb_s": ("Throughput", "MB/s"),
    "iops": ("Reads or writes", "a second"),
    "transactions_per_s": ("Transactions", "a second"),
}
"""What `throughput` can show: the name and the unit of a column."""


FRAME = a(pd.DataFrame, "a table of measurements, as dn.compare gives it")
_AXES = having("plot", "axes of Matplotlib") | NONE


@checked(MeasureError, frame=FRAME, by=NAME, value=NAME | NONE, ax=_AXES)
def throughput(
    frame: pd.DataFrame, by: str = "arrangement", *, value: str | None = None, ax: Axes | None = None
) -> Axes:
    """Throughput of every run as dots, with the median and its interval, from zero.

    Args:
        frame: What `dockernb.measure` returned.
        by: The column whose values are compared.
        value: "throughput_gbit_s", "throughput_mb_s", "iops" or "transactions_per_s"; without it the first that the
            frame has.
        ax: Draw into these axes and leave the caption to the caller; without it, a figure of its own.

    Returns:
        The axes. `alt_text` has their words, which are also the alternative text of the figure in a notebook.

    Raises:
        MeasureError: The frame has no runs, or no such column.
    """
    value = value or next((column for column in _UNITS if column in frame.columns), "throughput")
    name, unit = _UNITS.get(value, (value, ""))
    groups = _groups(frame, by, value, frame.get(value))
    groups.sort(key=lambda g: (not g.samples, -g.median if g.samples else 0.0))
    told, conditions = verdict(groups), _caption(groups, frame)
    words = _words(f"{name[:1].lower()}{name[1:]}", [("median", unit, groups)], told, conditions)
    ax = ax or _axes(len(groups), told, conditions, words)
    with style():
        _draw(ax, groups, f"{name} ({unit})")
    _alternatives[ax] = words
    return ax


@checked(MeasureError, frame=FRAME, by=NAME, ax=_AXES)
def latency(frame: pd.DataFrame, by: str = "arrangement", *, ax: Axes | None = None) -> Axes:
    """How long one read, write, round trip or transaction takes: the median (p50) and the slowest of 100 (p99).

    The axis is logarithmic.

    Where writes wait for the disk (fdatasync), it is this waiting that is shown.

    Args:
        frame: What `dockernb.measure` returned for runs of fio, sockperf or pgbench.
        by: The column whose values are compared.
        ax: Draw into these axes and leave the caption to the caller; without it, a figure of its own.

    Returns:
        The axes. `alt_text` has their words, which are also the alternative text of the figure in a notebook.

    Raises:
        MeasureError: The frame has no runs, or no such column.
    """
    both = []
    for share in ("p50", "p99"):
        write = frame.get(f"latency_{share}_ms")
        waits = frame.get(f"sync_{share}_ms")
        both.append(_groups(frame, by, "latency", write if waits is None else waits.fillna(write)))
    order = sorted(range(len(both[0])), key=lambda i: (not both[0][i].samples, both[0][i].median))
    halves, slowest = ([groups[i] for i in order] for groups in both)
    told = verdict(halves, least=True)
    conditions = _caption(halves, frame)
    conditions[-2] += " Filled: half of them took no longer (p50); hollow: 99 of 100 (p99)."
    words = _words("latency", [("p50", "ms", halves), ("p99", "ms", slowest)], told, conditions)
    ax = ax or _axes(len(halves), told, conditions, words)
    with style():
        _draw_latency(ax, halves, slowest, _one(frame))
    _alternatives[ax] = words
    return ax


def _one(frame: pd.DataFrame) -> str:
    """What it is that takes its time."""
    kinds = {"sockperf": "round trip", "pgbench": "transaction"}
    return next((one for program, one in kinds.items() if program in frame.attrs), "read or write")


def _groups(frame: pd.DataFrame, by: str, what: str, values: pd.Series | None) -> list[Summary]:
    """The samples of each value of a column, in the order of the frame."""
    if by not in frame.columns or values is None or frame.empty:
        raise MeasureError(
            f'There is nothing to plot: the frame has no runs, or no columns "{by}" and {what}.'
        )
    return [
        summarise(str(name), [float(v) for v in part.dropna()], int(part.isna().sum()))
        for name, part in values.groupby(frame[by], sort=False)
    ]


def _axes(rows: int, told: str, conditions: Sequence[str], words: str) -> Axes:
    """A figure of its own: the verdict above, the conditions below."""
    with style():
        small = "\n".join(wrapped for line in conditions for wrapped in textwrap.wrap(line, _SMALL_LINE))
        large = textwrap.fill(told, _LARGE_LINE)
        height = 0.75 + 0.44 * rows + 0.16 * small.count("\n") + 0.2 * (large.count("\n") + bool(large))
        picture = plt.figure(FigureClass=Picture, figsize=(_WIDTH, height), layout="constrained")
        picture.alternative = words  # type: ignore[attr-defined]
        ax = picture.add_subplot()
        picture.supxlabel(small, x=0.01, ha="left", fontsize=8, color=_QUIET)
        if large:
            picture.suptitle(large, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return ax


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Our own settings for a while, in which every figure is drawn."""
    # A notebook's way to show figures is switched on by the first use of it. In here that would be forgotten again.
    plt.draw_if_interactive()  # type: ignore[no-untyped-call]
    with mpl.rc_context(_STYLE):
        yield


def alt_text(ax: Axes) -> str:
    """The words for someone who cannot see the plot: verdict, figures of every group, conditions."""
    return _alternatives.get(ax, "")


def _caption(groups: Sequence[Summary], frame: pd.DataFrame) -> list[str]:
    """How to read the plot, and the conditions in the frame, in sentences."""
    has = frame.attrs
    runs = [len(g.samples) + g.failed for g in groups]
    least, most = min(runs), max(runs)
    band = (
        f"{CONFIDENCE:.0%} interval of the median"
        if all(g.sure for g in groups if g.samples)
        else "smallest to largest"
    )
    each = f"n = {most} runs each" if least == most else f"n = {least} to {most} runs"
    if "seconds" in has:
        each += f" of {has['seconds']} s after {has.get('omit_s', 0)} s of warm-up"
    machine = machine_parts(has)
    machine += [
        f"{program} {has[program]}"
        for program in ("iperf3", "sockperf", "fio", "pgbench")
        if has.get(program)
    ]
    meaning = "All on one computer, so this is what its CPU can do, not a wire."
    if "fio" in has:
        meaning = f"{_file(frame)}on one computer, so this is what its disk and its memory can do."
    elif "pgbench" in has:
        meaning = "Client and database on one computer, so this is what its CPU and its disk can do."
    return [
        *([] if has.get("complete", True) else ["Stopped early: not all runs were made."]),
        f"{each}. Dot: a run; bar: median; band: {band}.",
        f"{meaning} {_sentence(machine)}",
    ]


def _file(frame: pd.DataFrame) -> str:
    """What every run had in common: the size of the file and of a block."""
    same = {name: values.iloc[0] for name, values in frame.items() if values.nunique() == 1}
    words = [f"A file of {same['size_mib']} MiB"] if "size_mib" in same else ["A file"]
    words += [f"in blocks of {same['block_kib']} KiB"] if "block_kib" in same else []
    words += [f"by {same['parallel']} threads"] if same.get("parallel", 1) != 1 else []
    return " ".join(words) + ", "


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
            ax.barh(row, group.high - group.low, left=group.low, height=0.72, color=_BAND, zorder=2)
            ax.plot(
                group.samples,
                _offsets(row, len(group.samples)),
                "o",
                color=_DOT,
                markersize=5.5,
                markeredgewidth=0,
                zorder=3,
            )
            ax.plot([group.median] * 2, [row - 0.36, row + 0.36], color=_INK, linewidth=2.2, zorder=4)
            notes.append(_figure(group.median))
        notes += [_failures(group)] if group.failed else []
        _note(ax, row, max(group.samples, default=0.0), " ".join(notes))
    ax.set_xlim(0, highest * 1.16)  # room for the figures on the right
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,g}"))
    _finish(ax, groups, label)


def _draw_latency(ax: Axes, halves: Sequence[Summary], slowest: Sequence[Summary], what: str) -> None:
    """Each row has the p50 of the runs, filled, and their p99, hollow, each over its interval."""
    for row, pair in enumerate(zip(halves, slowest, strict=True)):
        for group, filled in zip(pair, (True, False), strict=True):
            if not group.samples:
                continue
            ax.barh(row, group.high - group.low, left=group.low, height=0.72, color=_BAND, zorder=2)
            ax.plot(
                group.samples,
                _offsets(row, len(group.samples)),
                "o" if filled else "D",
                color=_DOT,
                markersize=5.5 if filled else 4.5,
                markeredgewidth=0 if filled else 1.1,
                fillstyle="full" if filled else "none",
                zorder=3,
            )
            ax.plot([group.median] * 2, [row - 0.36, row + 0.36], color=_INK, linewidth=2.2, zorder=4)
        notes = [" / ".join(_figure(group.median) for group in pair if group.samples)]
        notes += [_failures(pair[0])] if pair[0].failed else []
        last = max(pair[1].samples or pair[0].samples, default=0.0)
        _note(ax, row, last or ax.get_xlim()[0], " ".join(note for note in notes if note))
    ax.set_xscale("log")
    samples = [v for groups in (halves, slowest) for g in groups for v in g.samples] or [0.1, 1.0]
    ax.set_xlim(min(samples) / 1.6, max(samples) * (max(samples) / min(samples)) ** 0.25 * 2)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    _finish(ax, halves, f"Time of one {what} (ms)")


def _offsets(row: int, n: int) -> list[float]:
    """Heights at which the dots of a row stand: the order of the runs spreads them, so that equal ones stay visible."""
    return [row + 0.13 * ((i % 5) - min(n - 1, 4) / 2) for i in range(n)]


def _failures(group: Summary) -> str:
    if group.samples:
        return f"({group.failed} failed)"
    return f"all {group.failed} runs failed" if group.failed > 1 else "the run failed"


def _note(ax: Axes, row: int, at: float, text: str) -> None:
    """A row's figures, to the right of its last dot."""
    ax.annotate(text, (at, row), xytext=(8, 0), textcoords="offset points", va="center", color=_INK)


def _finish(ax: Axes, groups: Sequence[Summary], label: str) -> None:
    """What both kinds of plots have: the rows' names, a grid, a bare frame."""
    ax.set_yticks(range(len(groups)), [g.name for g in groups])
    ax.set_ylim(len(groups) - 0.45, -0.55)
    ax.set_xlabel(label)
    ax.grid(visible=True, axis="x", color=_GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def _words(
    name: str, kinds: Sequence[tuple[str, str, Sequence[Summary]]], told: str, conditions: Sequence[str]
) -> str:
    """The alternative text: for each row every kind of figure, with its unit."""
    lines = []
    for row in zip(*(groups for _, _, groups in kinds), strict=True):
        first = row[0]
        if not first.samples:
            lines.append(f"{first.name}: {_failures(first)}")
            continue
        figures = [
            f"{kind} {_figure(g.median)} {unit}, interval {_figure(g.low)} to {_figure(g.high)}"
            for (kind, unit, _), g in zip(kinds, row, strict=True)
        ]
        runs = f"{len(first.samples)} run{'s' * (len(first.samples) != 1)}"
        failed = f", {first.failed} failed" if first.failed else ""
        lines.append(f"{first.name}: {', '.join(figures)}, {runs}{failed}")
    return " ".join([f"Dot plot of {name}.", *([told] if told else []), "; ".join(lines) + ".", *conditions])


def _figure(value: float) -> str:
    """Three digits that mean something."""
    if value < 99.95:
        return f"{value:#.3g}"
    return f"{round(value, 2 - int(math.log10(value))):,.0f}"


def machine_parts(has: Mapping[Any, Any]) -> list[str]:
    """What a figure's caption says of the machine, from the conditions in a frame's attributes."""
    emulation = str(has.get("emulation", ""))
    parts = [
        f"{label}{has[key]}"
        for key, label in {"provider": "lab host: ", "engine": "Docker ", "kernel": "Linux "}.items()
        if key in has
    ]
    if "cpus" in has:
        parts.append(f"{has['cpus']} CPU" + "s" * (has["cpus"] != 1))
    return [*parts, {"TCG": "emulated (TCG)", "KVM": "virtualised (KVM)"}.get(emulation, emulation)]
