"""The exercise of lesson 12, and the volume driver that it uses: what is right passes, and what is wrong is told why.

The driver is made by the lesson's own cells, once; each test has volumes and containers of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import docker.errors
import pytest
from docker.types import Mount

from dockernb.course.lesson12 import log_store
from dockernb.session import Lab
from tests.support.lesson import Lesson, shell

NAME = "12-network-storage"
LESSON = Lesson(NAME)


@pytest.fixture(scope="module")
def lesson(opened: Lab) -> Lab:
    """The lesson with its driver, and nothing else."""
    names = {"lab": opened, "json": json}
    for part in ("rules = r'''", "work = r'''", "backups = r'''", "server = r'''", "config = {"):
        exec(LESSON.cell(part), names)
    shell(opened, LESSON.cell("docker plugin create"))
    return opened


@pytest.fixture
def lab(lesson: Lab) -> Iterator[Lab]:
    """The lesson, and nothing of it left when the test is over."""
    yield lesson
    lesson.clean()


def store(
    lab: Lab,
    *,
    driver: str = "depot",
    size: str = "32M",
    writes: tuple[str, ...] = ("producer",),
    viewers_volume: str = "logs",
) -> None:
    """What the exercise asks for, or something near it."""
    for name in {"logs", viewers_volume}:
        lab.docker.volumes.create(
            name, driver=driver, driver_opts={"size": size} if driver == "depot" else {}
        )
    for name, volume in (("producer", "logs"), ("viewer", viewers_volume)):
        lab.docker.containers.run(
            "dockernb/toolbox",
            "sleep infinity",
            name=name,
            network="none",
            mounts=[Mount("/logs", volume, read_only=name not in writes)],
            detach=True,
        )


def test_nothing_done(lab: Lab) -> None:
    said = log_store(lab)
    assert said.sentence == 'There is no volume called "logs" yet.'
    assert {finding.holds for finding in said.findings[1:]} == {None}


def test_the_solution(lab: Lab) -> None:
    exec(log_store.solution, {"lab": lab, "Mount": Mount})
    assert log_store(lab).passed, log_store(lab)
    left = lab.host.run(["docker", "exec", "producer", "ls", "-A", "/logs"]).stdout.decode()
    assert left.split() == ["lost+found"]
    lab.docker.containers.get("viewer").kill()
    assert log_store(lab).sentence == '"viewer" is there, but it is exited: start it.'


def test_the_solution_is_the_one_of_the_notebook() -> None:
    assert LESSON.folds(log_store.solution)


def test_by_the_command_line_and_smaller(lab: Lab) -> None:
    script = """
    docker volume create --driver depot --opt size=24M logs
    docker run -d --name producer --network host -v logs:/logs dockernb/toolbox sleep infinity
    docker run -d --name viewer --network none -v logs:/logs:ro dockernb/toolbox sleep infinity
    """
    shell(lab, script)
    assert log_store(lab).passed, log_store(lab)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({"driver": "local"}, "logs is a volume of the driver local, which sets no limit"),
        ({"size": "100M"}, "producer wrote 48 MB into logs, and nothing stopped it: its size is to be 32M."),
        ({"size": "8M"}, "MB fit into logs: make it larger"),
        ({"writes": ("producer", "viewer")}, "viewer can write at /logs: mount logs read-only there."),
        ({"writes": ()}, "producer cannot write at /logs: "),
        ({"viewers_volume": "others"}, "/logs of viewer is others, and logs is wanted."),
    ],
)
def test_wrong_solutions_are_told_why(lab: Lab, made: dict[str, str], says: str) -> None:
    store(lab, **made)  # type: ignore[arg-type]
    result = log_store(lab)
    assert not result.passed
    assert says in result.sentence


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give either size, for a disk, or server and export, for a share"),
        ({"size": "32M", "server": "10.0.0.1", "export": "/x"}, "give either size"),
        ({"size": "32"}, "size is 8M or more, written like 64M or 2G, and not 32"),
        ({"size": "4M"}, "size is 8M or more"),
        ({"size": "999G"}, "size=999G is more than the "),
        ({"server": "10.0.0.1"}, "server and export belong together"),
        ({"server": "nfs-server", "export": "/exports"}, "knows no machine called nfs-server"),
        ({"size": "32M", "backup.target": "/srv/b"}, "backup.target and backup.schedule belong together"),
        (
            {"size": "32M", "backup.target": "/srv/../etc", "backup.schedule": "0 2 * * *"},
            "backup.target is a directory below /srv",
        ),
        (
            {"size": "32M", "backup.target": "/srv/b", "backup.schedule": "60 2 * * *"},
            "minute, hour, day, month and weekday",
        ),
        (
            {"size": "32M", "backup.target": "/srv/b", "backup.schedule": "5-1 2 * * *"},
            "and not '5-1 2 * * *'",
        ),
        ({"size": "32M", "colour": "blue"}, "there is no option colour"),
    ],
)
def test_the_driver_refuses_clearly(lab: Lab, options: dict[str, str], says: str) -> None:
    with pytest.raises(docker.errors.APIError, match="create refused: ") as refused:
        lab.docker.volumes.create("refused", driver="depot", driver_opts=options)
    assert says in str(refused.value.explanation)
    assert lab.docker.volumes.list(filters={"name": "refused"}) == []
