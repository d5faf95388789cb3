"""Rates from the kernel's counters, and their figure: saved texts of /proc/net/dev in, numbers and words out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from dockernb.errors import MeasureError
from dockernb.measure.traffic import counters, rates, traffic
from dockernb.view.plots import alt_text
from dockernb.view.traffic import rates as figure

# From a container of Docker 26 on Linux 6.12.
DEV = """Inter-|   Receive                                      |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:   79056     528    0    0    0     0          0    0    79056     528    0    0    0     0       0    0
  eth0:{received:8d}    6208    0    0    0     0          0    0 {sent:8d}   11342    0    0    0     0       0    0
  eth1: 9000000       1    0    0    0     0          0    0        7       1    0    0    0     0       0    0
"""


def dev(received: int, sent: int) -> str:
    return DEV.format(received=received, sent=sent)


def test_counters_without_loopback() -> None:
    assert counters(dev(437384, 99999999)) == {"eth0": (437384, 99999999), "eth1": (9000000, 7)}


@pytest.mark.parametrize(
    "text", ["", "Inter-|\n face |\n", "  eth0: 1 2 3\n", "no colon here 1 2 3 4 5 6 7 8 9 10\n"]
)
def test_a_damaged_text_has_no_counters(text: str) -> None:
    assert counters(text) == {}


def frame() -> pd.DataFrame:
    """A quarter of a second nothing, then 20 Mbit/s out and 1 in, then nothing again."""
    texts = [
        (0.0, dev(0, 0)),
        (0.25, dev(0, 0)),
        (0.75, dev(62_500, 1_250_000)),
        (1.0, dev(62_500, 1_250_000)),
    ]
    return rates([(at, counters(text)) for at, text in texts])


def test_rates_are_bits_for_each_second_that_passed() -> None:
    found = frame().query("interface == 'eth0'")
    assert found["sent_mbit_s"].tolist() == [0, 20, 0]
    assert found["received_mbit_s"].tolist() == [0, 1, 0]
    assert found["from_s"].tolist() == [0, 0.25, 0.75]
    assert found["to_s"].tolist() == [0.25, 0.75, 1.0]


def test_an_interface_that_comes_has_no_rate_at_first() -> None:
    found = rates([(0, {}), (1, {"eth0": (10**6, 0)}), (2, {"eth0": (2 * 10**6, 0)})])
    assert found[["from_s", "received_mbit_s"]].to_numpy().tolist() == [[1, 8]]


def test_no_readings_are_an_empty_frame() -> None:
    assert rates([]).empty


def test_the_figure_shows_the_busiest_interface_and_says_what_is_known() -> None:
    said = alt_text(figure(frame(), known={"iperf3": 20}))
    assert "eth0 sent and received" in said
    assert "at most 20" in said
    assert "dotted line at 20 Mbit/s: iperf3" in said
    assert "eth1" in alt_text(figure(frame(), interface="eth1"))


def test_nothing_to_plot_is_said() -> None:
    with pytest.raises(MeasureError, match="no readings"):
        figure(rates([]))
    with pytest.raises(MeasureError, match="no readings of eth9"):
        figure(frame(), interface="eth9")


def test_times_that_make_no_sense() -> None:
    lab: Any = SimpleNamespace(host=None)
    with pytest.raises(MeasureError, match="two readings"):
        traffic(lab, "web", seconds=1, every=0)
    with pytest.raises(MeasureError, match="two readings"):
        traffic(lab, "web", seconds=0.1, every=0.25)
