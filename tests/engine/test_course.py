"""Lesson 06's exercise on a real engine: right solutions pass, each wrong one is told what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dockernb.course import lesson06
from tests.support.stage import IMAGE, LABELS, Stage

# Where lesson 06 leaves each container: its networks and the port that it listens on.
TIERS = {
    "postgres-db": (["database-network"], 5432),
    "api-server": (["backend-network", "database-network"], 3000),
    "web-server": (["frontend-network", "backend-network"], 80),
    "load-balancer": (["frontend-network"], 8080),
}
NETWORKS = {"frontend-network": False, "backend-network": True, "database-network": True}


@pytest.fixture(scope="module")
def native(stage: Stage) -> Stage:
    for number, (name, internal) in enumerate(NETWORKS.items(), 91):
        stage.network(name, f"10.{number}.0.0/24", internal=internal)
    return stage


@pytest.fixture
def lab(native: Stage) -> Stage:
    """The three-tier lab as the lesson leaves it, whatever the test before did to it."""
    there = {c.name: c for c in native.docker.containers.list(all=True)}
    for name, container in there.items():
        attached = sorted(container.attrs["NetworkSettings"]["Networks"])
        if name not in TIERS or container.status != "running" or attached != sorted(TIERS[name][0]):
            container.remove(force=True)
    for network in native.docker.networks.list(filters={"type": "custom"}):
        if network.name not in NETWORKS:
            network.remove()
    for name, (networks, port) in TIERS.items():
        if name not in {c.name for c in native.docker.containers.list()}:
            native.run(name, networks[0], port)
            for network in networks[1:]:
                connect(native, network, name)
    return native


def connect(lab: Stage, network: str, container: str) -> None:
    lab.docker.networks.get(network).connect(container)


def inner_networks(lab: Stage) -> None:
    lab.run("admin", "backend-network")
    connect(lab, "database-network", "admin")


def networks_of_its_own(lab: Stage) -> None:
    lab.network("admin-web", "10.94.0.0/24", internal=True)
    lab.network("admin-data", "10.95.0.0/24")
    lab.run("admin", "admin-web")
    connect(lab, "admin-data", "admin")
    connect(lab, "admin-web", "web-server")
    connect(lab, "admin-data", "postgres-db")


def the_solution_as_written(lab: Stage) -> None:
    """The code that the learner unfolds, with the stage's image."""

    def create(_image: str, _command: list[str], **options: Any) -> Any:
        return lab.docker.containers.create(IMAGE, ["/pause"], labels=LABELS, **options)

    pretended = SimpleNamespace(
        docker=SimpleNamespace(
            containers=SimpleNamespace(create=create),
            networks=lab.docker.networks,
        )
    )
    exec(lesson06.admin.solution, {"lab": pretended})


@pytest.mark.parametrize("solve", [inner_networks, networks_of_its_own, the_solution_as_written])
def test_right_solutions_pass(lab: Stage, solve: Callable[[Stage], None]) -> None:
    solve(lab)
    lab.calls = 0
    result = lesson06.admin(lab)  # type: ignore[arg-type]
    assert result.passed, str(result)
    assert lab.calls == 1  # the whole check costs one helper call


def nothing(lab: Stage) -> None:
    del lab


def not_started(lab: Stage) -> None:
    lab.docker.containers.create(IMAGE, ["/pause"], name="admin", labels=LABELS)


def only_the_database(lab: Stage) -> None:
    lab.run("admin", "database-network")


def only_the_back(lab: Stage) -> None:
    lab.run("admin", "backend-network")


def on_the_frontend(lab: Stage) -> None:
    lab.run("admin", "frontend-network")
    connect(lab, "database-network", "admin")


def web_server_beside_the_database(lab: Stage) -> None:
    lab.run("admin", "database-network")
    connect(lab, "database-network", "web-server")


def one_network_for_all(lab: Stage) -> None:
    lab.network("admin-net", "10.94.0.0/24")
    lab.run("admin", "admin-net")
    connect(lab, "admin-net", "web-server")
    connect(lab, "admin-net", "postgres-db")


def database_published(lab: Stage) -> None:
    inner_networks(lab)
    lab.docker.api.remove_container("postgres-db", force=True)
    lab.network("published", "10.94.0.0/24")
    lab.run("postgres-db", "published", publish={5432: 15432})
    connect(lab, "database-network", "postgres-db")
    lab.listen("postgres-db", 5432)


def application_cut(lab: Stage) -> None:
    inner_networks(lab)
    lab.docker.networks.get("backend-network").disconnect("web-server")
    lab.network("admin-web", "10.94.0.0/24", internal=True)
    connect(lab, "admin-web", "admin")
    connect(lab, "admin-web", "web-server")


def application_stopped(lab: Stage) -> None:
    inner_networks(lab)
    lab.docker.api.kill("api-server")


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (nothing, 'There is no container called "admin" yet.'),
        (not_started, '"admin" is there, but it is created: start it.'),
        (only_the_database, "admin does not reach web-server on port 80: "),
        (only_the_back, "admin does not reach postgres-db on port 5432: "),
        (on_the_frontend, "admin is on frontend-network and reaches postgres-db by its name."),
        (
            web_server_beside_the_database,
            "web-server is on frontend-network and reaches postgres-db by its name.",
        ),
        (one_network_for_all, "web-server is on frontend-network and reaches postgres-db by its name."),
        (
            database_published,
            "is on frontend-network and reaches postgres-db by port 15432 of the Docker host, where it is published.",
        ),
        (application_cut, "web-server does not reach api-server on port 3000: "),
        (application_stopped, '"api-server" is there, but it is exited: start it.'),
    ],
)
def test_wrong_solutions_are_told_why(lab: Stage, break_it: Callable[[Stage], None], says: str) -> None:
    break_it(lab)
    result = lesson06.admin(lab)  # type: ignore[arg-type]
    assert not result.passed
    assert says in result.sentence
    assert result.sentence.count(". ") == 0
    assert result.sentence.endswith(".")
