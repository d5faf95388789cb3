"""The exercise of lesson 10: right solutions pass, and each wrong one is told why.

The folded solution is run once, as written; the other tests start another `store` from what it left on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockernb.course import Result, lesson10
from dockernb.course.lesson10 import store
from dockernb.session import Lab
from tests.support.lesson import Lesson, shell

NAME = "10-volumes"
DATA = "/var/lib/postgresql/data"
DISK = "--opt type=ext4 --opt device=/dev/disk/by-label/records"
READY = "docker exec store timeout 60 sh -c 'until pg_isready -q; do sleep 0.1; done'"
PSQL = "docker exec store psql -U postgres -q"
AS_IN_THE_SOLUTION = f"--env PGDATA={DATA}/pgdata --mount source=records,target={DATA}"


@pytest.fixture(scope="module")
def lesson(opened: Lab) -> Lab:
    """A lab in which nothing but the exercise has been done."""
    shell(opened, "mkdir -p /srv/disks /dev/disk/by-label")
    assert 'no container called "store" yet' in store(opened).sentence
    shell(opened, store.solution)
    return opened


@pytest.fixture
def lab(lesson: Lab) -> Iterator[Lab]:
    """The volume as the solution made it, and no container."""
    yield lesson
    shell(
        lesson,
        "docker rm -f -v store > /dev/null 2>&1 || true\n"
        "docker volume rm records > /dev/null 2>&1 || true\n"
        f"docker volume create --opt o=noatime {DISK} records > /dev/null",
    )


def started(lab: Lab, options: str, *then: str, volume: str = "") -> Result:
    """Start a store with these options, on a volume made anew if options are given for that, and look."""
    lines = ["docker rm -f -v store > /dev/null 2>&1 || true"]
    if volume:
        lines += [
            "docker volume rm records > /dev/null",
            f"docker volume create {volume} records > /dev/null",
        ]
    lines.append(
        f"docker run -d --name store --env POSTGRES_PASSWORD=secret {options} dockernb/postgres > /dev/null"
    )
    shell(lab, "\n".join([*lines, *then]))
    return store(lab)


def test_the_solution(lab: Lab) -> None:
    result = store(lab)
    assert result.passed, result


def test_the_solution_is_the_one_of_the_notebook() -> None:
    assert Lesson(NAME).folds(store.solution)


def test_other_options_and_another_place(lab: Lab) -> None:
    options = "--env PGDATA=/records/pgdata --mount source=records,target=/records"
    result = started(lab, options, READY, volume=f"--opt o=noatime,nodiratime {DISK}")
    assert result.passed, result


def test_a_database_that_is_still_starting_is_waited_for(lab: Lab) -> None:
    result = started(lab, AS_IN_THE_SOLUTION)
    assert result.passed, result


def test_mounted_without_noatime(lab: Lab) -> None:
    result = started(lab, AS_IN_THE_SOLUTION, READY, volume=DISK)
    assert "records is mounted rw,relatime, without noatime." in result.sentence


def test_lost_and_found(lab: Lab) -> None:
    result = started(lab, f"--mount source=records,target={DATA}", "docker wait store > /dev/null")
    assert '"store" has ended with exit code 1: docker logs store tells why.' in result.sentence


def test_never_started(lab: Lab) -> None:
    shell(
        lab,
        "docker rm -f -v store > /dev/null 2>&1; docker create --name store dockernb/postgres > /dev/null",
    )
    assert '"store" was never started' in store(lab).sentence


def test_no_database_in_it(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson10, "_PATIENCE", 1)
    shell(
        lab,
        "docker rm -f -v store > /dev/null 2>&1; docker run -d --name store dockernb/toolbox sleep infinity",
    )
    assert "The database in store does not answer" in store(lab).sentence


def test_the_volume_is_somewhere_else(lab: Lab) -> None:
    """The image's own volume has the data, which the next container would not find."""
    result = started(lab, "--mount source=records,target=/records", READY)
    assert (
        f"The database writes to {DATA}, which is on an anonymous volume and not on the volume records."
        in result.sentence
    )


def test_the_data_are_in_the_container(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert started(lab, AS_IN_THE_SOLUTION, READY).passed
    monkeypatch.setattr(lesson10, "_directory", lambda _sight: "/tmp/pgdata")
    assert "writes to /tmp/pgdata, which goes with the container" in store(lab).sentence


def test_no_disk_of_its_own(lab: Lab) -> None:
    """With a copy of the database, which is quicker than a new one."""
    shell(
        lab,
        "docker rm -f -v store > /dev/null 2>&1 || true\n"
        "docker volume rm records > /dev/null; docker volume create records > /dev/null\n"
        f"docker volume create {DISK} old > /dev/null\n"
        "docker run --rm -v old:/from -v records:/to dockernb/toolbox cp -a /from/pgdata /to\n"
        "docker volume rm old > /dev/null",
    )
    result = started(lab, AS_IN_THE_SOLUTION, READY)
    assert "records is a directory of the Docker host's own file system" in result.sentence


def test_memory_is_no_disk(lab: Lab) -> None:
    memory = "--opt type=tmpfs --opt device=tmpfs --opt o=noatime"
    result = started(lab, AS_IN_THE_SOLUTION, READY, volume=memory)
    assert "The file system on records is tmpfs, and ext4 is wanted." in result.sentence


def test_nothing_was_outlived(lab: Lab) -> None:
    fresh = f"--env PGDATA={DATA}/fresh --mount source=records,target={DATA}"
    result = started(lab, fresh, READY)
    findings = {finding.claim: finding for finding in result.findings}
    assert "no table orders" in findings["there is a table orders with an order in it"].problem
    assert "made the database itself" in findings["the database is older than its container"].problem
    shell(lab, f"{PSQL} -c 'CREATE TABLE orders (id int)'")
    assert "The table orders is empty" in store(lab).sentence
    shell(lab, f"{PSQL} -c 'INSERT INTO orders VALUES (1)'")
    assert "so nothing has been outlived yet" in store(lab).sentence
    shell(lab, f"docker exec store rm -rf {DATA}/fresh")
