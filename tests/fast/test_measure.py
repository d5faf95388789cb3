"""measure without an engine: the parser on saved outputs of real runs, and what `compare` makes of runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from types import SimpleNamespace
from typing import Any

import docker.errors
import pandas as pd
import pytest

from dockernb import measure
from dockernb.errors import HostError, MeasureError
from dockernb.measure import fio, pgbench, sockperf
from dockernb.measure.iperf3 import parse

OUTPUTS = pathlib.Path(__file__).parent / "test_measure_outputs"


def output(name: str) -> str:
    return (OUTPUTS / f"{name}.json").read_text()


# ---------------------------------------------------------------- the parser


@pytest.mark.parametrize("version", ["3.12", "3.18"])
def test_reads_tcp(version: str) -> None:
    text = output(f"tcp-{version}")
    end = json.loads(text)["end"]
    reading = parse(text)
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
    reading = parse(text)
    assert reading.cpu_sender_percent == cpu["remote_total"]
    assert reading.cpu_receiver_percent == cpu["host_total"]
    assert reading.rtt_mean_ms is None
    assert reading.retransmits == 2


def test_parallel_streams_are_summed() -> None:
    text = output("tcp-parallel-3.18")
    end = json.loads(text)["end"]
    assert len(end["streams"]) == 3
    each = [s["receiver"]["bytes"] for s in end["streams"]]
    reading = parse(text)
    assert reading.throughput_gbit_s is not None
    assert reading.throughput_gbit_s * 1e9 / 8 == pytest.approx(sum(each), rel=0.02)


@pytest.mark.parametrize("name", ["udp-3.12", "udp-3.18", "udp-reverse-3.18"])
def test_udp_has_jitter_and_loss_and_no_retransmits(name: str) -> None:
    reading = parse(output(name))
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
    reading = parse(output(name))
    assert says in reading.error
    assert reading.throughput_gbit_s is None


def test_an_error_beside_figures_is_still_a_failed_run() -> None:
    data = json.loads(output("tcp-3.18")) | {"error": "interrupt - the client has terminated"}
    reading = parse(json.dumps(data))
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
    assert says in parse(text).error


def test_output_cut_anywhere_is_a_failed_run() -> None:
    text = output("tcp-3.18").rstrip()
    for length in range(0, len(text), 97):
        assert parse(text[:length]).error


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


def iperf3(
    lab: Any, server: str, client: str, *, runs: int = 5, seconds: int = 1, report: Any = None, **options: Any
) -> pd.DataFrame:
    """A series of one arrangement."""
    arrangement = {f"{client} → {server}": measure.Iperf3(server, client, **options)}
    return measure.compare(lab, arrangement, runs=runs, seconds=seconds, report=report)


def two() -> list[dict[str, Any]]:
    return [inspected("alice", front="172.20.0.2"), inspected("bob", front="172.20.0.3")]


def test_every_run_is_a_row_with_units_and_conditions() -> None:
    lab: Any = FakeLab(two())
    frame = iperf3(lab, "alice", "bob", runs=3, seconds=2)
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
    assert lab.calls[0]["client"][:9] == [
        "/usr/bin/iperf3",
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
    frame = iperf3(lab, "alice", "bob", runs=3)
    assert list(frame["error"] != "") == [False, True, False]
    assert pd.isna(frame.loc[1, "throughput_gbit_s"])
    good = parse(output("tcp-3.18")).throughput_gbit_s
    assert frame["throughput_gbit_s"].mean() == pytest.approx(good)


def test_a_problem_on_the_lab_host_is_a_failed_run() -> None:
    lab: Any = FakeLab(two(), [{"output": "", "error": "the server: Address already in use"}])
    frame = iperf3(lab, "alice", "bob", runs=1)
    assert frame.loc[0, "error"] == "the server: Address already in use"


def test_all_runs_failed_still_makes_a_typed_frame() -> None:
    lab: Any = FakeLab(two(), [output("refused-3.18")] * 2)
    frame = iperf3(lab, "alice", "bob", runs=2)
    assert frame["throughput_gbit_s"].dtype == float
    assert str(frame["retransmits"].dtype) == "Int64"


def test_an_interrupt_keeps_the_samples() -> None:
    lab: Any = FakeLab(two(), [output("tcp-3.18")] * 2 + [KeyboardInterrupt()])
    frame = iperf3(lab, "alice", "bob", runs=5)
    assert len(frame) == 2
    assert frame.attrs["complete"] is False


def test_an_interrupt_before_the_first_sample_is_an_interrupt() -> None:
    lab: Any = FakeLab(two(), [KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        iperf3(lab, "alice", "bob", runs=5)


def test_a_lost_host_keeps_the_samples_and_ends_the_series() -> None:
    lab: Any = FakeLab(two(), [output("tcp-3.18"), HostError("The lab host is gone.")])
    frame = iperf3(lab, "alice", "bob", runs=5)
    assert list(frame["error"]) == ["", "The lab host is gone."]
    assert frame.attrs["complete"] is False
    assert len(lab.calls) == 2


def test_a_host_lost_at_once_is_an_error() -> None:
    lab: Any = FakeLab(two(), [HostError("The lab host is gone.")])
    with pytest.raises(MeasureError, match=r"Nothing could be measured: The lab host is gone\."):
        iperf3(lab, "alice", "bob")


def test_progress_is_told() -> None:
    told: list[tuple[str, float]] = []
    lab: Any = FakeLab(two())
    iperf3(lab, "alice", "bob", runs=2, report=lambda *step: told.append(step))
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
    assert iperf3(lab, server, client, runs=1).loc[0, "address"] == address


def test_options_reach_the_command_line() -> None:
    lab: Any = FakeLab(two())
    iperf3(
        lab, "alice", "bob", runs=1, to="alice", protocol="udp", bitrate_mbit_s=100, parallel=2, reverse=True
    )
    words = lab.calls[0]["client"]
    assert words[2] == "alice"
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
        iperf3(lab, **call)
    assert lab.calls == []


# ---------------------------------------------------------------- fio


def side(name: str, part: str) -> dict[str, Any]:
    """A part of the one job in a saved report of fio."""
    report: dict[str, Any] = json.loads(output(name))
    found: dict[str, Any] = report["jobs"][0][part]
    return found


@pytest.mark.parametrize("version", ["3.25", "3.33"])
def test_reads_random_reads(version: str) -> None:
    reading = fio.parse(output(f"fio-randread-{version}"))
    read = side(f"fio-randread-{version}", "read")
    assert (reading.error, reading.version) == ("", version)
    assert reading.iops == pytest.approx(read["total_ios"] / read["runtime"] * 1000)
    assert reading.throughput_mb_s == pytest.approx(read["io_bytes"] / read["runtime"] / 1000, rel=1e-3)
    assert reading.latency_p50_ms == read["clat_ns"]["percentile"]["50.000000"] / 1e6
    assert reading.latency_p99_ms is not None
    assert reading.latency_p99_ms > reading.latency_p50_ms
    assert reading.sync_p50_ms is None
    assert reading.cpu_percent is not None


@pytest.mark.parametrize("version", ["3.33", "3.39"])
def test_fdatasync_has_times_of_its_own(version: str) -> None:
    reading = fio.parse(output(f"fio-randwrite-fdatasync-{version}"))
    assert reading.error == ""
    assert reading.sync_p50_ms == pytest.approx(0.1, rel=0.3)
    assert reading.latency_p50_ms == pytest.approx(0.005, rel=0.3)
    # One write and one wait after the other: together they fill the second.
    mean = side(f"fio-randwrite-fdatasync-{version}", "sync")["lat_ns"]["mean"]
    assert reading.iops is not None
    assert reading.iops * mean / 1e9 == pytest.approx(1, rel=0.15)


def test_large_blocks_and_several_threads_are_one_sum() -> None:
    assert fio.parse(output("fio-read-direct-3.39")).throughput_mb_s == pytest.approx(1243.4, rel=1e-3)
    write = side("fio-write-two-jobs-3.39", "write")
    reading = fio.parse(output("fio-write-two-jobs-3.39"))
    assert reading.throughput_mb_s == pytest.approx(write["bw_bytes"] / 1e6)


def test_a_full_disk_is_a_failed_run_with_fios_own_reason() -> None:
    reading = fio.parse(output("fio-full-3.33"))
    assert (reading.version, reading.error) == ("3.33", "No space left on device")
    assert reading.iops is None
    report = output("fio-full-3.33")
    assert (
        fio.parse(report[report.index("\n{") :]).error == "No space left on device"
    )  # its complaint is not there


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "printed nothing"),
        ("fio: file:init.c:1598, func=setup_random_seeds, error=No such file or directory", "No such file"),
        ("{\n}", "not the report of one job"),
        ('{\n"jobs": [{"error": 0}]\n}', "read and wrote nothing"),
        ('{\n"jobs": [{"error": 22}]\n}', "Invalid argument"),
        ('{\n"jobs": {,\n}', "not complete JSON"),
    ],
)
def test_damaged_output_of_fio_is_a_failed_run(text: str, says: str) -> None:
    assert says in fio.parse(text).error


def test_output_of_fio_cut_anywhere_is_a_failed_run() -> None:
    text = output("fio-randread-3.33").rstrip()
    for length in range(0, len(text), 97):
        assert fio.parse(text[:length]).error


def answer(name: str, file_system: str = "ext4") -> dict[str, Any]:
    return {"output": output(name), "error": "", "file_system": file_system}


def test_storage_runs_are_rows_too() -> None:
    lab: Any = FakeLab(
        two(), [answer("fio-randread-3.33"), {"output": "", "error": "no", "file_system": None}]
    )
    disk = measure.Fio("alice", "/data/", "randread", how="direct", block_kib=8, size_mib=16, parallel=2)
    frame = measure.compare(lab, {"volume": disk}, runs=2, omit=0)
    assert list(frame["error"]) == ["", "no"]
    assert frame.loc[0, "file_system"] == "ext4"
    assert frame.loc[0, "how"] == "direct"
    assert frame["iops"].isna().tolist() == [False, True]
    assert frame.attrs["fio"] == "3.33"
    assert lab.calls[0]["file"] == "/data/.dockernb-fio"
    words = lab.calls[0]["arguments"]
    assert {"--rw=randread", "--bs=8k", "--size=16M", "--numjobs=2", "--direct=1", "--runtime=1000ms"} <= set(
        words
    )
    assert not any("ramp" in word for word in words)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"pattern": "sideways"}, "pattern is one of read, write"),
        ({"how": "sync"}, "how one of buffered, direct, fdatasync"),
        ({"pattern": "read", "how": "fdatasync"}, "a read has none"),
        ({"block_kib": 2048, "size_mib": 1}, "a block fits the file"),
        ({"directory": "data"}, "a whole path in the container"),
        ({"container": "bobby"}, 'no container "bobby"'),
    ],
)
def test_mistakes_with_fio_are_told_before_anything_runs(fields: dict[str, Any], says: str) -> None:
    lab: Any = FakeLab(two())
    disk = dataclasses.replace(measure.Fio("alice", "/data", "randwrite"), **fields)
    with pytest.raises(MeasureError, match=says):
        measure.compare(lab, {"x": disk})
    assert lab.calls == []


# ---------------------------------------------------------------- sockperf


def report(name: str) -> str:
    return (OUTPUTS / f"{name}.txt").read_text()


def test_reads_round_trips() -> None:
    reading = sockperf.parse(report("sockperf-3.7"))
    assert (reading.error, reading.version) == ("", "3.7")
    assert reading.latency_p50_ms is not None
    assert reading.latency_p99_ms is not None
    assert reading.latency_mean_ms is not None
    assert reading.messages is not None
    assert 0.005 < reading.latency_p50_ms < reading.latency_mean_ms < reading.latency_p99_ms < 1
    # One message at a time: together they fill the measured part of two seconds (0.4 s are left out in front).
    assert reading.messages * reading.latency_mean_ms / 1000 == pytest.approx(1.55, rel=0.05)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sockperf-refused-3.7", "Can't connect socket (Connection refused)"),
        ("sockperf-closed-3.7", "closed by a peer"),
    ],
)
def test_a_failed_run_of_sockperf_has_its_reason(name: str, says: str) -> None:
    reading = sockperf.parse(report(name))
    assert says in reading.error
    assert reading.latency_p50_ms is None


def test_output_of_sockperf_cut_anywhere_is_a_failed_run() -> None:
    text = report("sockperf-3.7")
    for length in range(0, text.index("percentile 50.000"), 97):
        assert sockperf.parse(text[:length]).error


def test_round_trips_are_rows_too() -> None:
    lab: Any = FakeLab(two(), [report("sockperf-3.7")])
    frame = measure.compare(lab, {"bridge": measure.Sockperf("alice", "bob")}, runs=1)
    assert frame.loc[0, "error"] == ""
    assert frame["messages"].dtype == "Int64"
    assert frame.attrs["sockperf"] == "3.7"
    assert lab.calls[0]["client"][:8] == [
        *("/usr/bin/sockperf", "ping-pong", "--tcp", "--ip", "172.20.0.2", "--port", "11111", "--time")
    ]
    with pytest.raises(MeasureError, match="between 14 and"):
        measure.compare(lab, {"bridge": measure.Sockperf("alice", "bob", message_bytes=1)})


def test_parts_of_a_second_are_for_fio_alone() -> None:
    lab: Any = FakeLab(two(), [answer("fio-randread-3.33")])
    frame = measure.compare(
        lab, {"x": measure.Fio("alice", "/data", "randread")}, runs=1, seconds=0.4, omit=0.1
    )
    assert {"--runtime=400ms", "--ramp_time=100ms"} <= set(lab.calls[0]["arguments"])
    assert (frame.attrs["seconds"], frame.attrs["omit_s"]) == (0.4, 0.1)
    for other in (
        measure.Iperf3("alice", "bob"),
        measure.Sockperf("alice", "bob"),
        measure.Pgbench("alice", "select 1"),
    ):
        with pytest.raises(MeasureError, match="counts in whole seconds"):
            measure.compare(lab, {"x": other}, seconds=0.4)
    assert len(lab.calls) == 1


# ---------------------------------------------------------------- pgbench


def test_reads_transactions() -> None:
    read = pgbench.parse(report("pgbench-15.18"))
    assert (read.error, read.version) == ("", "15.18")
    assert (read.transactions, read.latency_mean_ms) == (1201, 0.836)
    assert read.transactions_per_s == pytest.approx(1195.66, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pgbench-killed-15.18", "server closed the connection unexpectedly"),
        ("pgbench-wrong-15.18", 'syntax error at or near "order"'),
        ("pgbench-no-server-15.18", '/run/postgresql/.s.PGSQL.5432" failed: No such file or directory'),
    ],
)
def test_a_failed_run_of_pgbench_has_its_reason(name: str, says: str) -> None:
    read = pgbench.parse(report(name))
    assert says in read.error
    assert read.transactions_per_s is None


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("processed: 1201", "processed: 0", "no transaction was done"),
        ("failed transactions: 0", "failed transactions: 3", "3 transactions failed"),
    ],
)
def test_transactions_that_were_not_done(before: str, after: str, says: str) -> None:
    assert says in pgbench.parse(report("pgbench-15.18").replace(before, after)).error


def test_output_of_pgbench_cut_anywhere_is_a_failed_run() -> None:
    text = report("pgbench-15.18")
    for length in range(text.index("tps = ") + len("tps = ")):
        assert pgbench.parse(text[:length]).error


def test_transactions_are_rows_too() -> None:
    said = {"output": report("pgbench-15.18"), "error": "", "times_us": [*range(100, 0, -1)]}
    lab: Any = FakeLab(two(), [said, {"output": "", "times_us": [], "error": "no"}, said])
    order = measure.Pgbench("alice", "INSERT INTO orders DEFAULT VALUES", synchronous_commit="off", clients=2)
    frame = measure.compare(lab, {"volume": order}, runs=2, omit=2, seconds=3)
    assert list(frame["error"]) == ["", "no"]
    assert frame["transactions"].dtype == "Int64"
    assert (frame.loc[0, "latency_p50_ms"], frame.loc[0, "latency_p99_ms"]) == (0.05, 0.099)
    assert frame.loc[0, "synchronous_commit"] == "off"
    assert frame.attrs["pgbench"] == "15.18"
    call = lab.calls[0]
    assert call["options"] == "-c synchronous_commit=off"
    assert [words[2] for words in call["runs"]] == ["--time=2", "--time=3"]
    measure.compare(lab, {"volume": order}, runs=1, omit=0)
    assert len(lab.calls[-1]["runs"]) == 1


@pytest.mark.parametrize("fields", [{"clients": 0}, {"synchronous_commit": "maybe"}])
def test_mistakes_with_pgbench_are_told_before_anything_runs(fields: dict[str, Any]) -> None:
    lab: Any = FakeLab(two())
    order = dataclasses.replace(measure.Pgbench("alice", "SELECT 1"), **fields)
    with pytest.raises(MeasureError, match=r'clients is at least 1, and synchronous_commit "on" or "off"'):
        measure.compare(lab, {"x": order})
    assert lab.calls == []


# ---------------------------------------------------------------- series


def test_networks_and_storage_are_measured_apart() -> None:
    lab: Any = FakeLab(two())
    both: Any = {"net": measure.Iperf3("alice", "bob"), "disk": measure.Fio("alice", "/data", "read")}
    with pytest.raises(MeasureError, match="each for itself"):
        measure.compare(lab, both)


def test_a_sweep_is_every_combination() -> None:
    found = measure.sweep(measure.Fio("alice", "/data", "read"), block_kib=[4, 64], parallel=[1, 2])
    assert list(found)[:2] == ["block_kib 4, parallel 1", "block_kib 4, parallel 2"]
    assert found["block_kib 64, parallel 2"] == measure.Fio(
        "alice", "/data", "read", block_kib=64, parallel=2
    )
    with pytest.raises(MeasureError, match="Fio has no field 'blocksize': it has block_kib, "):
        measure.sweep(measure.Fio("alice", "/data", "read"), blocksize=[4])


def test_a_budget_ends_the_series_after_a_whole_round(monkeypatch: pytest.MonkeyPatch) -> None:
    lab: Any = FakeLab(two())
    clock = itertools.count()  # every look at the clock is a second later

    monkeypatch.setattr("dockernb.measure.series.time.monotonic", lambda: float(next(clock)))
    names = {n: measure.Iperf3("alice", "bob") for n in "ab"}
    frame = measure.compare(lab, names, runs=9, budget_s=15)
    assert sorted(frame["arrangement"]) == ["a", "a", "b", "b"]
    assert frame.attrs["complete"] is False
    assert frame.attrs["runs"] == 9


def test_a_class_in_a_hurry_measures_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    lab: Any = FakeLab(two())
    clock = itertools.count()
    monkeypatch.setattr("dockernb.measure.series.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setenv("DOCKERNB_BUDGET_S", "1")
    names = {n: measure.Iperf3("alice", "bob") for n in "ab"}
    assert sorted(measure.compare(lab, names, runs=9, budget_s=15)["arrangement"]) == ["a", "b"]
    assert sorted(measure.compare(lab, names, runs=9)["arrangement"]) == ["a", "b"]
    monkeypatch.setenv("DOCKERNB_BUDGET_S", "soon")
    with pytest.raises(MeasureError, match="DOCKERNB_BUDGET_S is 'soon': set it to a number of seconds"):
        measure.compare(lab, names)
