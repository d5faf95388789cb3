"""iperf3 between real containers on a native engine."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import threading
from typing import Any

import pandas as pd
import pytest

from dockernb import measure
from tests.support.stage import Stage

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("iperf3") and shutil.which("sockperf")),
        reason="no iperf3 or sockperf here: apt-get install iperf3 sockperf",
    ),
]

CONDITIONS = {"provider": "native", "engine": "?", "kernel": os.uname().release, "cpus": os.cpu_count()}


@pytest.fixture(scope="module")
def lab(stage: Stage) -> Any:
    """The three-tier lab's frontend with two containers, one on another network, two on the host's."""
    stage.conditions = CONDITIONS  # type: ignore[attr-defined]
    stage.network("front", "10.81.0.0/24")
    stage.network("back", "10.82.0.0/24", internal=True)
    stage.run("web", "front")
    stage.run("balancer", "front")
    stage.run("database", "back")
    stage.run("one-on-host", "host")
    stage.run("two-on-host", "host")
    return stage


def iperf3(lab: Any, server: str, client: str, *, seconds: int = 1, **options: Any) -> pd.DataFrame:
    """One run without a warm-up."""
    arrangement = {"run": measure.Iperf3(server, client, **options)}
    return measure.compare(lab, arrangement, runs=1, seconds=seconds, omit=0)


def test_bridge_against_host_network(lab: Any) -> None:
    lab.calls = 0
    frame = measure.compare(
        lab,
        {
            "bridge": measure.Iperf3("web", "balancer"),
            "host network": measure.Iperf3("one-on-host", "two-on-host"),
        },
        runs=2,
        omit=0,
        seed=3,
    )
    assert list(frame["error"]) == [""] * 4
    assert (frame["throughput_gbit_s"] > 0.1).all()
    assert set(frame["address"]) == {"10.81.0.2", "127.0.0.1"}
    assert (frame["cpu_sender_percent"] > 0).all()
    assert lab.calls == 4  # one helper call a run
    assert (frame["elapsed_s"] - 1 < 0.9).all()  # 0.6 s is the goal; the stage's own agent costs 0.1 s
    assert frame.attrs["kernel"] == os.uname().release


def test_round_trips_again_and_again_on_the_same_port(lab: Any) -> None:
    frame = measure.compare(lab, {"bridge": measure.Sockperf("web", "balancer")}, runs=2, omit=0)
    assert list(frame["error"]) == ["", ""]
    assert (frame["latency_p50_ms"] < frame["latency_p99_ms"]).all()
    assert (frame["messages"] > 100).all()


def test_udp_reverse_and_parallel(lab: Any) -> None:
    udp = iperf3(lab, "web", "balancer", protocol="udp", bitrate_mbit_s=50)
    assert udp.loc[0, "throughput_gbit_s"] == pytest.approx(0.05, rel=0.1)
    assert udp.loc[0, "jitter_ms"] > 0
    back = iperf3(lab, "web", "balancer", reverse=True, parallel=2)
    assert back.loc[0, "error"] == ""
    assert back.loc[0, "direction"] == "to client"


def test_through_the_gateway_to_the_host(lab: Any) -> None:
    frame = iperf3(lab, "one-on-host", "web")
    assert frame.loc[0, "error"] == ""
    assert frame.loc[0, "address"] == "10.81.0.1"


def test_no_way_there_is_a_failed_run(lab: Any) -> None:
    frame = iperf3(lab, "database", "web")
    assert "unable to connect to server" in frame.loc[0, "error"]
    assert frame["throughput_gbit_s"].isna().all()


def test_a_port_in_use_is_a_failed_run(lab: Any) -> None:
    lab.listen("web", 5400)
    frame = iperf3(lab, "web", "balancer", port=5400)
    assert "Address already in use" in frame.loc[0, "error"]
    elsewhere = iperf3(lab, "web", "balancer", port=5999)
    assert elsewhere.loc[0, "error"] == ""


def test_a_server_that_ends_in_mid_run_is_a_failed_run_and_nothing_is_left(lab: Any) -> None:
    def programs(word: str) -> list[int]:
        """Our own numbers of the processes in the engine's process namespace that have a word in their command."""
        found = []
        here = pathlib.Path(f"/proc/{lab.engine.pid}/ns/pid").readlink()
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "ns/pid").readlink() == here and word in (process / "cmdline").read_text():
                    found.append(int(process.name))
        return found

    def end_it() -> None:
        for pid in programs("--one-off"):
            os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(1.5, end_it)
    timer.start()
    frame = iperf3(lab, "one-on-host", "two-on-host", seconds=4, port=5300)
    timer.join()
    assert frame.loc[0, "error"]
    assert programs("iperf3") == []
