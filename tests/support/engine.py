"""A real Docker Engine for tests, in namespaces of its own.

    with engine() as native:                  # Debian's own docker.io: 20.10 on bookworm
        native.client().containers.list()
    with engine(root=tree) as native, native.network():
        ...                                   # the lab host's, out of its tree; 127.0.0.1 is the engine's own here

The test process starts a *warden* (this file as a program) and holds the other end of its standard input.
The warden makes cgroups, and a child in new network, mount, pid, ipc, uts and cgroup namespaces. The child is
PID 1 there, starts dockerd and reaps. Whatever ends the test process, a SIGKILL included, closes that pipe;
the warden then kills PID 1, with which the kernel ends every process and drops every mount and interface of
the namespaces, and removes the cgroups and the files. So the host's network, /run and /var/lib/docker are
never touched.
"""

import contextlib
import ctypes
import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import docker

READY_WITHIN = 20.0  # seconds; it takes 0.3 to 1
UNPACKED = pathlib.Path(__file__).resolve().parents[2] / "build/engine/bin"  # made by .ci/setup
CGROUPS = pathlib.Path("/sys/fs/cgroup")
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
OTHER_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | CLONE_NEWNET  # mount, cgroup, uts, ipc
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
PR_SET_PDEATHSIG = 1
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """What is missing for an engine here, as one line for a skipped test; empty if nothing is."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a native engine for tests needs root on Linux"
    if missing := [tool for tool in ("dockerd", "containerd", "runc", "ip", "iptables") if not which(tool)]:
        return f"no {', '.join(missing)} here: run `make test`, which fetches them"
    return ""


def which(tool: str, root: pathlib.Path = pathlib.Path("/")) -> str | None:
    """The path of a program, root's own directories included, in a tree."""
    places = [root / folder for folder in ("usr/sbin", "usr/bin", "sbin", "bin")]
    if root == pathlib.Path("/"):
        places.insert(0, UNPACKED)
    return shutil.which(tool, path=":".join(map(str, places)))


@dataclass(frozen=True)
class Engine:
    """A running engine. `pid` is its PID 1 as this process sees it."""

    directory: pathlib.Path
    pid: int

    @property
    def docker_host(self) -> str:
        return f"unix://{self.directory}/docker.sock"

    @property
    def log(self) -> str:
        return (self.directory / "dockerd.log").read_text(errors="replace")

    def client(self, timeout: int = 60) -> "docker.DockerClient":
        import docker

        return docker.DockerClient(base_url=self.docker_host, timeout=timeout)

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Put this thread, and whatever it starts, into the engine's network namespace.

        A namespace belongs to a thread: sockets and processes that it makes inside the block stay there,
        threads that run already do not follow.
        """
        home, away = (os.open(f"/proc/{who}/ns/net", os.O_RDONLY) for who in ("thread-self", self.pid))
        try:
            check(libc.setns(away, CLONE_NEWNET), "setns")
            yield
        finally:
            check(libc.setns(home, CLONE_NEWNET), "setns")
            os.close(home)
            os.close(away)


@contextlib.contextmanager
def engine(root: pathlib.Path | None = None, *, cgroup_v2: bool = False) -> Iterator[Engine]:
    """Run an engine for the length of a block.

    Args:
        root: A file system tree whose dockerd, containerd, runc and iptables to run; without one, the host's.
            The tree is only read.
        cgroup_v2: Show the engine nothing but the unified cgroup hierarchy. On a host whose controllers are
            all in v1 hierarchies it is one without controllers.

    Raises:
        RuntimeError: The engine did not answer; the message ends with the last lines of its log.
    """
    if reason := why_not():
        raise RuntimeError(reason)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="dockernb-engine-"))
    order = {"directory": str(directory), "root": root and str(root.resolve()), "cgroup_v2": cgroup_v2}
    warden = subprocess.Popen(
        [sys.executable, "-I", __file__, json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert warden.stdin and warden.stdout
    try:
        pid = warden.stdout.readline().strip()
        if not pid:
            raise RuntimeError("the native engine's namespaces could not be made: see the error above")
        native = Engine(directory, int(pid))
        wait_until_ready(native, warden)
        yield native
    finally:
        warden.stdin.close()
        warden.stdout.close()
        warden.wait(timeout=30)


def wait_until_ready(native: Engine, warden: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        with contextlib.suppress(Exception), contextlib.closing(native.client(timeout=5)) as client:
            if client.ping():
                return
        if warden.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the native engine did not start:\n{native.log[-2000:]}")
        time.sleep(0.03)


# --- The warden and PID 1: a program of their own from here on ---


def check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: pathlib.Path | str, kind: str = "", flags: int = 0, data: str = "") -> None:
    pathlib.Path(target).mkdir(parents=True, exist_ok=True)
    strings = [text.encode() for text in (source, str(target), kind)]
    check(libc.mount(*strings, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def hierarchies() -> Iterator[tuple[pathlib.Path, str, str]]:
    """The cgroup hierarchies mounted here: path, file system type, and for v1 the options that name it."""
    flags = {"rw", "ro", "relatime", "nosuid", "nodev", "noexec"}
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, path, kind, options, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield pathlib.Path(path), kind, ",".join(word for word in options.split(",") if word not in flags)


def main(order: dict[str, Any]) -> None:
    """The warden: make PID 1 in its namespaces, tell its number, wait for the end of input, tidy up."""
    directory = pathlib.Path(order["directory"])
    cgroups = [path / directory.name for path, *_ in hierarchies()]
    pid = 0
    try:
        for cgroup in cgroups:
            cgroup.mkdir()
            if (cgroup / "cpuset.mems").exists() and not (cgroup / "cgroup.controllers").exists():
                for name in ("cpuset.cpus", "cpuset.mems"):  # empty in a new v1 cpuset: it takes no process
                    (cgroup / name).write_text((cgroup.parent / name).read_text())
        check(libc.unshare(CLONE_NEWPID), "unshare")  # the next child is PID 1 of a new namespace
        pid = os.fork()
        if pid == 0:
            run_first(order, cgroups)
        print(pid, flush=True)
        sys.stdin.read()
    finally:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for cgroup in cgroups:
            remove_cgroup(cgroup)
        shutil.rmtree(directory)


def run_first(order: dict[str, Any], cgroups: list[pathlib.Path]) -> NoReturn:
    """PID 1: into the cgroups and the other namespaces, and run the engine; it ends with the warden."""
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for cgroup in cgroups:
            (cgroup / "cgroup.procs").write_text("0")
        check(libc.unshare(OTHER_NAMESPACES), "unshare")
        run_engine(order)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def run_engine(order: dict[str, Any]) -> None:
    """Mounts, loopback, dockerd; then collect orphans until dockerd ends."""
    directory = pathlib.Path(order["directory"])
    for number in (0, 1):  # the warden's own: its end must not hang on us
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    kinds = list(hierarchies())
    mount("", "/", "", MS_REC | MS_PRIVATE)
    mount("tmpfs", directory / "data", "tmpfs")
    root = pathlib.Path("/")
    if order["root"]:
        root = directory / "root"
        mount("tmpfs", directory / "top", "tmpfs")
        for name in ("upper", "work"):
            (directory / "top" / name).mkdir()
        top = f"lowerdir={order['root']},upperdir={directory}/top/upper,workdir={directory}/top/work"
        mount("overlay", root, "overlay", 0, top)
        mount("/dev", root / "dev", "", MS_BIND | MS_REC)
        mount(str(directory), root / directory.relative_to("/"), "", MS_BIND | MS_REC)
    mount("proc", root / "proc", "proc")
    mount("sysfs", root / "sys", "sysfs")
    mount("tmpfs", root / "run", "tmpfs", 0, "mode=755")
    mount_cgroups(root, kinds, order["cgroup_v2"])
    if order["root"]:
        mount("", root / "old", "tmpfs")
        number = SYS_PIVOT_ROOT[os.uname().machine]
        check(libc.syscall(number, str(root).encode(), f"{root}/old".encode()), "pivot_root")
        os.chdir("/")
        check(libc.umount2(b"/old", MNT_DETACH), "umount")
    os.environ["PATH"] = f"{directory}/bin:{UNPACKED}:/usr/sbin:/usr/bin:/sbin:/bin"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
    choose_iptables(directory / "bin")
    (directory / "daemon.json").write_text("{}")  # the host's own /etc/docker/daemon.json is none of ours
    command = ["dockerd", f"--host=unix://{directory}/docker.sock", f"--data-root={directory}/data"]
    command += [f"--config-file={directory}/daemon.json", "--exec-root=/run/docker"]
    with (directory / "dockerd.log").open("wb") as log:
        dockerd = subprocess.Popen(command, stdout=log, stderr=log)
    while os.wait()[0] != dockerd.pid:
        pass


def mount_cgroups(root: pathlib.Path, kinds: list[tuple[pathlib.Path, str, str]], unified: bool) -> None:
    """Mount the cgroup hierarchies again, so that this cgroup namespace's root is their root."""
    if unified or all(kind == "cgroup2" for _, kind, _ in kinds):
        mount("cgroup2", root / "sys/fs/cgroup", "cgroup2")
        return
    mount("tmpfs", root / "sys/fs/cgroup", "tmpfs")
    for path, kind, options in kinds:
        if kind == "cgroup":
            named = "none," if "name=" in options else ""
            mount("cgroup", root / "sys/fs/cgroup" / path.name, "cgroup", 0, named + options)


def choose_iptables(directory: pathlib.Path) -> None:
    """Put the iptables that works on this kernel first on the PATH, if it is not the usual one."""
    directory.mkdir()
    for variant in ("", "-nft", "-legacy"):
        tool = which(f"iptables{variant}")
        attempt = [tool or "false", "-t", "nat", "-L"]
        if subprocess.run(attempt, check=False, capture_output=True, timeout=10).returncode == 0:
            break
    else:
        raise RuntimeError("neither iptables-nft nor iptables-legacy works on this kernel")
    for family, verb in itertools.product(("iptables", "ip6tables"), ("", "-save", "-restore")):
        if variant and (tool := which(f"{family}{variant}{verb}")):
            (directory / f"{family}{verb}").symlink_to(tool)


def remove_cgroup(cgroup: pathlib.Path) -> None:
    """Remove a cgroup and those in it; a cgroup stays busy until its last process has been reaped."""
    for here, *_ in os.walk(cgroup, topdown=False):
        for attempt in itertools.count():
            try:
                pathlib.Path(here).rmdir()
                break
            except OSError:
                if attempt == 200:
                    raise
                time.sleep(0.01)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
