"""Planning and judging: what to ask of whom, and what the answers mean. Nobody is asked here."""

import errno
from typing import Any

import pytest

from dockernb.errors import ProbeError
from dockernb.model import Snapshot
from dockernb.probe import Matrix, Outcome, Verdict
from dockernb.probe.plan import Plan, make_plan
from dockernb.probe.verdict import Ask, judge
from tests.support.snapshots import ENGINES, snapshot_of


def plan(*sources: str, to: list[str] | None = None, state: Snapshot | None = None, **options: Any) -> Plan:
    chosen = {"ports": None, "protocols": ("tcp",), "by": None, "networks": None} | options
    return make_plan(state or snapshot_of(), sources or None, to, **chosen)


def asked(plan: Plan) -> list[tuple[Any, ...]]:
    return [(a.source, a.target, a.how, a.asked, a.port, a.protocol) for a in plan.asks]


# -- the plan ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_by_name_alias_and_every_address_on_the_exposed_port(engine: str) -> None:
    assert asked(plan("web", to=["api", "db"], state=snapshot_of(engine), ports=[3000])) == [
        ("web", "api", "name", "api", 3000, "tcp"),
        ("web", "api", "alias", "api-service", 3000, "tcp"),
        ("web", "api", "address", "172.21.0.2", 3000, "tcp"),
        ("web", "api", "address", "172.22.0.2", 3000, "tcp"),
        ("web", "db", "name", "db", 3000, "tcp"),
        ("web", "db", "address", "172.22.0.10", 3000, "tcp"),
    ]
    assert {a[4] for a in asked(plan("web", to=["lb"], state=snapshot_of(engine)))} == {80, 443}


def test_without_a_known_port_an_echo_is_sent() -> None:
    assert asked(plan("web", to=["six"])) == [
        ("web", "six", "name", "six", None, "icmp"),
        ("web", "six", "address", "172.28.0.2", None, "icmp"),
        ("web", "six", "address", "fd00:28::2", None, "icmp"),
    ]


def test_everybody_asks_everybody_else() -> None:
    whole = plan()
    assert len(whole.sources) == 10 and whole.targets == whole.sources
    assert not [row for row in whole.rows if row.source == row.target]


def test_aliases_and_published_ports_on_request() -> None:
    assert asked(plan("api", to=["db"], by=["alias"])) == [("api", "db", "alias", "postgres", 5432, "tcp")]
    assert asked(plan("api", to=["web"], by=["published"])) == [
        ("api", "web", "published", "172.21.0.1", 8080, "tcp"),
        ("api", "web", "published", "172.22.0.1", 8080, "tcp"),
    ]
    assert asked(plan("api", to=["db"], by=["published"])) == []


def test_the_host_and_the_outside_ask_and_are_asked() -> None:
    assert asked(plan("host", to=["web"], by=["address", "published"], networks=["frontend"])) == [
        ("host", "web", "address", "172.20.0.2", 80, "tcp"),
        ("host", "web", "published", "127.0.0.1", 8080, "tcp"),
    ]
    assert asked(plan("outside", to=["web", "db"])) == [
        ("outside", "web", "published", "203.0.113.1", 8080, "tcp"),
        ("outside", "db", "address", "172.22.0.10", 5432, "tcp"),
    ]
    assert asked(plan("web", to=["outside"])) == [("web", "outside", "address", "203.0.113.2", 80, "tcp")]
    to_host = asked(plan("db", to=["host"]))
    assert {(a[3], a[4]) for a in to_host} == {("172.22.0.1", port) for port in (80, 443, 8080)}
    assert plan("web", to=["outside"]).message(1)["outside"] == [80]
    assert plan("web", to=["db"]).message(1)["outside"] is None


def test_a_name_or_an_address_that_nobody_has_can_be_asked() -> None:
    assert asked(plan("web", to=["nosuch", "172.20.0.99"], ports=[80])) == [
        ("web", "nosuch", "name", "nosuch", 80, "tcp"),
        ("web", "172.20.0.99", "address", "172.20.0.99", 80, "tcp"),
    ]


def test_only_some_networks() -> None:
    chosen = plan(networks=["database"])
    assert chosen.sources == ("api", "db")
    assert {a[3] for a in asked(chosen) if a[2] == "address"} == {"172.22.0.2", "172.22.0.10"}


def test_who_does_not_run_is_not_asked_to_ask() -> None:
    (row,) = plan("old", to=["web"], by=["name"]).rows
    assert isinstance(row, Verdict) and row.outcome is Outcome.NOT_RUNNING
    assert row.reason == "old is stopped (exit code 0), so it asks nothing."
    (row,) = plan("client", to=["web"], by=["name"]).rows
    assert isinstance(row, Verdict) and row.outcome is Outcome.PAUSED
    (row,) = plan("web", to=["old"], by=["address"]).rows
    assert isinstance(row, Verdict) and row.reason == "old is stopped (exit code 0), so it has no address."
    (row,) = plan("web", to=["lonely"], by=["address"]).rows
    assert isinstance(row, Verdict) and row.outcome is Outcome.NO_ROUTE


def test_a_container_on_the_hosts_network_has_the_hosts_addresses() -> None:
    assert {a[3] for a in asked(plan("db", to=["onhost"], by=["address"]))} == {"172.22.0.1"}


def test_one_that_shares_a_namespace_has_its_owners_addresses() -> None:
    def addresses(name: str) -> set[str]:
        return {a[3] for a in asked(plan("db", to=[name], by=["address"], protocols=["icmp"]))}

    assert addresses("peer") == addresses("web") != set()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"by": ["smell"]}, "There is no way of asking called 'smell'"),
        ({"protocols": ["sctp"]}, "There is no protocol called 'sctp'"),
        (
            {"networks": ["front"]},
            "There is no network called 'front' here; there are backend, bridge, database",
        ),
    ],
)
def test_a_word_that_is_not_known_is_told_with_those_that_are(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ProbeError, match=sentence):
        plan(**options)


def test_an_unknown_source_is_an_error() -> None:
    with pytest.raises(ProbeError, match="no container called 'wbe' here; there are api, client, db"):
        plan("wbe")


# -- the verdict ---------------------------------------------------------------------------------------------


def judged(told: dict[str, Any], source: str = "web", target: str = "db", **ask: Any) -> Verdict:
    fields: dict[str, Any] = {"how": "address", "asked": "172.22.0.10", "network": "database", "port": 5432}
    question = Ask(source, target, **(fields | {"protocol": "tcp"} | ask))
    state = snapshot_of()
    db = state.container("db")
    assert db
    listeners = {str(db.pid): {"tcp": [["0.0.0.0", 5432], ["127.0.0.1", 9000]], "udp": []}}
    told = {"address": question.asked, "elapsed": 0.25} | told
    return judge(question, told, state, listeners, 1.0)


ICMP = {"event": "error", "origin": "icmp", "from": "172.20.0.1"}


@pytest.mark.parametrize(
    ("told", "ask", "outcome", "reason"),
    [
        ({"event": "connected"}, {}, Outcome.REACHABLE, "172.22.0.10:5432 accepted the connection."),
        (
            {"event": "error", "errno": errno.ECONNREFUSED},
            {"port": 80},
            Outcome.REFUSED,
            "172.22.0.10 answered with a reset (RST): packets arrive, but nothing listens on TCP port 80; "
            "db listens on 5432.",
        ),
        (
            {"event": "error", "errno": errno.ECONNREFUSED},
            {"port": 9000},
            Outcome.REFUSED,
            "172.22.0.10 answered with a reset (RST): packets arrive, but nothing listens on TCP port 9000; "
            "db listens there on 127.0.0.1 only.",
        ),
        (
            {"event": "silence", "alone": False},
            {},
            Outcome.TIMED_OUT,
            "within 1 s: the packets are dropped; web and db share no network.",
        ),
        (
            {"event": "silence", "alone": True},
            {},
            Outcome.NO_ROUTE,
            "Nobody on database answers for the address 172.22.0.10 (ARP stays unanswered).",
        ),
        (
            ICMP | {"errno": errno.EHOSTUNREACH, "icmp": [3, 13]},
            {},
            Outcome.REJECTED,
            "172.20.0.1 answered that a rule prohibits it (ICMP).",
        ),
        (
            ICMP | {"errno": errno.ECONNREFUSED, "icmp": [3, 3]},
            {},
            Outcome.REJECTED,
            "A rule on 172.20.0.1 rejects it (ICMP port unreachable).",
        ),
        (
            ICMP | {"errno": errno.ENETUNREACH, "icmp": [3, 0]},
            {},
            Outcome.NO_ROUTE,
            "172.20.0.1 answered that it has no way to 172.22.0.10 (ICMP).",
        ),
        (
            {"event": "error", "errno": errno.EPERM, "origin": "local"},
            {},
            Outcome.REJECTED,
            "A rule in the network namespace of web forbids sending it.",
        ),
        ({"event": "closed"}, {"how": "published"}, Outcome.REFUSED, "docker-proxy found nothing behind it."),
        ({"event": None}, {}, Outcome.NOT_RUNNING, "web stopped while the probe was made."),
        (
            {"event": "silence"},
            {"protocol": "udp"},
            Outcome.NO_ANSWER,
            "with UDP a silent service and a dropped packet look the same; web and db share no network.",
        ),
        (
            {
                "event": "error",
                "errno": errno.ECONNREFUSED,
                "origin": "icmp",
                "icmp": [3, 3],
                "from": "172.22.0.10",
            },
            {"protocol": "udp"},
            Outcome.REFUSED,
            "answered with ICMP port unreachable: packets arrive, but nothing listens on UDP port 5432.",
        ),
        (
            {"event": "echoed"},
            {"protocol": "icmp", "port": None},
            Outcome.REACHABLE,
            "answered the echo request.",
        ),
        (
            {"event": "error", "errno": errno.EMSGSIZE},
            {"protocol": "icmp", "port": None},
            Outcome.FAILED,
            "web's own interface.",
        ),
        (
            {"event": "error", "errno": errno.EMSGSIZE, "from": "172.20.0.1", "mtu": 1400},
            {"protocol": "icmp", "port": None},
            Outcome.FAILED,
            "172.20.0.1 answered that at most 1400 bytes fit into one packet there (ICMP).",
        ),
        (
            {"event": "silence", "small": True},
            {"protocol": "icmp", "port": None},
            Outcome.BLACK_HOLE,
            "an MTU black hole.",
        ),
        ({"event": "error", "errno": errno.ENOBUFS}, {}, Outcome.FAILED, "No buffer space available."),
    ],
)
def test_what_the_kernel_said_becomes_an_outcome_and_a_sentence(
    told: dict[str, Any], ask: dict[str, Any], outcome: Outcome, reason: str
) -> None:
    verdict = judged(told, **ask)
    assert verdict.outcome is outcome
    assert verdict.reason.endswith(reason)
    assert verdict.elapsed_s == 0.25


def names(trouble: str, server: str = "127.0.0.11", found: str = "") -> dict[str, Any]:
    found_all = [found] if found else []
    return {"names": {"server": server, "trouble": trouble, "addresses": found_all, "elapsed": 0.5}}


@pytest.mark.parametrize(
    ("told", "source", "target", "reason"),
    [
        (names("nxdomain"), "web", "db", "127.0.0.11 knows no db; web and db share no network."),
        (
            names("silent"),
            "web",
            "db",
            "Docker's name server 127.0.0.11 did not answer; web and db share no network.",
        ),
        (names("server failure"), "api", "db", "did not help (server failure)."),
        (
            names("nxdomain"),
            "web",
            "old",
            "old is stopped (exit code 0), and only running containers have a name.",
        ),
        (names("no address"), "api", "db", "knows no address of db."),
        (names("nxdomain", "10.0.0.53"), "web", "nosuch", "The name server 10.0.0.53 knows no nosuch."),
        (names("no server", ""), "web", "db", "web has no name server to ask."),
    ],
)
def test_why_a_name_does_not_resolve(told: dict[str, Any], source: str, target: str, reason: str) -> None:
    verdict = judged(told, source, target, how="name", asked=target, network="")
    assert verdict.outcome is Outcome.NOT_RESOLVED
    assert verdict.reason.endswith(reason)


def test_who_resolved_the_name_is_told() -> None:
    told = {"event": "connected", "address": "172.22.0.10"} | names("", found="172.22.0.10")
    verdict = judged(told, "api", how="name", asked="db", network="")
    assert verdict.reason == (
        "db is 172.22.0.10 (Docker's name server 127.0.0.11 says); 172.22.0.10:5432 accepted the connection."
    )


def test_a_paused_container_whose_kernel_answers_is_not_reachable() -> None:
    verdict = judged({"event": "connected"}, "web", "client", network="frontend")
    assert verdict.outcome is Outcome.PAUSED
    assert verdict.reason == "The kernel accepted the connection, but client is paused and stays silent."


def test_icc_off_is_named() -> None:
    verdict = judged({"event": "silence", "alone": False}, "six", "six", network="dual")
    assert verdict.reason.endswith("inter-container communication is off on dual.")


# -- the matrix ----------------------------------------------------------------------------------------------


def verdict(
    source: str, target: str, how: str, outcome: Outcome, port: int | None = 80, **more: Any
) -> Verdict:
    fields = {
        "asked": target,
        "network": "",
        "address": "",
        "protocol": "tcp",
        "reason": f"{outcome}.",
    } | more
    return Verdict(source=source, target=target, how=how, port=port, outcome=outcome, **fields)


def test_a_cell_says_one_word_when_all_agree_and_tells_apart_what_differs() -> None:
    matrix = Matrix(
        (
            verdict("a", "b", "name", Outcome.REACHABLE),
            verdict("a", "b", "address", Outcome.TIMED_OUT, network="n1"),
            verdict("a", "b", "address", Outcome.REACHABLE, network="n2"),
            verdict("a", "c", "name", Outcome.NOT_RESOLVED),
            verdict("a", "c", "address", Outcome.TIMED_OUT),
            verdict("b", "c", "name", Outcome.REACHABLE),
            verdict("b", "c", "name", Outcome.REFUSED, port=443),
            verdict("b", "c", "address", Outcome.REACHABLE),
            verdict("b", "c", "address", Outcome.REFUSED, port=443),
        ),
        ("a", "b"),
        ("b", "c"),
    )
    table = matrix.table()
    assert table.loc["a", "b"] == "reachable"
    assert table.loc["a", "c"] == "name: unresolved; address: timed out"
    assert table.loc["b", "c"] == "80: reachable; 443: refused"
    assert table.loc["b", "b"] == ""
    assert matrix.table("name").loc["a", "c"] == "name does not resolve"
    assert matrix.reaches("a", "b") and not matrix.reaches("a", "c")
    assert matrix.outcome("b", "c", "name", 443) is Outcome.REFUSED
    with pytest.raises(KeyError, match="b did not ask b"):
        matrix.outcome("b", "b")
    assert str(matrix) == table.to_string()


def test_the_frame_is_tidy() -> None:
    matrix = Matrix((verdict("a", "b", "name", Outcome.REACHABLE, port=None),), ("a",), ("b",))
    assert list(matrix.frame.columns) == (
        [
            "source",
            "target",
            "how",
            "asked",
            "network",
            "address",
            "port",
            "protocol",
            "outcome",
            "reason",
            "elapsed_s",
        ]
    )
    assert matrix.frame.loc[0, "outcome"] == "reachable"
    assert matrix.frame["port"].isna().all()
    assert list(Matrix((), (), ()).frame.columns) == list(matrix.frame.columns)


def test_the_difference_of_two_matrices() -> None:
    before = Matrix(
        (verdict("a", "b", "name", Outcome.REACHABLE), verdict("a", "c", "name", Outcome.REFUSED)), (), ()
    )
    after = Matrix(
        (verdict("a", "b", "name", Outcome.TIMED_OUT), verdict("a", "d", "name", Outcome.REFUSED)), (), ()
    )
    found = {(row.target, row.before, row.after) for row in after.diff(before).itertuples()}
    assert found == {("b", "reachable", "timed out"), ("d", "", "refused"), ("c", "refused", "")}
    assert after.diff(after).empty


def test_a_new_address_on_the_same_network_is_no_difference() -> None:
    before = Matrix((verdict("a", "b", "address", Outcome.REACHABLE, asked="10.0.0.2", network="n"),), (), ())
    after = Matrix((verdict("a", "b", "address", Outcome.REACHABLE, asked="10.0.0.9", network="n"),), (), ())
    assert after.diff(before).empty


def test_each_outcome_has_its_place_in_the_order() -> None:
    assert Outcome.REACHABLE.rank == 0
    assert len({outcome.rank for outcome in Outcome}) == len(Outcome)
