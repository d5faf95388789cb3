"""Policies without an engine: selectors, the schema and its refusals, and the iptables rules that come of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from dockernb.errors import LabError
from dockernb.model import Container, Endpoint, Network, Snapshot, Subnet
from dockernb.policy import read_policies
from dockernb.policy.rules import compile_policies
from dockernb.policy.selector import read_selector
from dockernb.session.ruleset import LONGEST
from tests.support.policies import DENY_ALL
from tests.support.snapshots import snapshot_of


def policy(name: str = "p", **spec: Any) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "projectcalico.org/v3",
            "kind": "NetworkPolicy",
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def container(
    name: str, *endpoints: Endpoint, labels: dict[str, str] | None = None, **other: Any
) -> Container:
    known: dict[str, Any] = {
        "id": name * 12,
        "name": name,
        "image": "x",
        "state": "running",
        "exit_code": 0,
        "pid": 1,
        "network_mode": "front",
        "endpoints": endpoints,
        "exposed": (),
        "published": (),
        "wanted_ports": (),
        "mounts": (),
        "labels": labels or {},
    }
    return Container(**known | other)


def network(name: str, driver: str = "bridge") -> Network:
    return Network(name, name, driver, "local", False, False, False, (Subnet("10.0.0.0/8"),), {}, {})


def scene(*containers: Container, networks: Sequence[Network] = ()) -> Snapshot:
    return Snapshot((network("front"), network("back"), *networks), containers)


WEB = container("web", Endpoint("front", "f", "10.1.0.2"), labels={"tier": "web"})
API = container(
    "api", Endpoint("back", "b", "10.2.0.3"), Endpoint("front", "f", "10.1.0.3"), labels={"tier": "api"}
)
DB = container("db", Endpoint("back", "b", "10.2.0.4"), labels={"tier": "db"})
TIERS = scene(API, DB, WEB)


def rules(*texts: str, state: Snapshot = TIERS) -> list[str]:
    """The compiled rules without their comments."""
    lines = compile_policies([one for text in texts for one in read_policies(text)], state)
    return [re.sub(' ?-m comment --comment "[^"]*"', "", line).replace("  ", " ") for line in lines]


# ---------------------------------------------------------------- selectors


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", ["web", "api", "bare"]),
        ("all()", ["web", "api", "bare"]),
        ("tier == 'web'", ["web"]),
        ('tier == "web"', ["web"]),
        ("tier != 'web'", ["api", "bare"]),
        ("has(tier)", ["web", "api"]),
        ("!has(tier)", ["bare"]),
        ("tier in {'web', 'db'}", ["web"]),
        ("tier not in {'web'}", ["api", "bare"]),
        ("has(tier) && tier != 'web'", ["api"]),
        ("tier == 'web' || tier == 'api' && blue == 'no'", ["web"]),
        ("(tier == 'web' || tier == 'api') && blue == 'yes'", ["api"]),
        ("!(tier == 'web' || blue == 'yes')", ["bare"]),
        ("!!has(org.example/blue-1)", ["bare"]),
        ("all=='x'||in=='y'", ["bare"]),
    ],
)
def test_a_selector_selects(text: str, selected: list[str]) -> None:
    labels = {
        "web": {"tier": "web"},
        "api": {"tier": "api", "blue": "yes"},
        "bare": {"org.example/blue-1": "", "in": "y"},
    }
    test = read_selector(text)
    assert [name for name, known in labels.items() if test(known)] == selected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tier = 'web'", "has '=' where"),
        ("tier == web", "has web where a text in quotes"),
        ("tier", "has nothing where ==, !=, in or not in"),
        ("tier not 'web'", "has 'web' where in is wanted"),
        ("(has(tier)", "has nothing where ) is wanted"),
        ("has(tier) has(blue)", "has has where &&, || or the end"),
        ("tier in 'web'", "has 'web' where { is wanted"),
        ("tier in {}", "has } where a text in quotes"),
        ("has(tier) &&", "has nothing where a label"),
        ("'tier' == 'web'", "has 'tier' where a label"),
        ("tier == 'web", 'has "\'" where'),
    ],
)
def test_a_selector_that_is_none(text: str, says: str) -> None:
    with pytest.raises(LabError) as problem:
        read_selector(text)
    assert says in str(problem.value)


# ---------------------------------------------------------------- the schema


def test_the_policy_of_the_syllabus_is_read_as_it_stands() -> None:
    (read,) = read_policies(DENY_ALL)
    assert (read.name, read.kind, read.types) == ("deny-all", "NetworkPolicy", ("Ingress", "Egress"))
    assert read.selector({}) and not read.ingress and not read.egress
    assert read_policies(read.text) == (read,)  # what the lab host remembers


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ("Ingress",)),
        ({"ingress": [{"action": "Allow"}]}, ("Ingress",)),
        ({"egress": [{"action": "Allow"}]}, ("Egress",)),
        ({"ingress": [{"action": "Allow"}], "egress": [{"action": "Deny"}]}, ("Ingress", "Egress")),
        ({"types": []}, ("Ingress",)),
        ({"types": ["Egress", "Ingress"]}, ("Ingress", "Egress")),
    ],
)
def test_types_that_are_left_out(spec: dict[str, Any], types: tuple[str, ...]) -> None:
    assert read_policies(policy(**spec))[0].types == types


def test_several_documents_and_a_global_one() -> None:
    both = read_policies(
        f"---\n{DENY_ALL}---\n{policy('b', order=10).replace('kind: N', 'kind: GlobalN')}---\n"
    )
    assert [(one.name, one.kind, one.order) for one in both] == [
        ("deny-all", "NetworkPolicy", float("inf")),
        ("b", "GlobalNetworkPolicy", 10.0),
    ]


def ingress(**rule: Any) -> str:
    return policy(ingress=[{"action": "Allow"} | rule])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "There is no policy in this text"),
        ("a: [", "This is not YAML, line"),
        ("a: \0", "This is not YAML: "),
        ("- a", "A policy has to be a mapping of fields, and it is a list."),
        (
            DENY_ALL.replace("v3", "v1"),
            "apiVersion has to be projectcalico.org/v3, and it is projectcalico.org/v1.",
        ),
        (
            DENY_ALL.replace("kind: N", "kind: n"),
            "kind has to be NetworkPolicy or GlobalNetworkPolicy, and it is n",
        ),
        (
            DENY_ALL.replace("  name: deny-all", "  name: deny all"),
            "metadata.name has to be a name of letters",
        ),
        (DENY_ALL.replace("  name: deny-all", "  {}"), "metadata.name has to be a name of letters"),
        (DENY_ALL.replace("spec:", "spe:"), "spe is unknown: did you mean spec?"),
        (
            DENY_ALL.replace("  selector", "  types: []\n  selector"),
            "This is not YAML, line 7: types stands there twice.",
        ),
        (DENY_ALL + "---" + DENY_ALL, "metadata.name deny-all stands there twice"),
        (
            DENY_ALL + "---\n" + policy(tier="x"),
            "document 2, spec.tier is not supported: there is one tier here.",
        ),
        (
            DENY_ALL.replace("  name", "  namespace: x\n  name"),
            "metadata.namespace is not supported: Docker has no",
        ),
        (policy(ingres=[]), "spec.ingres is unknown: did you mean ingress?"),
        (policy(zzz=[]), "spec.zzz is unknown: there are order, selector, types, ingress, egress."),
        (policy(order="first"), "spec.order has to be a number, and it is first."),
        (policy(order=True), "spec.order has to be a number"),
        (policy(selector=3), "spec.selector has to be a text such as role == 'web', and it is 3."),
        (policy(selector="role = 'web'"), "spec.selector: the selector \"role = 'web'\" has '=' where"),
        (policy(types="Ingress"), "spec.types has to be a list of Ingress and Egress, and it is Ingress."),
        (policy(types=""), "spec.types has to be a list of Ingress and Egress, and it is empty."),
        (policy(types=["ingress"]), "spec.types[0] has to be Ingress or Egress, and it is ingress."),
        (
            policy(types=["Ingress"], egress=[{"action": "Allow"}]),
            "spec.egress has rules that would not count",
        ),
        (policy(ingress={"action": "Allow"}), "spec.ingress has to be a list of rules, and it is a mapping."),
        (policy(ingress=["Allow"]), "spec.ingress[0] has to be a mapping of fields, and it is Allow."),
        (
            policy(egress=[{"action": "Allow"}, {}]),
            "spec.egress[1].action has to be Allow or Deny, and it is missing.",
        ),
        (ingress(action="allow"), "spec.ingress[0].action has to be Allow or Deny, and it is allow."),
        (ingress(action="Log"), "spec.ingress[0].action is Log, which is not supported: Allow and Deny are."),
        (ingress(action="Pass"), "spec.ingress[0].action is Pass, which is not supported"),
        (
            ingress(protocol="SCTP"),
            "spec.ingress[0].protocol is SCTP, which is not supported: TCP, UDP, ICMP are.",
        ),
        (ingress(protocol=6), "spec.ingress[0].protocol is 6, which is not supported"),
        (ingress(protocol="ICMPv6"), "spec.ingress[0].protocol is ICMPv6, which is not supported"),
        (ingress(ipVersion=6), "spec.ingress[0].ipVersion is not supported: the rules here are for IPv4."),
        (ingress(notProtocol="TCP"), "spec.ingress[0].notProtocol is not supported"),
        (
            ingress(icmp={"type": 8}),
            "spec.ingress[0].icmp is not supported: ICMP is allowed or denied as a whole.",
        ),
        (ingress(http={}), "spec.ingress[0].http is not supported: a packet filter does not read HTTP."),
        (ingress(sources={}), "spec.ingress[0].sources is unknown: did you mean source?"),
        (
            ingress(source={"nets": ["10.0.0.0/8"]}),
            "spec.ingress[0].source.nets is not supported: select containers",
        ),
        (
            ingress(source={"notSelector": "x"}),
            "spec.ingress[0].source.notSelector is not supported: write selector",
        ),
        (
            ingress(source={"namespaceSelector": "x"}),
            "spec.ingress[0].source.namespaceSelector is not supported",
        ),
        (ingress(source={"selector": None}), "spec.ingress[0].source.selector has to be a text such as"),
        (
            ingress(source={"ports": [80]}),
            "spec.ingress[0].source.ports needs protocol: TCP or protocol: UDP",
        ),
        (
            ingress(protocol="ICMP", destination={"ports": [80]}),
            "spec.ingress[0].destination.ports needs protocol",
        ),
        (
            ingress(protocol="TCP", destination={"ports": 80}),
            "destination.ports has to be a list, and it is 80.",
        ),
        (
            ingress(protocol="TCP", destination={"ports": ["http"]}),
            "destination.ports[0] has to be a port from 1",
        ),
        (
            ingress(protocol="TCP", destination={"ports": [80, 0]}),
            "destination.ports[1] has to be a port from 1",
        ),
        (
            ingress(protocol="TCP", destination={"ports": ["90:80"]}),
            "destination.ports[0] has to be a port from 1",
        ),
        (
            ingress(protocol="TCP", destination={"ports": [70000]}),
            "destination.ports[0] has to be a port from 1",
        ),
        (
            ingress(protocol="TCP", destination={"ports": [True]}),
            "destination.ports[0] has to be a port from 1",
        ),
    ],
)
def test_what_is_no_policy_here_is_told_in_one_sentence(text: str, says: str) -> None:
    with pytest.raises(LabError) as problem:
        read_policies(text)
    said = str(problem.value)
    assert says in said
    assert said[-1] in ".?" and ". " not in said


# ---------------------------------------------------------------- rules


def test_deny_all() -> None:
    assert rules(DENY_ALL) == [
        "-A DNB-POLICY -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        "-A DNB-POLICY -s 10.2.0.3/32 -j DNB-EGRESS-api",
        "-A DNB-POLICY -s 10.1.0.3/32 -j DNB-EGRESS-api",
        "-A DNB-POLICY -s 10.2.0.4/32 -j DNB-EGRESS-db",
        "-A DNB-POLICY -s 10.1.0.2/32 -j DNB-EGRESS-web",
        "-A DNB-POLICY -d 10.2.0.3/32 -j DNB-INGRESS-api",
        "-A DNB-POLICY -d 10.1.0.3/32 -j DNB-INGRESS-api",
        "-A DNB-POLICY -d 10.2.0.4/32 -j DNB-INGRESS-db",
        "-A DNB-POLICY -d 10.1.0.2/32 -j DNB-INGRESS-web",
        "-A DNB-EGRESS-api -s 10.2.0.3/32 -j DROP",
        "-A DNB-EGRESS-api -s 10.1.0.3/32 -j DROP",
        "-A DNB-EGRESS-db -s 10.2.0.4/32 -j DROP",
        "-A DNB-EGRESS-web -s 10.1.0.2/32 -j DROP",
        "-A DNB-INGRESS-api -d 10.2.0.3/32 -j DROP",
        "-A DNB-INGRESS-api -d 10.1.0.3/32 -j DROP",
        "-A DNB-INGRESS-db -d 10.2.0.4/32 -j DROP",
        "-A DNB-INGRESS-web -d 10.1.0.2/32 -j DROP",
    ]
    assert compile_policies([], TIERS) == ()


def chain(name: str, *texts: str, state: Snapshot = TIERS) -> list[str]:
    return [
        line.removeprefix(f"-A {name} ")
        for line in rules(*texts, state=state)
        if line.startswith(f"-A {name} ")
    ]


def test_an_allow_rule_names_peers_and_ports_and_comes_before_the_drop() -> None:
    allow = policy(
        "allow",
        selector="tier == 'db'",
        ingress=[
            {
                "action": "Allow",
                "protocol": "TCP",
                "source": {"selector": "tier == 'api'", "ports": ["1024:65535"]},
                "destination": {"ports": [5432, "5433"]},
            }
        ],
    )
    assert chain("DNB-INGRESS-db", DENY_ALL, allow) == [
        *(
            f"-s {peer}/32 -p tcp --sport 1024:65535 --dport {port} -j RETURN"
            for peer in ("10.2.0.3", "10.1.0.3")
            for port in (5432, 5433)
        ),
        "-d 10.2.0.4/32 -j DROP",
    ]
    # It is for no other container, and for one direction.
    assert chain("DNB-EGRESS-db", allow) == [] == chain("DNB-INGRESS-web", allow)


def test_an_egress_rule_looks_at_the_other_end_and_anybody_is_no_address() -> None:
    allow = policy(
        "allow",
        selector="tier == 'web'",
        egress=[
            {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}},
            {"action": "Deny", "destination": {"selector": "tier == 'db'"}},
            {"action": "Allow", "destination": {"selector": "tier == 'nobody'"}},
            {"action": "Allow", "source": {"selector": "tier == 'api'"}},
        ],
    )
    assert chain("DNB-EGRESS-web", allow) == [
        "-p udp --dport 53 -j RETURN",
        "-s 10.1.0.2/32 -d 10.2.0.4/32 -j DROP",
        "-s 10.1.0.2/32 -j DROP",
    ]


def test_policies_are_asked_by_order_then_by_name() -> None:
    first = policy("z", order=1, ingress=[{"action": "Deny", "protocol": "ICMP"}])
    second = policy("y", order=2, ingress=[{"action": "Allow"}])
    third = policy("a", ingress=[{"action": "Deny", "protocol": "UDP"}])
    fourth = policy("b", ingress=[{"action": "Deny", "protocol": "TCP"}])
    assert chain("DNB-INGRESS-web", fourth, third, second, first) == [
        "-d 10.1.0.2/32 -p icmp -j DROP",
        "-j RETURN",
        "-d 10.1.0.2/32 -p udp -j DROP",
        "-d 10.1.0.2/32 -p tcp -j DROP",
        "-d 10.1.0.2/32 -j DROP",
    ]


def test_the_comments_say_which_policy_and_which_rule() -> None:
    texts = [DENY_ALL, policy("allow", ingress=[{"action": "Allow"}, {"action": "Deny"}])]
    lines = compile_policies([one for text in texts for one in read_policies(text)], TIERS)
    said = [line.split('"')[1] for line in lines if line.startswith("-A DNB-INGRESS-web")]
    assert said == [
        "policy allow allows it by spec.ingress[0]",
        "policy allow denies it by spec.ingress[1]",
        "policies allow and deny-all have no ingress rule that lets this in to web",
    ]
    (alone,) = (line for line in lines if line.startswith("-A DNB-EGRESS-web"))
    assert '"policy deny-all has no egress rule that lets this out of web"' in alone


def test_names_that_are_too_long() -> None:
    long = [container("x" * 60 + end, Endpoint("front", "f", f"10.1.0.{n}")) for n, end in enumerate("ab", 8)]
    many = "---\n".join(policy("p" * 50 + str(n)) for n in range(9))
    lines = compile_policies(read_policies(many), scene(*long))
    chains = {line.split()[1] for line in lines}
    assert len(chains) == 3 and all(len(name) <= LONGEST for name in chains)
    assert all(len(line.split('"')[1]) <= 255 for line in lines if '"' in line)


def test_who_has_no_address_of_its_own_is_left_out() -> None:
    stopped = container("stopped", Endpoint("front", "f"), pid=0, state="exited")
    peer = container("peer", network_mode="container:web")
    onhost = container("onhost", Endpoint("host", "h"), network_mode="host")
    assert rules(DENY_ALL, state=scene(API, DB, WEB, stopped, peer, onhost)) == rules(DENY_ALL)


def test_what_no_rule_of_the_host_sees_is_refused() -> None:
    far = container("far", Endpoint("lan", "l", "10.9.0.2"))
    lan = [network("lan", "macvlan")]
    with pytest.raises(
        LabError, match="deny-all selects far, whose packets on lan pass no rule of the Docker host"
    ):
        rules(DENY_ALL, state=scene(far, networks=lan))
    # As somebody else's peer it has no address that a rule could see.
    allow = policy(
        selector="tier == 'web'", ingress=[{"action": "Allow", "source": {"selector": "!has(tier)"}}]
    )
    assert chain("DNB-INGRESS-web", allow, state=scene(far, WEB, networks=lan)) == ["-d 10.1.0.2/32 -j DROP"]
    with pytest.raises(LabError, match="deny-all selects six, which has an IPv6 address on dual"):
        rules(DENY_ALL, state=snapshot_of())
