"""The exercise of lesson 05: a container on VLAN 30 whose network knows what is taken there."""

import ipaddress

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.model import Endpoint, Network

PARENT = "lan0.30"
FREE = ipaddress.IPv4Network("10.10.30.128/25")
PRINTER = ipaddress.IPv4Address("10.10.30.128")

# Run by the agent, on the lab host. Whoever is there refuses the connection: that is an answer.
_ASK = """
import os, socket

def main(address):
    try:
        handle = os.open("/run/netns/desk30", os.O_RDONLY)
    except FileNotFoundError:
        return "there is no desk30"
    os.setns(handle, 0x40000000)  # CLONE_NEWNET
    with socket.socket() as line:
        line.settimeout(4)
        try:
            line.connect((address, 9))
        except ConnectionRefusedError:
            pass
        except OSError:
            return f"{address} does not answer"
    return ""
"""


def _on_vlan30(sight: Sight) -> tuple[Network, Endpoint] | None:
    """The sensor's network whose parent is VLAN 30 of lan0, and its endpoint there."""
    sensor = sight.container("sensor")
    for endpoint in sensor.endpoints if sensor else ():
        network = sight.state.network(endpoint.network)
        if network is not None and network.parent == PARENT:
            return network, endpoint
    return None


def _parent(sight: Sight) -> str:
    if _on_vlan30(sight):
        return ""
    sensor = sight.container("sensor")
    networks = [
        network for name in (sensor.networks if sensor else ()) if (network := sight.state.network(name))
    ]
    told = ", ".join(f"{n.name} ({n.parent or n.driver})" for n in networks) or "no network"
    return f'"sensor" is on {told}: VLAN 30 of lan0 is the parent {PARENT}.'


def _own_mac(sight: Sight) -> str:
    found = _on_vlan30(sight)
    if found is None or found[0].driver == "macvlan":
        return ""
    return f"{found[0].name} is an {found[0].driver} network: there the container has the MAC address of {PARENT}."


def _in_range(sight: Sight) -> str:
    found = _on_vlan30(sight)
    address = ipaddress.ip_address(found[1].address) if found and found[1].address else None
    if address is None or (address in FREE and address != PRINTER):
        return ""
    whose = {PRINTER: "the printer's", ipaddress.ip_address("10.10.30.1"): "desk30's"}
    if address in whose:
        return f'"sensor" has {address}, which is {whose[address]}.'
    return f'"sensor" has {address}, and Docker may use 10.10.30.128 and up.'


def _hands_out(sight: Sight) -> str:
    """Whether Docker's own choices, by the settings of the network, can be none but free addresses."""
    found = _on_vlan30(sight)
    if found is None:
        return ""
    network = found[0]
    for pool in network.subnets:
        given = ipaddress.ip_network(pool.ip_range or pool.subnet)
        if not (isinstance(given, ipaddress.IPv4Network) and given.subnet_of(FREE)):
            return f"Docker hands out addresses of {given} on {network.name}: free are 10.10.30.128 and up (iprange)."
        kept = {pool.gateway.split("/")[0], *pool.reserved}
        if PRINTER in given and str(PRINTER) not in kept:
            return (
                f"Docker may hand out the printer's {PRINTER} on {network.name}: reserve it (aux_addresses)."
            )
    return ""


def _reached(sight: Sight) -> str:
    found = _on_vlan30(sight)
    address = found[1].address if found else ""
    if not address:
        return '"sensor" has no address on VLAN 30.'
    said = sight.lab.host.call(_ASK, address)
    return f"desk30 does not reach it: {said}." if said else ""


sensor = check(
    "A sensor on VLAN 30",
    runs("sensor"),
    Condition("sensor is on VLAN 30 of lan0", _parent, first=True),
    Condition("sensor has a MAC address of its own", _own_mac),
    Condition("sensor has an address that was free", _in_range),
    Condition("Docker hands out free addresses only", _hands_out),
    Condition("desk30 reaches sensor", _reached),
    hints=[
        "Step 7 put a network on VLAN 10, and step 3 told Docker what is taken.",
        'The parent is "lan0.30", the driver macvlan, the range 10.10.30.128/25; and one address in it has an owner.',
        'IPAMPool(subnet=..., gateway=..., iprange="10.10.30.128/25", aux_addresses={"printer": "10.10.30.128"}).',
    ],
    solution="""
from docker.types import IPAMConfig, IPAMPool

pool = IPAMPool(
    subnet="10.10.30.0/24",
    gateway="10.10.30.1",
    iprange="10.10.30.128/25",
    aux_addresses={"printer": "10.10.30.128"},
)
lab.docker.networks.create(
    "vlan30", driver="macvlan", ipam=IPAMConfig(pool_configs=[pool]), options={"parent": "lan0.30"}
)
lab.docker.containers.run("dockernb/toolbox", "sleep infinity", name="sensor", network="vlan30", detach=True)
""",
)
