"""measure without an engine: the parser on saved outputs of real runs, and what `compare` makes of runs."""

from __future__ import annotations

import json
import pathlib
from types import SimpleNamespace
from typing import Any

import docker.errors
import pandas as pd
import pytest

from dockernb import measure
from dockernb.errors import HostError, MeasureError

OUTPUTS = pathlib.Path(__file__).parent / "test_measure_outputs"


def output(name: str) -> str:
    return (OUTPUTS / f"{name}.json").read_text()


# ---------------------------------------------------------------- the parser


@pytest.mark.parametrize("version", ["3.12", "3.18"])
def test_reads_tcp(version: str) -> None:
    text = output(f"tcp-{version}")
    end = json.loads(text)["end"]
    reading = measure.parse_iperf3(text)
    assert reading.error == ""
    assert reading.version == version
    assert reading.throughput_gbit_s == pytest.approx(end["sum_received"]["bits_per_second"] / 1e9)
    assert reading.throughput_gbit_s == pytest.approx(
        end["sum_received"]["bytes"] * 8 / end["sum_received"]["seconds"] / 1e9, rel=1e-3
    )
    assert reading.retransmits == end["sum_sent"]["retransmits"]
    assert reading.rtt_mean_ms == pytest.approx(end["streams"][0]["sender"]["mean_rtt"] / 1000)
    assert reading.cpu_sender_percent == end["cpu_utilization_percent"]["host_total"]
    assert reading.cpu_receiver_percent == end["cpu_utilization_percent"]["remote_total"]
    assert reading.jitter_ms is None
    assert reading.lost_percent is None


def test_reverse_swaps_the_ends_and_has_no_round_trip_time() -> None:
    text = output("tcp-reverse-3.18")
    cpu = json.loads(text)["end"]["cpu_utilization_percent"]
    reading = measure.parse_iperf3(text)
    assert reading.cpu_sender_percent == cpu["remote_total"]
    assert reading.cpu_receiver_percent == cpu["host_total"]
    assert reading.rtt_mean_ms is None
    assert reading.retransmits == 2


def test_parallel_streams_are_summed() -> None:
    text = output("tcp-parallel-3.18")
    end = json.loads(text)["end"]
    assert len(end["streams"]) == 3
    each = [s["receiver"]["bytes"] for s in end["streams"]]
    reading = measure.parse_iperf3(text)
    assert reading.throughput_gbit_s is not None
    assert reading.throughput_gbit_s * 1e9 / 8 == pytest.approx(sum(each), rel=0.02)


@pytest.mark.parametrize("name", ["udp-3.12", "udp-3.18", "udp-reverse-3.18"])
def test_udp_has_jitter_and_loss_and_no_retransmits(name: str) -> None:
    reading = measure.parse_iperf3(output(name))
    assert reading.error == ""
    assert reading.jitter_ms is not None
    assert 0 < reading.jitter_ms < 1
    assert reading.lost_percent is not None
    assert reading.retransmits is None
    if "reverse" in name:
        assert reading.lost_percent == pytest.approx(1.672, abs=0.001)
        # what arrived, not what was sent
        assert reading.throughput_gbit_s == pytest.approx(30.075, abs=0.001)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("refused-3.12", "unable to connect to server: Connection refused"),  # this one exits 0
        ("refused-3.18", "unable to connect to server: Connection refused"),
        ("timeout-3.18", "unable to connect to server: Connection timed out"),
        ("unresolved-3.18", "unable to connect to server"),
        ("busy-3.18", "the server is busy running a test. try again later"),
        ("server-killed-3.18", "control socket has closed unexpectedly"),
    ],
)
def test_an_error_in_the_report_is_a_failed_run(name: str, says: str) -> None:
    reading = measure.parse_iperf3(output(name))
    assert says in reading.error
    assert reading.throughput_gbit_s is None


def test_an_error_beside_figures_is_still_a_failed_run() -> None:
    data = json.loads(output("tcp-3.18")) | {"error": "interrupt - the client has terminated"}
    reading = measure.parse_iperf3(json.dumps(data))
    assert reading.error == "interrupt - the client has terminated"
    assert reading.throughput_gbit_s is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "printed nothing"),
        ("\n \n", "printed nothing"),
        ("iperf3: error - unable to resolve host\n", "not complete JSON"),
        ("[]", "not the report of a run"),
        ("{}", "no sum for the receiver"),
        ('{"start": [], "end": null}', "no sum for the receiver"),
    ],
)
def test_damaged_output_is_a_failed_run(text: str, says: str) -> None:
    assert says in measure.parse_iperf3(text).error


def test_output_cut_anywhere_is_a_failed_run() -> None:
    text = output("tcp-3.18").rstrip()
    for length in range(0, len(text), 97):
        assert measure.parse_iperf3(text[:length]).error


# ---------------------------------------------------------------- compare, over a stand-in for the lab


def inspected(name: str, mode: str = "front", status: str = "running", **networks: str) -> dict[str, Any]:
    """The parts of `docker inspect` that the model reads."""
    return {
        "Id": (name * 64)[:64],
        "Name": f"/{name}",
        "State": {"Status": status, "Pid": 100 + len(name) if status == "running" else 0},
        "Config": {"Image": "dockernb/toolbox"},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {
            "Networks": {
                net: {
                    "IPAddress": ip,
                    "Gateway": ip.rpartition(".")[0] + ".1" if ip else "",
                    "NetworkID": net,
                }
                for net, ip in networks.items()
            }
        },
    }


class FakeLab:
    """Containers by name, and answers of the lab host in turn (an exception is raised)."""

    def __init__(self, containers: list[dict[str, Any]], answers: list[Any] | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self.answers = answers
        by_name = {c["Name"][1:]: c for c in containers} | {c["Id"]: c for c in containers}

        def inspect(name: str) -> dict[str, Any]:
            if name not in by_name:
                raise docker.errors.NotFound("no such container")
            return by_name[name]

        client = SimpleNamespace(api=SimpleNamespace(inspect_container=inspect))
        conditions = {"provider": "vm", "emulation": "TCG"}
        self.host = SimpleNamespace(call=self._call, conditions=conditions, client=lambda: client)

    def _call(self, source: str, argument: dict[str, Any], *, timeout: float = 30.0) -> Any:
        assert "def main(" in source
        assert timeout > argument["limit"]
        json.dumps(argument)
        self.calls.append(argument)
        answer = self.answers.pop(0) if self.answers else output("tcp-3.18")
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, dict) else {"output": answer, "error": ""}


def two() -> list[dict[str, Any]]:
    return [inspected("alice", front="172.20.0.2"), inspected("bob", front="172.20.0.3")]


def test_every_run_is_a_row_with_units_and_conditions() -> None:
    lab: Any = FakeLab(two())
    frame = measure.iperf3(lab, "alice", "bob", runs=3, seconds=2)
    assert list(frame["run"]) == [1, 2, 3]
    assert set(frame["arrangement"]) == {"bob → alice"}
    assert set(frame["address"]) == {"172.20.0.2"}
    assert frame["throughput_gbit_s"].notna().all()
    assert (frame["error"] == "").all()
    assert frame.attrs == {
        "provider": "vm",
        "emulation": "TCG",
        "iperf3": "3.18",
        "seconds": 2,
        "omit_s": 1,
        "runs": 3,
        "complete": True,
    }
    assert lab.calls[0]["client"][:8] == [
        *("--client", "172.20.0.2", "--port", "5201"),
        *("--time", "2", "--omit", "1"),
    ]


def test_rounds_are_shuffled_and_repeatable() -> None:
    names = {n: measure.Iperf3("alice", "bob") for n in "abcd"}
    lab: Any = FakeLab(two())
    frame = measure.compare(lab, names, runs=4, seed=1)
    again = measure.compare(lab, names, runs=4, seed=1)
    assert list(frame["arrangement"]) == list(again["arrangement"])
    rounds = [list(part["arrangement"]) for _, part in frame.groupby("run")]
    assert all(sorted(r) == list("abcd") for r in rounds)
    assert len({tuple(r) for r in rounds}) > 1


def test_a_failed_run_is_reported_and_never_averaged() -> None:
    lab: Any = FakeLab(two(), [output("tcp-3.18"), output("refused-3.12"), output("tcp-3.18")])
    frame = measure.iperf3(lab, "alice", "bob", runs=3)
    assert list(frame["error"] != "") == [False, True, False]
    assert pd.isna(frame.loc[1, "throughput_gbit_s"])
    good = measure.parse_iperf3(output("tcp-3.18")).throughput_gbit_s
    assert frame["throughput_gbit_s"].mean() == pytest.approx(good)


def test_a_problem_on_the_lab_host_is_a_failed_run() -> None:
    lab: Any = FakeLab(two(), [{"output": "", "error": "the server: Address already in use"}])
    frame = measure.iperf3(lab, "alice", "bob", runs=1)
    assert frame.loc[0, "error"] == "the server: Address already in use"


def test_all_runs_failed_still_makes_a_typed_frame() -> None:
    lab: Any = FakeLab(two(), [output("refused-3.18")] * 2)
    frame = measure.iperf3(lab, "alice", "bob", runs=2)
    assert frame["throughput_gbit_s"].dtype == float
    assert str(frame["retransmits"].dtype) == "Int64"


def test_an_interrupt_keeps_the_samples() -> None:
    lab: Any = FakeLab(two(), [output("tcp-3.18")] * 2 + [KeyboardInterrupt()])
    frame = measure.iperf3(lab, "alice", "bob", runs=5)
    assert len(frame) == 2
    assert frame.attrs["complete"] is False


def test_an_interrupt_before_the_first_sample_is_an_interrupt() -> None:
    lab: Any = FakeLab(two(), [KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        measure.iperf3(lab, "alice", "bob", runs=5)


def test_a_lost_host_keeps_the_samples_and_ends_the_series() -> None:
    lab: Any = FakeLab(two(), [output("tcp-3.18"), HostError("The lab host is gone.")])
    frame = measure.iperf3(lab, "alice", "bob", runs=5)
    assert list(frame["error"]) == ["", "The lab host is gone."]
    assert frame.attrs["complete"] is False
    assert len(lab.calls) == 2


def test_a_host_lost_at_once_is_an_error() -> None:
    lab: Any = FakeLab(two(), [HostError("The lab host is gone.")])
    with pytest.raises(MeasureError, match=r"Nothing could be measured: The lab host is gone\."):
        measure.iperf3(lab, "alice", "bob")


def test_progress_is_told() -> None:
    told: list[tuple[str, float]] = []
    lab: Any = FakeLab(two())
    measure.iperf3(lab, "alice", "bob", runs=2, report=lambda *step: told.append(step))
    assert told == [("bob → alice, run 1 of 2", 0.0), ("bob → alice, run 2 of 2", 0.5)]


@pytest.mark.parametrize(
    ("server", "client", "address"),
    [
        ("alice", "bob", "172.20.0.2"),
        ("alice", "carol", "172.21.0.2"),  # the network that both share, not the first
        ("dora", "alice", "172.22.0.9"),  # none shared: the server's own
        ("hostly", "alice", "172.20.0.1"),  # the host, through the client's gateway
        ("hostly", "hostly2", "127.0.0.1"),
        ("sidecar", "bob", "172.20.0.2"),  # shares alice's namespace
        ("alice", "sidecar", "127.0.0.1"),
    ],
)
def test_the_address_follows_from_the_networks(server: str, client: str, address: str) -> None:
    alice = inspected("alice", front="172.20.0.2", middle="172.21.0.2")
    lab: Any = FakeLab(
        [
            alice,
            inspected("bob", front="172.20.0.3"),
            inspected("carol", middle="172.21.0.3"),
            inspected("dora", back="172.22.0.9"),
            inspected("hostly", mode="host", host=""),
            inspected("hostly2", mode="host", host=""),
            inspected("sidecar", mode="container:" + alice["Id"]),
        ]
    )
    assert measure.iperf3(lab, server, client, runs=1).loc[0, "address"] == address


def test_options_reach_the_command_line() -> None:
    lab: Any = FakeLab(two())
    measure.iperf3(
        lab, "alice", "bob", runs=1, to="alice", protocol="udp", bitrate_mbit_s=100, parallel=2, reverse=True
    )
    words = lab.calls[0]["client"]
    assert words[1] == "alice"
    assert words[-6:] == ["--udp", "--bitrate", "50M", "--reverse", "--parallel", "2"]


@pytest.mark.parametrize(
    ("containers", "call", "says"),
    [
        (two(), {"server": "alice", "client": "bobby"}, 'no container "bobby"'),
        (
            [*two(), inspected("zed", status="exited")],
            {"server": "zed", "client": "bob"},
            "exited, not running",
        ),
        (
            [*two(), inspected("mute", mode="none", none="")],
            {"server": "mute", "client": "bob"},
            '"mute" has no address',
        ),
        (
            [inspected("hosty", mode="host", host=""), inspected("mute", mode="none", none="")],
            {"server": "hosty", "client": "mute"},
            "no gateway",
        ),
        (two(), {"server": "alice", "client": "bob", "runs": 0}, "at least one"),
        (two(), {"server": "alice", "client": "bob", "seconds": 0}, "at least one"),
        (two(), {"server": "alice", "client": "bob", "parallel": 0}, "parallel at least 1"),
        (two(), {"server": "alice", "client": "bob", "protocol": "sctp"}, "protocol is"),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    containers: list[dict[str, Any]], call: dict[str, Any], says: str
) -> None:
    lab: Any = FakeLab(containers)
    with pytest.raises(MeasureError, match=says):
        measure.iperf3(lab, **call)
    assert lab.calls == []
