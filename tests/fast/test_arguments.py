"""A wrong value ends in one sentence that names the argument, before anything is started or asked."""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dockernb as dn
from dockernb import labhost
from dockernb.errors import (
    CourseError,
    DockernbError,
    HostError,
    LabError,
    MeasureError,
    ProbeError,
    UnavailableError,
)
from dockernb.labhost import LabHost
from dockernb.labhost import host as hosts
from dockernb.measure.capture import Capture
from dockernb.model import Snapshot
from dockernb.policy import read_policies
from dockernb.probe import Matrix
from dockernb.session import Cluster, Lab, magic


class Untouched(LabHost):
    """A lab host that nobody may ask for anything."""

    def __init__(self) -> None:
        self.name = "lab"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        pytest.fail(f"the lab host was asked for its {name}")

    def __repr__(self) -> str:
        return "<a lab host>"


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("join", "_launch"):
        monkeypatch.setattr(hosts, name, lambda *args: pytest.fail("a lab host was looked for"))


def session(kind: type[Lab] = Lab) -> Any:
    there = kind.__new__(kind)
    there.name, there.host = "06-three-tier-lab", Untouched()
    return there


LAB, CLUSTER, HOST, LESSON = session(), session(Cluster), Untouched(), "06-three-tier-lab"
PAIR = {"a": dn.Iperf3("web", "db")}
ASKED = {"a": dn.Requests("http://db")}
POLICY = "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: "
MATRIX, STATE = Matrix((), (), ()), Snapshot((), ())

Row = tuple[Callable[[], Any], type[DockernbError], str]
ROWS: dict[str, Row] = {
    "lab(5)": (lambda: dn.lab(5), LabError, "name .* text, and it is 5"),
    "lab(nan)": (lambda: dn.lab(math.nan), LabError, "name .* it is nan"),
    "lab(unknown)": (lambda: dn.lab("06"), LabError, "There is no lesson '06'"),
    "lab(unknown, nodes)": (lambda: dn.lab("04", nodes=2), LabError, "There is no lesson '04'"),
    "lab(nodes=text)": (lambda: dn.lab(LESSON, nodes="3"), HostError, "nodes .* from 1 to 8, and it is '3'"),
    "lab(nodes=99)": (lambda: dn.lab(LESSON, nodes=99), HostError, "nodes .* from 1 to 8, and it is 99"),
    "lab(provider)": (lambda: dn.lab(LESSON, provider="x"), UnavailableError, "provider .* 'vm' or .*'x'"),
    "start(provider)": (lambda: labhost.start(provider="x"), UnavailableError, "provider has to be 'vm'"),
    "start(engine)": (lambda: labhost.start(engine=5), UnavailableError, "engine has to be 'testing' or"),
    "hosts(text)": (lambda: dn.hosts("x"), HostError, "count .* from 2 to 8, and it is 'x'"),
    "reach(None)": (lambda: dn.reach(None), ProbeError, "lab .* dn.lab gives it, and it is None"),
    "reach(class)": (lambda: dn.reach(Lab), ProbeError, "lab has to be"),
    "reach(ports=80)": (lambda: dn.reach(LAB, ports=80), ProbeError, r"ports .* such as \[80, 443\].* it is 80"),
    "reach(ports=[0])": (lambda: dn.reach(LAB, ports=[0]), ProbeError, r"ports .* it is \[0\]"),
    "reach(sources=text)": (lambda: dn.reach(LAB, sources="web"), ProbeError, "sources .* list of names"),
    "reach(targets=[None])": (lambda: dn.reach(LAB, targets=[None]), ProbeError, "targets .* list of names"),
    "reach(timeout=nan)": (lambda: dn.reach(LAB, timeout=math.nan), ProbeError, "timeout .* seconds .* nan"),
    "reach(payload=-1)": (lambda: dn.reach(LAB, payload=-1), ProbeError, "payload .* it is -1"),
    "reach(snapshot)": (lambda: dn.reach(LAB, snapshot=5), ProbeError, "snapshot .* dn.snapshot"),
    "why(None)": (lambda: dn.why(LAB, None, "db"), ProbeError, "a has to be a text .* None"),
    "why(port)": (lambda: dn.why(LAB, "web", "db", [80]), ProbeError, r"port .* it is \[80\]"),
    "snapshot(5)": (lambda: dn.snapshot(5), ProbeError, "lab has to be"),
    "fetch(text)": (lambda: dn.fetch(LAB, "8080"), LabError, "port .* from 1 to 65535, and it is '8080'"),
    "fetch(True)": (lambda: dn.fetch(LAB, True), LabError, "port .* it is True"),
    "fetch(path)": (lambda: dn.fetch(LAB, 80, "x"), LabError, "path .* begins with /"),
    "fetch(method)": (lambda: dn.fetch(LAB, 80, method="GET X"), LabError, "method .* 'GET X'"),
    "fetch(body)": (lambda: dn.fetch(LAB, 80, body=object()), LabError, "body .* JSON"),
    "fetch(wait)": (lambda: dn.fetch(LAB, 80, wait="x"), LabError, "wait .* seconds"),
    "compare(list)": (lambda: dn.compare(LAB, [PAIR["a"]]), MeasureError, "arrangements .* by name"),
    "compare(5)": (lambda: dn.compare(LAB, {"x": 5}), MeasureError, "arrangements .* by name"),
    "compare(runs)": (lambda: dn.compare(LAB, PAIR, runs="5"), MeasureError, "runs .* it is '5'"),
    "compare(seconds)": (lambda: dn.compare(LAB, PAIR, seconds=math.inf), MeasureError, "seconds .* inf"),
    "compare(budget)": (lambda: dn.compare(LAB, PAIR, budget_s=-1), MeasureError, "budget_s .* it is -1"),
    "Iperf3(None)": (lambda: dn.Iperf3(None, "db"), MeasureError, "server has to be a text"),
    "Fio(5)": (lambda: dn.Fio(5, "/tmp", "read"), MeasureError, "container has to be a text"),
    "Pgbench(clients)": (lambda: dn.Pgbench("db", "select 1", clients="2"), MeasureError, "clients has to be"),
    "Requests(5)": (lambda: dn.Requests(5), MeasureError, "url has to be a text"),
    "sweep(5)": (lambda: dn.sweep(5), MeasureError, "base .* arrangement"),
    "sweep(values)": (lambda: dn.sweep(PAIR["a"], parallel=4), MeasureError, "values .* list"),
    "load(text)": (lambda: dn.load(LAB, "web", {"a": "http://db"}), MeasureError, "requests .* dn.Requests"),
    "load(events)": (lambda: dn.load(LAB, "web", ASKED, events={"a": 5}), MeasureError, "events .* function"),
    "traffic(seconds)": (lambda: dn.traffic(LAB, "web", seconds="5"), MeasureError, "seconds has to be"),
    "capture(lab)": (lambda: dn.capture(LAB, interface="eth0"), MeasureError, "host .* such as lab.host"),
    "pcap(text)": (lambda: dn.pcap("web", "/x"), MeasureError, "container .*containers.get"),
    "look(None)": (lambda: dn.look(None), ProbeError, "thing .* it is None"),
    "look(before)": (lambda: dn.look(MATRIX, STATE), ProbeError, "before .* of the same kind"),
    "path(5)": (lambda: dn.path(5), ProbeError, "explanation .* dn.why"),
    "sequence(5)": (lambda: dn.sequence(5), MeasureError, "capture .* dn.capture"),
    "throughput(5)": (lambda: dn.throughput(5), MeasureError, "frame .* table"),
    "latency(None)": (lambda: dn.latency(None), MeasureError, "frame .* table"),
    "shares(text)": (lambda: dn.shares("x"), MeasureError, "frame .* table"),
    "timeline(5)": (lambda: dn.timeline(5), MeasureError, "frame .* table"),
    "rates(columns)": (lambda: dn.rates(pd.DataFrame({"a": [1]})), MeasureError, "no readings of dn.traffic"),
    "panel(nope)": (lambda: dn.panel(LAB, nope=1), ProbeError, r"options .* dn.reach takes \(sources, targets"),
    "apply_policy(Path)": (lambda: dn.apply_policy(LAB, Path("x")), LabError, "source .* text"),
    "apply_policy(None)": (lambda: dn.apply_policy(LAB, None), LabError, "source .* it is None"),
    "remove_policy(5)": (lambda: dn.remove_policy(LAB, 5), LabError, "name has to be a text"),
    "policies(None)": (lambda: dn.policies(None), LabError, "lab has to be"),
    "predict(5)": (lambda: dn.predict("?", 5, answer=int), CourseError, "kind .* choices"),
    "predict(answer)": (lambda: dn.predict("?", float, answer=5), CourseError, "answer .* function"),
    "check(5)": (lambda: dn.check("x", 5), CourseError, "conditions"),
    "your_engine(29.1)": (lambda: dn.your_engine(29.1), CourseError, "version .* text, and it is 29.1"),
    "your_engine(lesson)": (lambda: dn.your_engine("29.1", 5), CourseError, "lesson .* it is 5"),
    "until(limit)": (lambda: LAB.until(bool, "5"), LabError, "limit .* seconds"),
    "wait(5)": (lambda: CLUSTER.wait(5), LabError, "service .* it is 5"),
    "wait(limit)": (lambda: CLUSTER.wait("web", math.nan), LabError, "limit .* it is nan"),
    "open(99999)": (lambda: HOST.open(99999), HostError, "port .* from 1 to 65535, and it is 99999"),
    "open(0)": (lambda: HOST.open(0), HostError, "port .* it is 0"),
    "open(sctp)": (lambda: HOST.open(80, "sctp"), HostError, "protocol has to be 'tcp' or 'udp'"),
    "url(text)": (lambda: HOST.url("80"), HostError, "port .* it is '80'"),
    "run(text)": (lambda: HOST.run("ls -l"), HostError, "argv .* list of texts"),
    "run(input)": (lambda: HOST.run(["cat"], input="x"), HostError, "input .* bytes"),
    "%%docker quote": (lambda: magic.limit_of('"'), LabError, "only be --limit SECONDS"),
    "%%docker ²": (lambda: magic.limit_of("--limit ²"), LabError, "only be --limit SECONDS"),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_a_wrong_value_is_one_sentence(row: str) -> None:
    call, error, sentence = ROWS[row]
    with pytest.raises(error) as raised:
        call()
    assert re.search(sentence, str(raised.value)), str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            f"{POLICY}{{selector: '{'(' * 3000}all(){')' * 3000}'}}",
            "spec.selector: .* more than 50 parentheses",
        ),
        (f"{POLICY}{{selector: '{'!' * 3000}all()'}}", "spec.selector: .* more than 50"),
        (f"{POLICY}{'{a: ' * 3000}1{'}' * 3000}", "not so deep"),
        ("2024-13-01", "a value that is none"),
        ("!!int abc", "a value that is none"),
        ("!!float abc", "a value that is none"),
        ("!!timestamp abc", "a value that is none"),
        ("!!set [a]", "YAML"),
        (f"{POLICY}{{order: .nan}}", "spec.order has to be a number"),
        (f"{POLICY}{{order: {10**400}}}", "spec.order has to be a number"),
        (f"{POLICY}0", "spec has to be a mapping of fields"),
    ],
)
def test_yaml_that_is_no_policy_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(LabError, match=sentence):
        read_policies(text)


def test_what_the_call_can_use_passes() -> None:
    assert str(dn.look(MATRIX, MATRIX)) == str(dn.look(before=MATRIX, thing=MATRIX))
    assert set(dn.sweep(PAIR["a"], parallel=np.array([1, 4]))) == {"parallel 1", "parallel 4"}
    assert LAB.until(lambda: "x", np.float64(1)) == "x"
    assert inspect.signature(dn.reach).parameters.keys() >= {"lab", "ports"}


JUNK: list[Any] = [
    None, True, 0, -1, 5, 10**400, 2.5, math.nan, math.inf, "", "x", "x" * 5000, "\0", "ü", b"x", [], [None], (), {},
    {"x": 5}, {5: "x"}, {"x"}, object(), Lab, len, Path("x"), np.int64(3), pd.DataFrame(), iter([1]), PAIR, ASKED,
]  # fmt: skip


class Gone(LabHost):
    """A lab host that has ended."""

    def __init__(self) -> None:
        self.name = "lab"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise HostError("The lab host has ended.")


def gone(kind: type[Lab]) -> Any:
    there = session(kind)
    there.host = Gone()
    there.swarm = _no_swarm
    return there


def _no_swarm() -> None:
    raise HostError("The lab host has ended.")


OVER = gone(Lab)
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "lab": (dn.lab, {"name": LESSON, "nodes": 1, "provider": None, "engine": None}),
    "hosts": (dn.hosts, {"count": 2, "provider": None, "engine": None}),
    "reach": (
        dn.reach,
        {
            "lab": OVER,
            "sources": ["x"],
            "targets": ["x"],
            "ports": [80],
            "protocols": ["tcp"],
            "by": ["name"],
            "networks": ["x"],
            "timeout": 1,
            "payload": None,
            "snapshot": STATE,
        },
    ),
    "why": (dn.why, {"lab": OVER, "a": "web", "b": "db", "port": 80, "by": "name", "protocol": "tcp"}),
    "snapshot": (dn.snapshot, {"lab": OVER, "host": None, "everything": False}),
    "fetch": (
        dn.fetch,
        {"lab": OVER, "port": 80, "path": "/", "scheme": "http", "method": "GET", "body": None, "wait": 0},
    ),
    "compare": (
        dn.compare,
        {"lab": OVER, "arrangements": PAIR, "runs": 1, "seconds": 1, "omit": 0, "budget_s": None},
    ),
    "sweep": (dn.sweep, {"base": PAIR["a"], "parallel": [1]}),
    "load": (dn.load, {"lab": OVER, "client": "web", "requests": ASKED, "seconds": 1, "events": None}),
    "traffic": (dn.traffic, {"lab": OVER, "container": "web", "seconds": 1, "every": 0.5}),
    "capture": (
        lambda **given: dn.capture(**given).__enter__(),
        {"host": OVER.host, "filter": "", "interface": "eth0", "limit": 1},
    ),
    "pcap": (dn.pcap, {"container": OVER, "path": "/x"}),
    "look": (dn.look, {"thing": STATE, "before": None, "volumes": False}),
    "path": (dn.path, {"explanation": None}),
    "sequence": (dn.sequence, {"capture": Capture(), "names": None}),
    "throughput": (dn.throughput, {"frame": pd.DataFrame(), "by": "arrangement", "value": None, "ax": None}),
    "latency": (dn.latency, {"frame": pd.DataFrame(), "by": "arrangement", "ax": None}),
    "shares": (dn.shares, {"frame": pd.DataFrame()}),
    "timeline": (dn.timeline, {"frame": pd.DataFrame(), "step": 1}),
    "rates": (dn.rates, {"frame": pd.DataFrame(), "interface": None, "known": None}),
    "panel": (dn.panel, {"lab": OVER, "ports": None, "sources": None, "timeout": 1}),
    "apply_policy": (dn.apply_policy, {"lab": OVER, "source": "x: y"}),
    "remove_policy": (dn.remove_policy, {"lab": OVER, "name": "x"}),
    "policies": (dn.policies, {"lab": OVER}),
    "predict": (
        dn.predict,
        {"question": "?", "kind": float, "answer": int, "why": "", "unit": "", "within": 0.25},
    ),
    "check": (dn.check, {"name": "x", "hints": (), "solution": ""}),
    "your_engine": (dn.your_engine, {"version": "29.1", "lesson": None}),
    "Iperf3": (
        dn.Iperf3,
        {"server": "a", "client": "b", "parallel": 1, "port": 5201, "bitrate_mbit_s": None},
    ),
    "Sockperf": (dn.Sockperf, {"server": "a", "client": "b", "message_bytes": 64}),
    "Fio": (dn.Fio, {"container": "a", "directory": "/tmp", "pattern": "read"}),
    "Pgbench": (dn.Pgbench, {"container": "a", "sql": "select 1", "clients": 1, "database": "x"}),
    "Requests": (dn.Requests, {"url": "http://x", "count": 1, "workers": 1, "every": 0, "limit": 1}),
    "lab.until": (OVER.until, {"condition": lambda: True, "limit": 1, "otherwise": None}),
    "cluster.wait": (gone(Cluster).wait, {"service": "web", "limit": 0}),
    "host.run": (OVER.host.run, {"argv": ["true"], "input": b"", "timeout": 1}),
    "host.call": (OVER.host.call, {"source": "", "argument": None, "timeout": 1}),
    "host.port": (OVER.host.port, {"port": 80, "protocol": "tcp", "timeout": 1}),
    "host.open": (OVER.host.open, {"port": 80, "protocol": "tcp"}),
    "host.url": (OVER.host.url, {"port": 80, "scheme": "http"}),
    "host.browser_url": (OVER.host.browser_url, {"port": 80}),
}


def test_every_public_call_is_given_junk() -> None:
    assert set(dn.__all__) - CALLS.keys() == {"Check", "DockernbError"}


@pytest.mark.parametrize("name", CALLS)
def test_junk_works_or_is_refused_in_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_host(*args: Any) -> Any:
        raise HostError("No lab host is started here.")

    monkeypatch.setattr(hosts, "join", lambda name: None)
    monkeypatch.setattr(hosts.store, "locked", no_host)
    call, well = CALLS[name]
    for argument, junk in itertools.product(well, [*JUNK, OVER]):
        if argument == "condition" and callable(junk):
            continue  # what a function of the learner's raises is the learner's
        try:
            call(**{**well, argument: junk})
        except DockernbError as problem:
            assert str(problem)
        except Exception as problem:
            pytest.fail(f"{name}({argument}={junk!r}): {type(problem).__name__}: {problem}")
