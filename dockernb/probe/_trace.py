"""Watch one probe from the Docker host: this file runs there, as its root, with the standard library alone.

`probe.why` sends its text through one ``host.call``, behind that of `_inside`, whose `main` it calls
``probe`` (one text, so that the agent compiles it but once). `main` reads the
packet counters of every iptables rule, lets `_inside` make the probe, reads the counters again, and tells
how the interfaces, bridges and routes on the way are joined. It judges nothing.

The order and the answer are JSON::

    order  = {"plan": {...},            # of `_inside`: one question, asked at one address or more
              "source": 4242,           # a process of the namespace; 0: the Docker host, -1: the outside
              "target": 4343,           # the same; null when it is no container
              "full": true}             # after an answer, whether a packet of full size arrives, too
    answer = {"probe": {...},           # what `_inside` answers
              "full": {...} | null,     # what it answers to an echo of full size
              "size": 1500,             # the size of that packet
              "rules": [["host" | "source" | "target", 4 | 6, before, after, after the echo], ...],
              "links": {"host" | "source" | "target": [{...}, ...]},   # of "ip -json address"
              "routes": {address: {...} | null},                       # of "ip -json route get"
              "listening": {"tcp": [[address, port], ...], "udp": []} | null,
              "forwarding": true,
              "bridged": {"4": true, "6": true},  # whether frames within one bridge are shown to iptables
              "spoofed": 0}                       # packets that the reverse path filter dropped

The counters are the texts of ``iptables-save -c``.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

_CLONE_NEWNET = 0x40000000
_ANSWERED = {"connected", "echoed"}
_HEADERS = {4: 28, 6: 48}  # bytes of the IP and ICMP headers around an echo's data


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out the order; see the top of the file for its shape."""
    return _Trace(order, globals()).result()


class _Trace:
    def __init__(self, order: dict[str, Any], inside: dict[str, Any]) -> None:
        self.order, self.inside, self.plan = order, inside, order["plan"]
        self.home = _open("/proc/thread-self/ns/net")
        self.places = {"host": self.home}
        for place in ("source", "target"):
            pid = order[place]
            if pid and pid > 0 and os.path.exists(f"/proc/{pid}/ns/net"):  # noqa: PTH110  # pathlib loads slowly
                self.places[place] = _open(f"/proc/{pid}/ns/net")
        asked = [
            6 if ":" in subject else 4 for _source, kind, subject, *_ in self.plan["asks"] if kind != "name"
        ]
        self.families = sorted(set(asked)) or ([4, 6] if self.plan["ipv6"] else [4])
        self.tools = {family: self.tool(family) for family in self.families}

    def result(self) -> dict[str, Any]:
        before, spoofed = self.counters(), _spoofed()
        probe = self.inside["probe"](self.plan)
        after, spoofed = self.counters(), _spoofed() - spoofed
        addresses = list(dict.fromkeys(self.addresses(probe)))
        routes = {address: self.route(address) for address in addresses}
        started = {place: self.start(place, "ip", "-json", "address") for place in self.places}
        links = {place: self.links(_output(process)) for place, process in started.items()}
        full, size = None, 0
        answered = [shot["address"] for shot in probe["shots"] if shot and shot["event"] in _ANSWERED]
        if self.order["full"] and answered and "source" in self.places:
            size = self.size(answered[0], routes, links)
            full = self.echo(answered[0], size)
        later = self.counters() if full else after
        target = self.order["target"]
        return {
            "probe": probe,
            "full": full,
            "size": size,
            "rules": [[*key, before[key], after[key], later[key]] for key in before],
            "links": links,
            "routes": routes,
            "listening": self.inside["_read_listeners"](target) if "target" in self.places else None,
            "forwarding": _number("/proc/sys/net/ipv4/ip_forward") == 1,
            "bridged": {
                "4": _number("/proc/sys/net/bridge/bridge-nf-call-iptables") == 1,
                "6": _number("/proc/sys/net/bridge/bridge-nf-call-ip6tables") == 1,
            },
            "spoofed": spoofed,
        }

    def addresses(self, probe: dict[str, Any]) -> list[str]:
        """The addresses that were tried or found."""
        tried = [shot["address"] for shot in probe["shots"] if shot]
        return tried + [address for lookup in probe["lookups"] for address in lookup["addresses"]]

    # -- the echo of full size ---------------------------------------------------------------------------

    @staticmethod
    def size(address: str, routes: dict[str, Any], links: dict[str, Any]) -> int:
        """The largest packet that leaves the source's interface, in bytes."""
        device = (routes[address] or {}).get("dev")
        found = [link["mtu"] for link in links["source"] if link["ifname"] == device]
        return min(found[0] if found else 1500, 9000)

    def echo(self, address: str, size: int) -> dict[str, Any]:
        source = self.plan["asks"][0][0]
        payload = size - _HEADERS[6 if ":" in address else 4]
        ask = [source, "address", address, None, "icmp", False, 0]
        told: dict[str, Any] = self.inside["probe"](self.plan | {"asks": [ask], "payload": payload})
        return told

    # -- what the kernel knows ---------------------------------------------------------------------------

    def start(self, place: str, *command: str) -> subprocess.Popen[str] | None:
        """Start a command in a network namespace; None where there is no such command."""
        _enter(self.places[place])
        try:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except FileNotFoundError:
            return None
        finally:
            _enter(self.home)

    def run(self, place: str, *command: str) -> str:
        """What a command prints in a network namespace; nothing when it fails."""
        return _output(self.start(place, *command))

    def tool(self, family: int) -> str:
        """That variant of iptables-save which sees the rules of the engine."""
        name = "iptables" if family == 4 else "ip6tables"
        variants = [f"{name}-save", f"{name}-nft-save", f"{name}-legacy-save"]
        return next((tool for tool in variants if ":DOCKER" in self.run("host", tool)), variants[0])

    def counters(self) -> dict[tuple[str, int], str]:
        started = {
            (place, family): self.start(place, self.tools[family], "-c")
            for place in self.places
            for family in self.families
        }
        return {key: _output(process) for key, process in started.items()}

    @staticmethod
    def links(text: str) -> list[dict[str, Any]]:
        """Each interface: its name, number, the number of its other end, its bridge, and its addresses."""
        kept = ("ifindex", "ifname", "link_index", "master", "mtu", "flags")
        found = json.loads(text or "[]")
        return [
            {key: link[key] for key in kept if key in link}
            | {"addresses": [info["local"] for info in link.get("addr_info", ()) if "local" in info]}
            for link in found
        ]

    def route(self, address: str) -> dict[str, Any] | None:
        """How the source sends to an address."""
        place = "source" if self.order["source"] else "host"
        if place not in self.places:
            return None
        found = json.loads(self.run(place, "ip", "-json", "route", "get", address) or "[]")
        return found[0] if found else None


def _output(process: subprocess.Popen[str] | None) -> str:
    """What a command printed; nothing when it failed."""
    if process is None:
        return ""
    text = process.communicate(timeout=10)[0]
    return "" if process.returncode else text


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _enter(handle: int) -> None:
    os.setns(handle, _CLONE_NEWNET)  # type: ignore[attr-defined]  # Python 3.12


def _number(path: str) -> int:
    """A setting of the kernel; 0 where it has none of that name."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            return int(file.read())
    except FileNotFoundError:
        return 0


def _spoofed() -> int:
    """How many packets the reverse path filter has dropped (man 8 nstat, TcpExtIPReversePathFilter)."""
    with open("/proc/thread-self/net/netstat", encoding="ascii") as file:  # noqa: PTH123
        names, values = (file.readline().split() for _ in range(2))
    return int(dict(zip(names, values, strict=True)).get("IPReversePathFilter", "0:").rstrip(":"))
