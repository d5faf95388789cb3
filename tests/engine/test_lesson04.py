"""Lesson 04's session on three machines, and its exercise: right solutions pass, each wrong one is told what is wrong.

The machines are lab hosts in a native engine (provider container), where a service starts in a second.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from docker.errors import APIError
from docker.types import EndpointSpec, RestartPolicy, ServiceMode

from dockernb.course.lesson04 import board
from dockernb.errors import HostError, LabError
from dockernb.measure.capture import capture
from dockernb.session import Cluster, Lab, open_cluster
from dockernb.session.client import LessonAPI
from dockernb.session.lab import remove_containers, remove_networks, remove_services
from tests.support.engine import Engine, why_not
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")

LESSON = "04-overlay-swarm"
SECOND = 1_000_000_000


def open_again() -> Cluster:
    return open_cluster(LESSON, 3, owner=os.getpid(), provider="container", report=lambda text, part: None)


def join(lab: Cluster) -> None:
    """What the lesson's cells do."""
    lab.docker.swarm.init(advertise_addr=lab.nodes[0].address, dispatcher_heartbeat_period=SECOND)
    token = lab.docker.swarm.attrs["JoinTokens"]["Worker"]
    for node in lab.nodes[1:]:
        node.docker.swarm.join([f"{lab.nodes[0].address}:2377"], token, advertise_addr=node.address)


@pytest.fixture(scope="module")
def swarm(learner: Engine) -> Iterator[Cluster]:
    del learner  # this thread is where it is
    lab = open_again()
    try:
        join(lab)
        yield lab
    finally:
        lab.stop()


@pytest.fixture
def lab(swarm: Cluster) -> Cluster:
    """The swarm without services, containers and networks, whatever the test before left."""
    remove_services(swarm.docker, swarm.labels)
    for node in swarm.nodes:
        remove_containers(node.docker, swarm.labels)
    remove_networks(swarm.docker, swarm.labels)
    for node in swarm.docker.nodes.list():
        if node.attrs["Spec"]["Availability"] != "active":
            node.update({**node.attrs["Spec"], "Availability": "active"})
    swarm.twin()
    return swarm


# ---------------------------------------------------------------- the exercise


def network(lab: Cluster, name: str = "private", **changed: Any) -> None:
    lab.docker.networks.create(
        name, **{"driver": "overlay", "attachable": True, "options": {"encrypted": ""}} | changed
    )


def service(lab: Cluster, *, wait: bool = True, image: str = "dockernb/nginx", **changed: Any) -> None:
    options: dict[str, Any] = {
        "mode": "global",
        "constraints": ["node.role == worker"],
        "networks": ["private"],
        "endpoint_spec": EndpointSpec(mode="dnsrr", ports={8090: (80, "tcp", "host")}),
    }
    lab.docker.services.create(image, name="board", **options | changed)
    if wait:
        lab.wait("board", 30)


def the_solution_as_written(lab: Cluster) -> None:
    exec(board.solution, {"lab": lab})


def replicas_beside_the_manager(lab: Cluster) -> None:
    network(lab)
    service(lab, mode=ServiceMode("replicated", 2), maxreplicas=1, constraints=["node.hostname != node1"])


def a_manager_that_takes_no_tasks(lab: Cluster) -> None:
    availability(lab, "drain")
    network(lab)
    service(lab, constraints=[])


def availability(lab: Cluster, word: str) -> None:
    manager = lab.docker.nodes.list(filters={"role": "manager"})[0]
    manager.update({**manager.attrs["Spec"], "Availability": word})


@pytest.mark.parametrize(
    "solve", [the_solution_as_written, replicas_beside_the_manager, a_manager_that_takes_no_tasks]
)
def test_right_solutions_pass(lab: Cluster, solve: Callable[[Cluster], None]) -> None:
    solve(lab)
    result = board(lab)
    assert result.passed, str(result)


def nothing(lab: Cluster) -> None:
    del lab


def a_bridge(lab: Cluster) -> None:
    network(lab, driver="bridge", options={})


def for_services_alone(lab: Cluster) -> None:
    network(lab, attachable=False)


def readable(lab: Cluster) -> None:
    network(lab, options={})


def no_service(lab: Cluster) -> None:
    network(lab)


def on_another_network(lab: Cluster) -> None:
    network(lab)
    network(lab, "other")
    service(lab, networks=["other"])


def with_a_virtual_address(lab: Cluster) -> None:
    network(lab)
    service(lab, endpoint_spec=EndpointSpec(ports={8090: (80, "tcp", "host")}))


def everywhere(lab: Cluster) -> None:
    network(lab)
    service(lab, constraints=[])


def on_one_worker(lab: Cluster) -> None:
    network(lab)
    service(lab, mode=ServiceMode("replicated", 1))


def by_luck(lab: Cluster) -> None:
    network(lab)
    availability(lab, "pause")
    service(lab, mode=ServiceMode("replicated", 2), maxreplicas=1, constraints=[])
    availability(lab, "active")


def no_such_image(lab: Cluster) -> None:
    network(lab)
    service(lab, image="dockernb/board", wait=False)


def not_published(lab: Cluster) -> None:
    network(lab)
    service(lab, endpoint_spec=EndpointSpec(mode="dnsrr"))


def the_wrong_port_of_the_container(lab: Cluster) -> None:
    network(lab)
    service(lab, endpoint_spec=EndpointSpec(mode="dnsrr", ports={8090: (81, "tcp", "host")}))


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (nothing, 'There is no overlay network called "private" yet.'),
        (a_bridge, 'There is no overlay network called "private" yet.'),
        (for_services_alone, "private takes services only: containers of your own may join an attachable network."),
        (readable, "What goes over private can be read on the wire: it is not encrypted."),
        (no_service, 'There is no service called "board" yet.'),
        (on_another_network, "board is on other, and only private is wanted."),
        (with_a_virtual_address, 'board has a virtual address: its endpoint mode is to be "dnsrr".'),
        (everywhere, "A task of board runs on node1, which is the manager."),
        (on_one_worker, "No task of board runs on node"),
        (by_luck, "Nothing keeps board away from node1: that it does not run there now is luck."),
        (no_such_image, "lab.wait waits for it."),
        (not_published, "node2 does not answer on port 8090: "),
        (the_wrong_port_of_the_container, "node2 does not answer on port 8090: "),
    ],
)  # fmt: skip
def test_wrong_solutions_are_told_why(lab: Cluster, break_it: Callable[[Cluster], None], says: str) -> None:
    break_it(lab)
    result = board(lab)
    assert not result.passed
    assert says in result.sentence
    assert result.sentence.endswith(".")


def test_the_mesh_needs_a_virtual_address(lab: Cluster) -> None:
    network(lab)
    with pytest.raises(APIError, match="can't be used with dnsrr mode"):
        service(lab, endpoint_spec=EndpointSpec(mode="dnsrr", ports={8090: 80}))


# ---------------------------------------------------------------- the session on several machines


def test_cells_may_be_run_again(lab: Cluster) -> None:
    before = lab.swarm()
    join(lab)
    assert lab.swarm().nodes == before.nodes
    network(lab)
    service(lab)
    old = lab.swarm().service("board")
    network(lab)
    service(lab)
    new = lab.swarm().service("board")
    assert old and new and old.id != new.id
    assert len(lab.swarm().services) == 1


def test_a_swarm_of_another_address_is_the_engines_refusal(lab: Cluster) -> None:
    with pytest.raises(APIError, match="already part of a swarm"):
        lab.docker.swarm.init(advertise_addr="192.0.2.53")
    with pytest.raises(APIError, match="already part of a swarm"):
        lab.nodes[1].docker.swarm.join(["192.0.2.53:2377"], "SWMTKN-1-x")


def test_the_twin_says_where(lab: Cluster) -> None:
    network(lab, "team")
    lab.nodes[1].docker.containers.run(
        "dockernb/toolbox", "sleep inf", name="anna", network="team", detach=True
    )
    assert lab.twin().lines == [
        "# on node1",
        "docker network create -d overlay --attachable -o encrypted= team",
        "# on node2",
        "docker run -d --name anna --network team dockernb/toolbox sleep inf",
    ]
    lab.nodes[1].docker.containers.get("anna").remove(force=True)


def a_network_that_a_worker_keeps(lab: Cluster, name: str) -> None:
    """Remove a network that node2 has for some seconds more, because a task on it does not listen to SIGTERM."""
    network(lab, name)
    lab.docker.services.create(
        "dockernb/toolbox", args=["sleep", "inf"], name="deaf", networks=[name],
        constraints=["node.hostname == node2"], stop_grace_period=8 * SECOND,
    )  # fmt: skip
    lab.wait("deaf")
    remove_services(lab.docker, lab.labels)
    remove_networks(lab.docker, lab.labels)
    assert name in {found.name for found in lab.nodes[1].docker.networks.list()}


def anna(lab: Cluster, name: str) -> str:
    """Start a container on a network on node2; return its address."""
    made = lab.nodes[1].docker.containers.run(
        "dockernb/toolbox", "sleep inf", name="anna", network=name, detach=True
    )
    made.reload()
    return str(made.attrs["NetworkSettings"]["Networks"][name]["IPAddress"])


def test_a_network_may_be_made_again_at_once(lab: Cluster) -> None:
    a_network_that_a_worker_keeps(lab, "team")
    lab.twin()
    network(lab, "team")
    lab.docker.networks.create("team", driver="overlay", attachable=True)  # other settings: made once more
    assert lab.twin().lines == [
        "# on node1",
        "docker network create -d overlay --attachable -o encrypted= team",
        "docker network rm team",
        "docker network create -d overlay --attachable team",
    ]
    pool = lab.docker.networks.get("team").attrs["IPAM"]["Config"][0]["Subnet"]
    assert ip_address(anna(lab, "team")) in ip_network(pool)


def test_a_network_that_is_not_forgotten_is_a_sentence(lab: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockernb.session.cluster.TASKS_LIMIT", 0.5)
    a_network_that_a_worker_keeps(lab, "team")
    with pytest.raises(LabError, match="The removed network 'team' is still on node2, because"):
        network(lab, "team")
    assert not lab.docker.networks.list(names=["team"])


def test_waiting_for_what_does_not_come_is_a_sentence(lab: Cluster) -> None:
    with pytest.raises(LabError, match="There is no service 'board'"):
        lab.wait("board")
    once = RestartPolicy("none")
    lab.docker.services.create("dockernb/toolbox", args=["/no/such"], name="ends", restart_policy=once)
    with pytest.raises(LabError, match=r"The service 'ends' does not run after 3 s: .*`/no/such` not found"):
        lab.wait("ends", 3)


def test_a_lab_of_one_machine_removes_its_services_first(lab: Cluster) -> None:
    alone = Lab(LESSON, lab.nodes[0].host)  # the same lesson, as a session on the manager alone
    network(lab, "team")
    lab.docker.services.create("dockernb/nginx", name="web", networks=["team"])
    lab.wait("web")
    plain = lab.nodes[0].host.client()
    plain.services.create("dockernb/nginx", name="theirs")
    removed = alone.clean()
    assert (removed.services, removed.networks, removed.swarm) == (("web",), ("team",), ())
    assert [service.name for service in plain.services.list()] == ["theirs"]
    plain.services.get("theirs").remove()
    plain.close()


def test_a_capture_on_the_wire(lab: Cluster) -> None:
    one, two, _ = lab.nodes
    with capture(one.host, f"icmp and host {two.address}", interface="eth1") as wire:
        one.run("ping", "-c", "1", "-W", "5", two.address)
    assert wire.table["carries"].tolist() == ["ICMP echo request", "ICMP echo reply"]
    assert one.run("pgrep", "tcpdump") == ""


def troubled(
    monkeypatch: pytest.MonkeyPatch, path: str, status: int, message: str, times: int = 1
) -> list[str]:
    """Have the engine do what requests for such a path want, and tell of a problem a few times; return what is sent."""
    sent: list[str] = []

    def send(self: Any, request: Any, **options: Any) -> Any:
        answer = plain(self, request, **options)
        if request.path_url.endswith(path):
            sent.append(request.path_url)
            if len(sent) <= times:
                answer.status_code, answer._content = status, json.dumps({"message": message}).encode()
        return answer

    plain = LessonAPI._pass_on
    monkeypatch.setattr(LessonAPI, "_pass_on", send)
    return sent


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "attaching to network failed, make sure ...: context deadline exceeded"),
        (404, "failed to set up container networking: network team not found"),
    ],
    ids=["takes long", "is not known yet"],
)
def test_joining_a_network_is_tried_again(
    status: int, message: str, lab: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    network(lab, "team")
    node = lab.nodes[1]
    node.docker.containers.create("dockernb/toolbox", "sleep inf", name="late", network="team")
    identity = node.docker.api.inspect_container("late")["Id"]
    sent = troubled(monkeypatch, "/start", status, message, times=2)
    node.docker.api.start(identity)
    monkeypatch.undo()
    assert [path.partition("/containers")[2] for path in sent] == [f"/{identity}/start"] * 3
    node.docker.containers.get("late").remove(force=True)


def test_joining_late_is_joining(lab: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    node = lab.nodes[1]
    before = node.docker.info()["Swarm"]["NodeID"]
    node.docker.swarm.leave()
    token = lab.docker.swarm.attrs["JoinTokens"]["Worker"]

    message = "Timeout was reached before node joined. The attempt ... will continue"
    sent = troubled(monkeypatch, "/swarm/join", 503, message)
    assert node.docker.swarm.join([f"{lab.nodes[0].address}:2377"], token, advertise_addr=node.address)
    monkeypatch.undo()
    assert len(sent) == 1
    assert node.docker.info()["Swarm"]["LocalNodeState"] == "active"
    lab.docker.api.remove_node(before, force=True)


def test_clean_removes_a_network_that_lost_its_container(lab: Cluster) -> None:
    """The network is made again at once: engines before 28 refuse the next container, and keep a task of it."""
    a_network_that_a_worker_keeps(lab, "team")
    plain = lab.nodes[0].host.client()
    plain.networks.create("team", driver="overlay", attachable=True, labels=lab.labels)
    plain.close()
    try:
        anna(lab, "team")
    except APIError as refusal:
        assert re.search(r"invalid endpoint settings|attaching to network failed", str(refusal))
    lab.nodes[1].docker.containers.get("anna").remove(force=True)
    assert str(lab.clean()) == "Removed networks: team; swarm: node1, node2, node3."
    join(lab)


def test_a_machine_is_lost_and_another_takes_its_place(lab: Cluster) -> None:
    three = lab.nodes[2]
    network(lab, "team")
    lab.docker.services.create(
        "dockernb/nginx", name="web", networks=["team"], mode=ServiceMode("replicated", 3)
    )
    assert {task.node for task in lab.wait("web").tasks_of("web")} == {"node1", "node2", "node3"}
    three.stop()
    assert not three.runs
    with pytest.raises(HostError, match="'node3' does not answer any more"):
        three.docker.ping()
    after = lab.wait("web")
    assert {task.node for task in after.tasks_of("web")} == {"node1", "node2"}
    assert {node.name: node.state for node in after.nodes}["node3"] == "down"
    assert lab.broken()

    lab.twin()
    three.start()
    assert three.docker.info()["Swarm"]["LocalNodeState"] == "inactive"
    assert lab.twin().lines == ["# on node3", "docker info"]  # not what starting it took
    join(lab)
    ready = [node.name for node in lab.swarm().nodes if node.state == "ready"]
    assert ready == ["node1", "node2", "node3"]


def test_a_group_that_is_not_whole_begins_anew(swarm: Cluster) -> None:
    swarm.nodes[0].stop()
    with pytest.raises(HostError, match="node1 carries the others' segment"):
        swarm.nodes[0].start()
    again = open_again()
    try:
        assert [node.docker.info()["Swarm"]["LocalNodeState"] for node in again.nodes] == ["inactive"] * 3
        join(again)
        assert open_again().swarm().nodes == again.swarm().nodes  # a whole one stays
        again.nodes[2].stop()
        again.nodes[2].start()
        assert wait_for(again.broken, 20)
        last = open_again()
        assert last.docker.info()["Swarm"]["LocalNodeState"] == "inactive"
    finally:
        again.stop()


def test_clean_leaves_nothing(swarm: Cluster) -> None:
    lab = open_again()
    try:
        join(lab)
        network(lab, "team")
        anna(lab, "team")
        lab.nodes[2].docker.volumes.create("data")
        lab.docker.services.create("dockernb/nginx", name="web", networks=["team"], mode="global")
        lab.wait("web")
        lab.nodes[2].stop()  # its task can never be seen to end
        assert wait_for(lab.broken, 20)
        removed = lab.clean()
        assert str(removed) == (
            "Removed services: web; containers: anna; networks: team; swarm: node1, node2."
        )
        for node in lab.nodes[:2]:
            info = node.docker.info()
            assert (info["Swarm"]["LocalNodeState"], info["Containers"]) == ("inactive", 0)
            assert "team" not in {found.name for found in node.docker.networks.list()}
        assert str(lab.clean()) == "There was nothing to remove."
    finally:
        lab.stop()
