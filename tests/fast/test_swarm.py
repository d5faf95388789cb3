"""A swarm as data and as a picture, from what a real engine (26.1) said before and after it lost a machine.

Three machines; service web (3 tasks, virtual address, 8080 published by all nodes) on the overlay network team, service
board (one task on each worker, DNS round robin, 8090 published by its nodes) on the encrypted network secret; and
containers anna on node2 and ben on node3. Then node3 was switched off.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from dockernb.model import Swarm
from dockernb.session.twin.journal import Journal
from dockernb.view import look
from dockernb.view.picture import SHADE

SVG = "{http://www.w3.org/2000/svg}"


@cache
def swarm(when: str) -> Swarm:
    data = json.loads((Path(__file__).parent / "data" / "swarm-26.1.json").read_text())[when]
    return Swarm.from_inspect(**data)


def boxes(html: str) -> dict[str, ET.Element]:
    """The tasks and containers of a picture, by the words in them."""
    groups = ET.fromstring(html).iter(f"{SVG}g")
    return {"".join(group.find(f"{SVG}text").itertext()): group for group in groups}  # type: ignore[union-attr]


# ---------------------------------------------------------------- data


def test_machines_and_networks() -> None:
    state = swarm("before")
    assert [(one.name, one.role, one.state, one.address) for one in state.nodes] == [
        ("node1", "manager", "ready", "198.51.100.1"),
        ("node2", "worker", "ready", "198.51.100.2"),
        ("node3", "worker", "ready", "198.51.100.3"),
    ]
    team, secret = state.overlay("team"), state.overlay("secret")
    assert team and secret
    assert (team.vni, team.encrypted, team.attachable, team.subnets[0].subnet) == (
        4097,
        False,
        True,
        "10.20.1.0/24",
    )
    assert (secret.vni, secret.encrypted) == (4098, True)
    assert state.overlay("nothing") is None


def test_services() -> None:
    state = swarm("before")
    web, board = state.service("web"), state.service("board")
    assert web and board
    assert (web.replicas, web.endpoint_mode, web.networks) == (3, "vip", ("team",))
    assert [str(port) for port in web.ports] == ["8080→80 (ingress)"]
    assert web.vips["team"].startswith("10.20.1.")
    assert (board.replicas, board.endpoint_mode, board.networks) == (None, "dnsrr", ("secret",))
    assert board.constraints == ("node.role == worker",)
    assert [str(port) for port in board.ports] == ["8090→80 (host)"]
    assert not board.vips


def test_tasks_are_those_that_shall_run() -> None:
    state = swarm("before")
    assert {task.name: task.running for task in state.tasks_of("web")} == {
        "web.1": True,
        "web.2": True,
        "web.3": True,
    }
    assert {task.node for task in state.tasks_of("web")} == {"node1", "node2", "node3"}
    assert [task.name for task in state.tasks_of("board")] == ["board.node2", "board.node3"]
    assert all(task.addresses["team"].startswith("10.20.1.") for task in state.tasks_of("web"))
    assert {task.node for task in swarm("after").tasks_of("web")} == {"node1", "node2"}


def test_containers_beside_the_services() -> None:
    assert [(one.name, one.node) for one in swarm("before").loose] == [("anna", "node2"), ("ben", "node3")]
    assert [(one.name, one.node) for one in swarm("after").loose] == [("anna", "node2")]


def test_a_machine_that_came_back_is_the_one_that_is_ready() -> None:
    state = swarm("after")
    lost = state.node("node3")
    assert lost and lost.state == "down"
    again = replace(lost, id="another", state="ready")
    assert replace(state, nodes=(*state.nodes, again)).node("node3") == again
    assert state.node("node4") is None


# ---------------------------------------------------------------- picture


def test_the_picture_shows_machines_tasks_and_networks() -> None:
    picture = look(swarm("before"))
    words = ["".join(text.itertext()) for text in ET.fromstring(picture.html).iter(f"{SVG}text")]
    for word in (
        "node1",
        "manager, ready",
        "198.51.100.3",
        "web.1",
        "board.node3",
        "anna",
        "team",
        "secret",
        "ingress",
    ):
        assert word in words
    assert "10.20.2.0/24, VNI 4098, encrypted" in words
    assert "node2 (worker, 198.51.100.2, ready): " in picture.text
    assert "web: 3 tasks wanted, endpoint mode vip, published 8080→80 (ingress)" in picture.text
    assert "board: one task on each node, endpoint mode dnsrr, published 8090→80 (host)" in picture.text


def test_each_task_stands_in_its_machine() -> None:
    root = ET.fromstring(look(swarm("before")).html)
    machines = [rect for rect in root.findall(f"{SVG}rect") if rect.get("rx") == "10"]
    left = {f"node{number}": float(rect.get("x") or 0) for number, rect in enumerate(machines, 1)}
    for name, group in boxes(look(swarm("before")).html).items():
        task = next(
            (one for one in (*swarm("before").tasks, *swarm("before").loose) if one.name == name), None
        )
        assert task, name
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        assert float(rect.get("x") or 0) == left[task.node] + 10


def test_a_service_s_task_and_a_container_look_different() -> None:
    found = boxes(look(swarm("before")).html)
    assert SHADE in ET.tostring(found["web.1"], encoding="unicode")
    assert SHADE not in ET.tostring(found["anna"], encoding="unicode")


def test_what_moved_and_what_is_lost() -> None:
    picture = look(swarm("after"), swarm("before"))
    found = boxes(picture.html)
    moved = next(task for task in swarm("before").tasks_of("web") if task.node == "node3")
    assert {f"+ {moved.name}", f"− {moved.name}", "− ben", "− board.node3", "anna"} <= set(found)
    assert "+ anna" not in found
    assert "stroke-dasharray" in ET.tostring(found["− ben"], encoding="unicode")
    assert "node3 (worker, 198.51.100.3, down): " in picture.text
    assert f"+{moved.name}" in picture.text


def test_the_ingress_network_is_drawn_only_where_it_is_used() -> None:
    board = swarm("before").service("board")
    assert board
    assert "ingress" not in look(replace(swarm("before"), services=(board,), tasks=())).text


# ---------------------------------------------------------------- the twin of several hosts


@pytest.fixture
def journal() -> Journal:
    return Journal()


def test_lines_say_where_they_belong(journal: Journal) -> None:
    one, two = journal.of("node1"), journal.of("node2")
    one.record(
        "POST", "/v1.45/networks/create", {}, {"Name": "team", "Driver": "overlay"}, 201, {"Id": "a" * 64}
    )
    two.record("POST", "/v1.45/networks/team/connect", {}, {"Container": "anna"}, 200)
    two.record("DELETE", "/v1.45/networks/" + "a" * 64, {}, None, 204)
    one.record("GET", "/v1.45/nodes", {}, None, 200, [])
    assert journal.take().lines == [
        "# on node1",
        "docker network create -d overlay team",
        "# on node2",
        "docker network connect team anna",
        "docker network rm team",  # the name is known from the other machine
        "# on node1",
        "docker node ls",
    ]
    assert journal.take().lines == []


def test_looking_at_the_swarm_before_joining_it_is_no_line(journal: Journal) -> None:
    one, two = journal.of("node1"), journal.of("node2")
    one.record("GET", "/v1.45/swarm", {}, None, 200, {"JoinTokens": {"Worker": "SWMTKN-1-x"}})
    two.record("GET", "/v1.45/swarm", {}, None, 503, {"message": "This node is not a swarm manager."})
    body = {"RemoteAddrs": ["198.51.100.1:2377"], "JoinToken": "SWMTKN-1-x", "ListenAddr": "0.0.0.0:2377"}
    two.record("POST", "/v1.45/swarm/join", {}, body, 200)
    assert journal.take().lines == [
        "# on node1",
        "docker swarm join-token worker",
        "# on node2",
        "docker swarm join --token SWMTKN-1-x 198.51.100.1:2377",
    ]


def test_silence(journal: Journal) -> None:
    recorder = journal.of("node1")
    with journal.silent():
        recorder.record("GET", "/version", {}, None, 200, {})
    assert journal.take().lines == []
