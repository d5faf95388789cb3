"""Policies on a native engine: what they let pass and what not, and that nothing is left half made or behind."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockernb.errors import HostError, LabError
from dockernb.policy import apply_policy, policies, remove_policy
from dockernb.probe import Outcome, reach, why
from dockernb.session import ruleset
from tests.support.policies import DENY_ALL, allow
from tests.support.stage import IMAGE, LABELS, Stage


@pytest.fixture(scope="module")
def tiers(stage: Stage) -> Stage:
    stage.network("front", "172.20.1.0/24")
    stage.network("back", "172.21.1.0/24", internal=True)
    for name, network, port in (("web", "front", 80), ("api", "front", 3000), ("db", "back", 5432)):
        start(stage, name, network, port)
    stage.docker.networks.get("back").connect("api")
    return stage


def start(stage: Stage, name: str, network: str, port: int, **more: Any) -> None:
    api = stage.docker.api
    container = api.create_container(
        IMAGE,
        ["/pause"],
        name=name,
        labels=LABELS | {"tier": name},
        ports=[port],
        host_config=api.create_host_config(network_mode=network, port_bindings={port: port + 10000}, **more),
    )
    api.start(container["Id"])
    stage.listen(name, port)


@pytest.fixture
def lab(tiers: Stage) -> Iterator[Any]:
    tiers.iptables(
        "-I", "DOCKER-USER", "-s", "203.0.113.9", "-m", "comment", "--comment", "theirs", "-j", "DROP"
    )
    before = tiers.iptables("-S")
    yield tiers
    ruleset.withdraw(tiers)  # type: ignore[arg-type]
    assert tiers.iptables("-S") == before  # exactly ours are taken away
    tiers.iptables("-D", "DOCKER-USER", "1")


def outcomes(lab: Any) -> dict[str, str]:
    """The pairs of the application, by address."""
    matrix = reach(lab, ["web", "api"], ["api", "db"], by=["address"], timeout=0.3)
    return {
        f"{a}-{b}": str(
            min((v.outcome for v in matrix if (v.source, v.target) == (a, b)), key=lambda o: o.rank)
        )
        for a, b in (("web", "api"), ("api", "db"))
    }


OPEN = {"web-api": "reachable", "api-db": "reachable"}
CLOSED = {"web-api": "timed out", "api-db": "timed out"}


def test_deny_all_then_allow_one_by_one_then_remove(lab: Any) -> None:
    assert outcomes(lab) == OPEN
    told = apply_policy(lab, DENY_ALL)
    assert told.names == ("deny-all",) and not told.notes and not told.stale
    assert outcomes(lab) == CLOSED
    apply_policy(lab, allow("web", "api", 3000, ways="ingress"))
    assert outcomes(lab) == CLOSED  # the sender's consent is missing
    apply_policy(lab, allow("web", "api", 3000))
    assert outcomes(lab) == CLOSED | {"web-api": "reachable"}
    told = apply_policy(lab, allow("api", "db", 5432))
    assert outcomes(lab) == OPEN
    assert told.names == ("api-db-egress", "api-db-ingress", "deny-all", "web-api-egress", "web-api-ingress")
    assert reach(lab, ["db"], ["api"], by=["address"], timeout=0.3).outcome("db", "api") is Outcome.TIMED_OUT
    assert remove_policy(lab, "web-api-egress").names == told.names[:3] + told.names[4:]
    assert outcomes(lab) == CLOSED | {"api-db": "reachable"}
    assert remove_policy(lab).names == () == remove_policy(lab).names
    assert outcomes(lab) == OPEN
    assert "DNB-" not in lab.iptables("-S")


def test_why_names_the_policy(lab: Any) -> None:
    apply_policy(lab, DENY_ALL)
    told = why(lab, "web", "api")
    assert told.verdict.outcome is Outcome.TIMED_OUT and told.agrees
    assert "policy deny-all has no egress rule that lets this out of web" in told.sentence
    assert "of chain DNB-EGRESS-web drops it" in told.sentence
    apply_policy(lab, allow("web", "api", 3000, ways="egress"))
    told = why(lab, "web", "api")
    assert "policy deny-all has no ingress rule that lets this in to api" in told.sentence and told.agrees
    deny = allow("web", "api", 3000, ways="ingress").replace("Allow", "Deny")
    apply_policy(lab, deny)
    assert "policy web-api-ingress denies it by spec.ingress[0]" in why(lab, "web", "api").sentence
    apply_policy(lab, allow("web", "api", 3000))
    passed = why(lab, "web", "api")
    assert passed.verdict.outcome is Outcome.REACHABLE and passed.agrees


def test_why_quotes_the_comment_of_a_rule_in_docker_user(lab: Any) -> None:
    lab.iptables(
        "-I",
        "DOCKER-USER",
        "-p",
        "tcp",
        "--dport",
        "3000",
        "-m",
        "comment",
        "--comment",
        "no api",
        "-j",
        "DROP",
    )
    try:
        sentence = why(lab, "web", "api").sentence
        assert 'a policy that somebody added, with the comment "no api": Docker leaves this chain' in sentence
    finally:
        lab.iptables("-D", "DOCKER-USER", "1")


def test_it_keeps_the_outside_out_and_the_host_passes_by(lab: Any) -> None:
    asked = {"sources": ["outside", "host"], "targets": ["web"], "timeout": 0.3}
    assert reach(lab, **asked).outcome("outside", "web", "published") is Outcome.REACHABLE
    apply_policy(lab, DENY_ALL)
    matrix = reach(lab, **asked)
    assert matrix.outcome("outside", "web", "published") is Outcome.TIMED_OUT
    assert matrix.outcome("host", "web") is Outcome.REACHABLE  # what the host sends itself is not forwarded
    apply_policy(
        lab,
        allow("anybody", "web", 80, ways="ingress").replace(
            "    source: {selector: tier == 'anybody'}\n", ""
        ),
    )
    assert reach(lab, **asked).outcome("outside", "web", "published") is Outcome.REACHABLE


def test_names_resolve_all_the_same(lab: Any) -> None:
    apply_policy(lab, DENY_ALL)
    matrix = reach(lab, ["web"], ["api"], protocols=["dns"], by=["name"])
    assert matrix.outcome("web", "api", "name") is Outcome.REACHABLE


def test_an_open_connection_stays_open(lab: Any) -> None:
    door = lab.listen("db", 6000)
    with lab.inside("api"):
        line = socket.create_connection(("172.21.1.2", 6000), timeout=2)
    far, _ = door.accept()
    far.settimeout(2)
    apply_policy(lab, DENY_ALL)
    line.sendall(b"still here")
    assert far.recv(100) == b"still here"
    with lab.inside("api"), pytest.raises(TimeoutError):
        socket.create_connection(("172.21.1.2", 6000), timeout=0.3)
    line.close()
    far.close()


def test_applying_again_changes_nothing(lab: Any) -> None:
    first = apply_policy(lab, DENY_ALL)
    saved = lab.iptables("-S")
    assert apply_policy(lab, DENY_ALL) == first == apply_policy(lab) == policies(lab)
    assert lab.iptables("-S") == saved
    # The same name with other words takes the old one's place.
    apply_policy(lab, DENY_ALL.replace("  - Egress", ""))
    assert "EGRESS" not in lab.iptables("-S")


def test_a_swap_that_fails_changes_nothing(lab: Any) -> None:
    told = apply_policy(lab, DENY_ALL)
    saved = lab.iptables("-S")
    with pytest.raises(HostError, match="iptables-restore"):
        ruleset.swap(lab, ["-A DNB-POLICY -j DNB-X", "-A DNB-X -j NOWHERE"], None)
    assert lab.iptables("-S") == saved and policies(lab) == told
    with pytest.raises(LabError, match=r"^spec\.tier is not supported"):
        apply_policy(lab, DENY_ALL + "  tier: x\n")
    assert policies(lab) == told


def test_rules_that_are_older_than_the_containers(lab: Any) -> None:
    apply_policy(lab, DENY_ALL)
    start(lab, "late", "front", 8000)
    try:
        told = policies(lab)
        assert (
            told.stale and "call dn.apply_policy(lab) again" in str(told) and "changed" in told._repr_html_()
        )
        assert (
            reach(lab, ["late"], ["api"], by=["address"], timeout=0.3).outcome("late", "api")
            is Outcome.TIMED_OUT
        )
        assert "INGRESS-late" not in lab.iptables("-S")
        told = apply_policy(lab)
        assert not told.stale and "INGRESS-late" in lab.iptables("-S")
    finally:
        lab.docker.api.remove_container("late", force=True)
    assert policies(lab).stale


def test_a_file_on_the_lab_host(lab: Any, tmp_path: Path) -> None:
    file = tmp_path / "deny.yaml"
    file.write_text(DENY_ALL)
    assert apply_policy(lab, str(file)).names == ("deny-all",)
    file.write_text(DENY_ALL + "  tier: x\n")
    with pytest.raises(LabError, match=r"deny\.yaml: spec\.tier is not supported: there is one tier here\."):
        apply_policy(lab, str(file))
    with pytest.raises(LabError, match=r"There is no file nowhere\.yaml on the lab host"):
        apply_policy(lab, "nowhere.yaml")


def test_frames_within_a_bridge_that_iptables_does_not_see(lab: Any) -> None:
    switch = "net.bridge.bridge-nf-call-iptables"

    def turn(value: int) -> None:
        with lab.engine.network():
            subprocess.run(["sysctl", "-qw", f"{switch}={value}"], check=True, timeout=5)

    turn(0)
    try:
        told = apply_policy(lab, DENY_ALL)
        assert "br_netfilter" in str(told) and outcomes(lab) == OPEN
    finally:
        turn(1)
    told = policies(lab)
    assert not told.notes and outcomes(lab) == CLOSED


def test_withdraw_takes_the_panels_rules_too(lab: Any) -> None:
    deny = ["-s", "172.20.1.2/32", "-m", "comment", "--comment", "dockernb denies web api", "-j", "DROP"]
    lab.iptables("-I", "DOCKER-USER", *deny)
    apply_policy(lab, DENY_ALL)
    assert ruleset.withdraw(lab) > 1
    assert ruleset.withdraw(lab) == 0, "they are gone"
    assert policies(lab).names == () and "No policy is in force" in str(policies(lab))
    # that nothing of it is left is told by the fixture
