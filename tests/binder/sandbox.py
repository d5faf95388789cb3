"""A container with Binder's limits, by runc alone: no engine, no image store, the host's network left alone."""

import contextlib
import json
import os
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.engine import CGROUPS, which

USER = 1000
MEMORY = 2 << 30  # bytes; what mybinder.org gives a session
SHARED_MEMORY = 64 << 20
PROCESSES = 512
# What `docker build` gives to root (moby, oci/caps/defaults.go).
ROOTS = [
    f"CAP_{name}"
    for name in (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
]


@dataclass
class Use:
    """What a run has cost.

    Attributes:
        seconds: Wall clock.
        held: Peak of the memory that the kernel can not take back (anonymous and shared), bytes, from samples.
        killed: Processes that the kernel killed for want of memory.
        disk: Peak of the watched directory, bytes, from samples.
    """

    seconds: float = 0.0
    held: int = 0
    killed: int = 0
    disk: int = 0


@dataclass
class Sandbox:
    """One container at a time on a root file system.

    Attributes:
        root: The file system; written to, unless `session`.
        work: Directory for runc's own files.
        environment: Environment of what runs in it.
        directory: Working directory in it.
        user: 0, with the capabilities of `docker build`, or USER, with Binder's limits.
        session: No network but loopback, and only the home and /tmp can be written; else the machine's network.
        watch: Directory whose disk use is sampled.
    """

    root: Path
    work: Path
    environment: dict[str, str]
    directory: str
    user: int = USER
    session: bool = False
    watch: Path | None = None
    use: Use = field(default_factory=Use)

    @property
    def name(self) -> str:
        return f"dockernb-binder-{os.getpid()}"

    def process(self, argv: list[str]) -> dict[str, Any]:
        """A process of the container, in the words of the OCI runtime specification."""
        capabilities = [] if self.user else ROOTS
        kinds = ("bounding", "effective", "permitted")
        return {
            "terminal": False,
            "user": {"uid": self.user, "gid": self.user},
            "args": argv,
            "env": [f"{name}={value}" for name, value in self.environment.items()],
            "cwd": self.directory,
            "capabilities": dict.fromkeys(kinds, capabilities),
            "noNewPrivileges": bool(self.user),
        }

    def specification(self, argv: list[str]) -> dict[str, Any]:
        """The whole container, in the words of the OCI runtime specification."""

        def bind(source: Path, target: str, *more: str) -> dict[str, Any]:
            return {"destination": target, "type": "bind", "source": str(source), "options": ["rbind", *more]}

        quiet = ["nosuid", "noexec", "nodev"]
        mounts: list[dict[str, Any]] = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": [*quiet, "mode=1777", f"size={SHARED_MEMORY}"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        ]  # fmt: skip
        namespaces = ["pid", "ipc", "uts", "mount"]
        if self.session:
            home = self.environment["HOME"]
            tmp = (
                self.work / "tmp"
            )  # on the disk, as in a container's own layer: a tmpfs would count as memory
            tmp.mkdir(exist_ok=True)
            tmp.chmod(0o1777)
            hosts = self.work / "hosts"
            hosts.write_text("127.0.0.1\tlocalhost\n::1\tlocalhost\n")  # as the kubelet writes it
            mounts += [
                bind(self.root / home[1:], home, "rw"),
                bind(tmp, "/tmp", "rw"),
                bind(hosts, "/etc/hosts", "ro"),
            ]
            namespaces.append("network")
        else:
            mounts += [bind(Path(name), name, "ro") for name in ("/etc/resolv.conf", "/etc/hosts")]
        resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
        if self.user:
            resources["memory"] = {"limit": MEMORY}
            if len(Path("/proc/swaps").read_text().splitlines()) > 1:
                resources["memory"]["swap"] = MEMORY  # none beyond the memory
            resources |= {"cpu": {"quota": 100_000, "period": 100_000}, "pids": {"limit": PROCESSES}}
        return {
            "ociVersion": "1.0.2",
            "process": self.process(argv),
            "root": {"path": str(self.root), "readonly": self.session},
            "hostname": "jupyter-learner",
            "mounts": mounts,
            "linux": {
                "namespaces": [{"type": kind} for kind in namespaces],
                "resources": resources,
                "cgroupsPath": f"/{self.name}",
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        }

    def start(self, argv: list[str], log: Path) -> "subprocess.Popen[bytes]":
        """Start the container; what it says goes to the log."""
        bundle = self.work / "bundle"
        bundle.mkdir(exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(self.specification(argv)))
        with log.open("ab") as out:
            return subprocess.Popen(
                [*self._runc(), "run", "--bundle", str(bundle), self.name],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def also(self, argv: list[str], log: Path) -> "subprocess.Popen[str]":
        """Start one more process in the running container; what it prints can be read."""
        order = self.work / "process.json"
        order.write_text(json.dumps(self.process(argv)))
        with log.open("ab") as out:
            return subprocess.Popen(
                [*self._runc(), "exec", "--process", str(order), self.name],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out, text=True,
            )  # fmt: skip

    def end(self) -> None:
        """Kill what is left of the container."""
        command = [*self._runc(), "delete", "--force", self.name]
        subprocess.run(command, capture_output=True, timeout=60, check=False)

    def run(self, argv: list[str], log: Path, limit: float) -> int:
        """Run a program in a container of its own; returns its exit code."""
        with self.measured():
            running = self.start(argv, log)
            try:
                return running.wait(limit)
            finally:
                self.end()
                running.wait(60)

    @contextlib.contextmanager
    def measured(self) -> Any:
        """Take samples of the container's memory while the block runs."""
        self.use = Use()
        over, started = threading.Event(), time.monotonic()
        sampler = threading.Thread(target=self._sample, args=(over,), daemon=True)
        sampler.start()
        try:
            yield
        finally:
            over.set()
            sampler.join(60)
            self.use.seconds = time.monotonic() - started

    def _sample(self, over: threading.Event) -> None:
        turn = 0
        while not over.wait(0.25):
            with contextlib.suppress(FileNotFoundError):  # not there yet, or not any more
                held, killed = self._memory()
                self.use.held, self.use.killed = max(self.use.held, held), max(self.use.killed, killed)
            turn += 1
            if self.watch and turn % 8 == 0:
                self.use.disk = max(self.use.disk, disk_use(self.watch))

    def _memory(self) -> tuple[int, int]:
        """Bytes held and processes killed so far, from the memory controller of version 1 or 2."""

        def numbers(path: Path) -> dict[str, int]:
            pairs = (line.split() for line in path.read_text().splitlines())
            return {pair[0]: int(pair[1]) for pair in pairs}

        old, new = CGROUPS / "memory" / self.name, CGROUPS / self.name
        if old.exists():
            stat, events = numbers(old / "memory.stat"), numbers(old / "memory.oom_control")
            return stat["rss"] + stat["shmem"], events["oom_kill"]
        stat, events = numbers(new / "memory.stat"), numbers(new / "memory.events")
        return stat["anon"] + stat["shmem"], events["oom_kill"]

    def _runc(self) -> list[str]:
        return [str(which("runc")), "--root", str(self.work / "runc")]


def disk_use(directory: Path) -> int:
    """Bytes of the disk that a directory takes; files that come and go meanwhile do not matter."""
    done = subprocess.run(
        ["du", "-s", "-B1", str(directory)], capture_output=True, text=True, timeout=60, check=False
    )
    return int(done.stdout.split()[0]) if done.stdout else 0
