"""The exercise of lesson 01: a right solution passes, and each wrong one is told why."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from dockernb.course import lesson01
from dockernb.course.kernel import ip
from tests.support.stage import Stage


@pytest.fixture
def lab(stage: Stage) -> Iterator[Stage]:
    """As the lesson leaves it for the exercise."""
    for name in ("one", "two", "shop"):
        stage.run(name, "bridge", 80)
    yield stage
    stage.clear()


def on_host(lab: Stage, argv: list[str]) -> subprocess.CompletedProcess[bytes]:
    """What lab.host.run does on a lab host."""
    with lab.engine.network():
        return subprocess.run(
            ["nsenter", "--target", str(lab.engine.pid), "--pid", "--mount", *argv],
            capture_output=True,
            timeout=20,
            check=False,
        )


def plug_of(lab: Stage, name: str) -> str:
    """The host's end of a container's cable."""
    pid = lab.docker.containers.get(name).attrs["State"]["Pid"]
    (eth0,) = ip(lab, "link", "show", "dev", "eth0", pid=pid)  # type: ignore[arg-type]
    (end,) = [link for link in ip(lab, "link") if link["ifindex"] == eth0["link_index"]]  # type: ignore[arg-type]
    return str(end["ifname"])


def ip_link(lab: Stage, *words: str) -> None:
    done = on_host(lab, ["ip", "link", *words])
    assert done.returncode == 0, done.stderr


def the_solution_as_written(lab: Stage) -> None:
    host = SimpleNamespace(run=lambda argv: on_host(lab, argv))
    exec(lesson01.pulled_plug.solution, {"lab": SimpleNamespace(docker=lab.docker, host=host)})


def switched_off(lab: Stage) -> None:
    ip_link(lab, "set", plug_of(lab, "two"), "down")


@pytest.mark.parametrize("solve", [the_solution_as_written, switched_off])
def test_right_solutions_pass(lab: Stage, solve: Callable[[Stage], None]) -> None:
    solve(lab)
    result = lesson01.pulled_plug(lab)  # type: ignore[arg-type]
    assert result.passed, str(result)


def nothing(lab: Stage) -> None:
    del lab


def stopped(lab: Stage) -> None:
    lab.docker.api.kill("two")


def disconnected(lab: Stage) -> None:
    lab.docker.networks.get("bridge").disconnect("two")


def cable_thrown_away(lab: Stage) -> None:
    ip_link(lab, "delete", plug_of(lab, "two"))


def the_wrong_plug(lab: Stage) -> None:
    ip_link(lab, "set", plug_of(lab, "one"), "nomaster")


def every_plug(lab: Stage) -> None:
    for name in ("one", "two", "shop"):
        ip_link(lab, "set", plug_of(lab, name), "nomaster")


def a_firewall_rule(lab: Stage) -> None:
    address = lab.docker.containers.get("two").attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    lab.iptables("-I", "DOCKER-USER", "-d", address, "-j", "DROP")


def another_way_in(lab: Stage) -> None:
    network = lab.network("other", "10.94.0.0/24")
    network.connect("one")
    network.connect("two")
    ip_link(lab, "set", plug_of(lab, "two"), "nomaster")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (nothing, "the host's end of two's cable, is still plugged into docker0, and up."),
        (stopped, '"two" is there, but it is exited: start it.'),
        (disconnected, "Docker itself says that two is not on the network bridge: "),
        (cable_thrown_away, "The cable itself is gone: "),
        (the_wrong_plug, "the host's end of two's cable, is still plugged into docker0, and up."),
        (every_plug, "shop does not reach one any more: only the cable of two was to be pulled."),
        (a_firewall_rule, "the host's end of two's cable, is still plugged into docker0, and up."),
        (another_way_in, "one still reaches two, at "),
    ],
)
def test_wrong_solutions_are_told_why(lab: Stage, break_it: Callable[[Stage], None], says: str) -> None:
    break_it(lab)
    result = lesson01.pulled_plug(lab)  # type: ignore[arg-type]
    assert not result.passed
    assert says in result.sentence
    assert result.sentence.count(". ") == 0
    assert result.sentence.endswith(".")
