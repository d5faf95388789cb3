"""Each situation made for real on a native engine, and what the probe says of it."""

import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from dockernb.probe import Outcome, Verdict, reach, snapshot
from tests.support.stage import Stage


@pytest.fixture(autouse=True)
def empty(stage: Stage) -> Iterator[None]:
    yield
    stage.clear()


def one(stage: Stage, source: str, target: str, how: str = "address", **options: object) -> Verdict:
    """The only verdict on one question."""
    matrix = reach(stage, [source], [target], by=[how], **options)  # type: ignore[arg-type]
    (verdict,) = matrix.verdicts
    return verdict


def test_a_neighbour_is_reached_by_name_by_alias_and_by_address(tiers: Stage) -> None:
    by_name = one(tiers, "web", "api", "name")
    assert by_name.outcome is Outcome.REACHABLE and by_name.address == "172.20.1.3" and by_name.port == 3000
    assert by_name.reason.startswith(
        "api is 172.20.1.3 (Docker's name server 127.0.0.11 says); 172.20.1.3:3000"
    )
    assert one(tiers, "web", "api", networks=["front"]).outcome is Outcome.REACHABLE
    alias = one(tiers, "db", "api", "alias")
    assert (alias.asked, alias.outcome) == ("api-service", Outcome.REACHABLE)


def test_the_whole_matrix_is_one_call(tiers: Stage) -> None:
    before = tiers.calls
    matrix = reach(tiers)
    assert tiers.calls == before + 1
    table = matrix.table()
    assert table.loc["web", "api"] == table.loc["api", "db"] == table.loc["db", "api"] == "reachable"
    assert table.loc["web", "db"] == table.loc["db", "web"] == "name: unresolved; address: timed out"


def test_an_unknown_name(tiers: Stage) -> None:
    verdict = one(tiers, "web", "nosuch", "name", ports=[80])
    assert verdict.outcome is Outcome.NOT_RESOLVED
    assert "Docker's name server 127.0.0.11" in verdict.reason


def test_another_network(tiers: Stage) -> None:
    by_name, by_address = one(tiers, "web", "db", "name"), one(tiers, "web", "db")
    assert by_name.outcome is Outcome.NOT_RESOLVED and by_name.reason.endswith("web and db share no network.")
    assert by_address.outcome is Outcome.TIMED_OUT and by_address.elapsed_s == pytest.approx(1, abs=0.2)
    assert by_address.reason.endswith("the packets are dropped; web and db share no network.")


def test_an_internal_network_has_no_way_out_but_the_host_is_there(tiers: Stage) -> None:
    """Seed correction 3: internal does not mean isolated from the host."""
    out = one(tiers, "db", "outside")
    # Docker 20.10 gives it a default route and drops what comes; 26 gives none.
    assert out.outcome in {Outcome.TIMED_OUT, Outcome.NO_ROUTE}
    assert out.reason.endswith("it is on internal networks only (back).")
    assert one(tiers, "web", "outside").outcome is Outcome.REACHABLE
    assert one(tiers, "host", "db").outcome is Outcome.REACHABLE
    assert one(tiers, "db", "host", protocols=["icmp"]).outcome is Outcome.REACHABLE


def test_the_outside_reaches_what_is_published_and_nothing_else(tiers: Stage) -> None:
    published = one(tiers, "outside", "web", "published")
    assert (published.outcome, published.port) == (Outcome.REACHABLE, 8080)
    assert one(tiers, "outside", "web").outcome is Outcome.NO_ROUTE
    with tiers.engine.network():
        links = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True, timeout=5).stdout
    assert "dnb-outside" not in links, "the outside is gone after the probe"


def test_without_masquerade_the_outside_does_not_know_the_way_back(stage: Stage) -> None:
    stage.network(
        "plain", "172.22.1.0/24", options={"com.docker.network.bridge.enable_ip_masquerade": "false"}
    )
    stage.run("web", "plain", 80)
    assert one(stage, "web", "outside").outcome is Outcome.TIMED_OUT


def test_icc_off_drops_neighbours_but_not_a_published_port(stage: Stage) -> None:
    """Seed correction 13."""
    stage.network("quiet", "172.22.1.0/24", options={"com.docker.network.bridge.enable_icc": "false"})
    stage.run("web", "quiet", 80, publish={80: 8080})
    stage.run("client", "quiet")
    verdict = one(stage, "client", "web")
    assert verdict.outcome is Outcome.TIMED_OUT
    assert verdict.reason.endswith("inter-container communication is off on quiet.")
    name = one(stage, "client", "web", "name", protocols=["dns"])
    assert name.outcome is Outcome.REACHABLE and name.address == "172.22.1.2"
    assert one(stage, "client", "web", "published").outcome is Outcome.REACHABLE


def test_no_listener(tiers: Stage) -> None:
    verdict = one(tiers, "web", "db", ports=[80])
    assert verdict.outcome is Outcome.TIMED_OUT
    refused = one(tiers, "api", "db", ports=[81])
    assert refused.outcome is Outcome.REFUSED
    assert refused.reason.endswith("packets arrive, but nothing listens on TCP port 81; db listens on 5432.")


def test_a_listener_on_loopback_only(tiers: Stage) -> None:
    tiers.listen("db", 9000, address="127.0.0.1")
    verdict = one(tiers, "api", "db", ports=[9000])
    assert verdict.outcome is Outcome.REFUSED and verdict.reason.endswith(
        "db listens there on 127.0.0.1 only."
    )


@pytest.mark.parametrize(
    ("target", "outcome"),
    [
        (["DROP"], Outcome.TIMED_OUT),
        (["REJECT", "--reject-with", "icmp-admin-prohibited"], Outcome.REJECTED),
        (["REJECT"], Outcome.REJECTED),
        (["REJECT", "--reject-with", "tcp-reset"], Outcome.REFUSED),
    ],
)
def test_a_policy_in_docker_user(tiers: Stage, target: list[str], outcome: Outcome) -> None:
    protocol = ["-p", "tcp"] if "tcp-reset" in target else []
    tiers.iptables("-I", "DOCKER-USER", *protocol, "-d", "172.20.1.3", "-j", *target)
    assert one(tiers, "web", "api", networks=["front"]).outcome is outcome


def test_a_paused_container(tiers: Stage) -> None:
    tiers.docker.containers.get("db").pause()
    for how in ("name", "address"):
        verdict = one(tiers, "api", "db", how, networks=["back"])
        assert verdict.outcome is Outcome.PAUSED, how
        assert "the kernel accepted the connection, but db is paused" in verdict.reason.lower()
    assert one(tiers, "db", "api", "name").reason == "db is paused, so it asks nothing."


def test_a_stopped_container(tiers: Stage) -> None:
    tiers.docker.containers.get("db").kill()
    name = one(tiers, "api", "db", "name")
    assert name.outcome is Outcome.NOT_RESOLVED
    assert name.reason.endswith("db is stopped (exit code 137), and only running containers have a name.")
    address = one(tiers, "api", "db")
    assert address.outcome is Outcome.NOT_RUNNING
    assert address.reason == "db is stopped (exit code 137), so it has no address."
    assert one(tiers, "db", "api", "name").outcome is Outcome.NOT_RUNNING


def test_a_source_that_stops_between_plan_and_probe(tiers: Stage) -> None:
    state = snapshot(tiers)
    tiers.docker.containers.get("db").kill()
    verdict = one(tiers, "db", "api", "name", snapshot=state)
    assert verdict.outcome is Outcome.NOT_RUNNING and verdict.reason == "db stopped while the probe was made."


def test_an_address_that_nobody_has(tiers: Stage) -> None:
    verdict = one(tiers, "web", "172.20.1.99", ports=[80])
    assert verdict.outcome is Outcome.NO_ROUTE
    assert verdict.reason == "Nobody answers for the address 172.20.1.99 (ARP stays unanswered)."


def test_ipv6_only_listener(stage: Stage) -> None:
    stage.network("dual", "172.22.1.0/24 fd00:22::/64", enable_ipv6=True)
    stage.run("server", "dual")
    stage.run("client", "dual")
    stage.listen("server", 80, address="::")
    matrix = reach(stage, ["client"], ["server"], ports=[80])
    by = {(v.how, ":" in v.address): v for v in matrix}
    assert by["address", False].outcome is Outcome.REFUSED
    assert by["address", True].outcome is Outcome.REACHABLE
    name = by["name", True]
    assert name.outcome is Outcome.REACHABLE and name.address == "fd00:22::2"
    echo = reach(stage, ["client"], ["server"], protocols=["icmp"], by=["address"])
    assert [v.outcome for v in echo] == [Outcome.REACHABLE, Outcome.REACHABLE]


def test_udp(tiers: Stage) -> None:
    assert one(tiers, "api", "db", ports=[53], protocols=["udp"]).outcome is Outcome.REFUSED
    door = tiers.listen("db", 53, udp=True)
    silent = one(tiers, "api", "db", ports=[53], protocols=["udp"])
    assert silent.outcome is Outcome.NO_ANSWER and "look the same" in silent.reason
    door.settimeout(5)
    data, _client = door.recvfrom(512)
    assert data.endswith(b"\x08dockernb\x00\x00\x01\x00\x01"), "port 53 is asked a DNS question"

    def answer() -> None:
        question, asker = door.recvfrom(512)
        door.sendto(question, asker)

    thread = threading.Thread(target=answer)
    thread.start()
    assert one(tiers, "api", "db", ports=[53], protocols=["udp"]).outcome is Outcome.REACHABLE
    thread.join()


def test_a_published_port_with_nothing_behind_it(stage: Stage) -> None:
    stage.network("front", "172.20.1.0/24")
    stage.run("empty", "front", publish={80: 8080})
    verdict = one(stage, "host", "empty", "published")
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.reason.endswith("closed it at once: docker-proxy found nothing behind it.")
    stage.listen("empty", 80)
    assert one(stage, "host", "empty", "published").outcome is Outcome.REACHABLE


def test_host_network_shared_namespace_and_no_network(tiers: Stage) -> None:
    tiers.run("onhost", "host")
    tiers.run("peer", "container:web")
    tiers.run("lonely", "none")
    with tiers.engine.network():
        door = socket.create_server(("0.0.0.0", 7777))
    with door:
        assert one(tiers, "db", "onhost", ports=[7777]).outcome is Outcome.REACHABLE
    assert one(tiers, "onhost", "db").outcome is Outcome.REACHABLE
    assert one(tiers, "peer", "api", "name").outcome is Outcome.REACHABLE
    assert one(tiers, "api", "peer", ports=[80]).outcome is Outcome.REACHABLE
    assert one(tiers, "web", "lonely").outcome is Outcome.NO_ROUTE
    alone = reach(tiers, ["lonely"], ["db"])
    assert [v.outcome for v in alone] == [Outcome.NOT_RESOLVED, Outcome.NO_ROUTE]


def test_the_default_bridge_knows_no_names(stage: Stage) -> None:
    stage.run("web1", "bridge", 80)
    stage.run("web2", "bridge", 80)
    assert one(stage, "web1", "web2").outcome is Outcome.REACHABLE
    name = one(stage, "web1", "web2", "name")
    assert name.outcome is Outcome.NOT_RESOLVED
    assert name.reason.endswith("the default bridge has no name service.")


def test_several_addresses_of_one_name(stage: Stage) -> None:
    """An alias that two containers share: one of them listens, and that is what a program would find."""
    stage.network("front", "172.20.1.0/24")
    for name in ("one", "two"):
        stage.run(name, "front", aliases=("pair",))
    stage.run("client", "front")
    stage.listen("two", 80)
    verdict = one(stage, "client", "pair", "name", ports=[80])
    assert verdict.outcome is Outcome.REACHABLE and verdict.address == "172.20.1.3"


def test_snapshot_sees_the_lesson_and_nothing_else(tiers: Stage) -> None:
    tiers.docker.networks.create("foreign")
    try:
        state = snapshot(tiers)
        assert [n.name for n in state.networks] == ["back", "front"]
        assert "foreign" in [n.name for n in snapshot(tiers, everything=True).networks]
    finally:
        tiers.docker.networks.get("foreign").remove()


def test_twenty_containers_on_four_networks_in_time(stage: Stage) -> None:
    """Issue 3: at most 1.5 s on a native engine, all names and addresses, one call."""
    for number in range(4):
        stage.network(f"net{number}", f"172.25.{number}.0/24")
    for number in range(20):
        stage.run(f"c{number}", f"net{number % 4}", 80)
    stage.docker.networks.get("net1").connect("c0")
    state = snapshot(stage)
    began, calls = time.monotonic(), stage.calls
    matrix = reach(stage)
    elapsed = time.monotonic() - began
    assert stage.calls == calls + 1
    assert len(matrix) == 2 * 20 * 19 + 19, "c0 has two addresses"
    for a in state.containers:
        for b in state.containers:
            if a is not b:
                shared = bool(state.shared_networks(a, b))
                assert matrix.reaches(a.name, b.name) is shared, (a.name, b.name)
                assert matrix.reaches(a.name, b.name, "name") is shared, (a.name, b.name)
    assert elapsed < 1.5, f"{elapsed:.2f} s"
