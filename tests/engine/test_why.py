"""Each situation made for real on a native engine, and how `why` explains it."""

import subprocess
from collections.abc import Iterator

import pytest
from docker.types import IPAMConfig, IPAMPool

from dockernb.errors import ProbeError
from dockernb.probe import Explanation, Outcome, Step, reach, why
from tests.support.stage import IMAGE, LABELS, Stage


@pytest.fixture(autouse=True)
def empty(stage: Stage) -> Iterator[None]:
    yield
    stage.clear()


def explained(stage: Stage, a: str, b: str, port: int | None = None, **options: object) -> Explanation:
    """The explanation, by at most two helper calls."""
    before = stage.calls
    told = why(stage, a, b, port, **options)  # type: ignore[arg-type]
    assert stage.calls - before <= 1
    print(told)
    return told


def end(told: Explanation) -> Step:
    """Where the packet ended."""
    assert told.stopped is not None, told
    return told.stopped


def rule(stage: Stage, *arguments: str) -> None:
    """A policy: a rule at the head of DOCKER-USER."""
    stage.iptables("-I", "DOCKER-USER", *arguments)


def on_host(stage: Stage, *command: str) -> None:
    with stage.engine.network():
        subprocess.run(command, check=True, timeout=5)


def test_a_neighbour_is_reached(tiers: Stage) -> None:
    told = explained(tiers, "web", "api")
    assert told.verdict.outcome is Outcome.REACHABLE and told.agrees and told.stopped is None
    assert told.sentence == "web reaches api at 172.20.1.3:3000: both are on network front."
    assert [step.kind for step in told.steps] == ["source", "veth", "bridge", "rules", "veth", "target"]
    veths = [step.where for step in told.steps if step.kind == "veth"]
    bridge = tiers.docker.networks.get("front").id[:12]
    assert veths[0] != veths[1] and all(name.startswith("veth") for name in veths)
    assert told.steps[2].where == f"br-{bridge}" and told.steps[2].network == "front"
    assert f"-i br-{bridge} -o br-{bridge} -j ACCEPT" in told.steps[3].evidence


def test_the_name_server_that_answered(tiers: Stage) -> None:
    told = explained(tiers, "db", "api", by="name")
    assert told.verdict.outcome is Outcome.REACHABLE and told.agrees
    assert told.steps[0].where == "name server 127.0.0.11"
    assert told.steps[0].what == "says that api is 172.21.1.2 (Docker's own)"


def test_an_unknown_name(tiers: Stage) -> None:
    told = explained(tiers, "web", "nosuch", 80)
    assert told.verdict.outcome is Outcome.NOT_RESOLVED and told.agrees
    assert end(told).kind == "name" and end(told).where == "name server 127.0.0.11"
    assert told.sentence.endswith("no container has that name or alias on web's networks (front).")


def test_a_name_on_another_network(tiers: Stage) -> None:
    told = explained(tiers, "web", "db", by="name")
    assert told.verdict.outcome is Outcome.NOT_RESOLVED and told.agrees
    assert "web and db share no network (web is on front, db on back)" in told.sentence


def test_another_network(stage: Stage) -> None:
    stage.network("front", "172.20.1.0/24")
    stage.network("back", "172.21.1.0/24")
    stage.run("web", "front", 80)
    stage.run("db", "back", 5432)
    told = explained(stage, "web", "db")
    assert told.verdict.outcome is Outcome.TIMED_OUT and told.agrees
    assert end(told).kind == "rules" and "-j DROP" in end(told).evidence
    assert "of chain DOCKER-ISOLATION-STAGE-2 drops it" in told.sentence
    assert "nothing passes from front to back. They share no network (front and back)." in told.sentence
    bridges = [step for step in told.steps if step.kind == "bridge"]
    assert [(step.network, step.state) for step in bridges] == [("front", "passed"), ("back", "ahead")]


def test_into_an_internal_network(tiers: Stage) -> None:
    told = explained(tiers, "web", "db")
    assert told.verdict.outcome is Outcome.TIMED_OUT and told.agrees
    assert "of chain DOCKER-ISOLATION-STAGE-1 drops it" in end(told).what
    assert end(told).what.endswith("it lets nobody else into the internal network back")


def test_out_of_an_internal_network(tiers: Stage) -> None:
    told = explained(tiers, "db", "outside")
    # Docker 20.10 gives it a default route and drops what comes; 26 gives none.
    assert told.verdict.outcome in {Outcome.TIMED_OUT, Outcome.NO_ROUTE} and told.agrees
    assert "internal network" in told.sentence and "back" in told.sentence


def test_icc_off(stage: Stage) -> None:
    stage.network("quiet", "172.22.1.0/24", options={"com.docker.network.bridge.enable_icc": "false"})
    stage.run("one", "quiet", 80)
    stage.run("two", "quiet", 80)
    told = explained(stage, "one", "two")
    assert told.verdict.outcome is Outcome.TIMED_OUT and told.agrees
    assert "of chain FORWARD drops it" in told.sentence
    assert "inter-container communication (icc) is off on network quiet" in told.sentence


def test_no_listener(tiers: Stage) -> None:
    tiers.run("mute", "back")
    told = explained(tiers, "api", "mute", 80)
    assert told.verdict.outcome is Outcome.REFUSED and told.agrees
    assert end(told).kind == "target" and end(told).evidence == "listening: nothing"
    assert told.sentence.endswith("a reset (RST): nothing listens on TCP port 80, nor on any other.")


def test_another_port(tiers: Stage) -> None:
    told = explained(tiers, "api", "db", 5433)
    assert told.verdict.outcome is Outcome.REFUSED and told.agrees
    assert "nothing listens on TCP port 5433, but on 5432" in told.sentence


def test_a_listener_on_loopback_only(tiers: Stage) -> None:
    tiers.listen("db", 9000, address="127.0.0.1")
    told = explained(tiers, "api", "db", 9000)
    assert told.verdict.outcome is Outcome.REFUSED and told.agrees
    assert "it listens there on 127.0.0.1 only, not on 172.21.1.3" in told.sentence


def test_a_rule_that_sends_the_reset(tiers: Stage) -> None:
    """To the asker it looks like a port without a listener; the counter tells."""
    rule(tiers, *["-p", "tcp", "--dport", "5432", "-j", "REJECT", "--reject-with", "tcp-reset"])
    told = explained(tiers, "api", "db")
    assert told.verdict.outcome is Outcome.REFUSED and told.agrees
    assert end(told).kind == "rules"
    assert "rule 1 of chain DOCKER-USER rejects it: a policy that somebody added" in told.sentence


def test_a_policy_in_docker_user(tiers: Stage) -> None:
    rule(tiers, *["-s", "172.20.1.0/24", "-p", "tcp", "--dport", "3000", "-j", "DROP"])
    told = explained(tiers, "web", "api")
    assert told.verdict.outcome is Outcome.TIMED_OUT and told.agrees
    assert "rule 1 of chain DOCKER-USER drops it: a policy that somebody added" in told.sentence
    assert "--dport 3000 -j DROP   (+1 packet)" in end(told).evidence


def test_a_policy_that_drops_the_answer(tiers: Stage) -> None:
    rule(tiers, *["-s", "172.20.1.3", "-p", "tcp", "--sport", "3000", "-j", "DROP"])
    told = explained(tiers, "web", "api")
    assert told.verdict.outcome is Outcome.TIMED_OUT and told.agrees
    assert "rule 1 of chain DOCKER-USER drops the answer" in told.sentence


def test_a_rule_for_others_explains_nothing(tiers: Stage) -> None:
    rule(tiers, *["-s", "172.20.1.77", "-j", "DROP"])
    told = explained(tiers, "web", "api")
    assert told.verdict.outcome is Outcome.REACHABLE and told.agrees


def test_a_rule_in_the_targets_own_namespace(tiers: Stage) -> None:
    tool = next(iter((tiers.engine.directory / "bin").glob("iptables")), "iptables")
    with tiers.inside("db"):
        subprocess.run([str(tool), *["-A", "INPUT", "-p", "tcp", "-j", "DROP"]], check=True, timeout=5)
    told = explained(tiers, "api", "db")
    assert told.verdict.outcome is Outcome.TIMED_OUT and told.agrees
    assert end(told).kind == "target" and "rule 1 of chain INPUT drops it" in told.sentence


def test_packets_that_vanish_without_a_rule(tiers: Stage) -> None:
    """What the configuration does not explain is not explained away."""
    for step in explained(tiers, "api", "db").steps:
        if step.kind == "veth":
            on_host(tiers, "bridge", "link", "set", "dev", step.where, "isolated", "on")
    told = explained(tiers, "api", "db")
    assert told.verdict.outcome in {Outcome.TIMED_OUT, Outcome.NO_ROUTE} and not told.agrees
    assert "The configuration does not explain what was measured" in str(told)


def test_a_cable_that_is_pulled_out(tiers: Stage) -> None:
    veth = next(s.where for s in reversed(explained(tiers, "api", "db").steps) if s.kind == "veth")
    on_host(tiers, "ip", "link", "set", veth, "down")
    told = explained(tiers, "api", "db")
    assert told.verdict.outcome in {Outcome.TIMED_OUT, Outcome.NO_ROUTE} and told.agrees
    assert f"the interface {veth} is down" in told.sentence


def test_a_paused_container(tiers: Stage) -> None:
    tiers.docker.containers.get("db").pause()
    told = explained(tiers, "api", "db")
    assert told.verdict.outcome is Outcome.PAUSED and told.agrees
    assert "db is paused: its kernel opens the connection" in told.sentence
    asks = explained(tiers, "db", "api")
    assert asks.verdict.outcome is Outcome.PAUSED and end(asks).where == "db" and asks.agrees


def test_a_stopped_container(tiers: Stage) -> None:
    tiers.docker.containers.get("db").kill()
    told = explained(tiers, "api", "db")
    assert told.verdict.outcome is Outcome.NOT_RUNNING and told.agrees
    assert told.sentence == (
        "api does not reach db: db is stopped (exit code 137), so it has no interface and no address."
    )
    name = explained(tiers, "api", "db", by="name")
    assert name.verdict.outcome is Outcome.NOT_RESOLVED and name.agrees
    assert "db is stopped (exit code 137), and only running containers have a name" in name.sentence


def test_a_wrong_address(tiers: Stage) -> None:
    told = explained(tiers, "web", "172.20.1.99", 80)
    assert told.verdict.outcome is Outcome.NO_ROUTE and told.agrees
    assert end(told).kind == "bridge" and end(told).network == "front"
    assert "nobody on network front has the address 172.20.1.99" in told.sentence


def test_an_mtu_black_hole(tiers: Stage) -> None:
    """The host's end of db's cable takes 1400 bytes, the containers believe in 1500; a bridge says nothing."""
    veth = next(s.where for s in reversed(explained(tiers, "api", "db").steps) if s.kind == "veth")
    on_host(tiers, "ip", "link", "set", veth, "mtu", "1400")
    told = explained(tiers, "api", "db")
    assert told.verdict.outcome is Outcome.BLACK_HOLE and told.agrees
    assert end(told).where == veth and end(told).evidence == f"{veth} mtu 1400"
    assert f"at {veth}" in told.sentence or f"{veth} takes at most 1400 bytes" in told.sentence
    echo = {
        size: reach(tiers, ["api"], ["db"], protocols=["icmp"], by=["address"], payload=size).verdicts[0]
        for size in (1000, 1472, 5000)
    }
    assert echo[1000].outcome is Outcome.REACHABLE
    assert echo[1472].outcome is Outcome.BLACK_HOLE and "an MTU black hole" in echo[1472].reason
    assert echo[5000].outcome is Outcome.FAILED and "does not fit out of api's" in echo[5000].reason


def test_ipv6_only(stage: Stage) -> None:
    stage.network("dual", "172.22.1.0/24 fd00:22::/64", enable_ipv6=True)
    stage.run("server", "dual")
    stage.run("client", "dual")
    stage.listen("server", 80, address="::")
    told = explained(stage, "client", "server", 80)
    assert told.verdict.outcome is Outcome.REACHABLE and told.agrees
    assert told.verdict.address == "fd00:22::2"
    assert told.sentence == (
        "client reaches server at [fd00:22::2]:80: both are on network dual, "
        "over IPv6 only (IPv4 172.22.1.2 is refused)."
    )
    over4 = explained(stage, "client", "172.22.1.2", 80)
    assert over4.verdict.outcome is Outcome.REFUSED and over4.agrees
    assert "it listens there on :: only, not on 172.22.1.2" in over4.sentence


def test_published_ports(tiers: Stage) -> None:
    told = explained(tiers, "outside", "web", by="published")
    assert told.verdict.outcome is Outcome.REACHABLE and told.agrees
    turned = next(step for step in told.steps if step.kind == "proxy")
    assert "turns it to 172.20.1.2:80 (DNAT)" in turned.what
    assert told.sentence == (
        "outside reaches web at 172.20.1.2:80 through the Docker host's published port 8080."
    )
    by_proxy = explained(tiers, "host", "web", by="published")
    assert by_proxy.verdict.outcome is Outcome.REACHABLE and by_proxy.agrees
    rule(tiers, *["-d", "172.20.1.2", "-j", "DROP"])
    closed = explained(tiers, "outside", "web", by="published")
    assert closed.verdict.outcome is Outcome.TIMED_OUT and closed.agrees
    assert "rule 1 of chain DOCKER-USER drops it" in closed.sentence


def test_the_host_and_the_outside(tiers: Stage) -> None:
    assert explained(tiers, "host", "db").agrees
    host = explained(tiers, "db", "host", protocol="icmp")
    assert host.verdict.outcome is Outcome.REACHABLE and host.agrees and host.steps[-1].where == "Docker host"
    outside = explained(tiers, "web", "outside")
    assert outside.verdict.outcome is Outcome.REACHABLE and outside.agrees
    unpublished = explained(tiers, "outside", "db")
    assert unpublished.verdict.outcome is Outcome.NO_ROUTE and unpublished.agrees


def test_host_network_and_shared_namespace(tiers: Stage) -> None:
    tiers.run("onhost", "host")
    tiers.run("peer", "container:web")
    from_host = explained(tiers, "onhost", "db")
    assert from_host.verdict.outcome is Outcome.REACHABLE and from_host.agrees
    shared = explained(tiers, "peer", "api")
    assert shared.verdict.outcome is Outcome.REACHABLE and shared.agrees
    assert shared.sentence.endswith("both are on network front.")


def test_what_cannot_be_asked(tiers: Stage) -> None:
    with pytest.raises(ProbeError, match="always reaches itself"):
        why(tiers, "web", "web")
    with pytest.raises(ProbeError, match="no container called 'nobody'"):
        why(tiers, "nobody", "web")
    with pytest.raises(ProbeError, match="cannot be asked by published"):
        why(tiers, "web", "api", by="published")


def test_the_docker_hosts_own_address_by_a_name_of_the_hosts_file(tiers: Stage) -> None:
    api = tiers.docker.api
    api.create_container(
        IMAGE,
        ["/pause"],
        name="knows",
        labels=LABELS,
        host_config=api.create_host_config(
            network_mode="front", extra_hosts={"host.docker.internal": "172.20.1.1"}
        ),
    )
    api.start("knows")
    told = explained(tiers, "knows", "host.docker.internal", 8080)
    assert told.verdict.outcome is Outcome.REACHABLE
    assert "that is the Docker host's own address on network front" in told.sentence
    name = next(step for step in told.steps if step.kind == "name")
    assert (name.where, name.evidence) == ("hosts file of knows", "/etc/hosts: 172.20.1.1")


@pytest.fixture
def lan(stage: Stage) -> Iterator[Stage]:
    """web and client on a macvlan network; its parent lan0 is one end of a cable, 192.168.50.2."""

    def ip(words: str) -> subprocess.CompletedProcess[bytes]:
        with stage.engine.network():
            return subprocess.run(["ip", *words.split()], capture_output=True, timeout=10, check=False)

    ip("link add lan0 type veth peer name lan1")
    ip("link set lan0 up")
    ip("link set lan1 arp off up")  # it is in the same namespace, and would answer for the host
    ip("address add 192.168.50.2/24 dev lan0")
    try:
        if ip("link add trial link lan0 type macvlan").returncode:
            pytest.skip("this kernel has no macvlan")
        ip("link del trial")
        stage.docker.networks.create(
            "lan",
            driver="macvlan",
            labels=LABELS,
            options={"parent": "lan0"},
            ipam=IPAMConfig(pool_configs=[IPAMPool(subnet="192.168.50.0/24", iprange="192.168.50.128/25")]),
        )
        stage.run("web", "lan", 80)
        stage.run("client", "lan")
        yield stage
    finally:
        stage.clear()
        ip("link del lan0")


def test_macvlan_children_reach_each_other_past_the_rules(lan: Stage) -> None:
    told = explained(lan, "client", "web", by="name")
    assert told.verdict.outcome is Outcome.REACHABLE and told.agrees
    assert told.sentence.endswith("both are on network lan.")
    assert "lan0 hands it from one macvlan child to the other" in str(told)


@pytest.mark.parametrize(
    ("a", "b", "says"),
    [
        ("host", "web", "sends it out of lan0, the parent of network lan: "),
        ("client", "192.168.50.2", "sends it to an address on lan0, the parent of its network lan: "),
    ],
)
def test_a_parent_and_its_macvlan_children(lan: Stage, a: str, b: str, says: str) -> None:
    told = explained(lan, a, b, 80)
    assert told.verdict.outcome is Outcome.NO_ROUTE and told.agrees
    assert says + "a parent and its macvlan children never hear each other" in told.sentence
