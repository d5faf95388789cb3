"""Watch one probe from the Docker host: this file runs there, as its root, with the standard library alone.

`probe.why` sends its text through one ``host.call``, behind that of `_inside`, whose `main` it calls
``probe`` (one text, so that the agent compiles it but once). `main` reads the
packet counters of every iptables rule, lets `_inside` make the probe, reads the counters again, and tells
how the interfaces, bridges and routes on the way are joined. It judges nothing.

Rules of nft need not count. Where there are some that iptables does not tell of, the kernel is asked to report
each rule that the probe's packets meet (man 8 nft, "nftrace"). For that there is a table of ours as long as the
probe runs; it belongs to an nft process that ends with this one, and ends with it.

The order and the answer are JSON::

    order  = {"plan": {...},            # of `_inside`: one question, asked at one address or more
              "source": 4242,           # a process of the namespace; 0: the Docker host, -1: the outside
              "target": 4343,           # the same; null when it is no container
              "ports": [80, 8080],      # to which the packets go, on the host and in the container
              "full": true}             # after an answer, whether a packet of full size arrives, too
    answer = {"probe": {...},           # what `_inside` answers
              "full": {...} | null,     # what it answers to an echo of full size
              "size": 1500,             # the size of that packet
              "rules": [["host" | "source" | "target", 4 | 6, before, after, after the echo], ...],
              "traced": [["host" | "source" | "target", ruleset, [event, ...], [event, ...]], ...],
              "links": {"host" | "source" | "target": [{...}, ...]},   # of "ip -json address"
              "routes": {address: {...} | null},                       # of "ip -json route get"
              "listening": {"tcp": [[address, port], ...], "udp": []} | null,
              "forwarding": true,
              "bridged": {"4": true, "6": true},  # whether frames within one bridge are shown to iptables
              "spoofed": 0}                       # packets that the reverse path filter dropped

The counters are the texts of ``iptables-save -c``. Where the kernel was asked, ``traced`` has the text of
``nft -a -s list ruleset`` and what was met in the probe and in the echo::

    event = {"family": "inet", "table": "fw", "chain": "forward",
             "handle": 4 | null,                                  # of the rule; null for the chain's policy
             "verdict": "drop" | "accept" | "",                   # "" when the packet goes on
             "source": "172.20.1.2", "target": "172.21.1.2"}      # of the packet
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import time
from typing import Any

_CLONE_NEWNET = 0x40000000
_ANSWERED = {"connected", "echoed"}
_HEADERS = {4: 28, 6: 48}  # bytes of the IP and ICMP headers around an echo's data

# linux/netlink.h, linux/netfilter/nfnetlink.h and nf_tables.h
_NETLINK_NETFILTER, _SOL_NETLINK, _ADD_MEMBERSHIP, _CHANGES, _TRACES = 12, 270, 1, 7, 9
_NEW_TABLE, _TRACE = 0xA00, 0xA11
_TABLE, _CHAIN, _HANDLE, _VERDICT, _ID, _PACKET, _POLICY, _CODE = 1, 2, 3, 5, 6, 8, 16, 1
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_VERDICTS = {0: "drop", 1: "accept"}
_OURS = "dockernb-trace"
_READY_WITHIN = 2.0  # seconds for nft to make the table


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
        watches = self.watches(before)
        try:
            return self.watched(before, spoofed, watches)
        finally:
            for watch in watches.values():
                watch.close()

    def watched(
        self, before: dict[tuple[str, int], str], spoofed: int, watches: dict[str, _Watch]
    ) -> dict[str, Any]:
        probe = self.inside["probe"](self.plan)
        after, spoofed = self.counters(), _spoofed() - spoofed
        met = {place: watch.events() for place, watch in watches.items()}
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
            "traced": [
                [place, watch.ruleset, met[place], watch.events()] for place, watch in watches.items()
            ],
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
        name, legacy = ("iptables", "ip_tables") if family == 4 else ("ip6tables", "ip6_tables")
        variants = [f"{name}-save", f"{name}-nft-save"]
        if _read(f"/proc/net/{legacy}_names"):  # to ask would make tables where there are none
            variants.append(f"{name}-legacy-save")
        return next((tool for tool in variants if ":DOCKER" in self.run("host", tool)), variants[0])

    def counters(self) -> dict[tuple[str, int], str]:
        started = {
            (place, family): self.start(place, self.tools[family], "-c")
            for place in self.places
            for family in self.families
        }
        return {key: _output(process) for key, process in started.items()}

    def watches(self, counters: dict[tuple[str, int], str]) -> dict[str, _Watch]:
        """A watch in each namespace whose rules iptables does not tell all."""
        started = {place: self.start(place, "nft", "-a", "-s", "list", "ruleset") for place in self.places}
        found = {}
        for place, process in started.items():
            ruleset = _output(process)
            if self.untold(ruleset, {family: counters[place, family] for family in self.families}):
                _enter(self.places[place])
                try:
                    found[place] = _Watch(ruleset, self.order["ports"])
                finally:
                    _enter(self.home)
        return found

    @staticmethod
    def untold(ruleset: str, saved: dict[int, str]) -> bool:
        """Whether nft has rules that drop packets and that iptables does not tell, or not right, or does not count.

        Rules for the other IP version than those that ``saved`` has are none.
        """
        asked = told = False
        for line in ruleset.splitlines():
            if line.startswith("table "):
                _, family, name, *_ = line.split()
                version = {"ip": 4, "ip6": 6}.get(family, 0)
                asked = not version or version in saved
                text = saved.get(version, "")
                told = "(nf_tables)" in text and f"\n*{name}\n" in text
            elif asked and re.search(r"\b(drop|reject|vmap)\b", line):
                # In a rule of nft's iptables leaves out what it does not know (sets, maps), without a word.
                whole = ("{" not in line and "@" not in line) or "multiport" in text
                counted = "counter" in line or "# handle" not in line  # a policy is always counted in these
                if not (told and counted and whole):
                    return True
        return False

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


class _Watch:
    """The rules that packets to and from some ports, and echoes, meet in this network namespace."""

    def __init__(self, ruleset: str, ports: list[int]) -> None:
        self.ruleset = ruleset
        self.packets: dict[bytes, tuple[str, str]] = {}  # by the kernel's number: from, to
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self.socket.bind((0, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
        for group in (_CHANGES, _TRACES):
            self.socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        doors = f"{{ {', '.join(map(str, ports))} }}"
        asked = [
            "meta l4proto { icmp, ipv6-icmp }",
            *(f"th {way} {doors}" for way in ("dport", "sport") if ports),
        ]
        body = "; ".join(f"{what} meta nftrace set 1" for what in asked)
        chains = " ".join(
            f"chain {hook} {{ type filter hook {hook} priority -500; {body}; }};"
            for hook in ("prerouting", "output")
        )
        # The flag makes the kernel take the table away when this process ends, whatever ends it. It would write
        # a history into HOME.
        self.nft = subprocess.Popen(
            ["nft", "--interactive"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"HOME": "/nonexistent"},
        )
        assert self.nft.stdin is not None
        self.nft.stdin.write(f"add table inet {_OURS} {{ flags owner; {chains} }}\n")
        self.nft.stdin.flush()
        self.wait()

    def wait(self) -> None:
        """Until the table is there; without it (an old kernel) there will be no events."""
        until = time.monotonic() + _READY_WITHIN
        while (left := until - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                told = self.socket.recv(1 << 16)
            except OSError:
                continue
            if any(
                kind == _NEW_TABLE and _text(body.get(_TABLE)) == _OURS for kind, _, body in _messages(told)
            ):
                return

    def events(self) -> list[dict[str, Any]]:
        """What was met since the last call."""
        self.socket.settimeout(0)
        found: list[dict[str, Any]] = []
        while True:
            try:
                told = self.socket.recv(1 << 16)
            except BlockingIOError:
                return found
            except OSError:  # more than the buffer holds: the rest is lost
                continue
            for kind, family, body in _messages(told):
                if kind == _TRACE and _text(body.get(_TABLE)) != _OURS:
                    found.append(self.event(family, body))

    def event(self, family: int, body: dict[int, bytes]) -> dict[str, Any]:
        """An event; only the first in each base chain brings the packet's header."""
        if _PACKET in body:
            self.packets[body[_ID]] = _ends(body[_PACKET])
        source, target = self.packets.get(body[_ID], ("", ""))
        handle = body.get(_HANDLE)
        said = body.get(_POLICY) or _attributes(body.get(_VERDICT, b"")).get(_CODE)
        code = struct.unpack(">i", said)[0] if said else -1
        verdict = (
            _VERDICTS.get(code & 0xFF, "") if code >= 0 else ""
        )  # the rest is an error number of the drop
        return {
            "family": _FAMILIES.get(family, ""),
            "table": _text(body.get(_TABLE)),
            "chain": _text(body.get(_CHAIN)),
            "handle": struct.unpack(">Q", handle)[0] if handle and _POLICY not in body else None,
            "verdict": verdict,
            "source": source,
            "target": target,
        }

    def close(self) -> None:
        self.socket.close()
        self.nft.communicate(timeout=10)


def _messages(told: bytes) -> list[tuple[int, int, dict[int, bytes]]]:
    """The type, the family and the attributes of each netlink message."""
    found = []
    while len(told) >= 20:
        length, kind = struct.unpack_from("=IH", told)
        found.append((kind, told[16], _attributes(told[20:length])))
        told = told[(length + 3) & ~3 :]
    return found


def _attributes(told: bytes) -> dict[int, bytes]:
    found = {}
    while len(told) >= 4:
        length, kind = struct.unpack_from("=HH", told)
        found[kind & 0x3FFF] = told[4:length]
        told = told[(length + 3) & ~3 :]
    return found


def _text(told: bytes | None) -> str:
    return (told or b"").rstrip(b"\0").decode()


def _ends(header: bytes) -> tuple[str, str]:
    """The addresses in the head of an IP packet; none in another's."""
    for version, family, start, size in ((4, socket.AF_INET, 12, 4), (6, socket.AF_INET6, 8, 16)):
        if len(header) >= start + 2 * size and header[0] >> 4 == version:
            ends = header[start : start + size], header[start + size : start + 2 * size]
            return socket.inet_ntop(family, ends[0]), socket.inet_ntop(family, ends[1])
    return "", ""


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
    return int(_read(path) or 0)


def _read(path: str) -> str:
    """A file of the kernel's; nothing where there is none of that name."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            return file.read()
    except FileNotFoundError:
        return ""


def _spoofed() -> int:
    """How many packets the reverse path filter has dropped (man 8 nstat, TcpExtIPReversePathFilter)."""
    with open("/proc/thread-self/net/netstat", encoding="ascii") as file:  # noqa: PTH123
        names, values = (file.readline().split() for _ in range(2))
    return int(dict(zip(names, values, strict=True)).get("IPReversePathFilter", "0:").rstrip(":"))
