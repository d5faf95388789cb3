"""The lab host's agent: PID 1, and the learner's hand on the Docker host itself.

It starts and supervises dockerd, the TLS front (nginx) and the resolver (dnsmasq), and answers requests,
one JSON line each, one JSON line back:

    {"op": "welcome", "time": 1.7e9, "random": b64, "hostname": "lab", "files": {path: text}, "segment": {...}}
    {"op": "run", "argv": [...], "input": b64, "timeout": 30}     -> {"code": 0, "out": b64, "err": b64}
    {"op": "call", "source": text, "argument": any, "timeout": 30} -> {"value": any}
    {"op": "ping"}                                                 -> {"value": "pong"}

A failure is {"error": sentence}. Requests come over the channel of whoever started the host (a virtio port,
or standard input of a container) and over /run/dockernb/agent.sock, which only the TLS front reaches.
`call` runs in a fork of this warm interpreter: no start-up is paid, which under emulation is most of the cost.
"""

import base64
import contextlib
import ctypes  # noqa: F401  (imported here so that forks have it warm)
import fcntl
import functools
import json
import os
import pathlib
import resource
import select  # noqa: F401
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading  # noqa: F401
import time
import types
import warnings

RUN = pathlib.Path("/run/dockernb")
ENVIRONMENT = {**os.environ, "DOCKER_HOST": "unix:///run/docker.sock"}
SERVICES = {
    "dnsmasq": ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--local=/#/", "--conf-file=/dev/null",
                "--listen-address=169.254.0.53", "--bind-interfaces", "--user=root", "--pid-file="],
    "syslogd": ["busybox", "syslogd", "-n", "-O", "/var/log/syslog"],  # for Docker's log driver of that name
    "front": ["nginx", "-c", "/usr/lib/dockernb/front.conf", "-g", "daemon off;"],
    # By itself dockerd would start containerd and then look once a second whether it is there.
    "containerd": ["containerd", "--log-level", "warn"],
    "dockerd": [
        "dockerd",
        *("--host", "unix:///run/docker.sock", "--pidfile", "/run/docker.pid"),
        *("--exec-root", "/run/docker", "--containerd", "/run/containerd/containerd.sock"),
    ],
}  # fmt: skip
# As Debian's service files have it: whom the kernel ends later than others when memory runs out, and how many files
# containerd, and so each process in a container, may have open.
ENGINE = {"containerd": -999, "dockerd": -500}
FILES_OF_A_CONTAINER = 1 << 20
FILES = 1024, 1 << 19  # what systemd gives everything else
RESTART_AFTER = 1.0  # seconds; a service that dies at once must not spin
RNDADDENTROPY, RNDRESEEDCRNG = 0x40085203, 0x5207  # linux/random.h
SO_TIMESTAMP = 29  # asm-generic/socket.h

running: dict[int, str] = {}
owed: dict[str, float] = {}  # service -> when to start it again


def start(service: str) -> None:
    """Start one supervised service with its own log, in a session of its own."""
    log = pathlib.Path("/var/log") / f"{service}.log"
    with log.open("ab") as out:
        child = subprocess.Popen(
            SERVICES[service],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=ENVIRONMENT,
            start_new_session=True,
            preexec_fn=functools.partial(set_limits, service),  # noqa: PLW1509  (there are no threads)
        )
    running[child.pid] = service
    child.returncode = 0  # we reap by ourselves; Popen must not wait for it


def set_limits(service: str) -> None:
    """Give the engine's services what they have on a Debian host; runs in the child, before the program."""
    if service not in ENGINE:
        return
    raise_limit(resource.RLIMIT_NPROC, resource.RLIM_INFINITY)
    raise_limit(resource.RLIMIT_CORE, resource.RLIM_INFINITY)
    if service == "containerd":  # containers begin with its limits
        raise_limit(resource.RLIMIT_NOFILE, FILES_OF_A_CONTAINER)
    with contextlib.suppress(FileNotFoundError):  # only init of a virtual machine makes such groups
        pathlib.Path(f"/sys/fs/cgroup/{service}/cgroup.procs").write_text("0")
    with contextlib.suppress(PermissionError):
        pathlib.Path("/proc/self/oom_score_adj").write_text(str(ENGINE[service]))


def raise_limit(kind: int, most: int) -> None:
    """Raise both limits of a kind, or as far as the learner's engine lets a container go."""
    try:
        resource.setrlimit(kind, (most, most))
    except ValueError:
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (hard, hard))


def keep_time_stamps() -> socket.socket:
    """Have the kernel note when packets arrive, as long as this socket is open.

    ping and tcpdump have that switched on and off, for which the kernel rewrites its own code in the way of every
    packet. QEMU before 8.1, when it emulates several processors, may let another one run what is half written,
    and the kernel panics ("Oops: int3" in __netif_receive_skb_core; Red Hat bug 2216496, mended by QEMU's
    deba78709a, "Always lock pages before translation").
    """
    kept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    kept.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)
    return kept


def reap() -> None:
    """Collect what has ended, orphans of the whole host included; a service that ended is owed a restart."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if service := running.pop(pid, None):
                owed[service] = time.monotonic() + RESTART_AFTER


def welcome(request: dict) -> dict:
    """Make this host somebody's: clock, entropy, name, certificates, segment address. Once for each start."""
    with contextlib.suppress(PermissionError):  # in a container the clock is the learner's, and right
        time.clock_settime(time.CLOCK_REALTIME, request["time"])
    seed = base64.b64decode(request["random"])
    with open("/dev/urandom", "wb", buffering=0) as device, contextlib.suppress(OSError):
        # Clones of one template share the kernel's random state; this parts them.
        fcntl.ioctl(device, RNDADDENTROPY, struct.pack("ii", len(seed) * 8, len(seed)) + seed)
        fcntl.ioctl(device, RNDRESEEDCRNG)
    name = request["hostname"]
    socket.sethostname(name)
    pathlib.Path("/etc/hostname").write_text(f"{name}\n")
    with open("/etc/hosts", "a") as hosts:
        hosts.write(f"127.0.1.1 {name}\n")
    pathlib.Path("/etc/machine-id").write_text(f"{os.urandom(16).hex()}\n")
    for path, text in request["files"].items():
        target = pathlib.Path(path)
        target.touch(mode=0o600)
        target.write_text(text)
    if segment := request.get("segment"):
        for words in (
            ["link", "set", segment["device"], "address", segment["mac"], "up"],
            ["address", "replace", segment["address"], "dev", segment["device"]],
        ):
            subprocess.run(["ip", *words], check=True, timeout=10)
    reload_front()
    return {"value": "welcome"}


def reload_front() -> None:
    """Give the front its certificates. Wait until it listens, so that the first client is not refused."""
    tls = pathlib.Path("/usr/lib/dockernb/front-tls.conf")
    (RUN / "front" / "tls.conf").write_text(tls.read_text())
    pid_file, deadline = RUN / "front.pid", time.monotonic() + 10
    while not (pid_file.exists() and pid_file.read_text().strip()):
        if time.monotonic() > deadline:
            raise TimeoutError("the TLS front did not start: see /var/log/front.log")
        time.sleep(0.01)
    os.kill(int(pid_file.read_text()), signal.SIGHUP)
    while True:
        try:
            socket.create_connection(("127.0.0.1", 2376), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError("the TLS front does not listen: see /var/log/front.log") from None
            time.sleep(0.005)


def run(request: dict) -> dict:
    """Run a command on the Docker host and return its exit code and output."""
    try:
        done = subprocess.run(
            request["argv"],
            input=base64.b64decode(request.get("input", "")),
            capture_output=True,
            timeout=request["timeout"],
            env=ENVIRONMENT,
            cwd="/root",
        )
    except subprocess.TimeoutExpired:
        return {"error": f"{request['argv'][0]} was not done after {request['timeout']:g} s and was stopped"}
    except OSError as problem:
        return {"error": f"{request['argv'][0]}: {problem.strerror}"}
    return {
        "code": done.returncode,
        "out": base64.b64encode(done.stdout).decode(),
        "err": base64.b64encode(done.stderr).decode(),
    }


@functools.lru_cache(maxsize=16)
def compiled(source: str) -> types.CodeType:
    """A piece of source as code; under emulation a long one takes a third of a second, once."""
    return compile(source, "<call>", "exec")


def call(request: dict) -> dict:
    """Run main(argument) of a piece of Python source in this process, which is a fork of the agent."""
    room: dict = {"__name__": "dockernb_call"}
    exec(compiled(request["source"]), room)
    return {"value": room["main"](request["argument"])}


def answer(line: bytes, write) -> None:
    """Answer one request in a fork, under its time limit; the whole process group goes when it is over."""
    with contextlib.suppress(Exception):  # whatever is wrong with it, the fork will say
        compiled(json.loads(line)["source"])  # kept for the next fork, too
    if os.fork():
        return
    os.setsid()
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    try:
        request = json.loads(line)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        # A backstop behind run's own limit.
        signal.setitimer(signal.ITIMER_REAL, float(request.get("timeout", 30)) + 5)
        if request["op"] == "run":
            reply = run(request)
        elif request["op"] == "call":
            reply = call(request)
        elif request["op"] == "ping":
            reply = {"value": "pong"}
        else:
            reply = {"error": f"unknown request {request['op']!r}"}
        data = json.dumps(reply).encode()
    except BaseException as problem:
        data = json.dumps({"error": f"{type(problem).__name__}: {problem}"}).encode()
    with contextlib.suppress(OSError):
        write(data + b"\n")
    os._exit(0)


class Lines:
    """A stream cut into lines."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.buffer = descriptor, b""

    def read(self) -> list[bytes] | None:
        """The complete lines that have arrived, or None at the end of the stream."""
        try:
            data = os.read(self.descriptor, 1 << 20)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return lines


def write_all(descriptor: int):
    """A function that writes all of its bytes to the descriptor."""

    def write(data: bytes) -> None:
        os.set_blocking(descriptor, True)
        while data:
            data = data[os.write(descriptor, data) :]

    return write


def channel(inside_container: bool) -> tuple[int, int]:
    """Read and write descriptors of whoever started this host."""
    if inside_container:
        return 0, 1
    for name in pathlib.Path("/sys/class/virtio-ports").glob("*/name"):
        if name.read_text().strip() == "org.dockernb.agent":
            port = os.open(f"/dev/{name.parent.name}", os.O_RDWR | os.O_NONBLOCK)
            return port, port
    raise SystemExit("no virtio port named org.dockernb.agent")


def obey(line: bytes, write) -> None:
    """A line from the channel: welcome changes this process; anything else is answered like the rest."""
    try:
        request = json.loads(line)
        if request["op"] == "welcome":
            write(json.dumps(welcome(request)).encode() + b"\n")
            return
    except Exception as problem:
        write(json.dumps({"error": f"{type(problem).__name__}: {problem}"}).encode() + b"\n")
        return
    answer(line, write)


def main() -> None:
    """Start the services, then wait for requests for ever."""
    warnings.simplefilter("ignore")
    inside_container = "container" in sys.argv[1:]
    signal.signal(signal.SIGCHLD, lambda *_: None)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    if not inside_container:  # there the learner's engine has the last word
        resource.setrlimit(resource.RLIMIT_NOFILE, FILES)
    time_stamps = None if inside_container else keep_time_stamps()  # noqa: F841  (open, and that is all)
    for service in SERVICES:
        start(service)

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(FileNotFoundError):
        (RUN / "agent.sock").unlink()
    listener.bind(str(RUN / "agent.sock"))
    listener.listen(64)

    chooser = selectors.DefaultSelector()
    chooser.register(listener, selectors.EVENT_READ, "listener")
    chooser.register(wake_read, selectors.EVENT_READ, "wake")
    read_end, write_end = channel(inside_container)
    chooser.register(read_end, selectors.EVENT_READ, Lines(read_end))
    silent_until = None  # a virtio port without a reader on the other side is "readable" all the time
    say = write_all(write_end)
    say(b'{"value": "up"}\n')

    while True:
        waits = [at - time.monotonic() for at in owed.values()]
        if silent_until is not None:
            waits.append(silent_until - time.monotonic())
        for key, _ in chooser.select(max(0.0, min(waits)) if waits else None):
            if key.data == "listener":
                peer, _ = listener.accept()
                chooser.register(peer, selectors.EVENT_READ, (peer, Lines(peer.fileno())))
            elif key.data == "wake":
                with contextlib.suppress(BlockingIOError):
                    os.read(wake_read, 4096)
            elif isinstance(key.data, Lines):
                lines = key.data.read()
                if lines is None:
                    if inside_container:
                        os.kill(-1, signal.SIGKILL)  # whoever started us is gone, and so is this host
                        return
                    chooser.unregister(read_end)
                    silent_until = time.monotonic() + 0.02
                for line in lines or ():
                    obey(line, say)
            else:
                peer, stream = key.data
                lines = stream.read()
                for line in lines or ():
                    answer(line, write_all(peer.fileno()))
                if lines is None or lines:
                    chooser.unregister(peer)
                    peer.close()
        if silent_until is not None and time.monotonic() >= silent_until:
            silent_until = None
            chooser.register(read_end, selectors.EVENT_READ, Lines(read_end))
        reap()
        for service in [name for name, at in owed.items() if time.monotonic() >= at]:
            del owed[service]
            start(service)


if __name__ == "__main__":
    main()
