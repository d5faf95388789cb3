"""Who dropped it, in the firewalls of engines 26, 28 and 29, and by rules that are not iptables'."""

from collections.abc import Iterator

import pytest

from dockernb.policy import apply_policy, policies, remove_policy
from dockernb.probe import Explanation, Outcome, why
from dockernb.session import Lab, ruleset
from dockernb.session.networks import alias, denied, deny
from dockernb.view import path
from tests.support import rulesets
from tests.support.policies import DENY_ALL, allow

NAME = "07-segmentation-and-policy"
SCENE = """
network() { docker network create --label $LABEL -o com.docker.network.bridge.name=$2 --subnet $3.0/24 $4 $5 $1; }
box() { docker run -d --label $LABEL --label tier=$1 --name $1 --network $2 --ip $3 $4 $5 dockernb/toolbox $SERVE; }
LABEL=org.dockernb.lab=NAME SERVE="socat TCP-LISTEN:80,fork,reuseaddr EXEC:cat"
network shop a0 10.31.1 && network office b0 10.31.2 && network vault i0 10.31.3 --internal
network calm q0 10.31.4 -o com.docker.network.bridge.enable_icc=false
box web shop 10.31.1.2 -p 8080:80 && box api shop 10.31.1.3 && box desk office 10.31.2.2
box safe vault 10.31.3.2 && box one calm 10.31.4.2 && box two calm 10.31.4.3
until nc -z 10.31.1.2 80 && nc -z 10.31.1.3 80; do sleep 0.2; done
iptables-save > /run/rules4; ip6tables-save > /run/rules6
"""


def sh(lab: Lab, script: str) -> str:
    """The output of a shell script on the Docker host, which has to succeed."""
    done = lab.host.run(["bash", "-ec", script], timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


@pytest.fixture(scope="module")
def scene(opened: Lab) -> Lab:
    """web and api on shop, desk on office, safe on vault (internal), one and two on calm (without icc)."""
    if opened.host.run(["nft", "list", "ruleset"]).returncode:
        pytest.skip("this kernel has no nf_tables")
    sh(opened, SCENE.replace("NAME", NAME))
    return opened


@pytest.fixture
def firewall(scene: Lab) -> Iterator[Lab]:
    """The scene, with the engine's own rules before and after."""
    yield scene
    sh(scene, f"{rulesets.FLUSH}; iptables-restore /run/rules4; ip6tables-restore /run/rules6")


def explained(lab: Lab, a: str, b: str, port: int | None = 80, **options: str) -> Explanation:
    """The explanation, which leaves nothing behind."""
    before = sh(lab, "nft -s list ruleset")
    told = why(lab, a, b, port, **options)
    print(told)
    assert sh(lab, "nft -s list ruleset") == before
    assert not sh(lab, "ls -A /root | grep nft.history || cat /proc/net/ip_tables_names 2> /dev/null || true")
    return told


def dropped(lab: Lab, a: str, b: str, port: int | None = 80, **options: str) -> str:
    """The sentence on a packet that the firewall dropped."""
    told = explained(lab, a, b, port, **options)
    assert told.verdict.outcome is Outcome.TIMED_OUT and told.agrees
    assert told.stopped is not None and told.stopped.kind == "rules"
    return told.sentence


DIRECT = "Docker lets nobody to a container's own address from outside its network"
ENGINES = {
    "26": (
        rulesets.docker_26,
        [
            "of chain DOCKER-ISOLATION-STAGE-2 drops it: it keeps Docker's networks apart",
            "nothing passes from office to shop",
        ],
        ["of chain DOCKER-ISOLATION-STAGE-2", "nothing passes from shop to office"],
        ["rule 1 of chain DOCKER-ISOLATION-STAGE-1 drops it"],
        ["of chain FORWARD drops it"],
    ),
    "29": (
        rulesets.docker_29,
        ["rule 1 of chain PREROUTING (table raw) drops it", DIRECT],
        [
            "rule 3 of chain DOCKER drops it: Docker opens published ports only",
            "nothing else passes from shop to office",
        ],
        ["rule 1 of chain DOCKER-INTERNAL drops it"],
        ["rule 7 of chain DOCKER-FORWARD drops it"],
    ),
    "29-nftables": (
        rulesets.docker_29_nftables,
        ["rule 1 of chain raw-PREROUTING (table ip docker-bridges) drops it", DIRECT],
        [
            "rule 3 of chain filter-forward-in__b0 (table ip docker-bridges) drops it: "
            "Docker opens published ports only: nothing else passes from shop to office"
        ],
        ["rule 2 of chain filter-forward-in__i0 (table ip docker-bridges) drops it"],
        ["rule 2 of chain filter-forward-in__q0 (table ip docker-bridges) drops it"],
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_drops(firewall: Lab, engine: str) -> None:
    load, direct, apart, internal, icc = ENGINES[engine]
    sh(firewall, load())
    for says, asks in ((direct, ("desk", "web")), (apart, ("api", "desk"))):
        told = dropped(firewall, *asks)
        assert all(part in told for part in says), told
    told = dropped(firewall, "web", "safe")
    assert all(part in told for part in (*internal, "it lets nobody else into the internal network vault")), (
        told
    )
    told = dropped(firewall, "one", "two")
    assert all(
        part in told for part in (*icc, "inter-container communication (icc) is off on network calm")
    ), told


@pytest.mark.parametrize("engine", ENGINES)
def test_what_an_engine_lets_through(firewall: Lab, engine: str) -> None:
    sh(firewall, ENGINES[engine][0]())
    tool = "nftables" if "nftables" in engine else "iptables"
    near = explained(firewall, "web", "api")
    assert near.verdict.outcome is Outcome.REACHABLE and near.agrees
    rules = next(step for step in near.steps if step.kind == "rules")
    assert rules.where == tool and rules.what.endswith("accepts it")
    assert f">{tool}</text>" in path(near).html
    published = explained(firewall, "outside", "web", None, by="published")
    assert published.verdict.outcome is Outcome.REACHABLE and published.agrees
    turned = next(step for step in published.steps if step.kind == "proxy")
    assert "turns it to 10.31.1.2:80 (DNAT)" in turned.what


def test_the_running_engine(firewall: Lab) -> None:
    """Whichever it is: what is not on a shared network is dropped by a rule, and the rule has a reason."""
    assert firewall.docker.version()["Version"]
    for a, b in (("desk", "web"), ("api", "desk"), ("web", "safe"), ("one", "two")):
        assert "no rule of Docker's" not in dropped(firewall, a, b)


FOREIGN = (
    "add table inet wall; add chain inet wall gate { type filter hook forward priority 10; policy accept; };"
)


@pytest.mark.parametrize("counter", ["", "counter "])
def test_a_drop_of_nft_is_named(firewall: Lab, counter: str) -> None:
    words = 'ip daddr 10.31.1.3 tcp dport { 80, 443 } COUNTERdrop comment "closed for today"'.replace(
        "COUNTER", counter
    )
    sh(firewall, f"nft '{FOREIGN} add rule inet wall gate {words}'")
    told = explained(firewall, "web", "api")
    assert told.verdict.outcome is Outcome.TIMED_OUT and told.agrees and told.stopped is not None
    assert told.stopped.where == "nftables"
    assert told.stopped.what == "rule 1 of chain gate (table inet wall) drops it: closed for today"
    assert told.stopped.evidence.startswith(f"nft list chain inet wall gate: {words}   (+")


def test_a_policy_of_nft_is_named_and_what_drops_the_answer(firewall: Lab) -> None:
    gate = FOREIGN.replace("accept", "drop")
    sh(firewall, f"nft '{gate} add rule inet wall gate tcp sport != 80 accept'")
    told = dropped(firewall, "web", "api")
    assert "the policy of chain gate (table inet wall) drops the answer" in told


def test_a_rule_that_nft_put_into_a_table_of_iptables_is_told_once(firewall: Lab) -> None:
    """It counts nothing, so only the kernel can tell."""
    sh(firewall, "nft insert rule ip filter DOCKER-USER ip saddr 10.31.1.2 tcp dport 80 drop")
    told = explained(firewall, "web", "api")
    assert told.stopped is not None and told.stopped.where == "nftables"
    assert (
        "rule 1 of chain DOCKER-USER (table ip filter) drops it: a policy that somebody added"
        in told.sentence
    )
    assert "80 drop   (+" in told.stopped.evidence and "DROP" not in told.stopped.evidence
    sh(
        firewall,
        f"""
    iptables -R DOCKER-USER 1 -s 10.31.1.2 -p tcp --dport 80 -j DROP
    nft '{FOREIGN} add rule inet wall gate tcp dport 1 drop'  # the kernel is asked again
    """,
    )
    again = explained(firewall, "web", "api")
    assert again.stopped is not None and again.stopped.where == "iptables"
    assert again.stopped.evidence.startswith("iptables -t filter -A DOCKER-USER -s 10.31.1.2/32 -p tcp")
    assert again.stopped.evidence.count("(+") == 1


def test_what_iptables_cannot_read_is_told_by_nft(firewall: Lab) -> None:
    """Of a set iptables says nothing, as if the rule were for everybody; a rule for others drops nothing of ours."""
    rule = "nft 'insert rule ip filter DOCKER-USER ip saddr { 10.31.1.AT, 10.31.1.9 } counter drop'"
    sh(firewall, rule.replace("AT", "2"))
    assert "-A DOCKER-USER -j DROP" in sh(firewall, "iptables-save")
    told = explained(firewall, "web", "api")
    assert (
        "rule 1 of chain DOCKER-USER (table ip filter) drops it: a policy that somebody added"
        in told.sentence
    )
    assert "ip saddr { 10.31.1.2, 10.31.1.9 } counter drop" in str(told)
    sh(firewall, f"iptables -F DOCKER-USER; {rule.replace('AT', '8')}")
    assert explained(firewall, "web", "api").verdict.outcome is Outcome.REACHABLE


@pytest.mark.parametrize("backend", ["of the running engine", "nftables"])
def test_policies_and_denials(firewall: Lab, backend: str) -> None:
    """They hold where the engine has no DOCKER-USER, too, and leave what was there."""
    if backend == "nftables":
        sh(firewall, rulesets.docker_29_nftables())
    hook = "FORWARD" if backend == "nftables" else "DOCKER-USER"
    before = sh(firewall, "nft -s list ruleset")
    host = firewall.host
    deny(host, ("web", ["10.31.1.2"]), ("api", ["10.31.1.3"]), True)
    assert denied(host) == {("web", "api")}
    assert f"of chain {hook} drops it: " in dropped(firewall, "web", "api")
    deny(host, ("web", ["10.31.1.2"]), ("api", ["10.31.1.3"]), False)
    assert denied(host) == frozenset()
    apply_policy(firewall, DENY_ALL)
    assert "policy deny-all has no egress rule that lets this out of web" in dropped(firewall, "web", "api")
    assert policies(firewall).names == ("deny-all",)
    apply_policy(firewall, allow("web", "api", 80))
    assert explained(firewall, "web", "api").verdict.outcome is Outcome.REACHABLE
    assert "policy deny-all" in dropped(firewall, "api", "web")
    assert remove_policy(firewall).names == ()
    apply_policy(firewall, DENY_ALL)
    deny(host, ("web", ["10.31.1.2"]), ("api", ["10.31.1.3"]), True)
    assert ruleset.withdraw(host) > 1
    assert "DNB-" not in sh(firewall, "iptables-save")
    assert explained(firewall, "web", "api").verdict.outcome is Outcome.REACHABLE
    if backend != "nftables":  # iptables leaves a table of its own
        assert sh(firewall, "nft -s list ruleset") == before


def test_a_reset_by_nft_in_the_targets_own_namespace(firewall: Lab) -> None:
    pid = firewall.docker.api.inspect_container("api")["State"]["Pid"]
    inside = "add table inet own; add chain inet own i { type filter hook input priority 0; }; "
    sh(firewall, f"nsenter -t {pid} -n nft '{inside} add rule inet own i tcp dport 80 reject with tcp reset'")
    try:
        told = explained(firewall, "web", "api")
    finally:
        sh(firewall, f"nsenter -t {pid} -n nft delete table inet own")
    assert told.verdict.outcome is Outcome.REFUSED and told.agrees
    assert "rule 1 of chain i (table inet own) rejects it: a rule within the container's own" in told.sentence


def test_a_station_with_a_route_sends_to_an_unpublished_port(firewall: Lab) -> None:
    """Its packets meet a rule for that network, or the policy."""
    script = """
    ip netns add neighbour
    ip link add to-neighbour type veth peer name eth0 netns neighbour
    ip address add 198.51.100.1/24 dev to-neighbour && ip link set to-neighbour up
    ip -n neighbour address add 198.51.100.9/24 dev eth0 && ip -n neighbour link set eth0 up
    ip -n neighbour route add default via 198.51.100.1
    iptables -Z -t raw; iptables -Z
    ! ip netns exec neighbour nc -z -w 2 10.31.2.2 80
    iptables-save -c
    """
    try:
        saved = sh(firewall, script)
    finally:
        firewall.host.run(["ip", "netns", "del", "neighbour"])
    drops = [line for line in saved.splitlines() if line.endswith("-j DROP") or ":FORWARD DROP" in line]
    counted = [line for line in drops if "[0:0]" not in line]
    assert counted, saved
    # An engine before 28 leaves it to the policy.
    assert all("b0 -j DROP" in line or ":FORWARD DROP" in line for line in counted), counted


def test_the_default_route_comes_from_the_network_with_the_highest_priority(scene: Lab) -> None:
    if tuple(map(int, scene.docker.api.api_version.split("."))) < (1, 48):
        pytest.skip("this engine knows no gw-priority")
    sh(
        scene,
        f"docker run -d --name both --label org.dockernb.lab={NAME} --network name=shop "
        "--network name=office,gw-priority=1 dockernb/toolbox sleep inf",
    )
    try:
        assert "by its gateway 10.31.2.1" in str(explained(scene, "both", "outside", None, protocol="icmp"))
        alias(scene.docker, "office", "both", "twice", True)  # which connects it again
        assert "by its gateway 10.31.2.1" in str(explained(scene, "both", "outside", None, protocol="icmp"))
    finally:
        sh(scene, "docker rm -f both")
