"""A lab host that nobody uses rests: its processor stops, and goes on by itself at the next use.

Whether it is used is seen from outside, at the loopback ports that lead into the machine: a connection that comes or
goes, or a byte on one that stays. All ways in are such ports (the Docker API, what runs on the host, published ports),
and the kernel counts their bytes for everybody, so nobody needs to know of the rest, and nothing stands in the way.
A machine in which a container runs does not rest. What a lesson started on the Docker host itself rests with it, and so
does a request that says nothing for all that time; no request of the SDK or of the library may take so long.
"""

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from dockernb.errors import HostError

REST_AFTER = 600.0  # seconds without use
LOOK_EVERY = 5.0  # seconds, while it works
WAKE_WITHIN = 0.2  # seconds between two looks while it rests
SETTLE = 1.0  # seconds in which a connection of our own is closed on both sides

# linux/sock_diag.h, linux/inet_diag.h, linux/tcp.h
_SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, _DONE, _ERROR = 20, 0x301, 3, 2
_INFO = 2  # INET_DIAG_INFO: struct tcp_info
_HEADER, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
_MESSAGE_SIZE = 72  # sizeof(struct inet_diag_msg)
_BYTES_ACKED = 120  # offset in struct tcp_info; tcpi_bytes_received comes next

Traffic = dict[tuple[int, int], tuple[int, int]]
"""The port here and the port of the peer, to the bytes that have gone out and come in."""


def traffic(ports: set[int]) -> Traffic:
    """The bytes on every TCP connection over IPv4 that ends at one of these local ports.

    Raises:
        OSError: The kernel does not say.
    """
    asked = struct.pack("=BBBBI48x", socket.AF_INET, socket.IPPROTO_TCP, 1 << (_INFO - 1), 0, 0xFFFFFFFF)
    found: Traffic = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as line:  # NETLINK_SOCK_DIAG
        line.settimeout(5)
        line.send(_HEADER.pack(_HEADER.size + len(asked), _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 1, 0) + asked)
        while True:
            for kind, body in _messages(line.recv(1 << 17)):
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    raise OSError(number, os.strerror(number))
                here, peer = struct.unpack_from("!HH", body, 4)
                info = _attribute(body, _INFO)
                if here in ports and len(info) >= _BYTES_ACKED + 16:
                    found[here, peer] = struct.unpack_from("=QQ", info, _BYTES_ACKED)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The kinds and bodies of the messages in a netlink datagram."""
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _attribute(body: bytes, wanted: int) -> bytes:
    """The value of an attribute behind a struct inet_diag_msg; empty when it is not there."""
    at = _MESSAGE_SIZE
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind == wanted:
            return body[at + _ATTRIBUTE.size : at + length]
        at += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return b""


@runtime_checkable
class Rests(Protocol):
    """A machine that can rest; a container has no need to, for an engine without work takes no processor."""

    async def rest(self) -> None:
        """Stop its processor; what is in it stays."""

    async def wake(self) -> None:
        """Let it go on, with the right time; harmless when it does not rest."""


class Idle:
    """Lets a machine rest while nobody uses it."""

    def __init__(
        self,
        machine: Rests,
        ports: Callable[[], set[int]],
        runs_something: Callable[[], bool],
        rest_after: float = REST_AFTER,
    ) -> None:
        """Watch a machine.

        Args:
            machine: Who is to rest.
            ports: The ports here that lead into it.
            runs_something: Whether work goes on in it that needs no learner, such as a container that runs; then it
                does not rest.
            rest_after: Seconds without use.
        """
        self._machine, self._ports, self._runs_something = machine, ports, runs_something
        self._rest_after = rest_after
        self.resting = False

    async def watch(self) -> None:
        """Watch for ever. Where the kernel does not say what the ports do, the machine never rests."""
        seen, used = await self._look(), time.monotonic()
        while seen is not None:
            await asyncio.sleep(WAKE_WITHIN if self.resting else min(LOOK_EVERY, self._rest_after / 4))
            before, seen = seen, await self._look()
            if seen != before:
                used = time.monotonic()
                await self._wake()
            elif not self.resting and time.monotonic() - used > self._rest_after:
                used = time.monotonic()
                if not await asyncio.to_thread(self._runs_something):
                    await asyncio.sleep(SETTLE)  # to ask was a connection, too, which is no use of it
                    seen = await self._look()
                    await self._rest()

    async def _look(self) -> Traffic | None:
        with contextlib.suppress(OSError):
            return await asyncio.to_thread(traffic, self._ports())
        await self._wake()
        return None

    async def _rest(self) -> None:
        with contextlib.suppress(HostError):  # it is being reset, or about to be gone
            await self._machine.rest()
            self.resting = True

    async def _wake(self) -> None:
        if self.resting:
            self.resting = False
            with contextlib.suppress(HostError):
                await self._machine.wake()
