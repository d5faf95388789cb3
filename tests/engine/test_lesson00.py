"""The exercise of lesson 00: a right solution passes, and each wrong one is told why."""

import pytest

from dockernb.course import Result, lesson00
from dockernb.course.lesson00 import second_web_server
from dockernb.labhost import LabHost
from dockernb.session import Lab


@pytest.fixture
def lab(fresh_quick_host: LabHost) -> Lab:
    return Lab("00-start-here", fresh_quick_host)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What will never answer is not waited for."""
    monkeypatch.setattr(lesson00, "PATIENCE", 1)


def checked(lab: Lab, image: str = "dockernb/nginx", **options: object) -> Result:
    lab.docker.containers.run(image, name="second", detach=True, **options)
    return second_web_server(lab)


def test_nothing_done(lab: Lab) -> None:
    assert 'no container called "second"' in second_web_server(lab).sentence


def test_the_solution(lab: Lab) -> None:
    exec(second_web_server.solution, {"lab": lab})
    assert second_web_server(lab).passed


def test_another_way(lab: Lab) -> None:
    lab.host.run(["docker", "run", "-d", "--name", "second", "-p", "8081:80", "dockernb/web"])
    assert second_web_server(lab).passed


def test_not_published(lab: Lab) -> None:
    assert '"second" publishes no port, and 8081 is wanted' in checked(lab).sentence


def test_published_elsewhere(lab: Lab) -> None:
    assert "publishes 8080" in checked(lab, ports={"80/tcp": 8080}).sentence


@pytest.mark.usefixtures("impatient")
def test_the_wrong_port_of_the_container(lab: Lab) -> None:
    assert "did not answer" in checked(lab, ports={"81/tcp": 8081}).sentence


@pytest.mark.usefixtures("impatient")
def test_no_web_server_in_it(lab: Lab) -> None:
    result = checked(lab, "dockernb/toolbox", command="sleep inf", ports={"80/tcp": 8081})
    assert "did not answer" in result.sentence


def test_stopped(lab: Lab) -> None:
    checked(lab, ports={"80/tcp": 8081})
    lab.docker.containers.get("second").stop()
    assert "start it" in second_web_server(lab).sentence
