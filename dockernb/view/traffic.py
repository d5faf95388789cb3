"""What passed a container's interfaces as time went by, as a figure.

Example:
    ```python
    watched = dn.traffic(lab, "web", seconds=5)
    dn.rates(watched, known={"iperf3 sends 20 Mbit/s": 20})
    ```
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from dockernb.arguments import NAME, NONE, NUMBER, a, by_name, checked
from dockernb.errors import MeasureError
from dockernb.view import load, plots

_SENT, _RECEIVED = "#1f5f8b", "#d55e00"


@checked(
    MeasureError,
    frame=a(pd.DataFrame, "a table of readings, as dn.traffic gives it"),
    interface=NAME | NONE,
    known=by_name(NUMBER, 'rates in Mbit/s by name, such as {"the link": 20}') | NONE,
)
def rates(
    frame: pd.DataFrame, *, interface: str | None = None, known: Mapping[str, float] | None = None
) -> Axes:
    """What an interface sent and received, as steps; known rates beside it, as dotted lines.

    Args:
        frame: What `dockernb.measure.traffic` returned.
        interface: Which one; without it, the one that most passed through.
        known: Rates to compare with, in Mbit/s, by what is written at their line.

    Returns:
        The axes of a figure with alternative text.

    Raises:
        MeasureError: There is nothing in the frame, or no such interface.
    """
    if not {"interface", "from_s", "to_s", "received_mbit_s", "sent_mbit_s"} <= set(frame.columns):
        raise MeasureError("There is nothing to plot: the frame has no readings of dn.traffic.")
    totals = frame.groupby("interface")[["received_mbit_s", "sent_mbit_s"]].sum().sum(axis=1)
    if totals.empty or (interface is not None and interface not in totals.index):
        raise MeasureError(
            f"There is nothing to plot: the frame has no readings of {interface or 'an interface'}."
        )
    chosen = interface or str(totals.idxmax())
    part = frame[frame["interface"] == chosen]
    edges = [*part["from_s"], part["to_s"].iloc[-1]]
    kinds = {
        "sent": (part["sent_mbit_s"], _SENT, "-"),
        "received": (part["received_mbit_s"], _RECEIVED, "--"),
    }
    told = [
        f"{kind} {values.median():.3g} Mbit/s (median), at most {values.max():.3g}"
        for kind, (values, _, _) in kinds.items()
    ]
    lines = [f"dotted line at {value:g} Mbit/s: {name}" for name, value in (known or {}).items()]
    every = f"Each step: the bytes of {frame.attrs['every_s']:g} s. " if "every_s" in frame.attrs else ""
    whose = f"{chosen} of {frame.attrs['container']}" if "container" in frame.attrs else chosen
    caption = [f"{every}Interface: {whose}, read from /proc/net/dev.", load._machine(frame.attrs)]
    words = (
        f"Steps of what {whose} sent and received. " + "; ".join([*told, *lines]) + ". " + " ".join(caption)
    )
    with plots.style():
        ax = load._figure(2.2, 1, caption, words)[0]
        for kind, (values, colour, dash) in kinds.items():
            ax.stairs(values, edges, color=colour, linewidth=1.8, linestyle=dash, label=kind, baseline=None)
        for name, value in (known or {}).items():
            ax.axhline(value, color=plots._QUIET, linewidth=1.2, linestyle=":", zorder=1)
            ax.annotate(
                name,
                (1, value),
                xycoords=("axes fraction", "data"),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                color=plots._QUIET,
                fontsize=9,
            )
        highest = max([*(known or {}).values(), *part["sent_mbit_s"], *part["received_mbit_s"]], default=1.0)
        ax.set_ylim(0, (highest or 1.0) * 1.25)
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylabel("Mbit/s")
        ax.set_xlabel("Seconds")
        ax.legend(loc="upper right", ncols=2, frameon=False, fontsize=9, labelcolor=plots._INK)
        load._plain(ax, "y")
    return ax
