"""Lesson 05's exercise on a real engine: right solutions pass, each wrong one is told what is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from docker.types import IPAMConfig, IPAMPool

from dockernb.course import lesson05
from dockernb.labhost import LabHost
from dockernb.session import Lab
from tests.support.lesson import Lesson, shell
from tests.support.stage import IMAGE, LABELS, Stage


@pytest.fixture(scope="module")
def native(stage: Stage) -> Stage:
    """An engine with a cable to desk30. What is called lan0.30 need not be a VLAN, which not every kernel has."""
    enter = ["nsenter", "--target", str(stage.engine.pid), "--mount", "--pid", "--net"]
    for words in (
        "netns add desk30",
        "link add lan0.30 type veth peer name vlan30 netns desk30",
        "link set lan0.30 up",
        "-n desk30 address add 10.10.30.1/24 dev vlan30",
        "-n desk30 link set vlan30 up",
    ):
        subprocess.run([*enter, "ip", *words.split()], check=True, timeout=10)
    trial = [*enter, "ip", "link", "add", "trial", "link", "lan0.30", "type", "macvlan"]
    if subprocess.run(trial, check=False, capture_output=True, timeout=10).returncode:
        pytest.skip("this kernel has no macvlan")
    subprocess.run([*enter, "ip", "link", "delete", "trial"], check=True, timeout=10)
    return stage


@pytest.fixture
def lab(native: Stage) -> Iterator[Stage]:
    yield native
    native.clear()


def sensor(
    lab: Stage, *, address: str = "", driver: str = "macvlan", parent: str = "lan0.30", **pool: object
) -> None:
    """A network with these settings, and the sensor on it."""
    settings = {"subnet": "10.10.30.0/24", "gateway": "10.10.30.1"} | pool
    lab.docker.networks.create(
        "vlan30",
        driver=driver,
        labels=LABELS,
        options={"parent": parent} if driver != "bridge" else {},
        ipam=IPAMConfig(pool_configs=[IPAMPool(**settings)]),
    )
    api = lab.docker.api
    api.create_container(
        IMAGE,
        ["/pause"],
        name="sensor",
        labels=LABELS,
        host_config=api.create_host_config(network_mode="vlan30"),
        networking_config={
            "EndpointsConfig": {"vlan30": api.create_endpoint_config(ipv4_address=address or None)}
        },
    )
    api.start("sensor")


RANGE = "10.10.30.128/25"
PRINTER = {"printer": "10.10.30.128"}


def as_in_the_lesson(lab: Stage) -> None:
    sensor(lab, iprange=RANGE, aux_addresses=PRINTER)


def a_range_beside_the_printer(lab: Stage) -> None:
    sensor(lab, iprange="10.10.30.192/26")


def a_static_address(lab: Stage) -> None:
    sensor(lab, iprange=RANGE, aux_addresses=PRINTER, address="10.10.30.200")


@pytest.mark.parametrize("solve", [as_in_the_lesson, a_range_beside_the_printer, a_static_address])
def test_right_solutions_pass(lab: Stage, solve: Callable[[Stage], None]) -> None:
    solve(lab)
    result = lesson05.sensor(lab)  # type: ignore[arg-type]
    assert result.passed, str(result)


def nothing(lab: Stage) -> None:
    del lab


def on_a_bridge(lab: Stage) -> None:
    sensor(lab, driver="bridge", iprange=RANGE)


def no_range(lab: Stage) -> None:
    sensor(lab)


def no_range_and_a_static_address(lab: Stage) -> None:
    sensor(lab, address="10.10.30.200")


def printer_forgotten(lab: Stage) -> None:
    sensor(lab, iprange=RANGE)


def printer_forgotten_and_a_static_address(lab: Stage) -> None:
    sensor(lab, iprange=RANGE, address="10.10.30.200")


def a_subnet_of_its_own(lab: Stage) -> None:
    sensor(lab, subnet="10.10.31.0/24", gateway="10.10.31.1", iprange="10.10.31.128/25")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (nothing, 'There is no container called "sensor" yet.'),
        (on_a_bridge, '"sensor" is on vlan30 (bridge): VLAN 30 of lan0 is the parent lan0.30.'),
        (no_range, '"sensor" has 10.10.30.2, and Docker may use 10.10.30.128 and up.'),
        (no_range_and_a_static_address, "Docker hands out addresses of 10.10.30.0/24 on vlan30"),
        (printer_forgotten, '"sensor" has 10.10.30.128, which is the printer\'s.'),
        (printer_forgotten_and_a_static_address, "Docker may hand out the printer's 10.10.30.128 on vlan30"),
        (a_subnet_of_its_own, '"sensor" has 10.10.31.128, and Docker may use 10.10.30.128 and up.'),
    ],
)
def test_wrong_solutions_are_told_why(lab: Stage, break_it: Callable[[Stage], None], says: str) -> None:
    break_it(lab)
    result = lesson05.sensor(lab)  # type: ignore[arg-type]
    assert not result.passed
    assert says in result.sentence


def test_a_sensor_that_the_desk_does_not_reach(lab: Stage) -> None:
    a_subnet_of_its_own(lab)
    findings = {f.claim: f for f in lesson05.sensor(lab).findings}  # type: ignore[arg-type]
    assert "10.10.31.128 does not answer" in findings["desk30 reaches sensor"].problem


def test_on_the_lessons_own_lan(host: LabHost) -> None:
    """The solution as written, and its like by ipvlan, where the LAN is the one that the notebook makes."""
    lab = Lab("05-macvlan", host)
    shell(lab, Lesson("05-macvlan").cell("ip netns add lan"))
    exec(lesson05.sensor.solution, {"lab": lab})
    result = lesson05.sensor(lab)
    assert result.passed, str(result)
    lab.clean()
    exec(lesson05.sensor.solution.replace('driver="macvlan"', 'driver="ipvlan"'), {"lab": lab})
    assert lesson05.sensor(lab).sentence == (
        "vlan30 is an ipvlan network: there the container has the MAC address of lan0.30."
    )
