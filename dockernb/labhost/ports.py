"""Published ports of the lab host, opened on the learner's loopback as containers come and go."""

import asyncio
import http.client
import json
import threading
import time
from pathlib import Path
from typing import Any

from dockernb.errors import HostError
from dockernb.labhost.machine import Machine, PortError, free_port
from dockernb.labhost.tls import client_context

Key = tuple[int, str]  # port on the lab host, "tcp" or "udp"


class Ports:
    """Watches the engine's events in a thread and keeps the forwards in step with them."""

    def __init__(self, machine: Machine, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._machine, self._directory, self._loop = machine, directory, loop
        self._open: dict[Key, int] = {}
        self._asked: set[Key] = set()  # opened by name, not because a container publishes them
        self._changed = threading.Condition()
        self._stopping = False

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="ports", daemon=True).start()

    def stop(self) -> None:
        """Stop watching; the machine's end closes the forwards."""
        self._stopping = True

    def forget(self) -> None:
        """The machine was reset: it publishes nothing any more."""
        with self._changed:
            self._open.clear()
            self._asked.clear()

    def table(self) -> dict[str, int]:
        """Open ports: "8080/tcp" on the lab host -> port on the learner's loopback."""
        with self._changed:
            return {f"{port}/{protocol}": here for (port, protocol), here in sorted(self._open.items())}

    def wait(self, port: int, protocol: str, timeout: float) -> int:
        """The loopback port that leads to a published port, waiting until it is open.

        Raises:
            HostError: Nothing publishes it.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: (port, protocol) in self._open, timeout):
                raise HostError(
                    f"Nothing on the lab host publishes port {port}/{protocol}: publish it (`-p {port}:…`), "
                    f"or open it by name with host.open({port})."
                )
            return self._open[port, protocol]

    def ask(self, port: int, protocol: str) -> int:
        """Open a port by name, for a server on the Docker host itself or in a host-network container."""
        with self._changed:
            self._asked.add((port, protocol))
        self._step_to(set(self._open) | {(port, protocol)})
        return self._open[port, protocol]

    def _step_to(self, wanted: set[Key]) -> None:
        """Open and close forwards until they are the wanted ones."""
        for port, protocol in sorted(wanted - set(self._open)):
            # The same number if it is to be had; below 1024 an ordinary user may not, and others may be taken.
            for here in (port, free_port(protocol)):
                try:
                    self._do(self._machine.forward(here, port, protocol))
                except PortError:
                    continue
                with self._changed:
                    self._open[port, protocol] = here
                    self._changed.notify_all()
                break
        for key in sorted(set(self._open) - wanted):
            self._do(self._machine.unforward(self._open[key], key[1]))
            with self._changed:
                self._open.pop(key, None)

    def _do(self, work: Any) -> Any:
        """Run a coroutine of the machine from this thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def _connection(self, timeout: float | None) -> http.client.HTTPSConnection:
        """A connection to the engine's API."""
        context = client_context(self._directory)
        return http.client.HTTPSConnection(
            "127.0.0.1", self._machine.api_port, timeout=timeout, context=context
        )

    def containers(self) -> list[dict[str, Any]]:
        """The containers that run, as the engine lists them.

        Raises:
            OSError, http.client.HTTPException, ValueError: It does not answer, or not like an engine.
        """
        connection = self._connection(20)
        try:
            connection.request("GET", "/containers/json")  # no version: whatever the engine speaks
            found: list[dict[str, Any]] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found

    def _published(self) -> set[Key]:
        """Every port that a running container publishes."""
        return {
            (entry["PublicPort"], entry["Type"])
            for container in self.containers()
            for entry in container.get("Ports") or ()
            if "PublicPort" in entry and entry["Type"] in ("tcp", "udp")
        }

    def _watch(self) -> None:
        """Follow the events for ever; a stream that breaks (a reset) is opened again."""
        filters = json.dumps({"type": ["container"], "event": ["start", "die", "restart"]}).replace(" ", "")
        while not self._stopping:
            try:
                stream = self._connection(None)
                stream.request("GET", f"/events?filters={filters}".replace('"', "%22"))
                events = stream.getresponse()
                while not self._stopping:
                    self._step_to(self._published() | self._asked)
                    if not events.readline():
                        break
            except (OSError, http.client.HTTPException, ValueError, HostError, TimeoutError):
                time.sleep(0.2)  # the machine is being reset, or is about to be gone
