"""A lesson's session: plain SDK code that is labelled, may be repeated, and is cleaned up exactly."""

import docker
import pytest
from docker.types import IPAMConfig, IPAMPool, Mount

from dockernb.errors import HostError, LabError
from dockernb.labhost import LabHost
from dockernb.session import Lab, fetch, networks
from dockernb.session.client import explain

TOOLBOX = "dockernb/toolbox"
LESSON = "06-three-tier-lab"


def subnet(text: str) -> IPAMConfig:
    return IPAMConfig(pool_configs=[IPAMPool(subnet=text)])


@pytest.fixture
def lab(fresh_quick_host: LabHost) -> Lab:
    return Lab(LESSON, fresh_quick_host)


def test_what_a_lesson_makes_carries_its_labels(lab: Lab) -> None:
    lab.docker.networks.create("inside")
    lab.docker.volumes.create("kept")
    lab.docker.containers.run(
        TOOLBOX,
        "sleep inf",
        name="made",
        network="inside",
        volumes={"implied": {"bind": "/x"}},
        mounts=[Mount("/y", "bare", no_copy=True)],
        detach=True,
    )
    assert lab.docker.containers.get("made").labels.items() >= lab.labels.items()
    assert lab.docker.networks.get("inside").attrs["Labels"].items() >= lab.labels.items()
    for name in ("kept", "implied", "bare"):
        assert lab.docker.volumes.get(name).attrs["Labels"].items() >= lab.labels.items()


def test_clean_removes_exactly_that(lab: Lab) -> None:
    plain = lab.host.client()
    plain.networks.create("theirs")
    plain.containers.run(TOOLBOX, "sleep inf", name="theirs", network="theirs", detach=True)
    plain.volumes.create("theirs")
    network = lab.docker.networks.create("mine")
    lab.docker.containers.run(TOOLBOX, "sleep inf", name="mine", network="mine", detach=True)
    lab.docker.containers.run(TOOLBOX, "true", name="over", volumes=["mine:/x"], detach=True)
    network.connect("theirs")
    networks.deny(lab.host, ("mine", ["172.30.0.2"]), ("theirs", ["172.30.0.3"]), True)

    removed = lab.clean()

    assert removed.containers == ("mine", "over")
    assert removed.networks == ("mine",)
    assert removed.volumes == ("mine",)
    assert removed.rules == 1 and not networks.denied(lab.host)
    assert [container.name for container in plain.containers.list(all=True)] == ["theirs"]
    assert {"theirs", "bridge"} <= {network.name for network in plain.networks.list()}
    assert [volume.name for volume in plain.volumes.list()] == ["theirs"]
    assert str(lab.clean()) == "There was nothing to remove."


def test_a_cell_may_be_run_again(lab: Lab) -> None:
    for _ in range(2):
        network = lab.docker.networks.create("net", ipam=subnet("172.30.0.0/24"))
        first = lab.docker.containers.run(TOOLBOX, "sleep inf", name="web", network="net", detach=True)
        lab.docker.networks.create("other").connect(first, aliases=["nickname"])
    assert [container.name for container in lab.docker.containers.list()] == ["web"]
    assert [found.id for found in lab.docker.networks.list(names=["net"])] == [network.id]
    aliases = lab.docker.api.inspect_container("web")["NetworkSettings"]["Networks"]["other"]["Aliases"]
    assert "nickname" in aliases


def test_a_network_with_other_settings_takes_the_place_of_an_empty_one(lab: Lab) -> None:
    lab.docker.networks.create("net", ipam=subnet("172.30.0.0/24"))
    lab.docker.networks.create("net", ipam=subnet("172.30.1.0/24"))
    (found,) = lab.docker.networks.list(names=["net"])
    assert found.attrs["IPAM"]["Config"][0]["Subnet"] == "172.30.1.0/24"
    lab.docker.containers.run(TOOLBOX, "sleep inf", name="user", network="net", detach=True)
    with pytest.raises(LabError, match="user still on it: remove these first"):
        lab.docker.networks.create("net", ipam=subnet("172.30.2.0/24"))


def test_what_another_made_is_not_replaced(lab: Lab) -> None:
    lab.host.client().containers.run(TOOLBOX, "sleep inf", name="theirs", detach=True)
    with pytest.raises(docker.errors.APIError) as caught:
        lab.docker.containers.run(TOOLBOX, "sleep inf", name="theirs", detach=True)
    assert "lab.host.reset()" in explain(caught.value, lab.docker)


def test_an_overlapping_subnet_is_told_with_those_in_use(lab: Lab) -> None:
    lab.docker.networks.create("first", ipam=subnet("172.30.0.0/24"))
    with pytest.raises(docker.errors.APIError) as caught:
        lab.docker.networks.create("second", ipam=subnet("172.30.0.0/16"))
    assert "first (172.30.0.0/24)" in explain(caught.value, lab.docker)
    assert "choose another subnet" in explain(caught.value, lab.docker)


def test_a_missing_image_is_told_with_those_that_are_there(lab: Lab) -> None:
    with pytest.raises(docker.errors.APIError) as caught:
        lab.docker.containers.run("no-such-image")
    assert "dockernb/postgres:17" in explain(caught.value, lab.docker)


def test_a_port_that_another_container_has_is_told(lab: Lab) -> None:
    lab.docker.containers.run("dockernb/nginx", ports={"80/tcp": 8080}, detach=True)
    with pytest.raises(docker.errors.APIError) as caught:
        lab.docker.containers.run("dockernb/nginx", ports={"80/tcp": 8080}, detach=True)
    assert "publish another port" in explain(caught.value, lab.docker)


def test_fetch_waits_until_the_server_has_started(lab: Lab) -> None:
    lab.docker.containers.run("dockernb/nginx", name="web", ports={"80/tcp": 8080}, detach=True)
    answer = fetch(lab, 8080)
    assert answer.status == 200 and "nginx" in answer.text and answer.headers["server"].startswith("nginx")
    lab.docker.containers.run(
        "dockernb/toolbox", "sleep inf", name="deaf", ports={"80/tcp": 8081}, detach=True
    )
    with pytest.raises(LabError, match="did not answer within 1 s: does its container run"):
        fetch(lab, 8081, wait=1)


def test_the_twin_shows_the_learners_calls_only(lab: Lab) -> None:
    lab.docker.networks.create("net")
    lab.docker.containers.run(TOOLBOX, "sleep inf", name="web", network="net", detach=True)
    lab.docker.containers.run(TOOLBOX, "sleep inf", name="web", network="net", detach=True)
    lab.left_over()
    run = "docker run -d --name web --network net dockernb/toolbox sleep inf"
    made_room = "docker rm -f -v web"  # the command line does not do that by itself
    assert str(lab.twin()).splitlines() == ["docker network create net", run, made_room, run]
    lab.clean()
    assert str(lab.twin()) == ""


def test_another_lessons_containers_are_named(lab: Lab) -> None:
    lab.docker.containers.run(TOOLBOX, "sleep inf", name="web", detach=True)
    other = Lab("00-start-here", lab.host)
    assert other.left_over() == {LESSON: 1}
    assert str(other.clean()) == "There was nothing to remove."


def test_a_misspelt_lesson_is_told(quick_host: LabHost) -> None:
    with pytest.raises(LabError, match="did you mean '06-three-tier-lab'"):
        Lab("06-three-teer-lab", quick_host)


def test_a_stopped_host_is_one_sentence(quick_host: LabHost) -> None:
    import os

    from dockernb.labhost import start

    host = start("tests-session", provider=quick_host.provider, owner=os.getpid())
    lab = Lab(LESSON, host)
    host.stop()
    with pytest.raises(HostError, match="run the lesson's first cell again"):
        lab.docker.ping()
