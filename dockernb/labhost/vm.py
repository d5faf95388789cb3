"""Provider `vm`: a QEMU machine, as an ordinary user, resumed from the template (or booted cold)."""

import asyncio
import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dockernb.errors import HostError
from dockernb.labhost import control, debian, qemu, store, template
from dockernb.labhost.credentials import Credentials
from dockernb.labhost.machine import Facts, Plan, PortError, free_port

WELCOME_LIMIT = 30.0  # seconds
COPY_LIMIT = 120.0  # seconds for the memory's file, a third of a gigabyte
ROOM = 50_000_000  # bytes; the machine's disk grows with what is written to it, and this is enough to begin
SPACE_POLL = 1.0  # seconds
LISTEN_LIMIT = 10.0  # seconds for a socket of the segment


def missing(engine: str = debian.DEFAULT_ENGINE) -> list[str]:
    """What this provider lacks here, one sentence each; empty when it can work."""
    lacks = []
    if sys.platform != "linux":
        return ["It needs Linux; elsewhere use Docker Desktop and the container provider."]
    if not shutil.which(qemu.PROGRAM):
        lacks.append(f"{qemu.PROGRAM} is not installed: `sudo apt-get install qemu-system-x86`.")
    elif template.find(engine) is None:
        lacks += template.missing()
    return lacks


class VmMachine:
    """One QEMU machine."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.api_port = 0
        self.facts = Facts(emulation=qemu.accelerator().name.upper())
        self.credentials: Credentials | None = None
        self._machine: qemu.Qemu | None = None
        self._forwards: set[tuple[int, str]] = set()
        self._resetting = False
        self._space: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Resume the template, or boot its disk when the saved memory does not fit this QEMU."""
        store.need_space(self.plan.directory, ROOM, "A lab host", "XDG_STATE_HOME")
        machine = await self._boot()
        try:
            await self._open_api(machine)
        except BaseException:
            await machine.quit()
            raise
        self._machine = machine
        self._watch_space(machine)

    async def _boot(self) -> qemu.Qemu:
        """A machine of the template that has been greeted; what it publishes is not open yet."""
        found = template.find(self.plan.engine)
        if found is None:
            raise HostError("The lab host has not been built yet: run `dockernb build`.")
        found.check()
        self.facts.notes = [found.manifest["note"]] if found.manifest["note"] else []
        if misfit := found.misfit():
            self.facts.notes.append(
                f"Booted cold, which takes longer, because {misfit}; `dockernb build --force` mends it."
            )
        directory = self.plan.directory
        read_only = qemu.opens_memory_read_only()
        ram, copy = found.ram, directory / "ram"
        if not (misfit or read_only or os.access(ram, os.W_OK)):
            await asyncio.to_thread(_copy, ram, copy)
            ram = copy
        boot = qemu.Boot(
            files=found.directory,
            disk=found.disk,
            keep_disk=False,
            ram=None if misfit else ram,
            keep_ram=False,
            resume=not misfit,
            api_port=None,
            accelerator=qemu.accelerator(),
            ram_read_only=read_only,
        )
        try:
            machine = await qemu.Qemu.launch(boot, directory, beside=self._make_credentials())
        finally:
            copy.unlink(missing_ok=True)  # QEMU has it open
        try:
            if self.plan.hub:
                await self._join(machine, self.plan.hub)
            if misfit:
                await template.wait_until_up(machine.channel, directory)
            else:
                await template.resume(machine, found)
            assert self.credentials is not None
            await machine.channel.ask(
                self.credentials.welcome(self.plan.hostname, self.plan.segment), WELCOME_LIMIT
            )
        except BaseException:
            await machine.quit()
            raise
        return machine

    async def _make_credentials(self) -> None:
        """Make and write the credentials of this start, once; a reset keeps them."""
        if self.credentials is None:
            self.credentials = await asyncio.to_thread(Credentials.make)
            self.credentials.write(self.plan.directory)

    async def _open_api(self, machine: qemu.Qemu) -> None:
        """Forward a free loopback port to the TLS front; a reset keeps the number."""
        for _ in range(20):
            port = self.api_port or free_port()
            if not await machine.human(_hostfwd_add("tcp", port, qemu.API_PORT)):
                self.api_port = port
                return
            if self.api_port:
                raise PortError(
                    f"Port {port} of the lab host's API was taken by another program: `dockernb stop`."
                )
        raise PortError("No free port could be found on 127.0.0.1.")

    async def reset(self) -> None:
        """Resume the template again, and throw the old machine away when the new one stands."""
        self._resetting = True
        try:
            machine = await self._boot()
            old, self._machine = self._machine, machine
            self._forwards.clear()
            try:
                if old is not None:
                    await old.quit()
                await self._open_api(machine)
            except BaseException:
                await self.stop()
                raise
            self._watch_space(machine)
        finally:
            self._resetting = False
            self._changed.set()

    @property
    def stands(self) -> bool:
        """Whether there is a machine."""
        return self._machine is not None

    async def stop(self) -> None:
        """Quit QEMU; the temporary disk goes with it."""
        machine, self._machine = self._machine, None
        if self._space is not None:
            self._space.cancel()
        if machine is not None:
            await machine.quit()

    def _watch_space(self, machine: qemu.Qemu) -> None:
        """Watch the learner's disk for this machine, and for no older one."""
        if self._space is not None:
            self._space.cancel()
        self.facts.paused = ""
        self._space = asyncio.create_task(self._go_on(machine))

    async def _go_on(self, machine: qemu.Qemu) -> None:
        """Whenever the learner's disk is full, say so, and let the machine go on as soon as there is room."""
        directory = self.plan.directory
        while True:
            await machine.out_of_space()
            self.facts.paused = f"paused: the disk of {directory} is full; free some space"
            while shutil.disk_usage(directory).free < ROOM:
                await asyncio.sleep(SPACE_POLL)
            await machine.monitor("cont")
            self.facts.paused = ""

    async def rest(self) -> None:
        """Stop the processor; memory, disk and connections stay as they are."""
        await self._running().monitor("stop")

    async def wake(self) -> None:
        """Let it go on. Its clock stood still meanwhile, so it is set."""
        machine = self._running()
        await machine.monitor("cont")
        await machine.channel.run("date", "--utc", "--set", f"@{time.time():.3f}", timeout=WELCOME_LIMIT)

    async def ended(self) -> str:
        """Wait for QEMU to end by itself."""
        while True:
            machine = self._machine
            if machine is not None:
                code = await machine.process.wait()
                if machine is self._machine and not self._resetting:
                    return f"QEMU ended (exit code {code})"
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 1)

    async def forward(self, host_port: int, guest_port: int, protocol: str) -> None:
        """Add a forward to QEMU's user network; with restrict=on only such forwards work."""
        if await self._running().human(_hostfwd_add(protocol, host_port, guest_port)):
            raise PortError(f"Port {host_port}/{protocol} of 127.0.0.1 is taken or not allowed.")
        self._forwards.add((host_port, protocol))

    async def unforward(self, host_port: int, protocol: str) -> None:
        """Remove such a forward."""
        if (host_port, protocol) in self._forwards:
            await self._running().human(f"hostfwd_remove learner {protocol}:127.0.0.1:{host_port}")
            self._forwards.discard((host_port, protocol))

    async def segment_port(self) -> dict[str, Any]:
        """A Unix socket into the hub of this machine (`-netdev stream` and `hubport`, QEMU 7.2 and later)."""
        number = next(self._numbers)
        path = self.plan.directory / f"segment-{number}.sock"
        path.unlink(missing_ok=True)
        await self._netdev(self._running(), f"segment{number}", server=True, path=str(path))
        # QEMU answers before it listens (in a thread: net/stream.c), and who comes too early stays outside for ever.
        deadline = asyncio.get_running_loop().time() + LISTEN_LIMIT
        while not _listens(path):
            if asyncio.get_running_loop().time() > deadline:
                raise HostError(f"QEMU opened no place on the segment within {LISTEN_LIMIT:.0f} s.")
            await asyncio.sleep(0.005)
        return {"path": str(path)}

    async def _join(self, machine: qemu.Qemu, hub: str) -> None:
        """Connect this machine's segment card to the hub host's segment."""
        place = await asyncio.to_thread(control.ask, store.host_directory(hub), {"do": "segment-port"}, 20.0)
        await self._netdev(machine, "uplink", server=False, path=place["path"])

    @staticmethod
    async def _netdev(machine: qemu.Qemu, name: str, *, server: bool, path: str) -> None:
        """Plug one end of a Unix-socket cable into the machine's hub."""
        await machine.monitor(
            "netdev_add", type="stream", id=name, server=server, addr={"type": "unix", "path": path}
        )
        await machine.monitor("netdev_add", type="hubport", id=f"{name}port", hubid=1, netdev=name)

    def _running(self) -> qemu.Qemu:
        """The machine, if it runs."""
        if self._machine is None:
            raise HostError("The lab host does not run.")
        return self._machine


def _copy(source: Path, target: Path) -> None:
    """Copy a file with its holes, and without copying where the file system can share blocks."""
    command = ["cp", "--no-preserve=mode", "--sparse=auto", "--reflink=auto", str(source), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COPY_LIMIT, check=False)
        problem = done.stderr.strip() if done.returncode else ""
    except subprocess.TimeoutExpired:
        problem = f"it took more than {COPY_LIMIT:.0f} s"
    if problem:
        target.unlink(missing_ok=True)
        raise HostError(f"The lab host's memory could not be copied to {target}: {problem}.")


def _listens(path: Path) -> bool:
    """Whether a Unix socket of that path takes connections: its flags in /proc/net/unix say SO_ACCEPTCON (proc(5))."""
    try:
        lines = Path("/proc/net/unix").read_text().splitlines()
    except FileNotFoundError:  # not Linux
        return path.exists()
    return any(line.endswith(f" {path}") and line.split()[3] == "00010000" for line in lines)


def _hostfwd_add(protocol: str, host_port: int, guest_port: int) -> str:
    """The monitor line that adds a forward; QEMU answers it with nothing when all went well."""
    return f"hostfwd_add learner {protocol}:127.0.0.1:{host_port}-{qemu.GUEST_ADDRESS}:{guest_port}"
