"""What the rows of `dockernb.course.engines` say of the lab host's own engine, old or new, is looked at on it."""

import re

import pytest

from dockernb.course.engines import DIFFERENCES, theirs, version_of
from tests.support.shared import Shared

# One run of the shell, since each line of it takes longer to start than to do.
SCRIPT = """
say() { echo "== $1"; }
say version; docker version --format '{{.Server.Version}}'
docker run -d --name closed dockernb/nginx > /dev/null
docker run -d --name open -p 8088:80 dockernb/nginx > /dev/null
say ports; docker ps --format '{{.Ports}}' --filter name=open
say mac; docker inspect -f '{{.NetworkSettings.Networks.bridge.MacAddress}}' closed
say forward; iptables -S FORWARD
say raw; iptables -t raw -S PREROUTING
say hairpin; iptables -t nat -S POSTROUTING
say exec; docker exec closed nosuchprogram > /dev/null 2>&1; echo $?
say address; docker inspect -f '{{json .NetworkSettings}}' closed
say overlap
docker network create --subnet 10.80.1.0/24 engines-1 > /dev/null
docker network create --subnet 10.80.1.0/25 engines-2 2>&1
say isolated
docker network create --internal -o com.docker.network.bridge.gateway_mode_ipv4=isolated \\
  -o com.docker.network.bridge.name=engines0 engines-3 > /dev/null
ip -4 -brief address show dev engines0
say taken
socat TCP-LISTEN:8089,fork /dev/null & sleep 0.3
docker create --name taken -p 8089:80 dockernb/nginx > /dev/null; docker start taken 2>&1
kill %1
say macvlan
ip link add engines-p type veth peer name engines-q
docker network create -d macvlan --subnet 10.81.1.0/24 -o parent=engines-p engines-4 > /dev/null
docker network create -d macvlan --subnet 10.81.2.0/24 -o parent=engines-p engines-5 2>&1
say route
ip netns add engines; ip link add to-engines type veth peer name eth0 netns engines
ip address add 203.0.113.1/24 dev to-engines; ip link set to-engines up
ip -n engines address add 203.0.113.9/24 dev eth0; ip -n engines link set eth0 up
ip -n engines route add default via 203.0.113.1
place=$(docker inspect -f '{{.NetworkSettings.Networks.bridge.IPAddress}}' open)
until curl -s -o /dev/null http://$place; do sleep 0.1; done
ip netns exec engines curl -s -o /dev/null -w '%{http_code}' --connect-timeout 1 http://$place
"""
CLEAN = """
docker rm -f closed open taken; docker network rm engines-1 engines-2 engines-3 engines-4 engines-5
ip link del engines-p; ip netns del engines
"""


@pytest.fixture(scope="module")
def seen(quick: Shared) -> dict[str, str]:
    """What each step of the script has said, by its name."""
    host = quick.as_it_is()
    try:
        said = host.run(["bash", "-c", SCRIPT], timeout=60).stdout.decode()
    finally:
        host.run(["sh", "-c", CLEAN], timeout=60)
    return {
        name: text.strip() for name, text in re.findall(r"^== (\w+)\n(.*?)(?=^== |\Z)", said, re.S | re.M)
    }


def looks(row_of: str, lesson: str, seen: dict[str, str]) -> str:
    """What the row says of this engine: "here", "older" or "newer"."""
    [row] = [one for one in DIFFERENCES if one.lesson == lesson and one.subject.startswith(row_of)]
    other = theirs(row, version_of(seen["version"]))
    return "here" if not other else "older" if other == row.older else "newer"


def is_old(seen: dict[str, str]) -> dict[tuple[str, str], bool]:
    """Whether the engine does what the row calls older; by lesson and the beginning of the subject."""
    return {
        ("00", "ports in"): "[::]:" not in seen["ports"],
        ("01", "hardware"): seen["mac"].startswith("02:42:ac:11:"),
        ("01", "the chain `FORWARD`"): "DOCKER-FORWARD" not in seen["forward"],
        ("01", "rules of a published"): "--dport 80" in seen["hairpin"],
        ("02", "the rule between"): "-j DROP" not in seen["raw"],
        ("02", "`docker exec`"): seen["exec"] == "126",
        ("02", "a subnet that overlaps"): "invalid pool request" not in seen["overlap"],
        ("03", "a port that"): "userland proxy" in seen["taken"],
        ("05", "a second macvlan"): "already using parent" in seen["macvlan"],
        ("06", "an internal network that"): "172." in seen["isolated"],
        ("07", "a published port, asked"): seen["route"] == "200",
    }


@pytest.mark.timeout(120)
def test_the_measured_rows_are_true_of_this_engine(seen: dict[str, str]) -> None:
    wrong = [key for key, old in is_old(seen).items() if (looks(key[1], key[0], seen) == "older") is not old]
    assert not wrong, seen


def test_an_address_is_where_the_row_says(seen: dict[str, str]) -> None:
    gone = '"IPAddress":"172.17.' not in seen["address"].partition('"Networks"')[0]
    assert gone is (looks("`.NetworkSettings.IPAddress`", "02", seen) == "newer")
