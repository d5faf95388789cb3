"""The exercise of lesson 02: a bridge made to measure, for two containers."""

import ipaddress

from dockernb.course.checks import Condition, Sight, check, keeps_out, runs
from dockernb.course.kernel import ip
from dockernb.model import Container, Endpoint, Subnet
from dockernb.probe import Outcome

NETWORK, BRIDGE, MTU, ALIAS = "store-net", "store0", 1400, "stock"


def _is_made(sight: Sight) -> str:
    """The network is there, and is the bridge that was asked for."""
    network = sight.state.network(NETWORK)
    if network is None:
        return f'There is no network called "{NETWORK}" yet.'
    if network.bridge != BRIDGE:
        named = f"is called {network.bridge} on the host" if network.bridge else "is no bridge"
        return f"{NETWORK} {named}, and {BRIDGE} is wanted: the option is com.docker.network.bridge.name."
    return ""


def _is_small_and_free(sight: Sight) -> str:
    """At most a /24, with a range for Docker, and nothing else of the host lies there."""
    pool = _pool(sight)
    subnet = ipaddress.ip_network(pool.subnet)
    if subnet.prefixlen < 24:
        return f"{subnet} has {subnet.num_addresses} addresses: a /24 or smaller is wanted."
    for route in ip(sight.lab.host, "-4", "route"):
        other = route["dst"] if route["dst"] != "default" else "0.0.0.0/32"
        if route["dev"] != BRIDGE and ipaddress.ip_network(other).overlaps(subnet):
            return (
                f"{subnet} overlaps {other}, which the host reaches by {route['dev']}: take another subnet."
            )
    if not pool.ip_range or pool.ip_range == pool.subnet:
        return f"Docker hands out all of {subnet}: give it a part only, by an ip-range."
    return ""


def _is_fixed(sight: Sight) -> str:
    """Warehouse was given an address in the subnet and outside Docker's range."""
    endpoint = _endpoint(sight, "warehouse")
    if endpoint is None:
        return f"warehouse is not on {NETWORK}."
    if _handed_out(sight, endpoint.address):
        return (
            f"warehouse is {endpoint.address}, which lies in {_pool(sight).ip_range}, where Docker hands out its own: "
            "ask for an address outside."
        )
    return ""


def _is_dynamic(sight: Sight) -> str:
    """Till took what Docker gave it."""
    endpoint = _endpoint(sight, "till")
    if endpoint is None:
        return f"till is not on {NETWORK}."
    if endpoint.configured_address or not _handed_out(sight, endpoint.address):
        return f"till asked for {endpoint.address}: let Docker choose its address."
    return ""


def _has_small_packets(sight: Sight) -> str:
    """Asked of the kernel, in the container."""
    warehouse, endpoint = sight.container("warehouse"), _endpoint(sight, "warehouse")
    if warehouse is None or endpoint is None:
        return f"warehouse is not on {NETWORK}."
    for link in ip(sight.lab.host, "address", pid=warehouse.pid):
        here = endpoint.address in [entry.get("local") for entry in link["addr_info"]]
        if here and link["mtu"] != MTU:
            return (
                f"{link['ifname']} in warehouse takes packets of {link['mtu']} bytes, and {MTU} are wanted: "
                "the option is com.docker.network.driver.mtu."
            )
    return ""


def _answers_to_the_alias(sight: Sight) -> str:
    """Till opens a connection by the second name."""
    endpoint = _endpoint(sight, "warehouse")
    if endpoint is None or ALIAS not in endpoint.aliases:
        return f'warehouse has no alias "{ALIAS}" on {NETWORK}.'
    asked = [verdict for verdict in sight.ways("till", "warehouse", 80) if verdict.asked == ALIAS]
    if any(verdict.outcome is Outcome.REACHABLE for verdict in asked):
        return ""
    return f"till does not reach {ALIAS} on port 80" + (f": {asked[0].reason}" if asked else ".")


def _pool(sight: Sight) -> Subnet:
    """The network's IPv4 subnet."""
    network = sight.state.network(NETWORK)
    assert network is not None  # the first condition has seen to it
    return next(pool for pool in network.subnets if pool.version == 4)


def _endpoint(sight: Sight, name: str) -> Endpoint | None:
    """A container's endpoint on the network."""
    container: Container | None = sight.container(name)
    return container.endpoint(NETWORK) if container else None


def _handed_out(sight: Sight, address: str) -> bool:
    """Whether Docker would choose this address by itself."""
    pool = _pool(sight)
    return ipaddress.ip_address(address) in ipaddress.ip_network(pool.ip_range or pool.subnet)


store = check(
    "A network for the store",
    Condition(f"{NETWORK} is a bridge, called {BRIDGE} on the host", _is_made, first=True),
    Condition("its subnet is small and free, and Docker hands out a part of it", _is_small_and_free),
    runs("warehouse"),
    runs("till"),
    Condition("warehouse has an address that Docker would never hand out", _is_fixed, first=True),
    Condition("till has one that Docker chose", _is_dynamic, first=True),
    Condition(f"packets have at most {MTU} bytes", _has_small_packets),
    Condition(
        f"till reaches {ALIAS} on port 80",
        _answers_to_the_alias,
        lambda _state: [("till", "warehouse", 80)],
    ),
    keeps_out("my-app-network", "warehouse", 80),
    hints=[
        "Section 5 made such a network and such a container. Which values have to change?",
        "is_free() tells whether a subnet is free. The bridge's name and the packet size are options of the network; "
        "address and alias are settings of the endpoint: create_endpoint_config(ipv4_address=..., aliases=[...]).",
    ],
    solution="""
from docker.types import IPAMConfig, IPAMPool

pool = IPAMPool(subnet="10.80.2.0/24", iprange="10.80.2.128/25", gateway="10.80.2.1")
lab.docker.networks.create(
    "store-net",
    driver="bridge",
    ipam=IPAMConfig(pool_configs=[pool]),
    options={"com.docker.network.bridge.name": "store0", "com.docker.network.driver.mtu": "1400"},
)
stock = lab.docker.api.create_endpoint_config(ipv4_address="10.80.2.10", aliases=["stock"])
lab.docker.containers.run(
    "dockernb/nginx",
    name="warehouse",
    network="store-net",
    networking_config={"store-net": stock},
    detach=True,
)
lab.docker.containers.run(
    "dockernb/toolbox", "sleep infinity", name="till", network="store-net", detach=True
)
""",
)
"""A small, free network with a named bridge, an MTU, a static and a dynamic address, and an alias."""
