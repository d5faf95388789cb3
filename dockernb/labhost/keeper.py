"""The keeper: a small background process that owns one running lab host.

It claims the lab host's directory, so there is one keeper of a lab host at a time. It ends with its owner (the shell
or the JupyterLab that started the lab host), on SIGTERM, when asked, or when the machine ends by itself; QEMU has asked
the kernel to end with the keeper. So no orphan is left, whoever is killed.

`python -m dockernb.labhost.keeper PLAN` writes one JSON line to standard output: {"ready": state} when the host is up,
or {"error": sentence}.
"""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import sys
import time
from typing import Any

import psutil

from dockernb.errors import DockernbError, HostError
from dockernb.labhost import control, store
from dockernb.labhost.idle import Idle, Rests
from dockernb.labhost.machine import Machine, Plan
from dockernb.labhost.ports import Ports

OWNER_POLL = 0.5  # seconds


def make_machine(plan: Plan) -> Machine:
    """The machine of the plan's provider."""
    if plan.provider == "vm":
        from dockernb.labhost.vm import VmMachine  # noqa: PLC0415  (each keeper loads one provider)

        return VmMachine(plan)
    from dockernb.labhost.container import ContainerMachine  # noqa: PLC0415

    return ContainerMachine(plan)


class Keeper:
    """One lab host, its control socket and its published ports."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.machine = make_machine(plan)
        self.ports = Ports(self.machine, plan.directory, asyncio.get_running_loop())
        self.idle: Idle | None = None
        if isinstance(self.machine, Rests) and not plan.index:  # on a segment its neighbours may need it
            self.idle = Idle(self.machine, self._ways_in, self._runs_something)
        self.started = time.time()
        self.resets = 0
        self._over = asyncio.Event()
        self._why = ""
        self._busy = asyncio.Lock()

    def state(self) -> dict[str, Any]:
        """What `dockernb status` shows."""
        return {
            "name": self.plan.name,
            "provider": self.plan.provider,
            "engine": self.plan.engine,
            "emulation": self.machine.facts.emulation,
            "notes": self.machine.facts.notes,
            "api_port": self.machine.api_port,
            "owner": self.plan.owner,
            "keeper": os.getpid(),
            "started": self.started,
            "resets": self.resets,
            "ports": self.ports.table(),
            "paused": self.machine.facts.paused,
            "rests": self.idle is not None and self.idle.resting,
        }

    def _ways_in(self) -> set[int]:
        """The loopback ports that lead into the machine."""
        return {self.machine.api_port, *self.ports.table().values()}

    def _runs_something(self) -> bool:
        """Whether a container runs; who does not answer is busy."""
        try:
            return bool(self.ports.containers())
        except (OSError, http.client.HTTPException, ValueError):
            return True

    async def keep(self) -> None:
        """Start the host, serve until it is over, and leave nothing."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self.end, signal.Signals(number).name)
        # Whoever the owner is, it is that very process: a number that is used again later does not count.
        try:
            owner = psutil.Process(self.plan.owner)
        except psutil.NoSuchProcess:
            raise HostError("The process that wanted this lab host is gone.") from None
        server = None
        watchers: list[asyncio.Task[None]] = []
        try:
            await self.machine.start()
            path = self.plan.directory / control.NAME
            path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._serve, str(path))
            path.chmod(0o600)
            watchers = [
                asyncio.create_task(self._watch_owner(owner)),
                asyncio.create_task(self._watch_machine()),
                *([asyncio.create_task(self.idle.watch())] if self.idle else []),
            ]
            self.ports.start()
            tell({"ready": self.state()})
            await self._over.wait()
        finally:
            (self.plan.directory / control.NAME).unlink(missing_ok=True)
            self.ports.stop()
            for watcher in watchers:
                watcher.cancel()
            if server:
                server.close()
            await self.machine.stop()
            store.leave(self.plan.directory, self._why)

    def end(self, why: str) -> None:
        """Ask for the end, for a reason that is written down."""
        self._why = self._why or why
        self._over.set()

    async def _watch_owner(self, owner: psutil.Process) -> None:
        while owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(
                OWNER_POLL
            )  # there is no portable way to wait for a process that is not a child
        self.end("its owner ended")

    async def _watch_machine(self) -> None:
        self.end(await self.machine.ended())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of the control socket."""
        try:
            request = json.loads(await reader.readline())
            try:
                reply = await self._do(request)
            except DockernbError as problem:
                reply = {"error": str(problem)}
            writer.write(json.dumps(reply).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            pass  # whoever asked is gone, or speaks something else
        finally:
            writer.close()

    async def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._over.is_set() and request != {"do": "stop"}:
            return {"error": f"The lab host {self.plan.name!r} is ending."}
        match request:
            case {"do": "status"}:
                return self.state()
            case {"do": "stop"}:
                self.end("stopped")
                return {}
            case {"do": "reset"}:
                async with self._busy:
                    try:
                        await self.machine.reset()
                    except Exception as problem:
                        if not self.machine.stands:
                            self.end(f"its reset failed: {str(problem).rstrip('.')}")
                        raise
                    self.ports.forget()
                    self.resets += 1
                return self.state()
            case {"do": "port", "port": int(port), "protocol": str(protocol), "timeout": timeout}:
                return {"port": await asyncio.to_thread(self.ports.wait, port, protocol, float(timeout))}
            case {"do": "open", "port": int(port), "protocol": str(protocol)}:
                return {"port": await asyncio.to_thread(self.ports.ask, port, protocol)}
            case {"do": "segment-port"}:
                return await self.machine.segment_port()
        return {"error": f"The keeper does not know {request!r}."}


def tell(line: dict[str, Any]) -> None:
    """Tell whoever started us; it may be gone."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


async def _main(plan: Plan) -> None:
    await Keeper(plan).keep()


def main() -> int:
    """Keep the lab host of the plan on the command line."""
    os.umask(0o077)
    plan = Plan.from_line(sys.argv[1])
    try:
        with store.claim(plan.directory):
            asyncio.run(_main(plan))
    except DockernbError as problem:
        tell({"error": str(problem)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
