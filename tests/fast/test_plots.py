"""The figures: what they show, what they claim, and their words."""

from __future__ import annotations

import base64
import io
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from dockernb.errors import MeasureError
from dockernb.view import plots, statistics

CONDITIONS = {
    "provider": "vm",
    "engine": "26.1.5",
    "kernel": "6.12",
    "cpus": 1,
    "emulation": "TCG",
    "iperf3": "3.18",
    "seconds": 2,
    "omit_s": 1,
    "complete": True,
}


def frame(groups: dict[str, list[float | None]], **conditions: object) -> pd.DataFrame:
    rows = [
        {"arrangement": name, "throughput_gbit_s": value, "error": "" if value is not None else "refused"}
        for name, values in groups.items()
        for value in values
    ]
    made = pd.DataFrame(rows).astype({"throughput_gbit_s": float})
    made.attrs = {**CONDITIONS, **conditions}
    return made


APART = {"bridge": [14.0, 15.0, 14.5, 13.8, 14.2], "host": [24.0, 23.0, 25.0, 24.5, 16.0]}
TOUCHING = {"bridge": [14.0, 15.0, 14.5, 13.8, 16.2], "host": [24.0, 23.0, 25.0, 24.5, 16.0]}


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def shown(ax: Axes) -> str:
    """All text of the figure, in one line."""
    pieces = ax.figure.findobj(mpl.text.Text)
    return " ".join(" ".join(t.get_text().split()) for t in pieces)


# ---------------------------------------------------------------- the statistics


def test_the_interval_of_five_runs_is_their_range() -> None:
    group = statistics.summarise("x", [3.0, 1.0, 2.0, 5.0, 4.0])
    assert (group.median, group.low, group.high, group.sure) == (3.0, 1.0, 5.0, True)


def test_an_even_number_of_runs_has_its_median_between_two() -> None:
    assert statistics.summarise("x", [1.0, 2.0, 4.0, 8.0]).median == 3.0


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_fewer_than_five_runs_are_not_sure(n: int) -> None:
    assert not statistics.summarise("x", [1.0] * n).sure


def test_more_runs_leave_the_extremes_out() -> None:
    # n = 20: ranks 6 and 15 hold the median with 0.959, ranks 7 and 14 with 0.885 (binomial table)
    group = statistics.summarise("x", [float(v) for v in range(1, 21)])
    assert (group.low, group.high) == (6.0, 15.0)


@pytest.mark.parametrize("n", [5, 6, 8, 11, 30])
def test_the_interval_holds_the_true_median_as_often_as_it_says(n: int) -> None:
    dice = random.Random(n)
    rounds = 2000
    held = 0
    for _ in range(rounds):
        group = statistics.summarise("x", [dice.expovariate(1.0) for _ in range(n)])
        held += group.low <= 0.6931472 <= group.high
    assert held / rounds >= statistics.CONFIDENCE - 0.02


def test_the_winner_is_named_when_the_intervals_are_apart() -> None:
    groups = [statistics.summarise(n, [float(v or 0) for v in vs]) for n, vs in APART.items()]
    assert statistics.verdict(groups) == "host is fastest: 1.7 × bridge; the intervals are apart."


def test_no_winner_when_the_intervals_overlap() -> None:
    groups = [statistics.summarise(n, [float(v or 0) for v in vs]) for n, vs in TOUCHING.items()]
    assert statistics.verdict(groups) == "No winner: the intervals of host and bridge overlap."


def test_no_winner_from_few_runs() -> None:
    groups = [statistics.summarise("a", [1.0] * 4), statistics.summarise("b", [9.0] * 5)]
    assert statistics.verdict(groups) == "No winner: a needs five good runs."


def test_verdicts_of_odd_cases() -> None:
    one, none = statistics.summarise("a", [1.0] * 5), statistics.summarise("b", [], failed=5)
    zero = statistics.summarise("c", [0.0] * 5)
    assert statistics.verdict([one, none]) == ""
    assert statistics.verdict([none]) == "No run succeeded."
    assert statistics.verdict([zero, one]) == "a is fastest: nothing came through c."


# ---------------------------------------------------------------- the drawing


def test_every_sample_is_a_dot_and_the_axis_starts_at_zero() -> None:
    ax = plots.throughput(frame(APART))
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert sorted(x for line in dots for x in line.get_xdata()) == sorted(
        v for vs in APART.values() for v in vs
    )  # type: ignore[type-var]
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlim()[1] > 25
    assert "Gbit/s" in ax.get_xlabel()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["host", "bridge"]


def test_the_median_and_the_interval_are_drawn() -> None:
    ax = plots.throughput(frame(APART))
    bars = {(round(b.get_x(), 3), round(b.get_x() + b.get_width(), 3)) for b in ax.patches}  # type: ignore[attr-defined]
    assert bars == {(16.0, 25.0), (13.8, 15.0)}
    medians = {line.get_xdata()[0] for line in ax.lines if line.get_marker() != "o"}  # type: ignore[index]
    assert medians == {24.0, 14.2}
    assert "24.0" in shown(ax)
    assert "14.2" in shown(ax)


def test_the_caption_says_the_conditions_and_the_title_the_verdict() -> None:
    text = shown(plots.throughput(frame(APART)))
    for part in (
        "host is fastest",
        "n = 5 runs each of 2 s after 1 s of warm-up",
        "Lab host: vm, Docker 26.1.5, Linux 6.12, 1 CPU, emulated (TCG), iperf3 3.18.",
        "what its CPU can do, not a wire",
        "90% interval of the median",
    ):
        assert part in text
    assert "No winner: the intervals of host and bridge overlap." in shown(plots.throughput(frame(TOUCHING)))
    assert "Stopped early" in shown(plots.throughput(frame(APART, complete=False)))


def test_failed_runs_are_shown_and_not_averaged() -> None:
    ax = plots.throughput(frame({"a": [10.0, None, 12.0], "b": [None, None]}))
    assert "11.0 (1 failed)" in shown(ax)
    assert "all 2 runs failed" in shown(ax)
    assert "smallest to largest" in shown(ax)  # no 90 % from two runs
    assert "b: all 2 runs failed" in plots.alt_text(ax)
    assert "the run failed" in shown(plots.throughput(frame({"a": [10.0], "b": [None]})))


def test_nothing_but_failures_still_draws() -> None:
    ax = plots.throughput(frame({"a": [None, None]}))
    assert "No run succeeded." in shown(ax)


def test_the_words_hold_what_the_picture_shows() -> None:
    ax = plots.throughput(frame(APART))
    words = plots.alt_text(ax)
    assert "host: median 24.0 Gbit/s, interval 16.0 to 25.0, 5 runs" in words
    assert "bridge: median 14.2 Gbit/s, interval 13.8 to 15.0, 5 runs" in words
    assert "host is fastest" in words
    assert "emulated (TCG)" in words


def test_a_notebook_gets_themed_svg_with_the_words() -> None:
    ax = plots.throughput(frame({'<a> & "b"': [1.0] * 5}))
    figure = ax.figure
    assert isinstance(figure, plots.Picture)
    held = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', figure._repr_html_())
    assert held
    markup = base64.b64decode(held[1]).decode()
    root = ElementTree.fromstring(markup.replace("xlink:href", "href"))
    assert root.get("role") == "img"
    assert root.get("aria-label") == plots.alt_text(ax) == repr(figure)
    assert "var(--jp-content-font-color1" in markup
    assert "<metadata>" not in markup


def test_a_saved_png_carries_the_words() -> None:
    ax = plots.throughput(frame(APART))
    file = io.BytesIO()
    ax.figure.savefig(file, format="png")  # type: ignore[union-attr]
    assert b"Description\x00" + plots.alt_text(ax).encode("latin-1") in file.getvalue()


def test_axes_of_ones_own() -> None:
    figure, ax = plt.subplots()
    assert plots.throughput(frame(APART), ax=ax) is ax
    assert "host is fastest" in plots.alt_text(ax)
    assert "CPU" not in shown(ax)
    assert figure.axes == [ax]


def test_another_column_can_be_compared() -> None:
    data = frame(APART).rename(columns={"arrangement": "mtu"})
    assert [t.get_text() for t in plots.throughput(data, by="mtu").get_yticklabels()] == ["host", "bridge"]


@pytest.mark.parametrize("data", [pd.DataFrame(), frame(APART).rename(columns={"arrangement": "other"})])
def test_a_frame_without_runs_is_told(data: pd.DataFrame) -> None:
    with pytest.raises(MeasureError, match="nothing to plot"):
        plots.throughput(data)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize(
    ("colour", "ground", "ratio"),
    [
        (plots._DOT, "#ffffff", 3.0),  # graphics want 3, text 4.5 (WCAG 2.2, 1.4.11 and 1.4.3)
        (plots._DOT, "#111111", 3.0),
        (plots._DOT, plots._BAND, 3.0),
        (plots._INK, "#ffffff", 4.5),
        (plots._QUIET, "#ffffff", 4.5),
        (plots._INK, plots._DOT, 3.0),
    ],
)
def test_contrast_carries_the_picture_even_in_grey(colour: str, ground: str, ratio: float) -> None:
    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= ratio


def test_a_notebook_shows_the_second_figure_too() -> None:
    program = """
from ipykernel.zmqshell import ZMQInteractiveShell
ZMQInteractiveShell.instance()
import pandas as pd
from dockernb.view.plots import throughput
for number in (1, 2):
    throughput(pd.DataFrame({"arrangement": ["a"], "throughput_gbit_s": [1.0]}))
from matplotlib_inline.backend_inline import show
print(len(show._to_draw))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "2", done.stderr


# ---------------------------------------------------------------- storage

DISKS = {
    "tmpfs": (0.001, None),
    "volume": (0.002, None),
    "volume, fdatasync": (0.004, 0.2),
    "nowhere": (None, None),
}


def disks() -> pd.DataFrame:
    """Five runs of each: run 1 takes the times above, run 5 five per cent more; p99 is ten times p50."""
    rows = []
    for name, (write, wait) in DISKS.items():
        for run in range(5):
            row = {"arrangement": name, "size_mib": 16, "block_kib": 4, "parallel": 1, "iops": None}
            for kind, time in (("latency", write), ("sync", wait)):
                for share, factor in (("p50", 1), ("p99", 10)):
                    row[f"{kind}_{share}_ms"] = None if time is None else time * factor * (1 + run / 100)
            row["iops"] = None if write is None else 1000 / ((wait or 0) + write)
            rows.append(row)
    made = pd.DataFrame(rows)
    made.attrs = {**CONDITIONS, "fio": "3.39"}
    del made.attrs["iperf3"]
    return made


def test_latency_is_on_a_log_axis_with_half_and_slowest() -> None:
    ax = plots.latency(disks())
    assert ax.get_xscale() == "log"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["tmpfs", "volume", "volume, fdatasync", "nowhere"]
    filled = sorted(x for line in ax.lines if line.get_marker() == "o" for x in line.get_xdata())  # type: ignore[type-var]
    hollow = sorted(x for line in ax.lines if line.get_marker() == "D" for x in line.get_xdata())  # type: ignore[type-var]
    assert len(filled) == len(hollow) == 15
    # The wait for the disk is what fdatasync is about: not the write's own time.
    assert filled[-1] == pytest.approx(0.208)
    assert hollow[-1] == pytest.approx(2.08)
    assert 0.004 not in filled
    low, high = ax.get_xlim()
    assert low < filled[0]
    assert high > hollow[-1]


def test_the_words_of_latency_are_its_figures_and_its_conditions() -> None:
    words = plots.alt_text(plots.latency(disks()))
    assert words.startswith("Dot plot of latency. tmpfs is quickest: volume takes 2 × as long.")
    assert "volume, fdatasync: p50 0.204 ms, interval 0.200 to 0.208, p99 2.04 ms" in words
    assert "nowhere: all 5 runs failed" in words
    assert "A file of 16 MiB in blocks of 4 KiB, on one computer" in words
    assert "90% interval of the median" in words  # a row without runs has none, and spoils no other's
    assert "fio 3.39" in words


def test_reads_and_writes_a_second_are_rounded_to_what_they_mean() -> None:
    ax = plots.throughput(disks(), value="iops")
    assert ax.get_xlabel() == "Reads or writes (a second)"
    text = shown(ax)
    assert "1,000,000" in text
    assert "4,900" in text


def test_small_times_win_only_when_their_intervals_are_apart() -> None:
    quick, slow = statistics.summarise("a", [1.0, 2, 3, 4, 5]), statistics.summarise("b", [5.0, 6, 7, 8, 9])
    assert statistics.verdict([slow, quick], least=True) == "No winner: the intervals of a and b overlap."
    slow = statistics.summarise("b", [6.0] * 5)
    assert statistics.verdict([slow, quick], least=True) == "a is quickest: b takes 2 × as long."
    slow = statistics.summarise("b", [2461.0] * 5)
    assert statistics.verdict([slow, quick], least=True) == "a is quickest: b takes 820 × as long."


def test_latency_needs_runs_of_fio() -> None:
    with pytest.raises(MeasureError, match="no columns"):
        plots.latency(frame(APART))


def test_transactions_of_a_database() -> None:
    made = pd.DataFrame(
        {
            "arrangement": ["tmpfs"] * 5 + ["volume"] * 5,
            "transactions_per_s": [2000.0] * 5 + [500.0] * 5,
            "latency_p50_ms": [0.5] * 5 + [2.0] * 5,
            "latency_p99_ms": [1.0] * 5 + [9.0] * 5,
        }
    )
    made.attrs = {**CONDITIONS, "pgbench": "17.6"}
    del made.attrs["iperf3"]
    rate, time = plots.throughput(made), plots.latency(made)
    assert rate.get_xlabel() == "Transactions (a second)"
    assert time.get_xlabel() == "Time of one transaction (ms)"
    assert "tmpfs is fastest: 4 × volume" in plots.alt_text(rate)
    for words in (plots.alt_text(rate), plots.alt_text(time)):
        assert "Client and database on one computer" in words
        assert "pgbench 17.6" in words
