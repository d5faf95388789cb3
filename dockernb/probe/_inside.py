"""Ask from inside: this file runs on the Docker host, as its root, with nothing but the standard library.

`probe.reach` sends its text through one ``host.call``. `main` enters each source's network namespace, sends
that container's name servers the questions that its programs would send, opens every socket of the matrix
at once, waits once, and tells what the kernel said. It judges nothing: `probe.verdict` makes sentences of
the answers.

The plan and the answer are JSON::

    plan   = {"timeout": 1.0, "ipv6": false,
              "payload": null | 1472,               # with it, an echo must pass in this size, too, in one piece
              "nodes": {"web": 4242, "host": 0},    # a process of the namespace; 0: our own, -1: made here
              "outside": null | [80, ...],          # the TCP ports on which the outside answers
              "asks": [[source, "name" | "address", subject, port, protocol, watch, target's process], ...]}
    answer = {"results": [[shot, lookup], ...],     # one an ask, in order: indices below, or null
              "shots": [{"event": ..., "address": ..., "elapsed": ..., "errno": ..., "origin": ...,
                         "icmp": [type, code], "from": ..., "mtu": ..., "alone": ..., "small": ...}, ...],
              "lookups": [{"elapsed": ..., "server": ..., "trouble": ..., "addresses": [...]}, ...],
              "listeners": {"4242": {"tcp": [["0.0.0.0", 80]], "udp": []}}}   # of those who refused

``event`` is one of: connected, closed (connected, then closed at once), echoed (an answer to UDP or ICMP),
error (see ``errno``, and ``origin``, ``icmp``, ``from`` when a packet said so), silence. A source that has
no process any more has neither shot nor lookup. ``watch`` asks to look whether an open connection closes at
once, as docker-proxy's does when nothing is behind it. ``small`` tells that a small echo was answered where
the large one was not. ``trouble`` is empty, "hosts file" (which is none),
or what kept the name from being resolved.
"""

from __future__ import annotations

import array
import collections
import contextlib
import errno
import fcntl
import gc
import heapq
import os
import resource
import select
import socket
import struct
import subprocess
import time
from typing import Any

_CLONE_NEWNET = 0x40000000
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, linux/in6.h
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = (
    10,
    23,
    3,
)  # never fragment, whatever is known of the path
_A, _AAAA = 1, 28  # DNS record types
_NXDOMAIN = 3
_DNS_TROUBLE = {1: "format error", 2: "server failure", 4: "not implemented", 5: "refused"}  # RFC 1035, 4.1.1
_FAMILY = {4: socket.AF_INET, 16: socket.AF_INET6}
_SOCKETS = {
    "tcp": (socket.SOCK_STREAM, 0),
    "udp": (socket.SOCK_DGRAM, 0),
    "icmp": (socket.SOCK_RAW, socket.IPPROTO_ICMP),
}
_RANK = {"connected": 0, "echoed": 1, "closed": 2, "error": 3, "silence": 4}
_SPARE_DESCRIPTORS = 64
_SMALL = 0x8000  # tells the number of a small echo from that of the large one
_LOOK = 0.25  # seconds in which docker-proxy finds out that nothing is behind a port
_OUTSIDE_NET = "203.0.113."  # a range for documentation (RFC 5737): nobody's address
_OUTSIDE_LINK = "dnb-outside"
_CABLE_WITHIN = 3.0  # seconds; the kernel reports a change of a cable at most once a second
_SIOCGIFFLAGS, _IFF_RUNNING = 0x8913, 0x40  # linux/sockios.h, linux/if.h

Told = dict[str, Any]


def main(plan: dict[str, Any]) -> dict[str, Any]:
    """Carry out the plan; see the top of the file for its shape."""
    gc.disable()  # this process does not live long enough to need it
    return _Run(plan).result()


class _Space:
    """One source: a network namespace, and what its programs would ask to find a name."""

    def __init__(self, name: str, pid: int, handle: int) -> None:
        self.name, self.handle = name, handle
        self.servers: list[str] = []
        self.search: list[str] = []
        self.ndots = 1
        self.hosts: dict[str, list[str]] = {}
        if pid >= 0:  # the outside knows none of the Docker host's names
            root = f"/proc/{pid}/root" if pid else ""
            self.read_resolver(f"{root}/etc/resolv.conf")
            for words in _words(f"{root}/etc/hosts"):
                for host in words[1:]:
                    self.hosts.setdefault(host.lower(), []).append(words[0])

    def read_resolver(self, path: str) -> None:
        for words in _words(path):
            if words[0] == "nameserver" and len(words) > 1 and len(self.servers) < 3:  # the C library's limit
                self.servers.append(words[1])
            elif words[0] in ("search", "domain"):
                self.search = [word for word in words[1:] if word != "."]
            elif words[0] == "options":
                for option in words[1:]:
                    if option.startswith("ndots:"):
                        self.ndots = int(option[6:])


class _Line:
    """A source's connection to one of its name servers."""

    def __init__(self, server: str) -> None:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.connect((server, 53))
        self.asked: dict[int, _Lookup] = {}  # by the question's id
        self.counter = 0


class _Lookup:
    """One name asked by one source, and those who wait for its addresses."""

    def __init__(self, space: _Space, name: str) -> None:
        self.space, self.name = space, name
        absolute, searched = [name.rstrip(".")], [f"{name}.{domain}" for domain in space.search]
        if name.endswith("."):
            searched = []
        in_order = absolute + searched if name.count(".") >= space.ndots else searched + absolute
        self.candidates = collections.deque(in_order)
        self.candidate = ""
        self.server = 0
        self.unanswered: set[int] = set()  # the ids of questions on their way
        self.found: list[str] = []
        self.trouble = ""  # what the last server said, when it was no address
        self.waiting: list[int] | None = []  # asks; None once they have been told
        self.started = time.monotonic()
        self.elapsed = 0.0
        self.ticket = 0  # what its entry among the deadlines carries; another one there is out of date

    def told(self) -> Told:
        server = self.space.servers[self.server] if self.server < len(self.space.servers) else ""
        return {"server": server, "trouble": self.trouble, "addresses": self.found, "elapsed": self.elapsed}


class _Shot:
    """One socket: several asks that need the same connection share it."""

    def __init__(self, space: _Space, address: str, port: int | None, protocol: str) -> None:
        self.space, self.address, self.port, self.protocol = space, address, port, protocol
        self.asks: list[int] = []
        self.watch = False
        self.socket: socket.socket | None = None
        self.token = 0
        self.small: bool | None = None  # whether the small echo was answered; None: there is but one
        self.ticket = 0  # as a lookup's
        self.started = 0.0
        self.connected_after: float | None = None  # set while an open connection is watched for its end
        self.outcome: Told | None = None


class _Run:
    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.timeout: float = plan["timeout"]
        self.types = (_A, _AAAA) if plan["ipv6"] else (_A,)
        self.results: list[_Shot | None] = [None] * len(plan["asks"])
        self.names: list[_Lookup | None] = [None] * len(plan["asks"])  # for asks by name
        self.spaces: dict[str, _Space] = {}
        self.shots: dict[tuple[str, str, int | None, str], _Shot] = {}
        self.lookups: dict[tuple[str, str], _Lookup] = {}
        self.queue: collections.deque[_Lookup | _Shot] = collections.deque()
        self.open: dict[int, _Shot] = {}  # by descriptor
        self.asking = 0  # lookups under way
        self.lines: dict[int, _Line] = {}  # by descriptor
        self.line_to: dict[tuple[str, str], _Line] = {}  # by source and server
        self.deadlines: list[tuple[float, int, _Lookup | _Shot]] = []
        self.neighbours: dict[str, dict[str, bool]] = {}
        self.poll = select.epoll()
        self.current = -1
        self.counter = 0
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.room = max(hard - _SPARE_DESCRIPTORS - len(plan["nodes"]), _SPARE_DESCRIPTORS)

    def result(self) -> dict[str, Any]:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        outside = _Outside(home, self.plan["outside"]) if self.plan["outside"] is not None else None
        try:
            for name, pid in self.plan["nodes"].items():
                handle = home
                if pid > 0:
                    try:
                        handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
                    except FileNotFoundError:
                        continue
                elif pid < 0 and outside is not None:
                    handle = outside.handle
                self.spaces[name] = _Space(name, pid, handle)
            self.ask()
            self.wait()
        finally:
            if outside is not None:
                _enter(home)
                outside.remove()
        shots, lookups = list(self.shots.values()), list(self.lookups.values())
        numbers = {id(thing): number for things in (shots, lookups) for number, thing in enumerate(things)}
        return {
            "results": [
                [numbers.get(id(shot)), numbers.get(id(lookup))]
                for shot, lookup in zip(self.results, self.names, strict=True)
            ],
            "shots": [shot.outcome for shot in shots],
            "lookups": [lookup.told() for lookup in lookups],
            "listeners": self.listeners(),
        }

    def listeners(self) -> dict[str, Any]:
        """What those listen on instead who refused. Reading this is slow, so only they are read."""
        refused = set()
        for ask, shot in zip(self.plan["asks"], self.results, strict=True):
            if shot is not None and shot.outcome and shot.outcome.get("errno") == errno.ECONNREFUSED:
                refused.add(ask[6])
        return {str(pid): _read_listeners(pid) for pid in refused if pid}

    # -- starting ----------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Start everything: addresses first, since a dropped packet takes the whole time limit to show.

        The plan comes source by source, so that few changes of namespace are needed.
        """
        for index, (source, kind, subject, *_rest) in enumerate(self.plan["asks"]):
            if source in self.spaces and kind == "address":
                self.shoot(self.spaces[source], subject, index)
        for index, (source, kind, subject, *_rest) in enumerate(self.plan["asks"]):
            if source in self.spaces and kind == "name":
                self.look_up(self.spaces[source], subject, index)
        self.fill()

    def look_up(self, space: _Space, name: str, index: int) -> None:
        lookup = self.lookups.get((space.name, name))
        if lookup is None:
            lookup = self.lookups[space.name, name] = _Lookup(space, name)
            local = [a for a in space.hosts.get(name.lower(), ()) if ":" not in a or self.plan["ipv6"]]
            if local:
                lookup.found, lookup.trouble, lookup.waiting = local, "hosts file", None
            else:
                self.queue.append(lookup)
        self.names[index] = lookup
        if lookup.waiting is None:
            self.connect_found(lookup, index)
        else:
            lookup.waiting.append(index)

    def shoot(self, space: _Space, address: str, index: int) -> None:
        _source, _kind, _subject, port, protocol, watch, _pid = self.plan["asks"][index]
        key = (space.name, address, port, protocol)
        shot = self.shots.get(key)
        if shot is None:
            shot = self.shots[key] = _Shot(space, address, port, protocol)
            self.queue.append(shot)
        shot.watch = shot.watch or watch
        if shot.outcome is None:
            shot.asks.append(index)
        else:
            self.settle(index, shot)

    def fill(self) -> None:
        """Start what waits, as far as there are descriptors for it."""
        while self.queue and len(self.open) < self.room:
            waiting = self.queue.popleft()
            if isinstance(waiting, _Lookup):
                self.next_question(waiting)
            else:
                self.start(waiting)

    def enter(self, space: _Space) -> None:
        if self.current != space.handle:
            _enter(space.handle)
            self.current = space.handle

    def start(self, shot: _Shot) -> None:
        self.enter(shot.space)
        shot.started = time.monotonic()
        self.counter += 1
        shot.token = self.counter & 0x7FFF
        try:
            family = socket.AF_INET6 if ":" in shot.address else socket.AF_INET
            kind, number = _SOCKETS[shot.protocol]
            if shot.protocol == "icmp" and family == socket.AF_INET6:
                number = socket.IPPROTO_ICMPV6
            shot.socket = socket.socket(family, kind | socket.SOCK_NONBLOCK, number)
            if family == socket.AF_INET:
                shot.socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            else:
                shot.socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            with contextlib.suppress(BlockingIOError):
                shot.socket.connect((shot.address, shot.port or 0))
            if shot.protocol == "udp":
                shot.socket.send(_datagram(shot.port))
            elif shot.protocol == "icmp":
                self.send_echoes(shot)
        except OSError as error:
            self.finish(shot, {"event": "error", "errno": error.errno, "origin": "local"})
            return
        self.open[shot.socket.fileno()] = shot
        self.poll.register(shot.socket, select.EPOLLOUT if shot.protocol == "tcp" else select.EPOLLIN)
        self.expire(shot, self.timeout)

    def send_echoes(self, shot: _Shot) -> None:
        """One echo request; or a small one with a number of its own, and one of the size that must pass."""
        assert shot.socket is not None
        size = self.plan["payload"]
        if size is not None:
            shot.small = False
            shot.socket.send(_echo(shot.socket.family, shot.token ^ _SMALL))
            if shot.socket.family == socket.AF_INET:
                shot.socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
            else:
                shot.socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        shot.socket.send(_echo(shot.socket.family, shot.token, size or 0))

    def expire(self, what: _Lookup | _Shot, seconds: float) -> None:
        self.counter += 1
        what.ticket = self.counter
        heapq.heappush(self.deadlines, (time.monotonic() + seconds, what.ticket, what))

    # -- waiting -----------------------------------------------------------------------------------------

    def wait(self) -> None:
        while self.open or self.asking or self.queue:
            pause = max(self.deadlines[0][0] - time.monotonic(), 0) if self.open or self.asking else 0
            ready = self.poll.poll(pause, 4096)
            for descriptor, events in ready:
                shot = self.open.get(descriptor)
                if shot is not None:
                    self.see(shot, events)
                elif descriptor in self.lines:
                    self.hear(self.lines[descriptor])
            # A slow computer must not look like a dropped packet: only when nothing else is there to be seen
            # does the clock decide.
            if not ready:
                self.run_out(time.monotonic())
            self.fill()

    def run_out(self, now: float) -> None:
        """Finish those whose time is up."""
        while self.deadlines and self.deadlines[0][0] <= now:
            _when, ticket, what = heapq.heappop(self.deadlines)
            if what.ticket != ticket:  # answered in time
                continue
            if isinstance(what, _Lookup):
                self.no_help(what, "silent")
            elif what.connected_after is not None:  # it stayed open while it was watched
                self.finish(what, {"event": "connected"})
            else:
                self.finish(what, {"event": "silence", "alone": self.alone(what), "small": bool(what.small)})

    def see(self, shot: _Shot, events: int) -> None:
        assert shot.socket is not None
        if shot.connected_after is not None:
            try:
                open_still = bool(shot.socket.recv(1, socket.MSG_PEEK))
            except OSError:
                open_still = False
            self.finish(shot, {"event": "connected" if open_still else "closed"})
            return
        if shot.protocol == "tcp" or events & select.EPOLLERR:
            code = shot.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            cause = _cause(shot.socket) if events & select.EPOLLERR else {}
            code = code or cause.get("errno", 0)
            if code:
                self.finish(shot, {"event": "error"} | cause | {"errno": code})
            elif shot.protocol == "tcp" and shot.watch:
                shot.connected_after = time.monotonic() - shot.started
                self.poll.modify(shot.socket, select.EPOLLIN | select.EPOLLRDHUP)
                self.expire(shot, _LOOK)
            elif shot.protocol == "tcp":
                self.finish(shot, {"event": "connected"})
            return
        data = shot.socket.recv(65536)
        if shot.small is not None and _is_reply(shot.socket.family, data, shot.token ^ _SMALL):
            shot.small = True
        elif shot.protocol == "udp" or _is_reply(shot.socket.family, data, shot.token):
            self.finish(shot, {"event": "echoed"})

    def finish(self, shot: _Shot, told: Told) -> None:
        elapsed = shot.connected_after
        told["elapsed"] = time.monotonic() - shot.started if elapsed is None else elapsed
        told["address"] = shot.address
        shot.outcome = told
        shot.ticket = 0
        if shot.socket is not None:
            self.open.pop(shot.socket.fileno(), None)
            shot.socket.close()  # which takes it from the poll, too
        for index in shot.asks:
            self.settle(index, shot)

    def settle(self, index: int, shot: _Shot) -> None:
        """Give an ask one of its answers; of several addresses the best counts, the first of equals."""
        held = self.results[index]
        if held is None or _rank(shot) < _rank(held):
            self.results[index] = shot

    def alone(self, shot: _Shot) -> bool:
        """Whether the source asked its own segment who has the address (ARP), and nobody answered."""
        table = self.neighbours.get(shot.space.name)
        if table is None:
            self.enter(shot.space)
            rows = _words("/proc/thread-self/net/arp")[1:]
            table = self.neighbours[shot.space.name] = {row[0]: row[2] == "0x0" for row in rows}
        return table.get(shot.address, False)

    # -- names -------------------------------------------------------------------------------------------

    def line(self, space: _Space, server: str) -> _Line:
        """The source's connection to a server; all its questions go over one."""
        line = self.line_to.get((space.name, server))
        if line is None:
            self.enter(space)
            line = self.line_to[space.name, server] = _Line(server)
            self.lines[line.socket.fileno()] = line
            self.poll.register(line.socket, select.EPOLLIN)
        return line

    def next_question(self, lookup: _Lookup) -> None:
        """Ask the current server for the next candidate, or give up."""
        if lookup.server >= len(lookup.space.servers):
            lookup.server = max(len(lookup.space.servers) - 1, 0)
            lookup.trouble = lookup.trouble or "no server"
            self.resolved(lookup)
            return
        if not lookup.candidate:
            if not lookup.candidates:
                self.resolved(lookup)
                return
            lookup.candidate = lookup.candidates.popleft()
        lookup.unanswered = set()
        self.asking += 1
        try:
            line = self.line(lookup.space, lookup.space.servers[lookup.server])
            for kind in self.types:
                line.counter = (line.counter + 1) & 0xFFFF
                line.asked[line.counter] = lookup
                lookup.unanswered.add(line.counter)
                line.socket.send(_question(line.counter, lookup.candidate, kind))
        except OSError as error:
            self.no_help(lookup, os.strerror(error.errno or 0))
        except UnicodeError:
            self.asking -= 1
            lookup.trouble = "not a name"
            self.resolved(lookup)
        else:
            self.expire(lookup, self.timeout / len(lookup.space.servers))

    def no_help(self, lookup: _Lookup, trouble: str) -> None:
        """The current server does not help: turn to the next one."""
        self.asking -= 1
        lookup.ticket = 0
        lookup.unanswered = set()
        lookup.trouble = trouble
        lookup.server += 1
        self.queue.append(lookup)

    def hear(self, line: _Line) -> None:
        """Read what a server answered; an error on the line concerns all who wait on it."""
        while True:
            try:
                data = line.socket.recv(4096)
            except BlockingIOError:
                return
            except OSError as error:
                asked, line.asked = line.asked, {}
                for lookup in {id(each): each for each in asked.values() if each.unanswered}.values():
                    self.no_help(lookup, os.strerror(error.errno or 0))
                return
            try:
                token, code, addresses = _answer(data)
            except (struct.error, LookupError):  # not a DNS message
                continue
            answered = line.asked.pop(token, None)
            if answered is not None and token in answered.unanswered:
                self.understand(answered, token, code, addresses)

    def understand(self, lookup: _Lookup, token: int, code: int, addresses: list[str]) -> None:
        if code not in (0, _NXDOMAIN):
            self.no_help(lookup, _DNS_TROUBLE.get(code, f"code {code}"))
            return
        lookup.unanswered.remove(token)
        lookup.found += [address for address in addresses if address not in lookup.found]
        lookup.trouble = "nxdomain" if code == _NXDOMAIN else "no address"
        if not lookup.unanswered:
            self.asking -= 1
            lookup.ticket = 0
            lookup.candidate = ""
            if lookup.found:
                lookup.trouble = ""
                self.resolved(lookup)
            else:
                self.queue.append(lookup)

    def resolved(self, lookup: _Lookup) -> None:
        """Tell all who wait for this name."""
        lookup.elapsed = time.monotonic() - lookup.started
        waiting, lookup.waiting = lookup.waiting or [], None
        for index in waiting:
            self.connect_found(lookup, index)

    def connect_found(self, lookup: _Lookup, index: int) -> None:
        if self.plan["asks"][index][4] != "dns":
            for address in lookup.found:
                self.shoot(lookup.space, address, index)


class _Outside:
    """A stranger beyond the Docker host, for as long as the probe takes.

    A namespace of its own with the address 203.0.113.2, on a cable to the host's 203.0.113.1. It knows no
    route to the containers' networks, as no machine on a real segment would.
    """

    def __init__(self, home: int, ports: list[int]) -> None:
        os.unshare(_CLONE_NEWNET)  # type: ignore[attr-defined]  # Python 3.12
        self.handle = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _enter(home)
        peer = f"/proc/{os.getpid()}/fd/{self.handle}"
        _ip(
            f"link add {_OUTSIDE_LINK} type veth peer name eth0 netns {peer}\n"
            f"addr add {_OUTSIDE_NET}1/24 dev {_OUTSIDE_LINK}\nlink set {_OUTSIDE_LINK} up\n"
        )
        _enter(self.handle)
        _ip(f"link set lo up\naddr add {_OUTSIDE_NET}2/24 dev eth0\nlink set eth0 up\n")
        _await_running("eth0")
        self.doors = [socket.create_server(("0.0.0.0", port), backlog=1024) for port in ports]
        _enter(home)
        _await_running(_OUTSIDE_LINK)

    @staticmethod
    def remove() -> None:
        """Take the cable away now, so that the next probe finds its name free."""
        _ip(f"link del {_OUTSIDE_LINK}\n")


def _enter(handle: int) -> None:
    """Make a network namespace this thread's own."""
    os.setns(handle, _CLONE_NEWNET)  # type: ignore[attr-defined]  # Python 3.12


def _ip(commands: str) -> None:
    subprocess.run(
        ["ip", "-batch", "-"], input=commands.encode(), check=True, timeout=10, capture_output=True
    )


def _await_running(interface: str) -> None:
    """Wait until the kernel lets packets through a new cable, which a busy computer does late."""
    request = struct.pack("16s16x", interface.encode())
    deadline = time.monotonic() + _CABLE_WITHIN
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        while time.monotonic() < deadline:
            (flags,) = struct.unpack_from("=H", fcntl.ioctl(handle, _SIOCGIFFLAGS, request), 16)
            if flags & _IFF_RUNNING:
                return
            time.sleep(0.005)


def _rank(shot: _Shot) -> int:
    """How good an answer is, 0 for the best."""
    return _RANK[shot.outcome["event"]] if shot.outcome else len(_RANK)


def _cause(sock: socket.socket) -> Told:
    """What the socket's error queue knows: who said no, and how (linux/errqueue.h)."""
    try:
        _data, ancillary, _flags, _address = sock.recvmsg(1, 512, socket.MSG_ERRQUEUE)
    except OSError:
        return {}
    for level, kind, data in ancillary:
        if (level, kind) not in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
            continue
        code, origin, icmp_type, icmp_code, info = struct.unpack_from("=IBBBxI", data)
        told: Told = {"errno": code, "origin": {1: "local", 2: "icmp", 3: "icmp6"}.get(origin, "")}
        if code == errno.EMSGSIZE:
            told["mtu"] = info
        if origin in (2, 3):
            told["icmp"] = [icmp_type, icmp_code]
            offender = data[16:]
            family = struct.unpack_from("=H", offender)[0] if len(offender) >= 2 else 0
            if family == socket.AF_INET:
                told["from"] = socket.inet_ntop(family, offender[4:8])
            elif family == socket.AF_INET6:
                told["from"] = socket.inet_ntop(family, offender[8:24])
        return told
    return {}


def _datagram(port: int | None) -> bytes:
    """Something that a service on this port answers, where one is known."""
    return _question(1, "dockernb", _A) if port == 53 else b"dockernb\n"


def _echo(family: int, token: int, size: int = 0) -> bytes:
    """An ICMP echo request with at least `size` bytes of data. The kernel fills in ICMPv6's checksum only."""
    data = b"dockernb".ljust(size, b".")
    body = struct.pack("!HH", os.getpid() & 0xFFFF, token) + data + bytes(len(data) % 2)
    if family == socket.AF_INET6:
        return struct.pack("!BBH", 128, 0, 0) + body
    total = sum(array.array("H", struct.pack("!BBH", 8, 0, 0) + body))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!BB", 8, 0) + struct.pack("=H", ~total & 0xFFFF) + body


def _is_reply(family: int, data: bytes, token: int) -> bool:
    if family == socket.AF_INET:
        data = data[(data[0] & 15) * 4 :]  # a raw IPv4 socket shows the IP header, too
    if len(data) < 8 or data[0] != (0 if family == socket.AF_INET else 129):
        return False
    return struct.unpack_from("!HH", data, 4) == (os.getpid() & 0xFFFF, token)


def _question(token: int, name: str, kind: int) -> bytes:
    parts = [part.encode("ascii") for part in name.split(".")]
    if not all(0 < len(part) < 64 for part in parts):
        raise UnicodeError("a label of a name has 1 to 63 characters")
    labels = b"".join(bytes((len(part),)) + part for part in parts)
    return struct.pack("!HHHHHH", token, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


def _answer(data: bytes) -> tuple[int, int, list[str]]:
    """Read a DNS message: its id, its response code, the addresses in it."""
    token, flags, questions, answers = struct.unpack_from("!HHHH", data)
    at = 12
    for _ in range(questions):
        at = _past_name(data, at) + 4
    addresses = []
    for _ in range(answers):
        at = _past_name(data, at)
        kind, _class, _life, length = struct.unpack_from("!HHIH", data, at)
        at += 10
        if kind in (_A, _AAAA):
            addresses.append(socket.inet_ntop(_FAMILY[length], data[at : at + length]))
        at += length
    return token, flags & 15, addresses


def _past_name(data: bytes, at: int) -> int:
    while data[at]:
        if data[at] & 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1


def _words(path: str) -> list[list[str]]:
    """The words of each line, without comments; nothing when the file is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # no pathlib: it loads slowly
            lines = file.read().splitlines()
    except OSError:
        return []
    return [words for words in (line.split("#")[0].split() for line in lines) if words]


def _read_listeners(pid: int) -> dict[str, list[list[Any]]]:
    """The ports that programs of this namespace listen on: [[address, port], ...] for TCP and UDP."""
    found = {}
    for protocol, listening in (("tcp", "0A"), ("udp", "07")):
        rows = _words(f"/proc/{pid}/net/{protocol}")[1:] + _words(f"/proc/{pid}/net/{protocol}6")[1:]
        places = [row[1].partition(":") for row in rows if row[3] == listening]
        found[protocol] = sorted([_hex_address(address), int(port, 16)] for address, _, port in places)
    return found


def _hex_address(text: str) -> str:
    packed = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    return socket.inet_ntop(_FAMILY[len(packed)], packed)
