"""The exercises of lesson 09: five services of a shop, each broken in one way, to be found and mended.

A customer, the container ``till``, asks each of them. `Broken.begin` starts a service with its fault and shows what the
customer sees; `Broken.check` looks whether the customer is served, by whatever repair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from docker.types import IPAMConfig, IPAMPool

from dockernb.course.checks import Check, Condition, Sight, check, runs
from dockernb.errors import HostError
from dockernb.measure.load import Requests, load

if TYPE_CHECKING:
    from dockernb.session import Lab

SHOP, SUBNET = "shop", "10.9.0.0/24"
ORDERS = "10.9.0.77"
TICKETS = 8095  # the port of the Docker host
LIMIT = 2.0  # seconds that the customer waits

_IMAGE = "shop-web"
_MAKE = f"""
docker network inspect {SHOP} > /dev/null 2>&1 && echo network
docker inspect till > /dev/null 2>&1 && echo till
docker image inspect {_IMAGE} > /dev/null 2>&1 && exit
cd "$(mktemp -d)" && mkdir bin www && cp /usr/bin/busybox bin/httpd
echo 'Welcome to the shop.' > www/index.html
head -c 200000 /dev/zero > www/beach.jpg
tar -c . | docker import --change 'CMD ["/bin/httpd", "-f", "-p", "8000", "-h", "/www"]' - {_IMAGE}
rm -r "$PWD"
"""
_DROP = f"DOCKER-USER -d {ORDERS} -p tcp --dport 8000 -j DROP"
_RUNS = """
for _ in $(seq 100); do
    pid=$(docker inspect --format '{{.State.Pid}}' NAME)
    [ "$pid" != 0 ] && nsenter --target "$pid" --net ss -Hltn 'sport = :8000' | grep -q . && break
    sleep 0.1
done
"""
_NARROW = """
nsenter --target $pid --net ethtool -K eth0 tso off gso off > /dev/null
peer=$(nsenter --target $pid --net ip -o link show eth0 | sed -E 's/.*eth0@if([0-9]+).*/\\1/')
ip link set "$(ip -o link | awk -F'[:@ ]+' -v n=$peer '$1 == n {print $2}')" mtu 1400
"""


@dataclass(frozen=True, slots=True)
class Symptom:
    """What the customer typed, and what came of it."""

    command: str
    said: str

    def __repr__(self) -> str:
        return f"$ {self.command}\n{self.said}"


@dataclass(frozen=True, slots=True)
class Broken:
    """A service that does not do what it should.

    Attributes:
        name: The service.
        ask: The customer's command line, on the Docker host.
        start: Starts the service, with its fault.
        check: Whether the customer is served.
    """

    name: str
    ask: str
    start: Callable[[Lab], None]
    check: Check

    def begin(self, lab: Lab) -> Symptom:
        """Start the service as it is, broken, and show what the customer sees; once more for a fresh start.

        Raises:
            HostError: The lab host is gone.
        """
        shop(lab)
        self.start(lab)
        done = lab.host.run(["bash", "-c", self.ask], timeout=30)
        return Symptom(self.ask, (done.stdout + done.stderr).decode(errors="replace").strip())


def shop(lab: Lab) -> None:
    """The network, the customer, and the image of all services, which holds a web server and no tools."""
    there = lab.host.run(["bash", "-c", _MAKE], timeout=60).stdout.decode().split()
    if "network" not in there:
        lab.docker.networks.create(SHOP, ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=SUBNET)]))
    if "till" not in there:
        lab.docker.containers.run(
            "dockernb/toolbox", "sleep infinity", name="till", network=SHOP, detach=True
        )


def clear(lab: Lab) -> None:
    """Remove from the Docker host what is no container: lab.clean() does not know of it."""
    lab.host.run(["bash", "-c", f"while iptables -D {_DROP} 2> /dev/null; do :; done"])


def _serve(lab: Lab, name: str, listen: str = "", then: str = "", **options: Any) -> None:
    """A small web server, and what is done to it when it listens."""
    command = ["/bin/httpd", "-f", "-p", listen, "-h", "/www"] if listen else None
    lab.docker.containers.run(_IMAGE, command, name=name, **({"network": SHOP} | options), detach=True)
    done = lab.host.run(["bash", "-c", _RUNS.replace("NAME", name) + then], timeout=40)
    if done.returncode:
        raise HostError(f"{name} could not be started as the lesson wants it: {done.stderr.decode().strip()}")


# ---------------------------------------------------------------- what is wrong


def _stock(lab: Lab) -> None:
    _serve(lab, "stock", "127.0.0.1:8000")


def _prices(lab: Lab) -> None:
    alias = lab.docker.api.create_endpoint_config(aliases=["pricse"])
    _serve(lab, "price-list", networking_config={SHOP: alias})


def _orders(lab: Lab) -> None:
    address = lab.docker.api.create_endpoint_config(ipv4_address=ORDERS)
    clear(lab)
    _serve(lab, "orders", networking_config={SHOP: address}, then=f"iptables -I {_DROP}")


def _photos(lab: Lab) -> None:
    _serve(lab, "photos", then=_NARROW)


def _tickets(lab: Lab) -> None:
    _serve(lab, "tickets", ports={"8080/tcp": TICKETS})


# ---------------------------------------------------------------- what is wanted


def _answers(url: str) -> Condition:
    """The customer gets this page, all of it."""

    def test(sight: Sight) -> str:
        asked = load(sight.lab, "till", {"page": Requests(url, count=1, limit=LIMIT)})
        row = asked.iloc[0]
        if row["status"] == 200:
            return ""
        said = f"the answer is {row['status']}" if row["status"] else _plain(str(row["error"]))
        return f"till asks for {url}: {said}."

    return Condition(f"till gets {url}", test)


def _plain(error: str) -> str:
    """What went wrong, in the same words on every machine."""
    if error.startswith("[Errno -"):
        return "the name is not known"
    if "timed out" in error:
        return f"no answer, or not all of it, within {LIMIT:g} s"
    if "refused" in error:
        return "the connection is refused"
    return error.rpartition("] ")[2]


def _published(sight: Sight) -> str:
    url = f"http://127.0.0.1:{TICKETS}/"
    done = sight.lab.host.run(["curl", "-sf", "-o", "/dev/null", "--max-time", f"{LIMIT:g}", url])
    if done.returncode == 0:
        return ""
    said = {
        7: "the connection is refused",
        22: "the answer is an error",
        28: f"no answer within {LIMIT:g} s",
        52: "the connection is opened, and closed without an answer",
        56: "the connection is opened, and closed without an answer",
    }
    return (
        f"The Docker host asks for {url}: {said.get(done.returncode, f'curl ends with {done.returncode}')}."
    )


def _check(name: str, *wanted: Condition, hints: list[str], solution: str) -> Check:
    return check(name, runs("till"), *wanted, hints=hints, solution=solution)


def _curl(path: str) -> str:
    return f"docker exec till curl -sS --max-time 2 -o /dev/null -w '%{{http_code}}, %{{size_download}} bytes\\n' http://{path}"


stock = Broken(
    "stock",
    _curl("stock:8000/"),
    _stock,
    _check(
        "The stock list",
        _answers("http://stock:8000/"),
        hints=[
            "Refused, at once: the name is known, a machine was reached, and there nobody listens on that port. Or not "
            "for everybody. Who listens where is a question for ss -ltn, asked in its namespace.",
            "It listens on 127.0.0.1, which is the container itself and nobody else. A program that is to serve others "
            "listens on 0.0.0.0.",
        ],
        solution="""
lab.docker.containers.run("shop-web", name="stock", network="shop", detach=True)
""",
    ),
)
prices = Broken(
    "prices",
    _curl("prices:8000/"),
    _prices,
    _check(
        "The price list",
        _answers("http://prices:8000/"),
        hints=[
            "The name is not known, so nothing was ever sent. Under which names is anybody known on shop? "
            "docker network inspect shop tells who is there, and docker inspect each one's aliases.",
            "The container is called price-list, and its alias has a slip of the pen: pricse. Connect it again with "
            "the right one.",
        ],
        solution="""
shop = lab.docker.networks.get("shop")
shop.disconnect("price-list")
shop.connect("price-list", aliases=["prices"])
""",
    ),
)
orders = Broken(
    "orders",
    _curl("orders:8000/"),
    _orders,
    _check(
        "The orders",
        _answers("http://orders:8000/"),
        hints=[
            "Silence: packets leave and nothing comes back. Does the first one arrive? tcpdump at orders tells, or "
            "dn.why(lab, 'till', 'orders', 8000), which reads the counters of the firewall.",
            "A rule in the chain DOCKER-USER of the Docker host drops them. iptables -S DOCKER-USER shows it; with -D "
            "in place of -A the same line deletes it.",
        ],
        solution=f"""
lab.host.run("iptables -D {_DROP}".split())
""",
    ),
)
photos = Broken(
    "photos",
    _curl("photos:8000/beach.jpg"),
    _photos,
    _check(
        "The photographs",
        _answers("http://photos:8000/"),
        _answers("http://photos:8000/beach.jpg"),
        hints=[
            "The short page comes, the long one does not. What differs is the size of the packets. Try it: "
            "ping -M do -s 1400 photos, with other sizes, too.",
            "The end of the cable on the Docker host takes packets of 1400 bytes only, and photos believes in 1500. "
            "dn.why(lab, 'till', 'photos', 8000) names the cable (veth…). ip link set … mtu 1500 widens it.",
        ],
        solution="""
cable = [step.where for step in dn.why(lab, "till", "photos", 8000).steps if step.kind == "veth"][-1]
lab.host.run(["ip", "link", "set", cable, "mtu", "1500"])
""",
    ),
)
tickets = Broken(
    "tickets",
    f"curl -sS --max-time 2 http://127.0.0.1:{TICKETS}/",
    _tickets,
    _check(
        "The tickets",
        Condition(f"the Docker host gets http://127.0.0.1:{TICKETS}/", _published),
        hints=[
            "The connection is opened: by Docker, for the container. And then? docker port tickets says where Docker "
            "takes it, and ss -ltn in its namespace who waits there.",
            f"Published is port 8080 of the container, and the program listens on 8000: publish {TICKETS} to 8000. A "
            "published port cannot be changed; the container is made anew.",
        ],
        solution=f"""
lab.docker.containers.run(
    "shop-web", name="tickets", network="shop", ports={{"8000/tcp": {TICKETS}}}, detach=True
)
""",
    ),
)
ALL = (stock, prices, orders, photos, tickets)
