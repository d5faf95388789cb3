"""The exercise of lesson 01: a container's cable is pulled by hand, and the engine does not notice."""

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.course.kernel import ip
from dockernb.probe import Outcome

NETWORK = "bridge"


def _on_the_network(sight: Sight) -> str:
    """The engine still believes in the endpoint."""
    two = sight.container("two")
    if two and two.endpoint(NETWORK):
        return ""
    return (
        f"Docker itself says that two is not on the network {NETWORK}: connect it again, "
        "and cut it off by the cable instead."
    )


def _plug_is_out(sight: Sight) -> str:
    """The cable is whole, and its host's end is not in the bridge, or is switched off."""
    two = sight.container("two")
    host = sight.lab.host
    inside = ip(host, "link", "show", "dev", "eth0", pid=two.pid) if two else []
    if not inside:
        return "The cable itself is gone: restart two for a new one, and only unplug it or switch it off."
    end = next(link for link in ip(host, "link") if link["ifindex"] == inside[0]["link_index"])
    if "master" in end and "UP" in end["flags"]:
        return (
            f"{end['ifname']}, the host's end of two's cable, is still plugged into {end['master']}, and up."
        )
    return ""


def _cut_off(sight: Sight) -> str:
    """No way to its port is left."""
    for verdict in sight.ways("one", "two", 80):
        if verdict.outcome is Outcome.REACHABLE:
            return f"one still reaches two, at {verdict.asked}."
    return ""


def _others_talk(sight: Sight) -> str:
    """Nobody else lost anything; the default bridge knows no names, so the address is asked."""
    if problem := runs("shop").test(sight):
        return problem
    if any(verdict.outcome is Outcome.REACHABLE for verdict in sight.ways("shop", "one", 80)):
        return ""
    return "shop does not reach one any more: only the cable of two was to be pulled."


pulled_plug = check(
    "The plug of two is pulled",
    runs("two"),
    runs("one"),
    Condition(f"for Docker, two is on the network {NETWORK}", _on_the_network, first=True),
    Condition("two's cable is there, unplugged or switched off on the host", _plug_is_out),
    Condition("one does not reach two", _cut_off, lambda _state: [("one", "two", 80)]),
    Condition("shop still reaches one", _others_talk, lambda _state: [("shop", "one", 80)]),
    hints=[
        "Section 2 has found the host's end of two's cable. But two was stopped and started since then: it has a "
        "new one.",
        "ip link set INTERFACE nomaster takes an interface off its bridge, ip link set INTERFACE down switches it "
        "off. Run it on the host with lab.host.run([...]).",
    ],
    solution="""
import json

pid = lab.docker.containers.get("two").attrs["State"]["Pid"]
eth0 = lab.host.run(["nsenter", "--target", str(pid), "--net", "ip", "-json", "link", "show", "dev", "eth0"])
number = json.loads(eth0.stdout)[0]["link_index"]
for link in json.loads(lab.host.run(["ip", "-json", "link"]).stdout):
    if link["ifindex"] == number:
        lab.host.run(["ip", "link", "set", link["ifname"], "nomaster"])
""",
)
"""On the Docker host, take the host's end of two's veth pair off docker0 or set it down, by other means than Docker."""
