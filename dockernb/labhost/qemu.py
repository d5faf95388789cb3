"""One QEMU process: its command line, its monitor (QMP), and its end.

Facts from QEMU's documentation: "VM templating" and "QMP Reference"; the `x-ignore-shared` migration
capability leaves RAM in its file, so the saved device state is less than a megabyte.
"""

import asyncio
import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockernb.errors import HostError, UnavailableError
from dockernb.labhost.channel import Channel

PROGRAM = "qemu-system-x86_64"
CPUS = 2
MEMORY_MIB = 1024
API_PORT = 2376
GUEST_ADDRESS = "10.0.2.15"  # set by recipe/host/usr/lib/dockernb/init
PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class Accelerator:
    """How the machine's processor is made: by the kernel (kvm) or by QEMU itself (tcg), and what its kernel is told."""

    name: str
    arguments: tuple[str, ...]
    kernel: str = ""


# What a real processor does faster and an emulated one slower is left out. The kernel and the C library clear and copy
# memory byte by byte where "erms" promises that this is fast; five-level page tables, SMAP and SMEP make each fault
# dearer; and QEMU (before 8.1) keeps what it has translated by virtual address, so that with random addresses every
# program that starts is translated anew, its C library included: norandmaps halves the time of most that Docker does.
TCG = Accelerator(
    "tcg",
    ("-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-erms,-la57,-smap,-smep"),
    " init_on_alloc=0 norandmaps",
)
KVM = Accelerator("kvm", ("-accel", "kvm", "-cpu", "host"))


@functools.cache
def version() -> str:
    """QEMU's own version line.

    Raises:
        UnavailableError: QEMU is not installed.
    """
    if not shutil.which(PROGRAM):
        raise UnavailableError(
            f"The vm provider needs {PROGRAM}: install it with `sudo apt-get install qemu-system-x86` "
            "(conda-forge has no QEMU of this kind)."
        )
    out = subprocess.run(
        [PROGRAM, "--version"], capture_output=True, text=True, timeout=20, check=False
    ).stdout
    return out.splitlines()[0].removeprefix("QEMU emulator version ") if out else "unknown"


def opens_memory_read_only() -> bool:
    """Whether this QEMU can map a memory file copy-on-write that it may only read.

    It can since 8.2 ("rom" in the QMP reference, MemoryBackendFileProperties); before, it opens the file for writing
    whatever it is going to do with it.
    """
    found = re.match(r"(\d+)\.(\d+)", version())
    return found is not None and (int(found[1]), int(found[2])) >= (8, 2)


@functools.cache
def accelerator() -> Accelerator:
    """KVM when QEMU can really use it here, else TCG.

    A readable /dev/kvm is no proof (nested or filtered ones fail later), so QEMU is asked to make
    a processor with it.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return TCG
    trial = [
        PROGRAM,
        "-nodefaults",
        "-machine",
        "q35",
        *KVM.arguments,
        "-display",
        "none",
        "-S",
        "-qmp",
        "stdio",
    ]
    try:
        done = subprocess.run(
            trial,
            input=b'{"execute": "qmp_capabilities"}{"execute": "quit"}',
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return TCG
    return KVM if done.returncode == 0 else TCG


@dataclass(frozen=True)
class Boot:
    """The files and choices of one machine.

    Attributes:
        files: Directory with vmlinuz and initrd.img.
        disk: The disk image (raw).
        keep_disk: Write to the disk itself (while building); else changes live as long as the process.
        ram: The file behind the machine's memory.
        keep_ram: Write memory back to its file (while building); else it is mapped copy-on-write.
        resume: Wait for a saved device state instead of booting.
        api_port: Loopback port that leads to the TLS front, or None.
        accelerator: TCG or KVM.
        ram_read_only: Open the memory's file for reading only; see opens_memory_read_only.
    """

    files: Path
    disk: Path
    keep_disk: bool
    ram: Path | None
    keep_ram: bool
    resume: bool
    api_port: int | None
    accelerator: Accelerator
    ram_read_only: bool = False

    def command(self, directory: Path) -> list[str]:
        """The command line; sockets and the console's log lie in the directory."""
        forward = (
            f",hostfwd=tcp:127.0.0.1:{self.api_port}-{GUEST_ADDRESS}:{API_PORT}" if self.api_port else ""
        )
        memory: list[str] = []
        if self.ram is not None:
            share = "on" if self.keep_ram else "off"
            opened = ",readonly=on,rom=off" if self.ram_read_only else ""
            memory = [
                "-object",
                f"memory-backend-file,id=ram,size={MEMORY_MIB}M,mem-path={_option(self.ram)},share={share}{opened}",
                "-machine", "memory-backend=ram",
            ]  # fmt: skip
        return [
            PROGRAM, "-nodefaults", "-no-user-config", "-name", "dockernb",
            "-machine", "q35", *memory, *self.accelerator.arguments,
            "-smp", str(CPUS), "-m", str(MEMORY_MIB),
            "-kernel", str(self.files / "vmlinuz"), "-initrd", str(self.files / "initrd.img"),
            "-append", f"console=ttyS0 quiet panic=-1 mitigations=off{self.accelerator.kernel}",
            "-drive", f"if=none,id=disk,file={_option(self.disk)},format=raw,cache=unsafe,discard=unmap,"
            + ("snapshot=off" if self.keep_disk else "snapshot=on"),
            "-device", "virtio-blk-pci,drive=disk",
            # restrict=on: nothing leaves by itself; only the forwards that are named here or added later.
            "-netdev", f"user,id=learner,restrict=on{forward}",
            "-device", "virtio-net-pci,netdev=learner,mac=52:54:00:00:00:01,romfile=",
            "-netdev", "hubport,id=segment,hubid=1",
            # A hub whose only port is the card's would hold the card's first packet back for ever, and with it
            # all later ones; a socket that nobody reads takes it.
            "-netdev", f"dgram,id=sink,local.type=unix,local.path={_option(directory / 'sink.sock')},"
            f"remote.type=unix,remote.path={_option(directory / 'nobody.sock')}",
            "-netdev", "hubport,id=sinkport,hubid=1,netdev=sink",
            "-device", "virtio-net-pci,netdev=segment,mac=52:54:00:00:01:01,romfile=",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={_option(directory / 'agent.sock')},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=org.dockernb.agent",
            "-device", "virtio-rng-pci",
            "-qmp", f"unix:{_option(directory / 'qmp.sock')},server=on,wait=off",
            "-serial", f"file:{directory / 'console.log'}",
            "-display", "none", "-vga", "none", "-no-reboot",
            *(["-incoming", "defer"] if self.resume else []),
        ]  # fmt: skip


def _option(path: Path) -> str:
    """A path as a value among QEMU's options, where a comma is written twice."""
    return str(path).replace(",", ",,")


def machine_digest() -> str:
    """What decides whether a saved machine fits: its command line, without what differs between starts."""
    here = Path()
    boot = Boot(here, here, False, here, False, True, None, accelerator())
    return hashlib.sha256("\0".join(boot.command(here)).encode()).hexdigest()


def _die_with_parent() -> Callable[[], None] | None:
    """What a child of ours does before it becomes QEMU: ask the kernel to end it when we end, however we end."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask


class Qemu:
    """A running QEMU process with its monitor and the agent's channel."""

    def __init__(
        self, process: asyncio.subprocess.Process, monitor: Any, channel: Channel, log: Path
    ) -> None:
        self.process, self.channel = process, channel
        self._monitor, self._log = monitor, log

    @classmethod
    async def launch(cls, boot: Boot, directory: Path, *, beside: Awaitable[Any] | None = None) -> "Qemu":
        """Start QEMU and connect to it.

        Args:
            boot: What to start.
            directory: Private directory for sockets, logs and the temporary disk.
            beside: Work to do while QEMU starts.

        Raises:
            HostError: QEMU ended at once; the sentence carries its last words.
        """
        version()  # a missing QEMU is one sentence
        for name in ("agent.sock", "qmp.sock", "sink.sock"):
            (directory / name).unlink(missing_ok=True)
        log = directory / "qemu.log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *boot.command(directory),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # The temporary disk of snapshot=on is made (and unlinked at once) there.
                env={**os.environ, "TMPDIR": str(directory)},
                preexec_fn=_die_with_parent(),
            )
        try:
            import qemu.qmp  # noqa: F401, PLC0415  (while QEMU starts: it costs 0.1 s)

            if beside is not None:
                await beside
            reader, writer = await cls._connect(process, directory / "agent.sock", log)
            monitor = await cls._monitor_of(process, directory / "qmp.sock", log)
            # Nobody else is to connect; and the machine that follows this one makes sockets of the same names.
            for name in ("agent.sock", "qmp.sock"):
                (directory / name).unlink(missing_ok=True)
        except BaseException as problem:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            if isinstance(problem, Exception) and not isinstance(problem, HostError):
                raise HostError(f"QEMU ended while it started: {_last_words(log)}") from problem
            raise
        return cls(process, monitor, Channel(reader, writer), log)

    @staticmethod
    async def _connect(
        process: asyncio.subprocess.Process, path: Path, log: Path
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a socket that QEMU is about to make."""
        for _ in range(4000):
            try:
                return await asyncio.open_unix_connection(str(path), limit=1 << 26)
            except (FileNotFoundError, ConnectionRefusedError):
                if process.returncode is not None:
                    raise HostError(f"QEMU ended at once: {_last_words(log)}") from None
                await asyncio.sleep(0.005)  # until QEMU has made its socket
        raise HostError(f"QEMU made no socket within 20 s: {_last_words(log)}")

    @staticmethod
    async def _monitor_of(process: asyncio.subprocess.Process, path: Path, log: Path) -> Any:
        """Connect to the monitor, whose socket QEMU makes some time after the agent's."""
        from qemu.qmp import ConnectError, QMPClient  # noqa: PLC0415

        for _ in range(4000):
            monitor = QMPClient("dockernb")
            monitor.logger.setLevel("CRITICAL")
            try:
                await asyncio.wait_for(monitor.connect(str(path)), 20)
            except ConnectError as problem:
                if process.returncode is not None:
                    raise HostError(f"QEMU ended at once: {_last_words(log)}") from None
                if not isinstance(problem.exc, (FileNotFoundError, ConnectionRefusedError)):
                    raise
                await asyncio.sleep(0.005)  # until QEMU has made its socket
            else:
                return monitor
        raise HostError(f"QEMU made no monitor within 20 s: {_last_words(log)}")

    async def monitor(self, command: str, **arguments: Any) -> Any:
        """Execute a QMP command.

        Raises:
            HostError: QEMU refused it, or is gone.
        """
        try:
            return await asyncio.wait_for(self._monitor.execute(command, arguments or None), 60)
        except Exception as problem:
            raise HostError(f"QEMU did not do {command}: {problem} {_last_words(self._log)}") from problem

    async def human(self, line: str) -> str:
        """Execute a line of QEMU's human monitor; its answer is empty when all went well."""
        return str(await self.monitor("human-monitor-command", **{"command-line": line})).strip()

    async def out_of_space(self) -> None:
        """Wait until QEMU has paused the machine because what it writes did not fit on the learner's disk."""
        with self._monitor.listener("BLOCK_IO_ERROR") as errors:
            while not (await errors.get())["data"].get("nospace"):
                pass

    async def migrated(self, timeout: float) -> None:
        """Wait until a migration (a save or a load of the device state) is done.

        Raises:
            HostError: It failed or took too long.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while asyncio.get_running_loop().time() < deadline:
            status = (await self.monitor("query-migrate")).get("status")
            if status == "completed":
                return
            if status == "failed":
                raise HostError(f"QEMU could not read or write the saved state: {_last_words(self._log)}")
            await asyncio.sleep(0.01)  # QMP offers an event, too; a poll is simpler and as fast here
        raise HostError(f"QEMU was not done with the saved state after {timeout:.0f} s.")

    async def quit(self) -> None:
        """End the process, politely and then by force."""
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._monitor.execute("quit"), 2)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._monitor.disconnect(), 2)
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()


def _last_words(log: Path) -> str:
    """The last line that QEMU wrote, for an error's sentence."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing."
