"""The exercise of lesson 08: right solutions pass, and each wrong one is told why.

The lab is made by the lesson's own cells, once; between two tests only the balancer's file is put back.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from docker.types import Mount

import dockernb as dn
from dockernb.course import Result
from dockernb.course.lesson08 import steady
from dockernb.session import Lab
from tests.support.lesson import Lesson
from tests.support.lesson import shell as shell_in

NAME = "08-discovery-and-balancing"
LESSON = Lesson(NAME)
GOOD = "sed -i.bak 's/error timeout;/error timeout http_503;/' nginx.conf"  # a new file of the old name
KEEP = "sed 's/error timeout;/error timeout {};/' nginx.conf > new.conf && cat new.conf > nginx.conf"
RELOAD = "docker exec lb nginx -s reload 2> /dev/null"


def shell(lab: Lab, script: str) -> None:
    """Run a script, or a %%docker cell, where the lesson does."""
    shell_in(lab, "cd /srv\n" + script.strip().removeprefix("%%docker\n"))


@pytest.fixture(scope="module")
def lesson(opened: Lab) -> Lab:
    """The lesson up to its exercise, without the sidecar."""
    names = {"lab": opened, "dn": dn, "Mount": Mount}
    shell(opened, LESSON.cell("cat > backend.py"))
    exec(LESSON.cell("def backend("), names)
    shell(opened, LESSON.cell("cat > nginx.conf"))
    exec(LESSON.cell("lb = lab.docker.containers.run("), names)
    shell(opened, "docker exec api2 touch /tmp/sick; cp nginx.conf original.conf")
    return opened


@pytest.fixture
def lab(lesson: Lab) -> Iterator[Lab]:
    """As the lesson leaves it, whatever the test before did to it."""
    yield lesson
    shell(
        lesson,
        "docker exec api2 touch /tmp/sick\n"
        "if [ -e nginx.conf.bak ]; then rm -f nginx.conf.bak nginx.conf; cp original.conf nginx.conf; "
        "docker restart -t 1 lb; else cat original.conf > nginx.conf; docker start lb; fi > /dev/null\n"
        + RELOAD,
    )


def checked(lab: Lab, *script: str) -> Result:
    """Do this on the lab host, then look."""
    shell(lab, "\n".join(script))
    return steady(lab)


def test_nothing_done(lab: Lab) -> None:
    said = steady(lab)
    assert "10 of 30 reads through lb were answered 503" in said.sentence
    assert [finding.holds for finding in said.findings] == [True] * 8 + [False]


def test_the_solution(lab: Lab) -> None:
    shell(lab, steady.solution)
    assert steady(lab).passed, steady(lab)


def test_the_solution_is_the_one_of_the_notebook() -> None:
    assert LESSON.folds(steady.solution)


def test_a_new_file_and_a_restart(lab: Lab) -> None:
    said = checked(lab, GOOD, "docker restart -t 1 lb > /dev/null")
    assert said.passed, said


def test_other_failures_too(lab: Lab) -> None:
    said = checked(lab, KEEP.format("http_500 http_502 http_503"), RELOAD)
    assert said.passed, said


def test_a_new_file_that_lb_does_not_see(lab: Lab) -> None:
    assert "lb does not see your /srv/nginx.conf: sed -i" in checked(lab, GOOD, RELOAD).sentence


def test_not_reloaded(lab: Lab) -> None:
    assert "nginx reads it only at its start" in checked(lab, KEEP.format("http_503")).sentence


def test_orders_repeated(lab: Lab) -> None:
    said = checked(lab, KEEP.format("http_503 non_idempotent"), RELOAD)
    assert "30 orders were sent and " in said.sentence
    assert "must not send an order to a second server" in said.sentence
    # Now the sick server is spared, and repeats nothing for ten seconds.
    assert "With non_idempotent nginx sends" in steady(lab).sentence


@pytest.mark.parametrize(
    "edit", ["/api2:8000;/d", "s/api2:8000;/api2:8000 down;/", "s/server api2/# server api2/"]
)
def test_the_sick_server_taken_out(lab: Lab, edit: str) -> None:
    said = checked(lab, f"sed '{edit}' original.conf > nginx.conf", RELOAD)
    assert "api2 gets no requests by /srv/nginx.conf" in said.sentence


def test_made_well_again(lab: Lab) -> None:
    assert (
        "api2 answers 200, and the exercise wants it sick"
        in checked(lab, "docker exec api2 rm /tmp/sick").sentence
    )


def test_no_balancer(lab: Lab) -> None:
    assert (
        '"lb" is there, but it is exited: start it.'
        in checked(lab, "docker stop -t 1 lb > /dev/null").sentence
    )
