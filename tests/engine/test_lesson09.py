"""The five faults of lesson 09: each is seen broken and mended, by the folded solution and by other right repairs."""

from __future__ import annotations

import pytest

import dockernb as dn
from dockernb.course import lesson09
from dockernb.course.lesson09 import Broken
from dockernb.session import Lab
from tests.support.lesson import Lesson

NAME = "09-troubleshoot-and-measure"
SILENCE = "no answer, or not all of it, within 2 s."


@pytest.fixture(scope="module")
def lab(opened: Lab) -> Lab:
    """The shop; every test begins the services that it needs."""
    return opened


def shell(lab: Lab, script: str) -> None:
    done = lab.host.run(["bash", "-ec", script], timeout=60)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("broken", "complaint", "sentence"),
    [
        (lesson09.stock, "Failed to connect", "till asks for http://stock:8000/: the connection is refused."),
        (
            lesson09.prices,
            "Could not resolve host",
            "till asks for http://prices:8000/: the name is not known.",
        ),
        (lesson09.orders, "timed out", f"till asks for http://orders:8000/: {SILENCE}"),
        (lesson09.photos, "0 out of 200000 bytes", f"till asks for http://photos:8000/beach.jpg: {SILENCE}"),
        (
            lesson09.tickets,
            "curl: (5",  # 52 or 56: without an answer, or torn down
            "The Docker host asks for http://127.0.0.1:8095/: the connection is opened, and closed without an answer.",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Broken) else "",
)
def test_broken_then_mended_by_the_solution(lab: Lab, broken: Broken, complaint: str, sentence: str) -> None:
    assert complaint in str(broken.begin(lab))
    said = broken.check(lab)
    assert not said.passed
    assert said.sentence == sentence
    exec(broken.check.solution, {"lab": lab, "dn": dn})
    assert broken.check(lab).passed, broken.check(lab)


@pytest.mark.parametrize("broken", lesson09.ALL, ids=lambda broken: broken.name)
def test_the_solution_is_the_one_of_the_notebook(broken: Broken) -> None:
    assert Lesson(NAME).folds(broken.check.solution)


@pytest.mark.parametrize(
    ("broken", "repair"),
    [
        (
            lesson09.stock,
            "docker run -d --name helper --network container:stock dockernb/toolbox sh -c 'exec socat "
            "TCP-LISTEN:8000,fork,bind=$(hostname -i) TCP:127.0.0.1:8000'; "
            "until docker exec helper ss -Hltn | grep -v 127.0.0 | grep -q :8000; do sleep 0.1; done",
        ),
        (lesson09.prices, "docker run -d --name prices --network shop shop-web"),
        (lesson09.orders, "iptables -I DOCKER-USER -s 10.9.0.0/24 -j ACCEPT"),
        (lesson09.photos, "docker restart -t 0 photos"),
    ],
    ids=lambda value: value.name if isinstance(value, Broken) else "",
)
def test_other_right_repairs(lab: Lab, broken: Broken, repair: str) -> None:
    broken.begin(lab)
    assert not broken.check(lab).passed
    try:
        shell(lab, repair)
        assert broken.check(lab).passed, broken.check(lab)
    finally:
        shell(
            lab,
            "docker rm -f helper prices 2> /dev/null; iptables -D DOCKER-USER -s 10.9.0.0/24 -j ACCEPT || true",
        )


@pytest.mark.parametrize(
    ("broken", "repair", "sentence"),
    [
        (lesson09.stock, "docker pause stock", SILENCE),
        (lesson09.prices, "docker network disconnect shop price-list", "the name is not known."),
        (lesson09.tickets, "docker rm -f tickets", "the connection is refused."),
    ],
    ids=lambda value: value.name if isinstance(value, Broken) else "",
)
def test_wrong_repairs_are_told(lab: Lab, broken: Broken, repair: str, sentence: str) -> None:
    if broken is lesson09.stock:
        exec(broken.check.solution, {"lab": lab, "dn": dn})  # mended, and then another thing is wrong with it
    else:
        broken.begin(lab)
    shell(lab, repair)
    said = broken.check(lab).sentence
    shell(lab, "docker rm -f stock")  # a paused process outlives an engine that is stopped
    assert said.endswith(sentence)


def test_clear_leaves_no_rule(lab: Lab) -> None:
    lesson09.orders.begin(lab)
    rules = ["iptables", "-S", "DOCKER-USER"]
    assert b"10.9.0.77" in lab.host.run(rules).stdout
    lesson09.clear(lab)
    assert b"10.9.0.77" not in lab.host.run(rules).stdout


def test_without_the_customer(lab: Lab) -> None:
    shell(lab, "docker rm -f till")
    assert lesson09.tickets.check(lab).sentence == 'There is no container called "till" yet.'
