"""What the isolation panel does to a real engine, and that it leaves nothing half made."""

import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from docker.errors import APIError

from dockernb.errors import LabError
from dockernb.model import Container, Network
from dockernb.probe import Outcome, reach, snapshot
from dockernb.session import networks
from dockernb.session.twin import Script
from dockernb.view.isolation import (
    ALIAS,
    DENY,
    ICC,
    INTERNAL,
    MASQUERADE,
    MEMBER,
    Change,
    IsolationModel,
    LabHands,
)
from tests.support.stage import Stage


class Shell:
    """The lab host's `run`, for iptables only."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def run(self, argv: list[str]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.CompletedProcess(argv, 0, self.stage.iptables(*argv[1:]).encode(), b"")
        except subprocess.CalledProcessError as error:
            return subprocess.CompletedProcess(argv, 1, b"", error.stderr.encode())


class StageHands(LabHands):
    """The stage's iptables in place of the lab host's."""

    def denied(self) -> frozenset[tuple[str, str]]:
        return networks.denied(Shell(self.lab))  # type: ignore[arg-type]

    def deny(self, source: Container, target: Container, value: bool) -> Script:
        return networks.deny(
            Shell(self.lab),  # type: ignore[arg-type]
            (source.name, [a for e in source.endpoints for a in e.addresses]),
            (target.name, [a for e in target.endpoints for a in e.addresses]),
            value,
        )


@pytest.fixture
def tiers(stage: Stage) -> Iterator[Stage]:
    """web on front (published), api on front and back, db on back (internal, static), old on back (stopped)."""
    stage.network("front", "172.20.1.0/24", options={"com.docker.network.driver.mtu": "1400"})
    stage.network("back", "172.21.1.0/24", internal=True)
    stage.run("web", "front", 80, publish={80: 8080})
    stage.run("api", "front", 3000)
    stage.docker.networks.get("back").connect("api", aliases=["api-service"])
    stage.run("db", "back", 5432)
    stage.docker.networks.get("back").disconnect("db")
    stage.docker.networks.get("back").connect("db", ipv4_address="172.21.1.77", aliases=["postgres"])
    stage.run("old", "back")
    stage.docker.containers.get("old").kill()
    yield stage
    stage.clear()


def network(stage: Stage, name: str) -> Network:
    found = snapshot(stage).network(name)  # type: ignore[arg-type]
    assert found
    return found


def shape(stage: Stage) -> dict[str, Any]:
    """All that must stay: everything but ids."""
    state = snapshot(stage)  # type: ignore[arg-type]
    return {
        "networks": [
            (n.name, n.driver, n.internal, n.subnets, n.options, n.labels, n.ipv6) for n in state.networks
        ],
        "endpoints": {
            (c.name, e.network): (e.address, e.aliases, e.mac) for c in state.containers for e in c.endpoints
        },
        "ports": {c.name: c.published for c in state.containers},
    }


@pytest.mark.parametrize(
    ("name", "switch"),
    [
        ("back", {"internal": False}),
        ("front", {"internal": True}),
        ("front", {"icc": False}),
        ("front", {"masquerade": False}),
    ],
)
def test_a_network_made_anew_keeps_everything_else(tiers: Stage, name: str, switch: dict[str, bool]) -> None:
    before = shape(tiers)
    ((what, value),) = switch.items()
    old = network(tiers, name)
    networks.recreate(tiers.docker, name, **switch)
    made = network(tiers, name)
    assert getattr(made, what) is value and made.id != old.id
    assert shape(tiers)["endpoints"] == before["endpoints"]
    networks.recreate(tiers.docker, name, **{what: not value})
    back = shape(tiers)
    options = [entry[4] for entry in back["networks"]]
    for entry in options:  # what had no word before says the same aloud now
        entry.pop("com.docker.network.bridge.enable_icc", None)
        entry.pop("com.docker.network.bridge.enable_ip_masquerade", None)
    assert back == before


def test_a_stopped_container_starts_on_the_network_made_anew(tiers: Stage) -> None:
    networks.recreate(tiers.docker, "back", internal=False)
    tiers.docker.containers.get("old").start()
    old = snapshot(tiers).container("old")  # type: ignore[arg-type]
    assert old and old.running and old.networks == ("back",) and old.endpoints[0].address


def test_what_changes_is_what_the_switch_says(tiers: Stage) -> None:
    def reaches(source: str, target: str, **options: Any) -> Outcome:
        return reach(tiers, [source], [target], by=["address"], **options).outcome(source, target)  # type: ignore[arg-type]

    assert reaches("db", "outside") is not Outcome.REACHABLE
    networks.recreate(tiers.docker, "back", internal=False)
    assert reaches("db", "outside") is Outcome.REACHABLE
    networks.recreate(tiers.docker, "back", masquerade=False)
    assert reaches("db", "outside") is Outcome.TIMED_OUT
    networks.recreate(tiers.docker, "back", icc=False)
    assert reaches("api", "db") is Outcome.TIMED_OUT
    networks.recreate(tiers.docker, "back", icc=True, masquerade=True, internal=True)
    assert reaches("api", "db") is Outcome.REACHABLE


@pytest.mark.parametrize("fails", ["create_network", "connect_container_to_network", "remove_network"])
@pytest.mark.parametrize("interrupt", [False, True], ids=["refused", "interrupted"])
def test_a_step_that_fails_puts_the_old_network_back(
    tiers: Stage, monkeypatch: pytest.MonkeyPatch, fails: str, interrupt: bool
) -> None:
    before = shape(tiers)
    real, failed = getattr(tiers.docker.api, fails), []

    def once(*arguments: Any, **options: Any) -> Any:
        if not failed:
            failed.append(True)
            if interrupt:
                raise KeyboardInterrupt
            raise APIError("500", explanation="no, said the test")
        return real(*arguments, **options)

    monkeypatch.setattr(tiers.docker.api, fails, once)
    expected = KeyboardInterrupt if interrupt else LabError
    with pytest.raises(expected) as caught:
        networks.recreate(tiers.docker, "back", internal=False)
    if not interrupt:
        assert str(caught.value) == "Docker did not make back anew: no, said the test."
    assert shape(tiers) == before
    assert reach(tiers, ["api"], ["db"]).reaches("api", "db", "name")  # type: ignore[arg-type]


def test_dockers_own_networks_are_left_alone(tiers: Stage) -> None:
    with pytest.raises(LabError, match="bridge cannot be made anew: it is Docker's own"):
        networks.recreate(tiers.docker, "bridge", internal=True)
    with pytest.raises(LabError, match="Docker did not make nosuch anew: network nosuch not found"):
        networks.recreate(tiers.docker, "nosuch", internal=True)


def test_the_panels_model_on_a_real_engine(tiers: Stage) -> None:
    model = IsolationModel(StageHands(tiers))  # type: ignore[arg-type]
    before = shape(tiers)
    assert model.matrix.outcome("api", "db", "name") is Outcome.REACHABLE
    began = time.monotonic()
    model.change(Change(MEMBER, "back", False, "db"))
    assert time.monotonic() - began < 4
    assert model.matrix.outcome("api", "db", "name") is Outcome.NOT_RESOLVED
    assert model.twin.lines == ["docker network disconnect back db"]
    for change in (
        Change(INTERNAL, "back", False),
        Change(ICC, "front", False),
        Change(MASQUERADE, "front", False),
        Change(MEMBER, "front", True, "db"),
        Change(DENY, "", True, "db", "web"),
    ):
        model.change(change)
        assert model.error == ""
        assert model.value(change.what, change.network, change.container, change.target) is change.value
    assert model.matrix.outcome("web", "api", "address") is Outcome.TIMED_OUT
    while model.can_undo:
        model.undo()
        assert model.error == ""
    assert model.twin.lines == ["docker network connect --ip 172.21.1.77 --alias postgres back db"]
    assert shape(tiers)["endpoints"] == before["endpoints"]
    assert network(tiers, "back").internal and network(tiers, "front").icc


def test_the_twin_of_a_network_made_anew_is_the_whole_list(tiers: Stage) -> None:
    twin = LabHands(tiers).switch("back", INTERNAL, False, lambda text, fraction: None)  # type: ignore[arg-type]
    disconnects, others = twin.lines[:3], twin.lines[3:]
    assert sorted(disconnects) == [f"docker network disconnect back {name}" for name in ("api", "db", "old")]
    assert others[:2] == [
        "docker network rm back",
        "docker network create -d bridge --subnet 172.21.1.0/24 back",
    ]
    assert sorted(others[2:]) == [
        "docker network connect --ip 172.21.1.2 --alias api-service back api",
        "docker network connect --ip 172.21.1.77 --alias postgres back db",
        "docker network connect back old",
    ]


def test_a_policy_drops_and_is_undone_exactly(tiers: Stage) -> None:
    host: Any = Shell(tiers)
    tiers.iptables(
        "-I", "DOCKER-USER", "-s", "203.0.113.9", "-m", "comment", "--comment", "theirs", "-j", "DROP"
    )
    before = tiers.iptables("-S", "DOCKER-USER")
    api, db = ("api", ["172.21.1.2", "fd00::2"]), ("db", ["172.21.1.77"])
    assert reach(tiers, ["api"], ["db"], by=["address"]).outcome("api", "db") is Outcome.REACHABLE  # type: ignore[arg-type]
    twin = networks.deny(host, api, db, True)
    assert reach(tiers, ["api"], ["db"], by=["address"]).outcome("api", "db") is Outcome.TIMED_OUT  # type: ignore[arg-type]
    networks.deny(host, db, api, True)
    assert twin.lines == [
        "iptables -I DOCKER-USER -s 172.21.1.2/32 -d 172.21.1.77/32 "
        "-m comment --comment 'dockernb denies api db' -j DROP"
    ]
    assert networks.denied(host) == {("api", "db"), ("db", "api")}
    (rule,) = (line for line in tiers.iptables("-S", "DOCKER-USER").splitlines() if "denies api" in line)
    assert "-s 172.21.1.2/32 -d 172.21.1.77/32" in rule
    networks.deny(host, api, db, False)
    networks.deny(host, ("db", []), ("api", []), False)
    assert tiers.iptables("-S", "DOCKER-USER") == before and networks.denied(host) == frozenset()
    assert reach(tiers, ["api"], ["db"], by=["address"]).outcome("api", "db") is Outcome.REACHABLE  # type: ignore[arg-type]
    with pytest.raises(LabError, match="db has no IPv4 address"):
        networks.deny(host, api, ("db", ["fd00::1"]), True)


def test_an_undo_where_docker_chose_the_subnet(tiers: Stage) -> None:
    tiers.network("chosen")
    tiers.docker.networks.get("chosen").connect("db", aliases=["postgres"])
    hands = StageHands(tiers)  # type: ignore[arg-type]
    model = IsolationModel(hands)
    model.change(Change(MEMBER, "chosen", False, "db"))
    model.undo()
    assert model.error == "" and model.value(MEMBER, "chosen", "db")
    assert model.twin.lines == ["docker network connect --alias postgres chosen db"]
    db = model.state.container("db")
    assert db and db.endpoint("chosen").aliases == ("postgres",)  # type: ignore[union-attr]


def test_a_refusal_of_the_engine_is_one_sentence(tiers: Stage) -> None:
    model = IsolationModel(StageHands(tiers))  # type: ignore[arg-type]
    tiers.docker.containers.get("web").remove(force=True)
    model.change(Change(MEMBER, "back", True, "web"))
    assert model.error.startswith("Docker did not connect web to back: No such container: web")
    assert model.state.container("web") is None, "the panel shows what the engine says"


def test_an_alias_is_given_and_taken_with_the_address_kept(tiers: Stage) -> None:
    before = shape(tiers)
    model = IsolationModel(StageHands(tiers, {"sources": ["api"], "targets": ["db"]}))  # type: ignore[arg-type]
    assert model.matrix.outcome("api", "db", "alias") is Outcome.REACHABLE, "it has one already"
    given = Change(ALIAS, "back", True, "db", "store")
    model.change(given)
    assert not model.error and model.value(ALIAS, "back", "db", "store")
    assert {
        v.asked for v in model.matrix.verdicts if v.how == "alias" and v.outcome is Outcome.REACHABLE
    } == {
        "postgres",
        "store",
    }
    assert [line.split()[:3] for line in model.twin.lines] == [
        ["docker", "network", "disconnect"],
        ["docker", "network", "connect"],
    ]
    assert "--alias store" in model.twin.lines[1] and "--ip 172.21.1.77" in model.twin.lines[1]
    model.undo()
    assert not model.error and shape(tiers) == before


def test_an_alias_that_cannot_be_is_one_sentence_and_nothing_changes(tiers: Stage) -> None:
    before = shape(tiers)
    with pytest.raises(LabError, match=r"^'no name' is no host name: use letters"):
        networks.alias(tiers.docker, "back", "db", "no name", True)
    with pytest.raises(LabError, match=r"^web is not on back: connect it first\.$"):
        networks.alias(tiers.docker, "back", "web", "store", True)
    assert shape(tiers) == before
