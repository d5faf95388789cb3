"""Lesson 07's exercise on a real engine: right solutions pass, each wrong one is told what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from dockernb.course import lesson07
from dockernb.policy import apply_policy, remove_policy
from dockernb.session import ruleset
from tests.support.stage import IMAGE, LABELS, Stage

TIERS = {
    "db": (["db-network"], 5432),
    "api": (["app-network", "db-network"], 3000),
    "web": (["dmz-network", "app-network"], 80),
}


def policy(name: str, selector: str, **spec: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "NetworkPolicy",
            "metadata": {"name": name},
            "spec": {"selector": selector, **spec},
        }
    )


def consents(source: str, target: str, port: int | None, ways: str = "egress ingress") -> str:
    """The sender's and the receiver's consent."""
    door = {"ports": [port]} if port else {}
    rule = {"action": "Allow", **({"protocol": "TCP"} if port else {})}
    written = {
        "egress": policy(
            f"{source}-asks", f"tier == '{source}'",
            egress=[rule | {"destination": {"selector": f"tier == '{target}'"} | door}],
        ),
        "ingress": policy(
            f"{target}-answers-{source}", f"tier == '{target}'",
            ingress=[rule | {"source": {"selector": f"tier == '{source}'"}, "destination": door}],
        ),
    }  # fmt: skip
    return "---\n".join(written[way] for way in ways.split())


LESSON = "---\n".join(
    [
        policy("deny-all", "all()", types=["Ingress", "Egress"]),
        consents("web", "api", 3000),
        consents("api", "db", 5432),
    ]
)


@pytest.fixture(scope="module")
def native(stage: Stage) -> Stage:
    for number, name in enumerate(("dmz-network", "app-network", "db-network"), 91):
        stage.network(name, f"10.{number}.0.0/24", internal=name != "dmz-network")
    for name, (networks, port) in TIERS.items():
        run(stage, name, *networks)
        stage.listen(name, port)
    return stage


def run(lab: Stage, name: str, *networks: str, start: bool = True) -> None:
    api = lab.docker.api
    config = api.create_host_config(network_mode=networks[0])
    container = api.create_container(
        IMAGE, ["/pause"], name=name, labels=LABELS | {"tier": name}, host_config=config
    )
    for network in networks[1:]:
        lab.docker.networks.get(network).connect(name)
    if start:
        api.start(container["Id"])


@pytest.fixture
def lab(native: Stage) -> Iterator[Stage]:
    """The application as the lesson leaves it, under deny-all and its four consents."""
    apply_policy(native, LESSON)  # type: ignore[arg-type]
    yield native
    ruleset.withdraw(native)  # type: ignore[arg-type]
    for container in native.docker.containers.list(all=True, filters={"name": "^audit$"}):
        container.remove(force=True)


def apply(lab: Stage, text: str = "") -> None:
    apply_policy(lab, text)  # type: ignore[arg-type]


def the_solution_as_written(lab: Stage) -> None:
    """The code that the learner unfolds, with the stage's image."""

    def create(_image: str, _command: list[str], *, labels: dict[str, str], **options: Any) -> Any:
        return lab.docker.containers.run(IMAGE, ["/pause"], labels=LABELS | labels, **options)

    docker = SimpleNamespace(containers=SimpleNamespace(run=create))
    pretended = SimpleNamespace(name=lab.name, host=lab.host, docker=docker)
    exec(lesson07.audit.solution, {"lab": pretended, "dn": SimpleNamespace(apply_policy=apply_policy)})


def the_files_in_one(lab: Stage) -> None:
    """One policy for both, by no label of its own; asked before the others."""
    run(lab, "audit", "db-network")
    rule = {
        "action": "Allow",
        "protocol": "TCP",
        "destination": {"selector": "tier in {'db'}", "ports": ["5432:5432"]},
    }
    source = {"source": {"selector": "!(tier in {'web', 'api', 'db'})"}}
    apply(
        lab,
        policy(
            "audit", "tier not in {'web', 'api'}", order=5, egress=[rule | source], ingress=[rule | source]
        ),
    )


@pytest.mark.parametrize("solve", [the_solution_as_written, the_files_in_one])
def test_right_solutions_pass(lab: Stage, solve: Callable[[Stage], None]) -> None:
    solve(lab)
    result = lesson07.audit(lab)  # type: ignore[arg-type]
    assert result.passed, str(result)


def nothing(lab: Stage) -> None:
    del lab


def not_started(lab: Stage) -> None:
    run(lab, "audit", "db-network", start=False)


def no_policy(lab: Stage) -> None:
    run(lab, "audit", "db-network")
    apply(lab)


def started_after_the_policy(lab: Stage) -> None:
    apply(lab, consents("audit", "db", 5432))
    run(lab, "audit", "db-network")


def only_the_ingress(lab: Stage) -> None:
    run(lab, "audit", "db-network")
    apply(lab, consents("audit", "db", 5432, "ingress"))


def only_the_egress(lab: Stage) -> None:
    run(lab, "audit", "db-network")
    apply(lab, consents("audit", "db", 5432, "egress"))


def on_another_network(lab: Stage) -> None:
    run(lab, "audit", "app-network")
    apply(lab, consents("audit", "db", 5432))


def every_port(lab: Stage) -> None:
    run(lab, "audit", "db-network")
    apply(lab, consents("audit", "db", None))


def the_api_too(lab: Stage) -> None:
    run(lab, "audit", "db-network")
    apply(lab, consents("audit", "db", 5432))
    wide = [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [3000, 5432]}}]
    apply(lab, policy("wide", "all()", egress=wide, ingress=wide))


def deny_all_gone(lab: Stage) -> None:
    run(lab, "audit", "db-network")
    remove_policy(lab)  # type: ignore[arg-type]


def application_cut(lab: Stage) -> None:
    run(lab, "audit", "db-network")
    apply(lab, consents("audit", "db", 5432))
    remove_policy(lab, "web-asks")  # type: ignore[arg-type]


def the_api_cut(lab: Stage) -> None:
    run(lab, "audit", "db-network")
    apply(lab, consents("audit", "db", 5432))
    apply(
        lab,
        policy(
            "hasty",
            "tier == 'db'",
            order=1,
            ingress=[{"action": "Deny", "source": {"selector": "tier == 'api'"}}],
        ),
    )


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (nothing, 'There is no container called "audit" yet.'),
        (not_started, '"audit" is there, but it is created: start it.'),
        (no_policy, "audit does not reach db on port 5432: "),
        (
            started_after_the_policy,
            "The rules are older than the containers: dn.apply_policy(lab) makes them anew.",
        ),
        (only_the_ingress, "audit does not reach db on port 5432: "),
        (only_the_egress, "audit does not reach db on port 5432: "),
        (on_another_network, "audit does not reach db on port 5432: "),
        (
            every_port,
            "audit reaches db on other ports than 5432, too: an allow rule needs protocol and ports.",
        ),
        (the_api_too, "audit is on db-network and reaches api by its name."),
        (deny_all_gone, "The policy deny-all is not in force any more: apply its file again."),
        (application_cut, "web does not reach api on port 3000: "),
        (the_api_cut, "api does not reach db on port 5432: "),
    ],
)
def test_wrong_solutions_are_told_why(lab: Stage, break_it: Callable[[Stage], None], says: str) -> None:
    break_it(lab)
    result = lesson07.audit(lab)  # type: ignore[arg-type]
    assert not result.passed
    assert says in result.sentence
    assert result.sentence.count(". ") == 0
    assert result.sentence.endswith(".")
