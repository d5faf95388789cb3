"""What became of the requests of `dockernb.measure.load`, as figures: who answered, and when what was lost.

Example:
    ```python
    requests = dn.load(lab, "client", {"balancer": dn.Requests("http://lb/", count=60)})
    shares(requests)
    timeline(requests)
    ```
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from dockernb.arguments import a, checked, number
from dockernb.errors import MeasureError
from dockernb.view import plots
from dockernb.view.plots import Picture

_INK, _QUIET, _GRID, _LINE = plots._INK, plots._QUIET, plots._GRID, plots._SMALL_LINE
# Four blues that differ in grey, too; further servers begin again. Each part carries its name.
_PARTS = (("#1f5f8b", "#fefefe"), ("#8ec1de", "#101418"), ("#4a94c4", "#101418"), ("#c9dfee", "#101418"))
_ANSWERED, _LOST = "#4a94c4", "#d55e00"
_NOBODY = "nobody"


_FRAME = a(pd.DataFrame, "a table of requests, as dn.load gives it")


@checked(MeasureError, frame=_FRAME)
def shares(frame: pd.DataFrame) -> Axes:
    """Which server answered how many requests: one bar for each kind of client.

    Args:
        frame: What `dockernb.measure.load` returned.

    Returns:
        The axes of a figure with alternative text.

    Raises:
        MeasureError: There are no requests in the frame.
    """
    _need_requests(frame)
    groups = {
        str(name): part["backend"].where(part["backend"] != "", _NOBODY).value_counts().sort_index()
        for name, part in frame.groupby("arrangement", sort=False)
    }
    servers = sorted({server for counts in groups.values() for server in counts.index})
    words = "Bars of answered requests. " + " ".join(
        f"{name}: " + ", ".join(f"{server} {count}" for server, count in counts.items()) + "."
        for name, counts in groups.items()
    )
    caption = ["Each request is counted once, by the server that its answer names.", _machine(frame.attrs)]
    with plots.style():
        ax = _figure(0.42 * len(groups) + 0.7, 1, caption, f"{words} {' '.join(caption)}")[0]
        for row, counts in enumerate(groups.values()):
            left = 0
            for server, count in counts.items():
                fill, ink = (
                    ("none", _INK) if server == _NOBODY else _PARTS[servers.index(server) % len(_PARTS)]
                )
                ax.barh(row, count, left=left, height=0.7, color=fill, edgecolor=_INK, linewidth=0.8)
                # A part that is too narrow for its name leaves it to the words of the figure.
                if count >= 0.07 * max(total.sum() for total in groups.values()):
                    ax.annotate(
                        f"{server}: {count}",
                        (left + count / 2, row),
                        ha="center",
                        va="center",
                        color=ink,
                        fontsize=9,
                    )
                left += count
        ax.set_yticks(range(len(groups)), list(groups))
        ax.set_ylim(len(groups) - 0.5, -0.5)
        ax.set_xlabel("Requests")
        _plain(ax, "x")
    return ax


@checked(MeasureError, frame=_FRAME, step=number(0.01, 3600, "a number of seconds"))
def timeline(frame: pd.DataFrame, *, step: float = 0.25) -> list[Axes]:
    """How many requests were answered and lost as time went by: one row for each kind of client.

    Args:
        frame: What `dockernb.measure.load` returned.
        step: Width of a bar in seconds.

    Returns:
        The axes of a figure with alternative text, one for each kind of client.

    Raises:
        MeasureError: There are no requests in the frame.
    """
    _need_requests(frame)
    groups = [(str(name), part) for name, part in frame.groupby("arrangement", sort=False)]
    ended = frame["begun_s"] + frame["taken_s"]
    edges = np.arange(0, float(ended.max()) + step, step)
    titles = [f"{name}: {_outcome(part)}" for name, part in groups]
    events: Mapping[str, tuple[float, float]] = frame.attrs.get("events", {})
    told = [f"{name} from {begin:.1f} to {end:.1f} s" for name, (begin, end) in events.items()]
    caption = [
        f"Bar: requests whose fate was known within {step:g} s."
        + (f" Grey band: {', '.join(told)}." if told else ""),
        _machine(frame.attrs),
    ]
    with plots.style():
        figure = _figure(
            1.05 * len(groups) + 0.3, len(groups), caption, ". ".join([*titles, " ".join(caption)])
        )
        for ax, title, (_, part) in zip(figure, titles, groups, strict=True):
            at = part["begun_s"] + part["taken_s"]
            good, _ = np.histogram(at[~part["lost"]], edges)
            bad, _ = np.histogram(at[part["lost"]], edges)
            for begin, end in events.values():
                ax.axvspan(begin, max(end, begin + 0.03), color=_QUIET, alpha=0.3, linewidth=0, zorder=0)
            ax.bar(edges[:-1], good, step * 0.86, align="edge", color=_ANSWERED)
            some = bad > 0  # a bar of no height would still have an edge
            ax.bar(
                edges[:-1][some], bad[some], step * 0.86, bottom=good[some], align="edge", color=_LOST, hatch="////",
                edgecolor=_INK, linewidth=0.6,
            )  # fmt: skip
            ax.set_title(title, loc="left", fontsize=10, color=_INK)
            ax.set_xlim(0, edges[-1])
            ax.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
            _plain(ax, "y")
        figure[0].legend(
            handles=[
                Patch(color=_ANSWERED, label="answered"),
                Patch(facecolor=_LOST, hatch="////", edgecolor=_INK, linewidth=0.6, label="lost"),
            ],
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=9, labelcolor=_INK,
        )  # fmt: skip
        figure[-1].set_xlabel("Seconds since the first request")
    return figure


def _figure(height: float, rows: int, caption: Sequence[str], words: str) -> list[Axes]:
    """Axes below each other in a figure with a caption."""
    small = "\n".join(wrapped for line in caption for wrapped in textwrap.wrap(line, _LINE))
    picture = plt.figure(
        FigureClass=Picture,
        figsize=(plots._WIDTH, height + 0.16 * (small.count("\n") + 2)),
        layout="constrained",
    )
    picture.alternative = words  # type: ignore[attr-defined]
    picture.supxlabel(small, x=0.01, ha="left", fontsize=8, color=_QUIET)
    axes: list[Axes] = list(np.ravel(picture.subplots(rows, 1, sharex=True)))
    for ax in axes:
        plots._alternatives[ax] = words
    return axes


def _plain(ax: Axes, grid: Any) -> None:
    """No frame but the axis, and a faint grid behind."""
    ax.grid(visible=True, axis=grid, color=_GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def _outcome(part: pd.DataFrame) -> str:
    """For example 72 answered, 2 lost (502: 2)."""
    lost = part[part["lost"]]
    kinds = (
        lost["status"].map(lambda status: str(status) if status else "no answer").value_counts().sort_index()
    )
    why = f" ({', '.join(f'{kind}: {count}' for kind, count in kinds.items())})" if len(lost) else ""
    return f"{len(part) - len(lost)} answered, {len(lost)} lost{why}"


def _machine(has: Mapping[Any, Any]) -> str:
    """The conditions in the frame's attributes, in a sentence."""
    return "One run, all on one computer. " + plots._sentence(plots.machine_parts(has))


def _need_requests(frame: pd.DataFrame) -> None:
    if frame.empty or not {"arrangement", "backend", "lost", "begun_s", "taken_s"} <= set(frame.columns):
        raise MeasureError("There is nothing to plot: the frame has no requests of dn.load.")
