"""The CLI twin against a real engine: the SDK call and the line made of it leave the same behind.

Each case runs the SDK call, keeps what ``inspect`` says, cleans up, runs the lines with the real docker CLI
and compares. What is unique is masked, and what says the same in another way (see `plain`).
"""

from __future__ import annotations

import contextlib
import io
import platform
import re
import shutil
import struct
import subprocess
import tarfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import docker
import docker.types
import pytest
import requests
from docker.types import IPAMConfig, IPAMPool, Mount, ServiceMode

from dockernb.session import twin
from tests.support.engine import Engine, engine, why_not
from tests.support.inspected import flat, plain

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
    pytest.mark.skipif(
        not shutil.which("docker"), reason="no docker command here: apt-get install docker-cli"
    ),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the test image holds x86-64 machine code"),
]


def program(code: bytes) -> bytes:
    """A static ELF file around a few instructions (System V ABI, one loadable segment)."""
    base, size = 0x400000, 120 + len(code)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + code


PAUSE = program(b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7")  # pause(2) for ever
LEAVE = program(b"\xb8\xe7\x00\x00\x00\x31\xff\x0f\x05")  # exit_group(0)


def image() -> bytes:
    """A root file system with the two programs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in {"pause": PAUSE, "leave": LEAVE}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


class Recording(docker.APIClient):
    """docker-py's client that hands every request to a recorder."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.recorder = twin.Recorder()
        super().__init__(*args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = super().send(request, **kwargs)
        url = urllib.parse.urlsplit(str(request.url))
        query = dict(urllib.parse.parse_qsl(url.query))
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        answer = response.json() if is_json and not kwargs.get("stream") else None
        self.recorder.record(str(request.method), url.path, query, request.body, response.status_code, answer)
        return response


NODE = {"Availability": "active", "Role": "manager", "Labels": {}}
"""The specification of a fresh swarm's node."""


class Bench:
    """One engine, docker-py on it with a recorder, and the real CLI."""

    def __init__(self, native: Engine) -> None:
        self.host = native.docker_host
        self.docker = native.client()
        self.docker.api = Recording(base_url=self.host, version=self.docker.api._version)

    @property
    def recorder(self) -> twin.Recorder:
        return self.docker.api.recorder  # type: ignore[no-any-return]

    def shell(self, line: str) -> str:
        """Run a line as a learner would."""
        done = subprocess.run(
            ["sh", "-c", line],
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "DOCKER_HOST": self.host,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        return done.stdout

    def networks(self) -> list[dict[str, Any]]:
        """The networks that someone made; the swarm's own stay. An overlay network gets its parts in a moment."""
        deadline = time.monotonic() + 10
        while True:
            found = self.docker.api.networks(filters={"type": "custom"})
            if all(n["Driver"] for n in found) or time.monotonic() > deadline:
                return [n for n in found if n["Name"] not in {"docker_gwbridge", "ingress"}]
            time.sleep(0.05)

    def seen(self) -> dict[str, Any]:
        """Everything on the engine, by kind and name."""
        api = self.docker.api
        found: dict[str, Any] = {}
        for item in api.containers(all=True):
            if "com.docker.swarm.service.id" in item["Labels"]:
                continue  # a service's task: it comes and goes in its own time
            data = api.inspect_container(item["Id"])
            found["container " + data["Name"]] = data
            for number, identity in enumerate(data.get("ExecIDs") or ()):
                found[f"exec {number} in {data['Name']}"] = api.exec_inspect(identity)
        for item in self.networks():
            found["network " + item["Name"]] = api.inspect_network(item["Id"])
        for item in api.volumes()["Volumes"] or ():
            found["volume " + item["Name"]] = item
        if self.swarming():
            for item in api.services():
                found["service " + item["Spec"]["Name"]] = api.inspect_service(
                    item["ID"], insert_defaults=True
                )
            for node in api.nodes():
                if node["Spec"] != NODE:
                    found["node " + node["ID"]] = node["Spec"]
        return found

    def clear(self) -> None:
        """Back to nothing, but for the image and the swarm. A service's tasks go some moments after it."""
        api = self.docker.api
        deadline = time.monotonic() + 20
        while self.seen():
            assert time.monotonic() < deadline, f"still there: {list(self.seen())}"
            if self.swarming():
                for item in api.services():
                    self.gone(api.remove_service, item["ID"])
                for node in api.nodes():
                    if node["Spec"] != NODE:
                        self.gone(api.update_node, node["ID"], node["Version"]["Index"], NODE)
            for item in api.containers(all=True):
                self.gone(api.remove_container, item["Id"], v=True, force=True)
            for item in self.networks():
                self.gone(api.remove_network, item["Id"])
            for item in api.volumes()["Volumes"] or ():
                self.gone(api.remove_volume, item["Name"])

    def swarming(self) -> bool:
        """Whether the engine is a swarm's node."""
        return bool(self.docker.api.info()["Swarm"]["LocalNodeState"] == "active")

    @staticmethod
    def gone(remove: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Remove something that may be going away by itself."""
        with contextlib.suppress(docker.errors.APIError):
            remove(*args, **kwargs)


@pytest.fixture(scope="module")
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The lab host's own engine if tests/engine/test_container_provider.py left its tree, else the installed one."""
    trees = request.config.cache.mkdir("labhost").glob("*/tree/usr/sbin/dockerd")
    root = next((tree.parents[2] for tree in trees), None)
    with engine(root) as native:
        made = Bench(native)
        made.docker.api.import_image_from_data(image(), repository="tiny", tag="latest")
        yield made


@pytest.fixture(autouse=True)
def _fresh(bench: Bench) -> Iterator[None]:
    yield
    bench.clear()
    bench.recorder.take()


def same(bench: Bench, act: Callable[[docker.DockerClient], Any]) -> list[str]:
    """Run the SDK's way and the CLI's way, compare what is there after each; the lines are returned."""
    bench.recorder.take()
    act(bench.docker)
    lines = bench.recorder.take().lines
    assert lines
    assert not [line for line in lines if line.startswith("#")]
    by_sdk = plain(bench.seen())
    bench.clear()
    for line in lines:
        bench.shell(line)
    by_cli = plain(bench.seen())
    assert flat(by_cli) == flat(by_sdk), "\n".join(lines)
    assert by_sdk
    return lines


# ---------------------------------------------------------------- the cases


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"driver": "bridge", "internal": True, "labels": {"a": "b c", "flag": ""}},
        {"driver": "bridge", "attachable": True, "options": {"com.docker.network.driver.mtu": "1400"}},
        {
            "options": {
                "com.docker.network.bridge.name": "br-lab",
                "com.docker.network.bridge.enable_icc": "false",
            }
        },
        {"ipam": IPAMConfig(pool_configs=[IPAMPool("10.71.0.0/24", "10.71.0.128/25", "10.71.0.1")])},
        {
            "enable_ipv6": True,
            "ipam": IPAMConfig(
                pool_configs=[
                    IPAMPool("10.72.0.0/24", None, "10.72.0.9", {"one": "10.72.0.1", "two": "10.72.0.2"}),
                    IPAMPool("2001:db8:72::/64", None, "2001:db8:72::9"),
                ]
            ),
        },
    ],
)
def test_network_create(bench: Bench, options: dict[str, Any]) -> None:
    same(bench, lambda d: d.networks.create("net", **options))


def test_networks_of_the_three_tier_lab(bench: Bench) -> None:
    def act(d: docker.DockerClient) -> None:
        back, data = (
            d.networks.create(
                name,
                driver="bridge",
                internal=True,
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet, gateway=gateway)]),
            )
            for name, subnet, gateway in (
                ("backend-network", "172.21.0.0/24", "172.21.0.1"),
                ("database-network", "172.22.0.0/24", "172.22.0.1"),
            )
        )
        address = d.api.create_endpoint_config(ipv4_address="172.22.0.10", aliases=["db"])
        d.containers.run(
            "tiny",
            "/pause",
            name="postgres-db",
            detach=True,
            network="database-network",
            networking_config={"database-network": address},
            environment={"POSTGRES_PASSWORD": "it's a $ecret"},
        )
        api = d.containers.create("tiny", "/pause", name="api-server", network="backend-network")
        data.connect(api, ipv4_address="172.22.0.11", aliases=["api", "app"])
        api.start()
        back.disconnect(api)
        back.connect(api)

    lines = same(bench, act)
    assert len(lines) == 8
    assert lines[2].startswith("docker run -d --name postgres-db --network database-network --ip 172.22.0.10")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ports": {"80/tcp": 8080, "53/udp": ("127.0.0.1", 5353), "81/tcp": None, "82/tcp": [8082, 8083]}},
        {"publish_all_ports": True},
        {"volumes": {"data": {"bind": "/data", "mode": "rw"}, "/tmp": {"bind": "/host", "mode": "ro"}}},
        {"volumes": {"/tmp": {"bind": "/b", "mode": "ro", "propagation": "rslave"}}},
        {"mounts": [Mount("/d", "vol", read_only=True, no_copy=True, labels={"a": "b"})]},
        {"mounts": [Mount("/d", "/tmp", type="bind", read_only=True, propagation="rslave")]},
        {"mounts": [Mount("/t", None, type="tmpfs", tmpfs_size="64m", tmpfs_mode=0o1770)]},
        {
            "mounts": [
                Mount(
                    "/m",
                    "ram",
                    driver_config=docker.types.DriverConfig(
                        "local", {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000"}
                    ),
                )
            ]
        },
        {"tmpfs": {"/run": "size=64m,noexec", "/scratch": ""}},
        {"cap_add": ["NET_ADMIN"], "cap_drop": ["MKNOD"], "security_opt": ["seccomp=unconfined"]},
        {"privileged": True},
        {"read_only": True, "init": False, "tty": True, "stdin_open": True},
        {"network_mode": "host"},
        {"network_mode": "none"},
        {"network_mode": "bridge"},
        {"restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3}},
        {"restart_policy": {"Name": "always"}},
        {"auto_remove": True},
        {"hostname": "box", "domainname": "lan", "user": "1000:1000", "working_dir": "/"},
        {"mem_limit": "64m", "memswap_limit": "128m", "shm_size": "16m", "mem_reservation": "32m"},
        {"nano_cpus": 500_000_000, "cpuset_cpus": "0", "pids_limit": 50},
        {"cpu_quota": 50_000, "cpu_period": 100_000, "cpu_shares": 512},
        {"ulimits": [docker.types.Ulimit(name="nofile", soft=1024, hard=2048)]},
        {"devices": ["/dev/null", "/dev/zero:/dev/nought:r"], "device_cgroup_rules": ["c 1:3 rwm"]},
        {"sysctls": {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.disable_ipv6": "0"}},
        {"dns": ["10.0.0.53"], "dns_search": ["lab"], "dns_opt": ["ndots:1"]},
        {"extra_hosts": {"db": "10.0.0.2"}},
        {"pid_mode": "host", "ipc_mode": "shareable", "uts_mode": "host"},
        {"group_add": [10], "stop_signal": "SIGKILL", "runtime": "runc", "oom_score_adj": 100},
        {"log_config": docker.types.LogConfig(type="json-file", config={"max-size": "1m"})},
        {"healthcheck": {"test": "exit 0", "interval": 5 * 10**9, "timeout": 15 * 10**8, "retries": 3}},
        {"healthcheck": {"test": ["NONE"]}},
        {"labels": {"tier": "web", "say": 'a "quoted" $word', "flag": ""}},
        {"environment": {"A": "1", "EMPTY": "", "QUOTED": "it's\nhere"}},
        {"entrypoint": ["/pause", "one", "two"]},
        {"entrypoint": "/pause"},
    ],
)  # fmt: skip
def test_create(bench: Bench, options: dict[str, Any]) -> None:
    lines = same(
        bench, lambda d: d.containers.create("tiny", ["/pause", "a b", "$HOME"], name="box", **options)
    )
    assert len(lines) == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ports": {"80/tcp": ("127.0.0.1", 8080)}, "environment": {"A": "b"}},
        {"volumes": {"data": {"bind": "/data", "mode": "ro"}}, "tmpfs": {"/run": "size=1m"}},
        {"network_mode": "host", "cap_add": ["NET_ADMIN"]},
        {"network_mode": "none", "read_only": True},
        {"auto_remove": True, "stdin_open": True},
    ],
)
def test_run_detached(bench: Bench, options: dict[str, Any]) -> None:
    lines = same(bench, lambda d: d.containers.run("tiny", "/pause", name="box", detach=True, **options))
    assert lines[0].startswith("docker run -d --name box")
    assert len(lines) == 1


def test_run_in_another_ones_namespaces(bench: Bench) -> None:
    def act(d: docker.DockerClient) -> None:
        first = d.containers.run("tiny", "/pause", name="first", detach=True, ipc_mode="shareable")
        d.containers.run(
            "tiny",
            "/pause",
            name="second",
            detach=True,
            network_mode=f"container:{first.id}",
            pid_mode="container:first",
            ipc_mode=f"container:{first.id}",
            volumes_from=["first"],
        )

    assert "--network container:first" in same(bench, act)[1]


def test_run_in_the_foreground(bench: Bench) -> None:
    lines = same(bench, lambda d: d.containers.run("tiny", "/leave", name="kept"))
    assert lines == ["docker run --name kept tiny /leave"]
    bench.docker.containers.run("tiny", "/leave", name="gone", remove=True)
    lines = bench.recorder.take().lines
    assert lines[-1] == "docker run --name gone --rm tiny /leave"
    bench.clear()
    bench.shell(lines[-1])
    assert bench.seen() == {}


def life(*steps: Callable[[Any], Any]) -> Callable[[docker.DockerClient], None]:
    """A container that runs, and then the steps."""

    def act(d: docker.DockerClient) -> None:
        box = d.containers.run("tiny", "/pause", name="box", detach=True, stop_signal="SIGKILL")
        for step in steps:
            step(box)

    return act


@pytest.mark.parametrize(
    "steps",
    [
        [lambda c: c.pause()],
        [lambda c: c.pause(), lambda c: c.unpause()],
        [lambda c: c.stop(timeout=1)],
        [lambda c: c.kill()],
        [lambda c: c.kill("SIGKILL"), lambda c: c.start()],
        [lambda c: c.restart(timeout=1)],
        [lambda c: c.rename("crate")],
        [lambda c: c.rename("crate"), lambda c: c.kill()],
        [lambda c: c.exec_run(["/pause", "a b"], detach=True, user="1000", environment={"A": "b"})],
        [lambda c: c.exec_run("/leave", workdir="/")],
    ],
)  # fmt: skip
def test_life(bench: Bench, steps: list[Callable[[Any], Any]]) -> None:
    same(bench, life(*steps))


def test_removal_leaves_nothing(bench: Bench) -> None:
    def act(d: docker.DockerClient) -> None:
        d.volumes.create("kept")
        box = d.containers.run("tiny", "/pause", name="box", detach=True, volumes=["/anonymous"])
        box.remove(force=True, v=True)
        net = d.networks.create("gone")
        net.remove()
        d.volumes.create("gone").remove()

    assert same(bench, act)[-3:] == [
        "docker network rm gone",
        "docker volume create gone",
        "docker volume rm gone",
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"driver": "local", "labels": {"a": "b"}},
        {"driver": "local", "driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000"}},
    ],
)
def test_volume_create(bench: Bench, options: dict[str, Any]) -> None:
    same(bench, lambda d: d.volumes.create("disk", **options))


def test_prune(bench: Bench) -> None:
    def act(d: docker.DockerClient) -> None:
        d.networks.create("a", labels={"keep": "1"})
        d.networks.create("b")
        d.containers.create("tiny", "/leave", name="cc")
        d.volumes.create("vv", labels={"keep": "1"})
        d.containers.prune()
        d.networks.prune(filters={"label!": "keep"})
        d.volumes.prune(filters={"label!": "keep"})

    lines = same(bench, act)
    assert lines[-3:] == [
        "docker container prune -f",
        "docker network prune -f --filter 'label!=keep'",
        "docker volume prune -f --filter 'label!=keep'",
    ]


def test_looking(bench: Bench) -> None:
    """Lines that only look: the real CLI takes them."""
    d = bench.docker
    box = d.containers.run("tiny", "/pause", name="box", detach=True)
    net, volume = d.networks.create("net"), d.volumes.create("vol")
    bench.recorder.take()
    d.containers.list(all=True, filters={"name": "box", "status": ["running", "exited"]}, limit=5)
    d.networks.list(filters={"driver": "bridge"})
    d.volumes.list(filters={"name": "vol"})
    d.images.list("tiny", all=True, filters={"dangling": False})
    box.logs(tail=5, timestamps=True, since=1)
    box.top()
    box.diff()
    box.stats(stream=False)
    net.reload()
    volume.reload()
    d.images.get("tiny:latest")
    d.version()
    d.info()
    d.df()
    lines = bench.recorder.take().lines
    assert len(lines) == 14
    for line in lines:
        assert not line.startswith("#")
        assert bench.shell(line) or line.startswith(("docker logs", "docker diff"))


@pytest.fixture(scope="module")
def swarm(bench: Bench) -> Iterator[Bench]:
    """The engine as a swarm of one node."""
    bench.recorder.take()
    bench.docker.swarm.init(
        advertise_addr="127.0.0.1", task_history_retention_limit=3, dispatcher_heartbeat_period=3_000_000_000
    )
    line = bench.recorder.take().lines[0]
    assert line == (
        "docker swarm init --advertise-addr 127.0.0.1 --task-history-limit 3 --dispatcher-heartbeat 3s"
    )
    by_sdk = plain(bench.docker.api.inspect_swarm()["Spec"])
    bench.docker.swarm.leave(force=True)
    assert bench.recorder.take().lines == ["docker swarm leave --force"]
    bench.shell(line)
    assert flat(plain(bench.docker.api.inspect_swarm()["Spec"])) == flat(by_sdk)
    yield bench
    bench.shell("docker swarm leave --force")


def make_service(d: docker.DockerClient, **options: Any) -> Any:
    for mount in options.get("mounts", ()):  # the tasks would make them in their own time
        if not mount.startswith("/"):
            d.volumes.create(mount.split(":")[0])
    return d.services.create("tiny", name="web", **{"command": ["/pause"], **options})


@pytest.mark.parametrize(
    "act",
    [
        lambda d: d.networks.create("over", driver="overlay", attachable=True, options={"encrypted": ""}),
        lambda d: make_service(d, mode=ServiceMode("replicated", 2)),
        lambda d: make_service(d, mode="global", labels={"a": "b"}, container_labels={"c": "d"}),
        lambda d: make_service(
            d,
            args=["one", "a b"],
            env=["A=1"],
            mounts=["data:/data:ro", "/tmp:/host"],
            constraints=["node.role == manager"],
            maxreplicas=2,
            user="1000",
            workdir="/",
            hostname="box",
            tty=True,
            read_only=True,
            hosts={"db": "10.0.0.2"},
            dns_config=docker.types.DNSConfig(nameservers=["10.0.0.53"], search=["lab"], options=["ndots:1"]),
            healthcheck=docker.types.Healthcheck(test="exit 0", interval=5_000_000_000),
        ),
        lambda d: make_service(
            d,
            endpoint_spec=docker.types.EndpointSpec(mode="vip", ports={8080: 80, 5353: (53, "udp", "host")}),
            resources=docker.types.Resources(cpu_limit=500_000_000, mem_limit=64 << 20),
            restart_policy=docker.types.RestartPolicy("on-failure", 1_000_000_000, 3, 2_000_000_000),
            update_config=docker.types.UpdateConfig(1, 2_000_000_000, "pause", order="start-first"),
            rollback_config=docker.types.RollbackConfig(1, 2_000_000_000, "pause", order="stop-first"),
        ),
        lambda d: make_service(d).scale(2),
        lambda d: make_service(d).update(image="tiny:latest"),
        lambda d: d.nodes.list()[0].update(
            {"Availability": "drain", "Role": "manager", "Labels": {"disk": "ssd"}}
        ),
    ],
)  # fmt: skip
def test_swarm(swarm: Bench, act: Callable[[docker.DockerClient], Any]) -> None:
    assert "no line" not in " ".join(same(swarm, act))


def test_a_service_on_an_overlay_with_an_alias(swarm: Bench) -> None:
    def act(d: docker.DockerClient) -> None:
        d.networks.create("over", driver="overlay")
        make_service(d, networks=[docker.types.NetworkAttachmentConfig("over", aliases=["www"])])

    assert "--network name=over,alias=www" in same(swarm, act)[1]


def test_a_removed_service(swarm: Bench) -> None:
    def act(d: docker.DockerClient) -> None:
        make_service(d).remove()
        d.volumes.create("left")

    assert same(swarm, act)[1] == "docker service rm web"


def test_a_refusal_is_the_same_refusal(bench: Bench) -> None:
    pool = IPAMConfig(pool_configs=[IPAMPool("10.73.0.0/24")])
    bench.docker.networks.create("one", ipam=pool)
    bench.recorder.take()
    with pytest.raises(docker.errors.APIError):
        bench.docker.networks.create("two", ipam=pool)
    line, comment = bench.recorder.take().lines
    assert re.fullmatch(
        r"# refused \(403\): (.*: )?Pool overlaps with other one on this address space", comment
    )
    with pytest.raises(AssertionError, match="Pool overlaps with other one on this address space"):
        bench.shell(line)
