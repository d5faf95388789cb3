"""The exercise of lesson 02: right solutions pass, and each wrong one is told why."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import docker.types
import pytest

from dockernb.course import lesson02
from tests.support.stage import IMAGE, LABELS, Stage

OPTIONS = {"com.docker.network.bridge.name": "store0", "com.docker.network.driver.mtu": "1400"}


@pytest.fixture(scope="module")
def native(stage: Stage) -> Stage:
    stage.network("my-app-network", "10.93.0.0/24")
    stage.run("app1", "my-app-network")
    with stage.engine.network():
        for words in (
            "link add home type bridge",
            "address add 198.51.100.7/24 dev home",
            "link set home up",
        ):
            subprocess.run(["ip", *words.split()], check=True, timeout=10)
    return stage


@pytest.fixture
def lab(native: Stage) -> Iterator[Stage]:
    yield native
    for name in ("warehouse", "till"):
        if native.docker.containers.list(all=True, filters={"name": name}):
            native.docker.api.remove_container(name, force=True)
    for network in native.docker.networks.list(names=["store-net"]):
        network.remove()


def network(
    lab: Stage, subnet: str = "10.94.0.0/24", iprange: str | None = "10.94.0.128/25", **options: Any
) -> None:
    pool = docker.types.IPAMPool(subnet=subnet, iprange=iprange)
    ipam = docker.types.IPAMConfig(pool_configs=[pool])
    lab.docker.networks.create("store-net", ipam=ipam, labels=LABELS, **{"options": OPTIONS} | options)


def container(lab: Stage, name: str, on: str = "store-net", port: int = 0, **endpoint: Any) -> None:
    api = lab.docker.api
    endpoints: Any = {on: api.create_endpoint_config(**endpoint)}
    made = api.create_container(
        IMAGE,
        ["/pause"],
        name=name,
        labels=LABELS,
        ports=[80],
        host_config=api.create_host_config(network_mode=on),
        networking_config=api.create_networking_config(endpoints),
    )
    api.start(made["Id"])
    if port:
        lab.listen(name, port)


def warehouse(lab: Stage, address: str | None = "10.94.0.10", aliases: tuple[str, ...] = ("stock",)) -> None:
    container(lab, "warehouse", port=80, ipv4_address=address, aliases=list(aliases))


def in_the_lower_half(lab: Stage) -> None:
    network(lab)
    warehouse(lab)
    container(lab, "till")


def very_small(lab: Stage) -> None:
    network(lab, "10.94.0.0/28", "10.94.0.0/29", internal=True)
    warehouse(lab, "10.94.0.14", ("goods", "stock"))
    container(lab, "till")


def the_solution_as_written(lab: Stage) -> None:
    """The code that the learner unfolds, with the stage's image."""

    def run(_image: str, *_command: str, name: str, networking_config: Any = None, **_options: Any) -> None:
        container(
            lab,
            name,
            port=80 if networking_config else 0,
            **_plain((networking_config or {}).get("store-net")),
        )

    networks = SimpleNamespace(
        create=lambda name, **options: lab.docker.networks.create(name, labels=LABELS, **options)
    )
    pretended = SimpleNamespace(api=lab.docker.api, networks=networks, containers=SimpleNamespace(run=run))
    exec(lesson02.store.solution, {"lab": SimpleNamespace(docker=pretended)})


def _plain(endpoint: Any) -> dict[str, Any]:
    """What create_endpoint_config was called with."""
    if not endpoint:
        return {}
    return {"ipv4_address": endpoint["IPAMConfig"]["IPv4Address"], "aliases": endpoint["Aliases"]}


@pytest.mark.parametrize("solve", [in_the_lower_half, very_small, the_solution_as_written])
def test_right_solutions_pass(lab: Stage, solve: Callable[[Stage], None]) -> None:
    solve(lab)
    result = lesson02.store(lab)  # type: ignore[arg-type]
    assert result.passed, str(result)


def nothing(lab: Stage) -> None:
    del lab


def bridge_has_another_name(lab: Stage) -> None:
    network(lab, options={"com.docker.network.bridge.name": "store1"})


def large(lab: Stage) -> None:
    network(lab, "10.94.0.0/16", "10.94.128.0/17")


def on_a_route_of_the_host(lab: Stage) -> None:
    network(lab, "198.51.100.0/24", "198.51.100.128/25")


def all_for_docker(lab: Stage) -> None:
    network(lab, iprange=None)


def no_warehouse(lab: Stage) -> None:
    network(lab)


def warehouse_elsewhere(lab: Stage) -> None:
    network(lab)
    container(lab, "warehouse", on="my-app-network")
    container(lab, "till")


def warehouse_in_dockers_half(lab: Stage) -> None:
    network(lab)
    warehouse(lab, "10.94.0.200")
    container(lab, "till")


def till_is_fixed(lab: Stage) -> None:
    network(lab)
    warehouse(lab)
    container(lab, "till", ipv4_address="10.94.0.20")


def large_packets(lab: Stage) -> None:
    network(lab, options={"com.docker.network.bridge.name": "store0"})
    warehouse(lab)
    container(lab, "till")


def no_alias(lab: Stage) -> None:
    network(lab)
    warehouse(lab, aliases=("goods",))
    container(lab, "till")


def nobody_listens(lab: Stage) -> None:
    network(lab)
    container(lab, "warehouse", ipv4_address="10.94.0.10", aliases=["stock"])
    container(lab, "till")


def open_to_my_app(lab: Stage) -> None:
    in_the_lower_half(lab)
    lab.docker.networks.get("my-app-network").connect("warehouse")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (nothing, 'There is no network called "store-net" yet.'),
        (bridge_has_another_name, "store-net is called store1 on the host, and store0 is wanted: "),
        (large, "10.94.0.0/16 has 65536 addresses: a /24 or smaller is wanted."),
        (
            on_a_route_of_the_host,
            "198.51.100.0/24 overlaps 198.51.100.0/24, which the host reaches by home: ",
        ),
        (all_for_docker, "Docker hands out all of 10.94.0.0/24: give it a part only, by an ip-range."),
        (no_warehouse, 'There is no container called "warehouse" yet.'),
        (warehouse_elsewhere, "warehouse is not on store-net."),
        (warehouse_in_dockers_half, "warehouse is 10.94.0.200, which lies in 10.94.0.128/25, "),
        (till_is_fixed, "till asked for 10.94.0.20: let Docker choose its address."),
        (large_packets, "eth0 in warehouse takes packets of 1500 bytes, and 1400 are wanted: "),
        (no_alias, 'warehouse has no alias "stock" on store-net.'),
        (nobody_listens, "till does not reach stock on port 80: "),
        (open_to_my_app, "app1 is on my-app-network and reaches warehouse by its name."),
    ],
)
def test_wrong_solutions_are_told_why(lab: Stage, break_it: Callable[[Stage], None], says: str) -> None:
    break_it(lab)
    result = lesson02.store(lab)  # type: ignore[arg-type]
    assert not result.passed
    assert says in result.sentence
    assert result.sentence.endswith(".")
