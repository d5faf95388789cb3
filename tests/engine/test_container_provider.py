"""The lab host as one container in a real engine: the oldest here (the machine's own) and the lab host's.

Each test that says "nothing" has a counterpart that shows something, so that a blind test would fail.
"""

import contextlib
import gzip
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import docker
import psutil
import pytest

from dockernb.errors import BuildError, HostError, UnavailableError
from dockernb.labhost import LabHost, container, debian, engine, rootfs, start
from dockernb.labhost.features import features
from tests.support import engine as native
from tests.support.engine import Engine
from tests.support.learner import learner as learner_with
from tests.support.waiting import wait_for

OUTSIDE = "203.0.113.9"  # reserved for documentation (RFC 5737); here an address of the learner's machine
TOOLBOX = "dockernb/toolbox"

needs_engine = pytest.mark.skipif(bool(native.why_not()), reason=native.why_not())


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as page:
            return bool(page.status == 200)
    except OSError:  # nginx has not begun
        return False


# --- Engines and lab hosts ---


@pytest.fixture(scope="module", params=["installed", "inner"])
def learner(request: pytest.FixtureRequest, built: pathlib.Path, tmp_path_factory: Any) -> Iterator[Engine]:
    """The learner's engine with the lab host in it; this thread is in its network namespace."""
    root = None if request.param == "installed" else built / "tree"
    with learner_with(built, root, tmp_path_factory.mktemp("home")) as outer:
        yield outer


@contextlib.contextmanager
def running(name: str = "lab", **options: Any) -> Iterator[LabHost]:
    host = start(name, provider="container", owner=os.getpid(), **options)
    try:
        yield host
    finally:
        host.stop()


@pytest.fixture(scope="module")
def host(learner: Engine) -> Iterator[LabHost]:
    with running() as lab:
        yield lab


def sh(host: LabHost, script: str, timeout: float = 30) -> str:
    """The output of a shell script on the lab host."""
    done = host.run(["sh", "-c", script], timeout=timeout)
    return (done.stdout + done.stderr).decode()


def in_container(host: LabHost, script: str, **options: Any) -> str:
    """The output of a shell script in a container of the lab host, however it exits."""
    client = host.client()
    made = client.containers.run(TOOLBOX, ["sh", "-c", script], detach=True, **options)
    try:
        made.wait(timeout=60)
        return str(made.logs().decode())
    finally:
        made.remove(force=True)
        client.close()


# --- What works in it ---


def test_another_engine_answers_over_tls(built: pathlib.Path, learner: Engine, host: LabHost) -> None:
    client = host.client()
    about = json.loads((built / "packages.json").read_text())
    assert (about["engine"], about["note"]) == (debian.DEFAULT_ENGINE, ""), "outputs are of one engine"
    assert about["packages"]["docker.io"].startswith(client.version()["Version"])
    assert learner.client().info()["ID"] != client.info()["ID"]
    assert {tag for image in client.images.list() for tag in image.tags} >= {
        f"dockernb/{name}:latest" for name in ("toolbox", "nginx", "postgres", "api", "web", "lb")
    }
    assert host.conditions["provider"] == "container"
    assert host.conditions["emulation"] == "native"


def test_networks_are_numbered_as_on_the_vm(host: LabHost) -> None:
    assert "docker0 172.17.0.1/16" in sh(host, "ip -brief address | awk '{print $1, $3}'")
    made = host.client().networks.create("first")
    assert made.attrs["IPAM"]["Config"] == [{"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}]
    made.remove()


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_containers_of_every_kind_run(host: LabHost, runtime: str) -> None:
    assert in_container(host, "echo plain", runtime=runtime) == "plain\n"
    assert in_container(host, "echo limited", mem_limit="64m", pids_limit=50, runtime=runtime) == "limited\n"
    assert (
        in_container(host, "ip link add br9 type bridge && echo made", privileged=True, runtime=runtime)
        == "made\n"
    )
    assert in_container(
        host, "ls -d /proc/1/root/usr/lib/dockernb", pid_mode="host", privileged=True, runtime=runtime
    )
    assert in_container(host, "sysctl -n net.ipv4.ip_forward", sysctls={"net.ipv4.ip_forward": "0"}) == "0\n"


def test_an_ext4_volume_on_a_loop_device(host: LabHost) -> None:
    device = sh(
        host, "truncate -s 20M /root/disk && mke2fs -q /root/disk && losetup --find --show /root/disk"
    ).strip()
    client = host.client()
    volume = client.volumes.create("disk", driver_opts={"type": "ext4", "device": device})
    assert " ext4 " in in_container(host, "grep ' /v ' /proc/mounts", volumes={"disk": {"bind": "/v"}})
    volume.remove()
    sh(host, f"losetup -d {device}")


def test_features_are_those_of_the_kernel(host: LabHost) -> None:
    config = pathlib.Path("/proc/config.gz")
    if not config.exists():
        pytest.skip("this kernel does not tell its configuration in /proc/config.gz")
    built_in = set(gzip.decompress(config.read_bytes()).decode().splitlines())
    names = {
        "ip_vs": "IP_VS",
        "nfs": "NFS_FS",
        "overlay": "OVERLAY_FS",
        "netem": "NET_SCH_NETEM",
        "loop": "BLK_DEV_LOOP",
    }
    found = features(host)
    for feature, there in found.items():
        name = names.get(feature, feature.upper())
        assert there == (f"CONFIG_{name}=y" in built_in or f"CONFIG_{name}=m" in built_in), feature
    assert {"overlay", "bridge", "nfs", "dm_crypt"} <= set(found)


def test_images_can_be_removed_although_they_are_borrowed(learner: Engine) -> None:
    with running("other") as host:
        client = host.client()
        client.images.remove("dockernb/web:latest", force=True)
        client.images.remove("dockernb/web:1", force=True)
        assert "dockernb/web:latest" not in {tag for image in client.images.list() for tag in image.tags}
        host.reset()
        assert in_container(host, "echo still there") == "still there\n"
        assert host.client().images.get("dockernb/web:latest")


def test_a_published_port_opens_on_the_loopback(host: LabHost) -> None:
    client = host.client()
    web = client.containers.run("dockernb/nginx", detach=True, ports={"80/tcp": 8080})
    try:
        assert host.port(8080) == 8080
        assert wait_for(lambda: answers(host.url(8080)))
        with socket.create_connection(("127.0.0.1", 8080), timeout=10) as half:
            half.sendall(b"GET / HTTP/1.0\r\n\r\n")
            half.shutdown(socket.SHUT_WR)  # what was asked for is still answered
            assert half.recv(64).startswith(b"HTTP/1.1 200")
    finally:
        web.remove(force=True)
    assert wait_for(lambda: "8080/tcp" not in host.status()["ports"])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 8080), timeout=5)


def test_reset_gives_a_pristine_host_at_the_same_address(learner: Engine) -> None:
    with running("other") as host:
        old = host.client()
        old.containers.run(TOOLBOX, "sleep 60", detach=True, name="left")
        old.volumes.create("left")
        old.networks.create("left")
        address, engine_id = host.docker_host, old.info()["ID"]
        host.reset()
        new = host.client()
        assert host.docker_host == address
        assert new.info()["ID"] != engine_id
        assert not new.containers.list(all=True)
        assert not new.volumes.list()
        assert {network.name for network in new.networks.list()} == {"bridge", "host", "none"}
        assert host.status()["resets"] == 1
        assert len(learner.client().containers.list(filters={"label": "org.dockernb.host=other"})) == 1


def test_lab_hosts_on_one_segment(learner: Engine) -> None:
    with running("one", index=1) as one, running("two", index=2, hub="one") as two, running("three", index=1):
        assert "198.51.100.2/24" in sh(two, "ip address show eth1")
        # Whole frames of 1500 bytes, both ways.
        assert " 0% packet loss" in sh(one, "ping -c 3 -i 0.2 -M do -s 1472 198.51.100.2")
        assert " 0% packet loss" in sh(two, "ping -c 3 -i 0.2 -M do -s 1472 198.51.100.1")
        # It is a wire, not a subnet: another address, another MAC address, and IPv6.
        sh(one, "ip link add link eth1 name mac type macvlan mode bridge")
        sh(one, "ip address add 10.9.9.1/24 dev mac && ip link set mac up")
        sh(two, "ip address add 10.9.9.2/24 dev eth1; ip address add fd09::2/64 dev eth1 nodad")
        sh(one, "ip address add fd09::1/64 dev eth1 nodad")
        assert " 0% packet loss" in sh(two, "ping -c 3 -i 0.2 10.9.9.1")
        assert " 0% packet loss" in sh(one, "ping -6 -c 3 -i 0.2 fd09::2")
        # `three` has the same address on a segment of its own: nobody has seen it.
        assert "00:00:01:02" in sh(one, "ip neighbour show dev eth1 198.51.100.2")
        assert sh(one, "ip neighbour show dev eth1 | grep -c '198.51.100.1 '").strip() == "0"
        one.reset()
        assert " 0% packet loss" in sh(two, "ping -c 3 -i 0.2 -w 10 198.51.100.1")


def test_a_swarm_over_the_segment(learner: Engine) -> None:
    with running("one", index=1) as one, running("two", index=2, hub="one") as two:
        manager, worker = one.client(), two.client()
        manager.swarm.init(advertise_addr="198.51.100.1")
        token = manager.swarm.attrs["JoinTokens"]["Worker"]
        worker.swarm.join(["198.51.100.1:2377"], token, advertise_addr="198.51.100.2")
        manager.networks.create("over", driver="overlay", attachable=True)
        target = manager.containers.run(TOOLBOX, "sleep 100", detach=True, name="target", network="over")
        assert " 0% packet loss" in in_container(two, "ping -c 3 -i 0.2 -w 10 target", network="over")
        target.remove(force=True)


# --- What must not happen ---


def test_nobody_without_the_certificate(host: LabHost) -> None:
    port = int(host.docker_host.rpartition(":")[2])
    stranger = ssl.create_default_context(cafile=str(host.cert_path / "ca.pem"))
    with (
        pytest.raises((ssl.SSLError, ConnectionError)),
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        stranger.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        line.sendall(b"GET /version HTTP/1.0\r\n\r\n")
        assert not line.recv(100)
        raise ConnectionError("closed without an answer")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        plain.sendall(b"GET /version HTTP/1.0\r\n\r\n")
        assert b"ApiVersion" not in plain.recv(4096)
    own = [str(host.cert_path / name) for name in ("cert.pem", "key.pem")]
    with running("other") as other, pytest.raises(docker.errors.DockerException):
        other_ca = str(other.cert_path / "ca.pem")
        mine = docker.tls.TLSConfig(client_cert=(own[0], own[1]), ca_cert=other_ca, verify=True)
        docker.DockerClient(base_url=other.docker_host, tls=mine, timeout=10).ping()


def test_only_the_loopback_listens(learner: Engine, host: LabHost) -> None:
    table = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True, timeout=10).stdout
    listening = {line.split()[3].rpartition(":")[0] for line in table.splitlines()}
    assert listening == {"127.0.0.1"}


class Watch:
    """Every frame that comes from the lab hosts' network, and who reached the listeners outside."""

    def __init__(self, outer: Engine) -> None:
        network: Any = outer.client().networks.get("dockernb")
        self.frames: list[bytes] = []
        self.reached: list[str] = []
        self._line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._line.bind((f"br-{network.id[:12]}", 0))
        self._sockets = [
            socket.create_server((OUTSIDE, 8888)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        ]
        self._sockets[1].bind((OUTSIDE, 53))
        for work in (self._frames, self._tcp, self._udp):
            threading.Thread(target=work, daemon=True).start()

    def _frames(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                frame, (_, _, kind, *_) = self._line.recvfrom(65535)
                if kind != socket.PACKET_OUTGOING:
                    self.frames.append(frame)

    def _tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._sockets[0].accept()[0].close()
                self.reached.append("tcp")

    def _udp(self) -> None:
        with contextlib.suppress(OSError):
            while self._sockets[1].recv(2000):
                self.reached.append("udp")

    @property
    def leaks(self) -> list[str]:
        """Frames that are neither an answer of the API nor the ARP of the lab host's own card."""

        def harmless(frame: bytes) -> bool:
            arp = frame[12:14] == b"\x08\x06" and frame[28:31] == bytes((198, 18, 0))
            answer = frame[12:14] == b"\x08\x00" and frame[23] == 6 and frame[34:36] == (2376).to_bytes(2)
            return arp or answer

        return [frame.hex() for frame in self.frames if not harmless(frame)]

    def close(self) -> None:
        for line in (self._line, *self._sockets):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()


@pytest.fixture
def watch(learner: Engine, host: LabHost) -> Iterator[Watch]:
    subprocess.run(["ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo"], check=True, timeout=10)
    seen = Watch(learner)
    yield seen
    seen.close()
    subprocess.run(["ip", "address", "del", f"{OUTSIDE}/32", "dev", "lo"], check=True, timeout=10)


WAYS = [
    f"nc -w 1 -z {OUTSIDE} 8888",
    f"sh -c 'echo x | nc -u -w 1 {OUTSIDE} 53'",
    f"dig +time=1 +tries=1 @{OUTSIDE} example.org",
    "dig +time=1 +tries=1 @127.0.0.11 example.org",
    "getent hosts example.org",
    f"ping -c 1 -W 1 {OUTSIDE}",
    "ping -c 1 -W 1 198.18.0.1",
    "ping -c 1 -W 1 198.18.0.77",
    "nc -w 1 -z 198.18.0.1 8888",
    "ping -6 -c 1 -W 1 ff02::1%eth0",
]
TRY = "".join(f"timeout 2 {way} & " for way in WAYS) + "wait"


def try_all(host: LabHost) -> None:
    """Try to leave: from the Docker host itself, a bridge, the host network, and a macvlan on the outer card."""
    sh(host, TRY, timeout=60)
    in_container(host, TRY)
    in_container(host, TRY, network="host")
    client = host.client()
    pool = docker.types.IPAMPool(subnet="198.18.0.0/24", gateway="198.18.0.1", iprange="198.18.0.128/25")
    lan = client.networks.create(
        "lan", driver="macvlan", options={"parent": "eth0"}, ipam=docker.types.IPAMConfig(pool_configs=[pool])
    )
    in_container(host, TRY, network="lan")
    lan.remove()


def test_no_way_out(host: LabHost, watch: Watch) -> None:
    try_all(host)
    assert watch.reached == []
    assert watch.leaks == []
    assert watch.frames  # the API's answers: so the watch is not blind


def test_no_way_out_is_the_filters_doing(learner: Engine, watch: Watch) -> None:
    with running("open") as opened:
        sh(opened, "tc qdisc del dev eth0 clsact")
        try_all(opened)
    assert set(watch.reached) == {"tcp", "udp"}
    assert watch.leaks


def leftovers(outer: Engine) -> dict[str, set[str]]:
    client = outer.client()
    kept = f"dockernb-images-{rootfs.recipe_digest()[:12]}"
    return {
        "containers": {str(made.name) for made in client.containers.list(all=True)},
        "volumes": {str(made.name) for made in client.volumes.list()} - {kept},
        "networks": {str(made.name) for made in client.networks.list()},
    }


def test_a_killed_keeper_leaves_no_container_and_no_volume(learner: Engine) -> None:
    before = leftovers(learner)
    host = start("victim", provider="container", owner=os.getpid())
    during = leftovers(learner)
    assert len(during["containers"]) == len(before["containers"]) + 1
    assert len(during["volumes"]) == len(before["volumes"]) + 1
    os.kill(host.status()["keeper"], signal.SIGKILL)
    assert wait_for(lambda: leftovers(learner) == before)


def test_a_killed_lab_host_is_noticed(learner: Engine) -> None:
    host = start("victim", provider="container", owner=os.getpid())
    [made] = learner.client().containers.list(filters={"label": "org.dockernb.host=victim"})
    made.kill()
    assert wait_for((host.directory / "ended.json").exists)
    with pytest.raises(HostError, match="does not answer any more"):
        host.run(["true"])


def test_stop_leaves_nothing(learner: Engine) -> None:
    before = leftovers(learner)
    with running("short"):
        pass
    assert leftovers(learner) == before


def test_loop_devices_go_with_their_lab_host(learner: Engine) -> None:
    def files() -> list[str]:
        known = pathlib.Path("/sys/block").glob("loop*/loop/backing_file")
        return [file.read_text().strip() for file in known]

    with running("loops") as host:
        if not features(host)["loop"]:
            pytest.skip("this kernel has no loop devices")
        sh(
            host,
            "for name in idle mounted; do truncate -s 4M /srv/loops-$name; mkfs.ext4 -q /srv/loops-$name; done;"
            "losetup -f /srv/loops-idle; mount $(losetup -f --show /srv/loops-mounted) /mnt",
        )
        assert len([file for file in files() if "/srv/loops-" in file]) == 2
        host.reset()
        assert wait_for(lambda: not [file for file in files() if "/srv/loops-" in file])


def test_what_was_brought_into_the_engine_can_be_removed_and_brought_again(
    learner: Engine, host: LabHost
) -> None:
    outer = learner.client()
    with pytest.raises(HostError, match="'lab' still runs: `dockernb stop` it first"):
        container.clean(learner.docker_host)
    assert container.prepared(outer)
    host.stop()
    outer.api.tag("dockernb/labhost:" + rootfs.recipe_digest()[:12], "dockernb/labhost", "unfinished-x")
    container.clean(learner.docker_host)
    assert not outer.images.list()
    assert not outer.volumes.list()
    container.prepare(learner.docker_host, lambda text, fraction: None)
    assert container.prepared(outer)


def test_the_network_goes_with_the_last_lab_host(built: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with native.engine() as outer, outer.network():
        client = outer.client()
        made = container._ensure_network(client)
        assert container._ensure_network(client).id == made.id
        subnet = made.attrs["IPAM"]["Config"][0]["Subnet"]
        container._remove_network(client)
        assert not client.networks.list(names=["dockernb"])
        pool = docker.types.IPAMPool(subnet=subnet)
        taken = client.networks.create("taken", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
        other = container._ensure_network(client)
        other.reload()
        assert other.attrs["IPAM"]["Config"][0]["Subnet"] != subnet
        container._remove_network(client)
        taken.remove()
        pool = docker.types.IPAMPool(subnet="198.18.0.0/15")
        client.networks.create("all", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
        with pytest.raises(HostError, match="is in use in your engine: remove a network"):
            container._ensure_network(client)


test_the_network_goes_with_the_last_lab_host = needs_engine(test_the_network_goes_with_the_last_lab_host)


# --- One sentence for each failure ---


class FakeEngine:
    """What _check asks of an engine."""

    def __init__(self, api: str = "1.41", **info: Any) -> None:
        self._api, self._info = api, {"OSType": "linux", "Architecture": "x86_64", **info}

    def info(self) -> dict[str, Any]:
        return self._info

    def version(self) -> dict[str, str]:
        return {"Version": "1.2.3", "ApiVersion": self._api}


@pytest.mark.parametrize(
    ("fake", "url", "sentence"),
    [
        (
            FakeEngine(SecurityOptions=["name=seccomp,profile=builtin", "name=rootless"]),
            "unix:///x",
            "is rootless",
        ),
        (FakeEngine(api="1.40"), "unix:///x", "Engine 1.2.3 is too old: install 20.10"),
        (FakeEngine(OSType="windows"), "unix:///x", "runs windows containers"),
        (FakeEngine(Architecture="s390x"), "unix:///x", "on s390x"),
        (FakeEngine(), "ssh://learner@elsewhere", "is on another computer"),
        (FakeEngine(), "tcp://192.0.2.1:2376", "is on another computer"),
    ],
)
def test_an_engine_that_cannot_hold_a_lab_host(fake: Any, url: str, sentence: str) -> None:
    with pytest.raises(UnavailableError, match=sentence):
        engine._check(fake, url)


def test_an_engine_that_can() -> None:
    fake: Any = FakeEngine(api="1.53")
    engine._check(fake, "unix:///var/run/docker.sock")
    engine._check(fake, "tcp://127.0.0.1:2375")


def test_no_engine_answers(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    url, problem = container.find_engine()
    assert url is None
    assert (
        problem
        == f"No Docker Engine listens at unix://{tmp_path}/none.sock: start it, or use the vm provider."
    )
    silent = socket.socket(socket.AF_UNIX)
    silent.bind(str(tmp_path / "dead.sock"))  # nobody listens
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/dead.sock")
    assert "does not answer: start it" in container.find_engine()[1]
    silent.close()


def test_a_lab_host_is_not_the_learners_engine(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert engine._engine_url() == "tcp://127.0.0.1:1"
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "dockernb/hosts/lab"))  # as `dockernb env` says
    assert engine._engine_url() == "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        ("write /var/lib/docker/x: no space left on device", "Your engine's disk became full"),
        (
            "OCI runtime create failed: unable to apply caps: operation not permitted",
            "refuses what a lab host needs",
        ),
        ("mount /sys: Permission denied", "perhaps by AppArmor or SELinux"),
        ("something new", "Your engine says: something new."),
    ],
)
def test_what_an_engine_complains_about(error: str, sentence: str) -> None:
    assert sentence in engine.sentence(error)
    with pytest.raises(BuildError, match=sentence[:20]):
        container._complain(f'{{"status": "x"}}\n{json.dumps({"error": error})}\n')


# --- The engine for tests itself ---


@needs_engine
def test_the_native_engine_goes_with_its_test_process() -> None:
    source = """
        import sys
        from tests.support.engine import engine
        with engine() as native:
            print(native.directory, native.pid, flush=True)
            sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    assert child.stdout
    words = child.stdout.readline().split()
    directory, pid = pathlib.Path(words[0]), int(words[1])
    inside = pathlib.Path(f"/proc/{pid}/ns/net").readlink()
    assert inside != pathlib.Path("/proc/self/ns/net").readlink()
    cgroups = [path / directory.name for path, *_ in native.hierarchies()]
    assert all(cgroup.is_dir() for cgroup in cgroups)
    child.kill()
    child.wait(10)
    child.stdout.close()
    assert wait_for(lambda: not directory.exists())
    assert not any(cgroup.exists() for cgroup in cgroups)
    assert directory.name not in pathlib.Path("/proc/mounts").read_text()
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            assert pathlib.Path(f"/proc/{process.pid}/ns/net").readlink() != inside
