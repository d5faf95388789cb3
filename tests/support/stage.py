"""A lesson's session on a native engine: what probes and the panel need of a lab, and a way to set scenes.

The containers hold one program that sleeps for ever; what listens in them is opened by the test, from
inside their network namespaces.
"""

import contextlib
import io
import json
import os
import socket
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dockernb.errors import HostError
from tests.support.engine import CLONE_NEWNET, Engine, check, libc

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container
    from docker.models.networks import Network

IMAGE = "stage"
LABELS = {"org.dockernb.lab": "stage"}

# What the agent of a lab host does, with Python 3.11's missing os.setns and os.unshare made good.
_AGENT = """
import ctypes, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    if function(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
os.setns = getattr(os, "setns", lambda handle, kind: call(libc.setns, handle, kind))
os.unshare = getattr(os, "unshare", lambda kind: call(libc.unshare, kind))
order = json.load(sys.stdin)
names = {"__name__": "inside"}
exec(compile(order["source"], "<call>", "exec"), names)
json.dump(names["main"](order["argument"]), sys.stdout)
"""


class Stage:
    """A lab (`name`, `docker`, `host`) and its host (`client`, `call`) in one."""

    name = "stage"
    started = 0.0

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.docker: docker.DockerClient = engine.client()
        self.calls = 0
        self._doors: list[socket.socket] = []
        self.docker.api.import_image_from_data(_image(), repository=IMAGE)

    @property
    def host(self) -> "Stage":
        return self

    @property
    def docker_host(self) -> str:
        return self.engine.docker_host

    def client(self) -> "docker.DockerClient":
        return self.docker

    def call(self, source: str, argument: Any, *, timeout: float = 30.0) -> Any:
        self.calls += 1
        done = subprocess.run(
            [
                "nsenter",
                "--target",
                str(self.engine.pid),
                "--mount",
                "--pid",
                "--net",
                sys.executable,
                "-c",
                _AGENT,
            ],
            input=json.dumps({"source": source, "argument": argument}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise HostError(done.stderr)
        return json.loads(done.stdout)

    # -- scenes ------------------------------------------------------------------------------------------

    def network(self, name: str, subnet: str = "", **options: Any) -> "Network":
        import docker.types

        if subnet:
            pools = [docker.types.IPAMPool(subnet=text) for text in subnet.split()]
            options["ipam"] = docker.types.IPAMConfig(pool_configs=pools)
        return self.docker.networks.create(name, driver="bridge", labels=LABELS, **options)

    def run(
        self,
        name: str,
        network: str,
        *ports: int,
        publish: dict[int, int] | None = None,
        aliases: tuple[str, ...] = (),
    ) -> "Container":
        """A container that exposes these ports and listens there; ``publish`` maps them to host ports."""
        api = self.docker.api
        endpoint = {network: api.create_endpoint_config(aliases=list(aliases))} if aliases else None
        container = api.create_container(
            IMAGE,
            ["/pause"],
            name=name,
            labels=LABELS,
            ports=[*ports, *(publish or {})],
            host_config=api.create_host_config(network_mode=network, port_bindings=publish),
            networking_config=api.create_networking_config(endpoint) if endpoint else None,
        )
        self.docker.api.start(container["Id"])
        made = self.docker.containers.get(container["Id"])
        for port in ports:
            self.listen(name, port)
        return made

    def listen(
        self, container: str, port: int, *, address: str = "0.0.0.0", udp: bool = False
    ) -> socket.socket:
        """Listen in a container's network namespace, until the scene is cleared."""
        with self.inside(container):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            door = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
            if family == socket.AF_INET6:
                door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            door.bind((address, port))
        if not udp:
            door.listen(64)
        self._doors.append(door)
        return door

    @contextlib.contextmanager
    def inside(self, container: str) -> Iterator[None]:
        """Put this thread into a container's network namespace."""
        pid = self.docker.api.inspect_container(container)["State"]["Pid"]
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        away = os.open(f"/proc/{self.engine.pid}/root/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            check(libc.setns(away, CLONE_NEWNET), "setns")
            yield
        finally:
            check(libc.setns(home, CLONE_NEWNET), "setns")
            os.close(home)
            os.close(away)

    def iptables(self, *arguments: str) -> str:
        """Run iptables on the Docker host."""
        tool = next(iter((self.engine.directory / "bin").glob("iptables")), "iptables")
        with self.engine.network():
            done = subprocess.run(
                [str(tool), *arguments], check=True, capture_output=True, text=True, timeout=10
            )
        return done.stdout

    def clear(self) -> None:
        """Remove all containers and networks of the stage, and every rule of DOCKER-USER but its last."""
        for door in self._doors:
            door.close()
        self._doors.clear()
        for container in self.docker.containers.list(all=True):
            if container.status == "paused":  # a frozen process cannot be killed
                container.unpause()
            container.remove(force=True, v=True)
        for network in self.docker.networks.list(filters={"label": "org.dockernb.lab"}):
            network.remove()
        for volume in self.docker.volumes.list():
            volume.remove()
        self.iptables("-F", "DOCKER-USER")
        self.iptables("-A", "DOCKER-USER", "-j", "RETURN")


def _image() -> bytes:
    """A root file system with one program, which calls pause(2) for ever."""
    code = {"x86_64": b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7"}[os.uname().machine]
    base, size = 0x400000, 120 + len(code)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    program = head + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + code
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(program), 0o755
        tar.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()
