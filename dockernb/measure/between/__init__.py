"""A server in one container and a client in another: where they meet, and how both are run."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker

from dockernb.errors import MeasureError
from dockernb.measure.containers import running
from dockernb.measure.series import Plan, Reading
from dockernb.model import Container

CONNECT_LIMIT_S = 3
_GRACE_S = 7  # what start and stop of the two processes may take beyond the measured seconds


@dataclass(frozen=True, slots=True)
class Pair:
    """Two containers and the address at which the client finds the server."""

    server: Container
    client: Container
    address: str

    @classmethod
    def of(cls, engine: docker.APIClient, server: str, client: str, to: str | None) -> Pair:
        """Look both up.

        Args:
            engine: The lab host's engine.
            server: Name of the container that listens.
            client: Name of the container that connects.
            to: The address, where it is not to be found out.

        Raises:
            MeasureError: A container does not exist, does not run or has no address.
        """
        pair = running(engine, server), running(engine, client)
        return cls(*pair, to or address(engine, *pair))

    def plan(
        self,
        server: Sequence[str],
        client: Sequence[str],
        *,
        port: int,
        seconds: float,
        columns: Mapping[str, Any],
        kind: type[Reading],
        parse: Callable[[str], Reading],
    ) -> Plan:
        """Both processes' commands as a plan; the program's name is that of its file.

        Args:
            server: The server's command, the program with its whole path.
            client: The client's command.
            port: On which the server listens by TCP once it is ready.
            seconds: How long the client runs.
            columns: What the frame says beside who talks to whom.
            kind: The kind of reading.
            parse: Makes one of what the client printed.
        """
        argument = {
            "server_pid": self.server.pid,
            "client_pid": self.client.pid,
            "port": port,
            "server": list(server),
            "client": list(client),
            "limit": seconds + CONNECT_LIMIT_S + _GRACE_S,
        }
        who = {"server": self.server.name, "client": self.client.name, "address": self.address}
        program = client[0].rpartition("/")[2]
        source = importlib.resources.files(__package__).joinpath("_inside.py").read_text()
        return Plan(
            program,
            source,
            argument,
            who | dict(columns),
            kind,
            lambda answer: kind(error=answer["error"]) if answer["error"] else parse(answer["output"]),
        )


def address(engine: docker.APIClient, server: Container, client: Container) -> str:
    """Where the client finds the server: on a network that both share, else at the server's first address.

    Raises:
        MeasureError: There is no such address.
    """
    home = running(engine, server.network_owner) if server.network_owner else server
    visitor = running(engine, client.network_owner) if client.network_owner else client
    if home.uses_host_network:
        if visitor.uses_host_network:
            return "127.0.0.1"
        gateway = next((e.gateway for e in visitor.endpoints if e.gateway), None)
        if gateway is None:
            raise MeasureError(
                f'"{client.name}" has no gateway to the Docker host: name an address with to="…".'
            )
        return gateway
    if home.id == visitor.id:
        return "127.0.0.1"
    shared = [e for e in home.endpoints if e.addresses and visitor.endpoint(e.network)]
    reachable = shared or [e for e in home.endpoints if e.addresses]
    if not reachable:
        raise MeasureError(f'"{server.name}" has no address: connect it to a network of "{client.name}".')
    return reachable[0].addresses[0]
