"""Lesson 03's exercise on a real engine: right solutions pass, each wrong one is told what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dockernb.course import lesson03
from dockernb.labhost import LabHost
from dockernb.session import Lab
from tests.support.stage import Stage


@pytest.fixture
def lab(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """What the lesson leaves that the exercise needs; what listens here listens at once."""
    monkeypatch.setattr(lesson03, "PATIENCE", 0)
    stage.run("web", "host", 80)
    stage.run("monitor", "host")
    stage.run("bridged", "bridge")
    yield stage
    stage.clear()


def on_loopback(lab: Stage) -> None:
    lab.run("metrics", "host")
    lab.listen("metrics", 9100, address="127.0.0.1")


def behind_a_firewall(lab: Stage) -> None:
    """Open to all by its program, and closed by a rule of the host."""
    lab.run("metrics", "host", 9100)
    lab.iptables("-I", "INPUT", "!", "-i", "lo", "-p", "tcp", "--dport", "9100", "-j", "DROP")


@pytest.mark.parametrize("solve", [on_loopback, behind_a_firewall])
def test_right_solutions_pass(lab: Stage, solve: Callable[[Stage], None]) -> None:
    solve(lab)
    try:
        result = lesson03.metrics(lab)  # type: ignore[arg-type]
    finally:
        lab.iptables("-F", "INPUT")
    assert result.passed, str(result)


def nothing(lab: Stage) -> None:
    del lab


def ended(lab: Stage) -> None:
    """What a program does that finds its port taken."""
    lab.run("metrics", "host")
    lab.docker.api.kill("metrics")
    lab.docker.api.wait("metrics", timeout=10)


def on_a_bridge(lab: Stage) -> None:
    lab.run("metrics", "bridge", 9100, publish={9100: 9100})


def on_no_network(lab: Stage) -> None:
    lab.run("metrics", "none", 9100)


def another_port(lab: Stage) -> None:
    lab.run("metrics", "host", 8000)


def open_to_all(lab: Stage) -> None:
    lab.run("metrics", "host", 9100)


def on_the_address_outside(lab: Stage) -> None:
    """On the bridge's address, too: closed to the outside, open to containers."""
    on_loopback(lab)
    lab.listen("metrics", 9100, address="172.17.0.1")


def web_stopped(lab: Stage) -> None:
    on_loopback(lab)
    lab.docker.api.kill("web")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (nothing, 'There is no container called "metrics" yet.'),
        (ended, '"metrics" has ended with exit code 137: its log tells why'),
        (on_a_bridge, '"metrics" is on bridge, and the host\'s network is wanted: network="host".'),
        (on_no_network, '"metrics" is on none, and the host\'s network is wanted'),
        (another_port, "Nothing answers the Docker host on 127.0.0.1:9100 (refused)."),
        (open_to_all, "bridged reaches it at 172.17.0.1:9100: make the program listen on 127.0.0.1 only."),
        (on_the_address_outside, "bridged reaches it at 172.17.0.1:9100"),
        (web_stopped, '"web" is there, but it is exited: start it.'),
    ],
)
def test_wrong_solutions_are_told_why(lab: Stage, break_it: Callable[[Stage], None], says: str) -> None:
    break_it(lab)
    result = lesson03.metrics(lab)  # type: ignore[arg-type]
    assert not result.passed
    assert says in result.sentence


def test_what_the_outside_reaches_is_told(lab: Stage) -> None:
    open_to_all(lab)
    findings = {f.claim: f for f in lesson03.metrics(lab).findings}  # type: ignore[arg-type]
    assert "outside reaches it at 203.0.113.1:9100" in findings["a machine outside does not"].problem


def test_the_solution_as_written(host: LabHost) -> None:
    lab = Lab("03-host-and-none", host)
    for name, network in (("monitor", "host"), ("bridged", "bridge")):
        lab.docker.containers.run(
            "dockernb/toolbox", "sleep infinity", name=name, network=network, detach=True
        )
    lab.docker.containers.run("dockernb/nginx", name="web", network="host", detach=True)
    exec(lesson03.metrics.solution, {"lab": lab})
    result = lesson03.metrics(lab)
    assert result.passed, str(result)
