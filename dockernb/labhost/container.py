"""Provider `container`: the lab host as one container in the learner's own Docker Engine.

What it makes there, all labelled org.dockernb.…: the image dockernb/labhost:<recipe> and the volume
dockernb-images-<recipe> (kept until `dockernb clean`), the network `dockernb` (removed with the last lab
host), and the container with its anonymous volume, which the engine itself removes as soon as this process is
gone.

Found by experiment on engines 20.10.24 and 26.1.5, cgroup v1 and v2 (v2 without controllers only):

- Not `--privileged` (it fails where root lacks CAP_SYS_RESOURCE, and hands over the machine's disks), but the
  settings of :func:`_create_config`, and inside what :mod:`dockernb.labhost.container_init` does.
- The images (250 MB), when each host starts with a store of its own: `docker load` 3.7 s; an image with a
  prepared store, which the engine copies into the fresh volume, 7.6 s; read-only bind mounts of a prepared
  store's layers 0.03 s and no space. The kernel refuses an overlay as an overlay's upper directory, so the data
  root is a volume; a layer is only read and may lie anywhere.
- A network of our own, because the default bridge would put 172.17.0.0/16 into the lab host, whose docker0
  would then be 172.18.0.0/16 and each lesson's subnets one off.
- Several lab hosts are joined by a VXLAN over that network, sent to its broadcast address: every host finds
  every other without being told, and what goes on inside (any subnet, IPv6, VLANs, other MAC addresses) never
  meets the learner's own interfaces, as it would on a bridge of theirs.
"""

import asyncio
import contextlib
import ipaddress
import json
import pathlib
import secrets
import socket
import ssl
import struct
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockernb.errors import BuildError, DockernbError, HostError
from dockernb.labhost import container_init, debian, rootfs, store, template
from dockernb.labhost.channel import Channel
from dockernb.labhost.credentials import Credentials
from dockernb.labhost.engine import connect, connected, find_engine, sentence, sentences
from dockernb.labhost.machine import Facts, Plan, PortError
from dockernb.waiting import until

if TYPE_CHECKING:
    import docker

__all__ = ["ContainerMachine", "clean", "find_engine", "prepare"]

Report = Callable[[str, float], None]

REPOSITORY = "dockernb/labhost"
NETWORK = "dockernb"
LABEL = "org.dockernb."
UP_LIMIT = 60.0  # seconds; it takes about 2
LINGER = 5.0  # seconds
MTU = 1550  # 50 more than the segment's, for the tunnel's own headers

# For NETWORK, the first that is free. 198.18.0.0/15 is for benchmarks (RFC 2544): nobody has it at home.
SUBNETS = [f"198.18.{number}.0/24" for number in range(0, 256, 16)]

# What the lab host's engine needs beyond Docker's default set: mounts and namespaces; interfaces, routes and
# iptables; and the namespaces of other processes under /proc.
CAPABILITIES = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"]
# Loop devices (ext4 in a file), FUSE and tun. Nothing else of the learner's devices can be opened.
DEVICE_RULES = ["c 10:237 rwm", "b 7:* rwm", "c 10:229 rwm", "c 10:200 rwm"]


# --- Image and images ---


def _tag(engine: str) -> str:
    """The part of a recipe's digest that names its image and its volume."""
    return rootfs.recipe_digest(engine)[:12]


def _images_volume(engine: str) -> str:
    return f"{NETWORK}-images-{_tag(engine)}"


def prepared(client: "docker.DockerClient", engine: str = debian.DEFAULT_ENGINE) -> bool:
    """Whether the engine has this recipe's lab host. The tag is given last, so what has it is complete."""
    from docker.errors import NotFound  # noqa: PLC0415

    try:
        client.images.get(f"{REPOSITORY}:{_tag(engine)}")
        client.volumes.get(_images_volume(engine))
    except NotFound:
        return False
    return True


def prepare(url: str, report: Report, *, engine: str = debian.DEFAULT_ENGINE, force: bool = False) -> None:
    """Build the lab host and bring it into the learner's engine, unless it is there.

    Args:
        url: The learner's engine.
        engine: Which suite the engine inside comes from, a key of `debian.ENGINES`.
        report: Told what is being done and the fraction that is done.
        force: Do it again even if it is there.

    Raises:
        BuildError: The root file system could not be built, or the engine could not take it.
        UnavailableError: The engine does not answer.
    """
    with connected(url) as client:
        if not force and prepared(client, engine):
            return
        with store.locked(
            store.cache() / "build.lock",
            1800,
            lambda: report("Another dockernb is building; waiting for it", 0.0),
        ):
            if not force and prepared(client, engine):
                return
            store.need_space(store.cache(), rootfs.SPACE_NEEDED, "Building the lab host")
            with tempfile.TemporaryDirectory(prefix="unfinished-", dir=store.cache()) as work:
                template.build_rootfs(
                    Path(work), "container", engine, lambda text, part: report(text, 0.6 * part)
                )
                with sentences(BuildError):
                    _bring(client, engine, Path(work), report)
    report("The lab host is in your engine", 1.0)


def _bring(client: "docker.DockerClient", engine: str, work: Path, report: Report) -> None:
    """Import the file system as an image, and load the images into a volume of their own."""
    tar, note = work / "labhost.tar", json.loads((work / "packages.json").read_text())["note"]
    tag, unfinished = _tag(engine), f"unfinished-{_tag(engine)}"
    _remove_prepared(client, f"{LABEL}recipe={tag}")  # forced, or left by an attempt that was interrupted
    report("Bringing the lab host into your engine", 0.6)
    start, end = _member(tar, container_init.IMAGES)
    labels = [f"LABEL {LABEL}recipe={tag}", f"LABEL {LABEL}note={json.dumps(note)}"]
    # The images go into the volume, so they are left out of the image.
    answer = client.api.import_image_from_data(
        _bytes_of(tar, (0, start), (end, tar.stat().st_size)),
        repository=REPOSITORY,
        tag=unfinished,
        changes=labels,
    )
    _complain(answer)
    report("Loading the images", 0.8)
    client.volumes.create(_images_volume(engine), labels={f"{LABEL}recipe": tag})
    config = _create_config(client, f"{REPOSITORY}:{unfinished}", ["seed"], {})
    config["HostConfig"] |= {
        "NetworkMode": "none",
        "Binds": [f"{_images_volume(engine)}:{container_init.DATA}"],
    }
    seeder = _create(client, config)
    try:
        client.api.put_archive(seeder, "/", _bytes_of(tar, (start, end), end_marker=True))
        client.api.start(seeder)
        if client.api.wait(seeder, timeout=600)["StatusCode"]:
            said = client.api.logs(seeder).decode(errors="replace").strip().splitlines() or ["nothing"]
            _complain(said[-1])
            raise BuildError(f"The images could not be loaded in your engine: it says {said[-1]!r}.")
    finally:
        client.api.remove_container(seeder, force=True, v=True)
    client.images.get(f"{REPOSITORY}:{unfinished}").tag(REPOSITORY, tag)
    client.api.remove_image(f"{REPOSITORY}:{unfinished}")


def _member(tar: Path, path: pathlib.PurePath) -> tuple[int, int]:
    """Where a member of an uncompressed tar begins and ends, in bytes."""
    with tarfile.open(tar, "r:") as archive:
        member = archive.getmember(str(path).lstrip("/"))
        blocks = -(-member.size // tarfile.BLOCKSIZE)
        return member.offset, member.offset_data + blocks * tarfile.BLOCKSIZE


def _bytes_of(path: Path, *ranges: tuple[int, int], end_marker: bool = False) -> Iterator[bytes]:
    """The bytes of a file in some ranges, in pieces; then, if asked, what ends a tar."""
    with path.open("rb") as file:
        for start, end in ranges:
            file.seek(start)
            while piece := file.read(min(1 << 20, end - file.tell())):
                yield piece
    if end_marker:
        yield bytes(2 * tarfile.BLOCKSIZE)


def _complain(answer: str) -> None:
    """Raise what an answer of JSON lines calls an error.

    Raises:
        BuildError: In one sentence.
    """
    with contextlib.suppress(json.JSONDecodeError):
        for line in answer.splitlines():
            if error := json.loads(line).get("error"):
                raise BuildError(sentence(str(error)))


def clean(url: str) -> None:
    """Remove what `prepare` has brought into the engine, of this recipe and of older ones.

    Raises:
        HostError: A lab host still runs from it.
        UnavailableError: The engine does not answer.
    """
    with connected(url) as client, sentences(HostError):
        _remove_prepared(client, f"{LABEL}recipe")
        _remove_network(client)


def _remove_prepared(client: "docker.DockerClient", label: str) -> None:
    """Remove the images and volumes with a label, and containers that were made to fill the volumes.

    Raises:
        HostError: A lab host still runs from it.
    """
    ours: Any = {"label": label}
    for made in client.containers.list(all=True, filters=ours):  # a container has its image's labels, too
        if f"{LABEL}host" in made.labels:
            raise HostError(
                f"The lab host {made.labels[f'{LABEL}host']!r} still runs: `dockernb stop` it first."
            )
        made.remove(force=True, v=True)
    for image in client.images.list(filters=ours):
        image.remove(force=True)
    for volume in client.volumes.list(filters=ours):
        volume.remove()


# --- The container ---


def _create_config(
    client: "docker.DockerClient", image: str, arguments: list[str], labels: dict[str, str]
) -> dict[str, Any]:
    """The body of the API's container create (v1.41), without what only one of its uses has."""
    info = client.info()
    options = info.get("SecurityOptions") or ()
    return {
        "Image": image,
        # Text instead of a file of the image: it belongs to these settings, not to the recipe.
        "Cmd": ["python3", "-I", "-c", Path(container_init.__file__).read_text(), *arguments],
        "Labels": labels,
        "HostConfig": {
            "CapAdd": CAPABILITIES,
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined", "label=disable"],
            # The CLI's systempaths=unconfined.
            "MaskedPaths": [],
            "ReadonlyPaths": [],
            "CgroupnsMode": "private",
            # On cgroup v1 a container inside cannot be given more than this one has, and a privileged one
            # asks for everything. On v2 it just gets what both allow.
            "DeviceCgroupRules": DEVICE_RULES if info.get("CgroupVersion") == "2" else ["a *:* rwm"],
            # An engine with userns-remap must not remap root here.
            **({"UsernsMode": "host"} if any("name=userns" in option for option in options) else {}),
            "LogConfig": {"Type": "json-file" if arguments == ["seed"] else "none"},
        },
    }


def _create(client: "docker.DockerClient", config: dict[str, Any], name: str | None = None) -> str:
    """Create a container from the API's own body: the SDK's arguments lack MaskedPaths and StdinOnce."""
    api: Any = client.api
    return str(api.create_container_from_config(config, name=name)["Id"])


def _ensure_network(client: "docker.DockerClient") -> Any:
    """The network of all lab hosts; made when missing.

    Raises:
        HostError: None of its subnets is free.
    """
    from docker.errors import APIError  # noqa: PLC0415
    from docker.types import IPAMConfig, IPAMPool  # noqa: PLC0415

    if found := client.networks.list(names=[f"^{NETWORK}$"]):
        return found[0]
    for subnet in SUBNETS:
        try:
            return client.networks.create(
                NETWORK,
                driver="bridge",
                options={"com.docker.network.driver.mtu": str(MTU)},
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]),
                labels={f"{LABEL}network": "1"},
            )
        except APIError as problem:
            if "overlap" not in str(problem.explanation).lower():
                raise
    raise HostError(
        f"All of {SUBNETS[0]} to {SUBNETS[-1]} is in use in your engine: remove a network there "
        "(`docker network ls`), or use the vm provider."
    )


def _remove_network(client: "docker.DockerClient") -> None:
    """Remove the network of the lab hosts, unless one is on it."""
    from docker.errors import APIError  # noqa: PLC0415

    for network in client.networks.list(names=[f"^{NETWORK}$"]):
        with contextlib.suppress(APIError):
            network.remove()


# A loop device belongs to the kernel, and would outlive the container with the file behind it. Only devices whose
# file is found in here are detached; one that is still mounted goes with its mount.
_RELEASE_LOOPS = """
for known in /sys/block/loop*/loop/backing_file; do
    file=$(cat "$known") && [ -e "$file" ] || continue
    losetup -n -O NAME -j "$file" | xargs -r losetup -d
done
"""


class Attachment:
    """A container's standard input and output as an asyncio stream; its end is the container's.

    The SDK's stream may be a Unix socket, TLS or a named pipe, and is read by blocking calls: two threads do.

    Attributes:
        over: Set when the container has ended.
    """

    def __init__(
        self, client: "docker.DockerClient", container: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._stream = client.api.attach_socket(container, params={"stdin": 1, "stdout": 1, "stream": 1})
        self._far: Any = getattr(self._stream, "_sock", self._stream)
        self._far.settimeout(None)  # it is silent for hours
        self._near, self._mine = socket.socketpair()
        self._loop = loop
        self.over = asyncio.Event()
        for work in (self._from_container, self._to_container):
            threading.Thread(target=work, name="attachment", daemon=True).start()

    async def channel(self) -> Channel:
        """The agent at the other end."""
        return Channel(*await asyncio.open_connection(sock=self._near, limit=1 << 26))

    def close(self) -> None:
        """Close standard input, which ends the agent, and so the container."""
        with contextlib.suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)
        self._mine.close()

    def _exactly(self, size: int) -> bytes:
        """So many bytes, or fewer at the end."""
        data = b""
        while len(data) < size and (piece := self._far.recv(size - len(data))):
            data += piece
        return data

    def _from_container(self) -> None:
        """Unpack the engine's frames: a byte for the stream, three zeros, the length, the content."""
        with contextlib.suppress(OSError):
            while len(header := self._exactly(8)) == 8:
                content = self._exactly(struct.unpack(">BxxxL", header)[1])
                self._mine.sendall(content)
        self._mine.close()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self.over.set)

    def _to_container(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._mine.recv(1 << 16):
                self._far.sendall(data)


class ContainerMachine:
    """One lab host in a container."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.api_port = 0
        self.facts = Facts(emulation="native")
        self.credentials: Credentials | None = None
        self._client: docker.DockerClient | None = None
        self._id = ""
        self._line: Attachment | None = None
        self._channel: Channel | None = None
        self._servers: dict[tuple[int, str], asyncio.Server] = {}
        self._resetting = False

    async def start(self) -> None:
        """Make the container, greet its agent, and wait for its engine."""
        if self.credentials is None:
            self.credentials = await asyncio.to_thread(Credentials.make)
            self.credentials.write(self.plan.directory)
        loop = asyncio.get_running_loop()
        try:
            with sentences(HostError):
                subnet, line = await asyncio.to_thread(self._create, loop)
                self._line = line
                channel = self._channel = await line.channel()
                await self._until_agent(channel)
                await self._add_segment(channel, subnet)
                await channel.ask(self.credentials.welcome(self.plan.hostname, self.plan.segment), UP_LIMIT)
                await self._until_up(channel)
        except BaseException:
            await self.stop()
            raise

    def _create(self, loop: asyncio.AbstractEventLoop) -> tuple[str, "Attachment"]:
        """Create the container, attach to it and start it; everything here may block."""
        assert self.plan.outer is not None
        if self._client is None:
            self._client = connect(self.plan.outer)
        client, image = self._client, f"{REPOSITORY}:{_tag(self.plan.engine)}"
        if not prepared(client, self.plan.engine):
            raise HostError("The lab host is not in your engine: run `dockernb build`.")
        labels = {f"{LABEL}host": self.plan.name, f"{LABEL}directory": str(self.plan.directory)}
        self._remove_leftovers(client, labels)
        note = client.images.get(image).labels.get(f"{LABEL}note")
        self.facts.notes = [note] if note else []
        config = _create_config(client, image, ["host"], labels)
        # Standard input closes with the client that is attached to it: the agent ends when this process does,
        # however that ends, and AutoRemove takes the container and its anonymous volume away.
        config |= {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True, "AttachStdout": True}
        config |= {
            "ExposedPorts": {f"{container_init.API_PORT}/tcp": {}},
            "Volumes": {str(container_init.DATA): {}},
        }
        binding = {"HostIp": "127.0.0.1", "HostPort": str(self.api_port or "")}
        config["HostConfig"] |= {
            "AutoRemove": True,
            "NetworkMode": NETWORK,
            "PortBindings": {f"{container_init.API_PORT}/tcp": [binding]},
            "Binds": [f"{_images_volume(self.plan.engine)}:{container_init.STORE}:ro"],
        }
        with store.locked(store.cache() / "network.lock", 60):  # nobody removes it in between
            network = _ensure_network(client)
            self._id = _create(client, config, f"{NETWORK}-{self.plan.name}-{secrets.token_hex(3)}")
            line = Attachment(client, self._id, loop)
            client.api.start(self._id)
        ports = client.api.inspect_container(self._id)["NetworkSettings"]["Ports"]
        self.api_port = int(ports[f"{container_init.API_PORT}/tcp"][0]["HostPort"])
        network.reload()
        return str(network.attrs["IPAM"]["Config"][0]["Subnet"]), line

    @staticmethod
    def _remove_leftovers(client: "docker.DockerClient", labels: dict[str, str]) -> None:
        """Remove a container of this very lab host whose keeper was killed between create and start."""
        mine: Any = {"label": [f"{name}={value}" for name, value in labels.items()]}
        for left in client.containers.list(all=True, filters=mine):
            left.remove(force=True, v=True)

    @staticmethod
    async def _until_agent(channel: Channel) -> None:
        """Wait for the first line: the agent's, or what went wrong before it."""
        reply = await channel.receive(UP_LIMIT)
        if "error" in reply:
            raise HostError(sentence(reply["error"]))

    async def _add_segment(self, channel: Channel, subnet: str) -> None:
        """Make eth1, the card of the segment, which is named after its hub.

        It is there without a segment, too, as in the vm provider; a kernel without VXLAN may then lack it.
        """
        number = (
            zlib.crc32(f"{self.plan.directory.parent}/{self.plan.hub or self.plan.name}".encode()) & 0xFFFFFF
        )
        everybody = str(ipaddress.ip_network(subnet).broadcast_address)
        tunnel = ["type", "vxlan", "id", str(number), "remote", everybody, "dev", "eth0"]
        tunnel += ["dstport", str(container_init.TUNNEL_PORT)]
        done = await channel.run("ip", "link", "add", "eth1", "mtu", str(MTU - 50), *tunnel)
        if done.returncode and self.plan.segment:
            raise HostError(
                f"Your engine's kernel cannot join lab hosts ({done.stderr.decode().strip()}): "
                "use the vm provider."
            )

    async def _until_up(self, channel: Channel) -> None:
        """Wait until the engine inside answers through the front, which a learner's client will use."""
        deadline = time.monotonic() + UP_LIMIT
        problem: Exception | None = None
        while time.monotonic() < deadline:
            try:
                reader, writer = await self._tunnel(None)
                problem = None
                writer.write(b"GET /_ping HTTP/1.0\r\n\r\n")
                answer = await asyncio.wait_for(reader.readline(), 5)
                writer.close()
                if b" 200 " in answer:
                    return
            except (OSError, TimeoutError) as this:
                problem = this
            await asyncio.sleep(0.02)
        if problem is not None:
            raise HostError(
                f"Your engine published the lab host at port {self.api_port} of its own loopback, out of reach "
                f"from here ({problem}): if this program is in a container, use the vm provider."
            )
        log = await channel.run("tail", "-n", "1", "/var/log/dockerd.log")
        raise HostError(
            f"The engine of the lab host did not start: {log.stdout.decode(errors='replace').strip()}"
        )

    async def _tunnel(self, room: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection through the front: to the engine, or to the room of that name."""
        directory = self.plan.directory
        context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
        context.check_hostname = (
            room is None
        )  # a room's name is no host's; the certificate is checked all the same
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        return await asyncio.open_connection(
            "127.0.0.1", self.api_port, ssl=context, server_hostname=room or "127.0.0.1"
        )

    async def reset(self) -> None:
        """Throw the container away and start another at the same port."""
        self._resetting = True
        try:
            await self._end()
            await self.start()
        finally:
            self._resetting = False

    @property
    def stands(self) -> bool:
        """Whether there is a container."""
        return bool(self._id)

    async def stop(self) -> None:
        """Remove the container, and the network if it was the last."""
        await self._end()
        if self._client is not None:
            client, self._client = self._client, None
            with contextlib.suppress(DockernbError):
                await asyncio.to_thread(self._leave, client)

    @staticmethod
    def _leave(client: "docker.DockerClient") -> None:
        with sentences(HostError), store.locked(store.cache() / "network.lock", 60):
            _remove_network(client)
            client.close()

    async def _end(self) -> None:
        """Close the forwards, give back what is the kernel's, and remove the container."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        if self._channel is not None:
            channel, self._channel = self._channel, None
            release = {"op": "run", "argv": ["sh", "-c", _RELEASE_LOOPS], "timeout": 5}
            with contextlib.suppress(HostError, OSError):  # it may be gone already, and its files with it
                await channel.ask(release, 5)
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._id and self._client is not None:
            container, self._id = self._id, ""
            await asyncio.to_thread(_remove, self._client, container)

    async def ended(self) -> str:
        """Wait until the container ends by itself."""
        while True:
            line = self._line
            if line is not None:
                await line.over.wait()
            if line is self._line and not self._resetting:
                return "its container ended" if line is not None else "its reset failed"
            await asyncio.sleep(0.1)  # a reset is under way

    async def forward(self, host_port: int, guest_port: int, protocol: str) -> None:
        """Listen on the loopback and lead each connection through the front."""
        if protocol != "tcp":
            raise PortError(f"The container provider opens TCP ports only, not {host_port}/{protocol}.")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await self._tunnel(f"port-{guest_port}")
            except OSError:
                writer.close()
                return
            await _join(reader, writer, far_reader, far_writer)

        try:
            self._servers[host_port, protocol] = await asyncio.start_server(serve, "127.0.0.1", host_port)
        except OSError as problem:
            raise PortError(f"Port {host_port}/{protocol} of 127.0.0.1 is taken or not allowed.") from problem

    async def unforward(self, host_port: int, protocol: str) -> None:
        """Stop listening; connections that are open stay so."""
        if server := self._servers.pop((host_port, protocol), None):
            server.close()

    async def segment_port(self) -> dict[str, Any]:
        """Nothing has to be made: who knows the hub's name is on its segment."""
        return {}


def _remove(client: "docker.DockerClient", container: str) -> None:
    """Kill and remove a container with its anonymous volume, and wait until it is gone."""
    from docker.errors import APIError, NotFound  # noqa: PLC0415

    def gone() -> bool:
        try:
            client.api.remove_container(container, force=True, v=True)
        except NotFound:
            return True
        except APIError as problem:
            if problem.status_code != 409:  # "removal is already in progress": AutoRemove was quicker
                raise
        return False

    until(gone, 20, pause=0.02)


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Copy both directions of a connection until the far side ends it.

    TLS as Python has it cannot close one direction only. So the far side is not told that the near side has
    said all; it has a few seconds to finish what it says.
    """
    up = asyncio.create_task(_copy(reader, far_writer))
    down = asyncio.create_task(_copy(far_reader, writer))
    try:
        await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((down,), timeout=LINGER)
    finally:
        for task in (up, down):
            task.cancel()
        for end in (writer, far_writer):
            end.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until it ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
