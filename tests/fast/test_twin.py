"""The CLI twin: what docker-py really sends (over a stand-in for the engine) and the lines made of it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import urllib.parse
from typing import Any

import docker
import docker.types
import pytest
import requests
import requests.adapters
from docker.types import IPAMConfig, IPAMPool, Mount, ServiceMode

from dockernb.model import Endpoint
from dockernb.session import networks, twin


class FakeEngine(requests.adapters.BaseAdapter):
    """Answers docker-py just enough, and hands every request to a recorder."""

    def __init__(self, recorder: twin.Recorder) -> None:
        super().__init__()
        self.recorder = recorder
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.refuse: dict[str, tuple[int, str]] = {}
        self.count = 0

    def close(self) -> None:
        pass

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        url = urllib.parse.urlsplit(str(request.url))
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = json.loads(request.body) if request.body else None
        path = re.sub(r"^/v[\d.]+", "", urllib.parse.unquote(url.path))
        status, answer = self.answer(str(request.method), path, query, body)
        response = requests.Response()
        response.status_code = status
        response.request = request
        response.url = str(request.url)
        response.headers["Content-Type"] = "application/json"
        response.raw = io.BytesIO(json.dumps(answer).encode())
        self.recorder.record(str(request.method), url.path, query, body, status, answer)
        return response

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        for pattern, refusal in list(self.refuse.items()):
            if re.fullmatch(pattern, f"{method} {path}"):
                del self.refuse[pattern]
                return refusal[0], {"message": refusal[1]}
        kind, _, rest = path.strip("/").partition("/")
        if method == "POST" and rest == "create" and kind != "images":
            name = query.get("name") or (body or {}).get("Name") or f"nameless{self.count}"
            return 201, self.make(kind, name, body)
        if method == "POST" and rest.endswith("/exec"):
            return 201, {"Id": self.identity("exec")}
        if method == "POST" and path == "/swarm/init":
            return 200, "node1"
        if method == "GET" and kind == "exec":
            return 200, {"ExitCode": 0}
        if method == "GET":
            return self.look(kind, rest)
        if rest.endswith("/wait"):
            return 200, {"StatusCode": 0}
        return 200, {}

    def look(self, kind: str, rest: str) -> tuple[int, Any]:
        if rest in {"", "json"}:
            found = [v for (k, _), v in self.objects.items() if k == kind]
            return 200, {"Volumes": found} if kind == "volumes" else found
        if kind in {"swarm", "system"}:
            return 200, {}
        if rest.endswith(("/logs", "/top", "/changes")):
            return 200, {}
        name = rest.removesuffix("/json")
        for (k, n), value in self.objects.items():
            if k == kind and name in {n, value.get("Id"), value.get("ID")}:
                return 200, value
        return 404, {"message": f"No such object: {name}"}

    def identity(self, name: str) -> str:
        self.count += 1
        return hashlib.sha256(f"{name}{self.count}".encode()).hexdigest()

    def make(self, kind: str, name: str, body: Any = None) -> dict[str, Any]:
        identity = self.identity(name)
        if kind in {"services", "nodes"}:
            made = {"ID": identity[:25], "Spec": body or {"Name": name}, "Version": {"Index": 7}}
        elif kind == "images":
            made = {"Id": "sha256:" + identity, "RepoTags": [name]}
        else:
            made = {
                "Id": identity,
                "Name": f"/{name}" if kind == "containers" else name,
                "Config": {"Tty": False},
            }
            made["HostConfig"] = {"LogConfig": {"Type": "json-file"}}
        self.objects[kind, name] = made
        return made


class Desk:
    """docker-py on the fake engine."""

    def __init__(self, version: str = "1.45") -> None:
        self.recorder = twin.Recorder()
        self.engine = FakeEngine(self.recorder)
        self.client = docker.DockerClient(base_url="http://127.0.0.1:1", version=version)
        self.client.api.mount("http://", self.engine)
        # Streams need a socket; the requests around them are docker-py's own.
        self.client.api._read_from_socket = lambda *_a, **_k: b""
        self.client.api._multiplexed_response_stream_helper = lambda _response: iter(())
        self.client.api._multiplexed_buffer_helper = lambda _response: iter(())

    def lines(self) -> list[str]:
        return self.recorder.take().lines


NFS = docker.types.DriverConfig("local", {"type": "nfs", "o": "addr=10.0.0.1,rw"})


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---------------------------------------------------------------- networks


def test_network_create(desk: Desk) -> None:
    desk.client.networks.create(
        "backend",
        driver="bridge",
        internal=True,
        attachable=True,
        enable_ipv6=True,
        options={"com.docker.network.driver.mtu": "1400"},
        labels={"tier": "2", "org.dockernb.lab": "06", "flag": ""},
        ipam=IPAMConfig(
            pool_configs=[
                IPAMPool("172.21.0.0/24", "172.21.0.128/25", "172.21.0.1", {"router": "172.21.0.129"}),
                IPAMPool("2001:db8::/64"),
            ]
        ),
    )
    assert desk.lines() == [
        "docker network create -d bridge --subnet 172.21.0.0/24 --ip-range 172.21.0.128/25 "
        "--gateway 172.21.0.1 --aux-address router=172.21.0.129 --subnet 2001:db8::/64 "
        "--internal --attachable --ipv6 -o com.docker.network.driver.mtu=1400 "
        "--label tier=2 --label flag backend"
    ]


def test_network_create_plain(desk: Desk) -> None:
    desk.client.networks.create("plain", check_duplicate=True)
    assert desk.lines() == ["docker network create plain"]


def test_connect_and_disconnect_use_names(desk: Desk) -> None:
    network = desk.client.networks.create("backend")
    container = desk.client.containers.create("img", name="api")
    desk.lines()
    network.connect(
        container, ipv4_address="172.21.0.10", aliases=["api", "backend-api"], links=[("db", "database")]
    )
    network.disconnect(container)
    network.disconnect("api", force=True)
    assert desk.lines() == [
        "docker network connect --ip 172.21.0.10 --alias api --alias backend-api --link db:database "
        "backend api",
        "docker network disconnect backend api",
        "docker network disconnect -f backend api",
    ]


def test_network_list_inspect_remove_prune(desk: Desk) -> None:
    desk.engine.make("networks", "front")
    desk.client.networks.list(filters={"driver": "bridge"}, greedy=True)
    desk.client.networks.get("front")
    desk.client.networks.get("front")
    assert desk.lines() == ["docker network ls --filter driver=bridge", "docker network inspect front"]
    desk.client.networks.get("front").remove()
    desk.client.networks.prune(filters={"label": ["a=b"]})
    assert desk.lines() == ["docker network rm front", "docker network prune -f --filter label=a=b"]


# ---------------------------------------------------------------- containers


def test_run_detached_is_one_line(desk: Desk) -> None:
    desk.client.containers.run(
        "dockernb/postgres",
        name="postgres-db",
        detach=True,
        network="database-network",
        networking_config={
            "database-network": desk.client.api.create_endpoint_config(
                ipv4_address="172.22.0.10", aliases=["db"]
            )
        },
        environment={"POSTGRES_PASSWORD": "s3cret & more", "POSTGRES_DB": "app"},
        labels={"org.dockernb.session": "x"},
    )
    assert desk.lines() == [
        "docker run -d --name postgres-db --network database-network --ip 172.22.0.10 --network-alias db "
        "-e 'POSTGRES_PASSWORD=s3cret & more' -e POSTGRES_DB=app dockernb/postgres"
    ]


def test_create_connect_start_stays_three_lines(desk: Desk) -> None:
    network = desk.client.networks.create("database-network")
    desk.lines()
    api = desk.client.containers.create("dockernb/api", name="api-server", network="backend-network")
    network.connect(api)
    api.start()
    assert desk.lines() == [
        "docker create --name api-server --network backend-network dockernb/api",
        "docker network connect database-network api-server",
        "docker start api-server",
    ]


def test_two_created_then_started_keep_their_order(desk: Desk) -> None:
    one = desk.client.containers.create("i", name="one", detach=True)
    two = desk.client.containers.create("i", name="two", detach=True)
    one.start()
    two.start()
    assert desk.lines() == [
        "docker create --name one i",
        "docker run -d --name two i".replace("run -d", "create"),
        "docker start one",
        "docker start two",
    ]


def test_run_in_the_foreground(desk: Desk) -> None:
    desk.client.containers.run("img", ["sh", "-c", "echo $HOME"], remove=True, name="once")
    assert desk.lines() == ["docker run --name once --rm img sh -c 'echo $HOME'"]
    desk.client.containers.run("img", "true", name="kept")
    assert desk.lines() == ["docker run --name kept img true"]


def test_start_and_wait_by_hand_is_not_a_run(desk: Desk) -> None:
    container = desk.client.containers.create("img", "true", name="mine")
    container.start()
    container.wait()
    assert desk.lines() == ["docker create --name mine img true", "docker start mine", "docker wait mine"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ports": {"80/tcp": 8080}}, "-p 8080:80"),
        ({"ports": {80: ("127.0.0.1", 8080)}}, "-p 127.0.0.1:8080:80"),
        ({"ports": {"53/udp": 5353}}, "-p 5353:53/udp"),
        ({"ports": {"80/tcp": None}}, "-p 80"),
        ({"ports": {"80/tcp": ("127.0.0.1",)}}, "-p 127.0.0.1::80"),
        ({"ports": {"80/tcp": [8080, 8081]}}, "-p 8080:80 -p 8081:80"),
        ({"ports": {"80/tcp": ("::1", 8080)}}, "-p '[::1]:8080:80'"),
        ({"publish_all_ports": True}, "-P"),
        ({"volumes": {"data": {"bind": "/data", "mode": "rw"}}}, "-v data:/data"),
        ({"volumes": {"/srv": {"bind": "/srv", "mode": "ro"}}}, "-v /srv:/srv:ro"),
        ({"volumes": ["/anonymous"]}, "-v /anonymous"),
        ({"volumes": {"/a": {"bind": "/b", "mode": "ro", "propagation": "rslave"}}}, "-v /a:/b:ro,rslave"),
        ({"volumes_from": ["other:ro"]}, "--volumes-from other:ro"),
        ({"mounts": [Mount("/d", "vol")]}, "--mount type=volume,source=vol,target=/d"),
        ({"mounts": [Mount("/d", "/s", type="bind", read_only=True, propagation="rshared")]},
         "--mount type=bind,source=/s,target=/d,readonly,bind-propagation=rshared"),
        ({"mounts": [Mount("/t", None, type="tmpfs", tmpfs_size="64m", tmpfs_mode=0o1770)]},
         "--mount type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770"),
        ({"mounts": [Mount("/n", "nfs", no_copy=True, labels={"a": "b"}, driver_config=NFS)]},
         """--mount 'type=volume,source=nfs,target=/n,volume-nocopy,volume-label=a=b,volume-driver=local,"""
         """volume-opt=type=nfs,"volume-opt=o=addr=10.0.0.1,rw"'"""),
        ({"tmpfs": {"/run": "size=64m,noexec", "/tmp": ""}}, "--tmpfs /run:size=64m,noexec --tmpfs /tmp"),
        ({"cap_add": ["NET_ADMIN", "SYS_TIME"], "cap_drop": ["ALL"]},
         "--cap-add NET_ADMIN --cap-add SYS_TIME --cap-drop ALL"),
        ({"privileged": True}, "--privileged"),
        ({"security_opt": ["seccomp=unconfined"]}, "--security-opt seccomp=unconfined"),
        ({"read_only": True}, "--read-only"),
        ({"network_mode": "host"}, "--network host"),
        ({"network_mode": "none"}, "--network none"),
        ({"network_mode": "container:web"}, "--network container:web"),
        ({"restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3}}, "--restart on-failure:3"),
        ({"restart_policy": {"Name": "unless-stopped"}}, "--restart unless-stopped"),
        ({"auto_remove": True}, "--rm"),
        ({"remove": True}, "--rm"),
        ({"init": True}, "--init"),
        ({"hostname": "box", "domainname": "lan"}, "-h box --domainname lan"),
        ({"user": 1000, "working_dir": "/srv"}, "-u 1000 -w /srv"),
        ({"tty": True, "stdin_open": True}, "-t -i"),
        ({"mem_limit": "64m", "memswap_limit": -1, "shm_size": "1g"},
         "-m 64m --memory-swap -1 --shm-size 1g"),
        ({"mem_limit": 1000}, "-m 1000"),
        ({"nano_cpus": 500_000_000, "cpuset_cpus": "0,1", "pids_limit": 50},
         "--cpus 0.5 --cpuset-cpus 0,1 --pids-limit 50"),
        ({"cpu_quota": 50_000, "cpu_period": 100_000, "cpu_shares": 512},
         "--cpu-shares 512 --cpu-period 100000 --cpu-quota 50000"),
        ({"device_write_bps": [{"Path": "/dev/sda", "Rate": 1048576}]},
         "--device-write-bps /dev/sda:1048576"),
        ({"ulimits": [docker.types.Ulimit(name="nofile", soft=1024, hard=2048)]},
         "--ulimit nofile=1024:2048"),
        ({"devices": ["/dev/fuse", "/dev/sda:/dev/xvda:r"]},
         "--device /dev/fuse --device /dev/sda:/dev/xvda:r"),
        ({"device_cgroup_rules": ["c 1:3 rwm"]}, "--device-cgroup-rule 'c 1:3 rwm'"),
        ({"sysctls": {"net.ipv4.ip_forward": 1}}, "--sysctl net.ipv4.ip_forward=1"),
        ({"dns": ["10.0.0.53"], "dns_search": ["lab"], "dns_opt": ["ndots:1"]},
         "--dns 10.0.0.53 --dns-search lab --dns-option ndots:1"),
        ({"extra_hosts": {"db": "10.0.0.2"}}, "--add-host db:10.0.0.2"),
        ({"links": {"db": "database"}}, "--link db:database"),
        ({"pid_mode": "host", "ipc_mode": "shareable", "uts_mode": "host", "cgroupns": "private"},
         "--pid host --ipc shareable --uts host --cgroupns private"),
        ({"pid_mode": "container:web"}, "--pid container:web"),
        ({"group_add": [10, "video"]}, "--group-add 10 --group-add video"),
        ({"stop_signal": "SIGQUIT", "runtime": "runc"}, "--stop-signal SIGQUIT --runtime runc"),
        ({"log_config": docker.types.LogConfig(type="json-file", config={"max-size": "1m"})},
         "--log-driver json-file --log-opt max-size=1m"),
        ({"healthcheck": {"test": "pg_isready -q", "interval": 5_000_000_000, "timeout": 500_000_000,
                          "retries": 3}},
         "--health-cmd 'pg_isready -q' --health-interval 5s --health-timeout 500ms --health-retries 3"),
        ({"healthcheck": {"test": ["NONE"]}}, "--no-healthcheck"),
        ({"labels": {"tier": "web"}}, "--label tier=web"),
        ({"labels": ["flag"]}, "--label flag"),
        ({"storage_opt": {"size": "1G"}}, "--storage-opt size=1G"),
        ({"environment": ["A=1", "B"]}, "-e A=1 -e B"),
        ({"environment": {"EMPTY": "", "UNSET": None}}, "-e EMPTY= -e UNSET"),
        ({"mac_address": "02:42:ac:11:00:02"}, "--mac-address 02:42:ac:11:00:02"),
        ({"platform": "linux/amd64"}, "--platform linux/amd64"),
        ({"oom_score_adj": 100, "mem_swappiness": 0}, "--memory-swappiness 0 --oom-score-adj 100"),
    ],
)  # fmt: skip
def test_run_options(desk: Desk, options: dict[str, Any], words: str) -> None:
    desk.client.containers.run("img", "sleep 9", detach=True, **options)
    assert desk.lines() == [f"docker run -d {words} img sleep 9"]


def test_several_endpoints_at_create(desk: Desk) -> None:
    make = desk.client.api.create_endpoint_config
    desk.client.containers.run(
        "img",
        name="api",
        detach=True,
        network="backend",
        networking_config={
            "database": make(aliases=["api-db"]),
            "backend": make(ipv4_address="172.21.0.10", driver_opt={"com.x": "1"}),
        },
    )
    assert desk.lines() == [
        "docker run -d --name api --network name=backend,ip=172.21.0.10,driver-opt=com.x=1 "
        "--network name=database,alias=api-db img"
    ]


def test_the_network_that_gives_the_default_route(desk: Desk) -> None:
    """The SDK has no word for it, but passes it on; who is connected again keeps it."""
    priority = {"GwPriority": 1}
    desk.client.containers.run(
        "img", name="api", detach=True, network="backend", networking_config={"backend": priority}
    )
    networks.connect(
        desk.client, "database", "api", Endpoint("database", "", aliases=("db",), gateway_priority=2)
    )
    assert desk.lines() == [
        "docker run -d --name api --network name=backend,gw-priority=1 img",
        "docker network connect --alias db --gw-priority 2 database api",
    ]


def test_entrypoint(desk: Desk) -> None:
    desk.client.containers.create("img", "world", entrypoint="echo 'hello there'")
    desk.client.containers.create("img", entrypoint=[""])
    assert desk.lines() == [
        "docker create --entrypoint echo img 'hello there' world",
        "docker create --entrypoint '' img",
    ]


def test_an_image_object_is_named_by_its_tag(desk: Desk) -> None:
    desk.engine.make("images", "dockernb/toolbox:latest")
    image = desk.client.images.get("dockernb/toolbox:latest")
    desk.lines()
    desk.client.containers.run(image, detach=True)
    assert desk.lines() == ["docker run -d dockernb/toolbox:latest"]


def test_life_of_a_container(desk: Desk) -> None:
    box = desk.client.containers.create("img", name="box")
    desk.lines()
    box.start()
    box.pause()
    box.unpause()
    box.restart(timeout=3)
    box.kill(signal="SIGHUP")
    box.stop(timeout=1)
    box.stop()
    box.rename("crate")
    box.remove(v=True, force=True)
    assert desk.lines() == [
        "docker start box",
        "docker pause box",
        "docker unpause box",
        "docker restart -t 3 box",
        "docker kill -s SIGHUP box",
        "docker stop -t 1 box",
        "docker stop box",
        "docker rename box crate",
        "docker rm -f -v crate",
    ]


def test_the_same_act_twice_is_two_lines(desk: Desk) -> None:
    box = desk.client.containers.create("img", name="box")
    desk.lines()
    box.restart(timeout=1)
    box.restart(timeout=1)
    assert desk.lines() == ["docker restart -t 1 box"] * 2


def test_looking_at_containers(desk: Desk) -> None:
    desk.engine.make("containers", "one")
    box = desk.client.containers.create("img", name="box")
    desk.lines()
    desk.client.containers.list(all=True, filters={"label": "a=b", "status": ["running", "exited"]})
    box.logs(tail=20, timestamps=True)
    box.top(ps_args="-o pid")
    box.diff()
    box.reload()
    desk.client.containers.prune()
    assert desk.lines() == [
        "docker ps -a --filter label=a=b --filter status=running --filter status=exited",
        "docker logs -t --tail 20 box",
        "docker top box -o pid",
        "docker diff box",
        "docker inspect box",
        "docker container prune -f",
    ]


def test_a_look_up_before_an_act_is_not_shown(desk: Desk) -> None:
    desk.engine.make("containers", "box")
    desk.client.containers.get("box").stop()
    assert desk.lines() == ["docker stop box"]


def test_a_look_after_an_act_is_shown(desk: Desk) -> None:
    desk.engine.make("containers", "box")
    box = desk.client.containers.get("box")
    box.stop()
    box.reload()
    assert desk.lines() == ["docker stop box", "docker inspect box"]


def test_an_existence_check_before_a_create_is_not_shown(desk: Desk) -> None:
    with pytest.raises(docker.errors.NotFound):
        desk.client.containers.get("box")
    desk.client.containers.run("img", name="box", detach=True)
    assert desk.lines() == ["docker run -d --name box img"]


def test_exec(desk: Desk) -> None:
    box = desk.client.containers.create("img", name="box")
    desk.lines()
    box.exec_run("sh -c 'ip addr'", user="root", workdir="/", environment={"A": "b c"}, privileged=True)
    box.exec_run(["nginx", "-s", "reload"], detach=True)
    assert desk.lines() == [
        "docker exec --privileged -u root -w / -e 'A=b c' box sh -c 'ip addr'",
        "docker exec -d box nginx -s reload",
    ]


def test_ids_of_an_earlier_cell_are_known(desk: Desk) -> None:
    box = desk.client.containers.run("img", name="box", detach=True)
    desk.lines()
    desk.client.api.stop(box.short_id)
    desk.client.api.kill(box.id)
    assert desk.lines() == ["docker stop box", "docker kill box"]


def test_a_container_without_a_name_gets_the_one_the_engine_gave(desk: Desk) -> None:
    desk.client.containers.run("img", detach=True).stop()
    assert desk.lines() == ["docker run -d img", "docker stop nameless0"]


# ---------------------------------------------------------------- refusals and the unknown


def test_what_the_engine_refuses_is_said(desk: Desk) -> None:
    desk.engine.refuse["POST /networks/create"] = (403, "Pool overlaps with other one on this address space")
    with pytest.raises(docker.errors.APIError):
        desk.client.networks.create("again")
    assert desk.lines() == [
        "docker network create again",
        "# refused (403): Pool overlaps with other one on this address space",
    ]


def test_a_start_that_fails_is_a_run_that_fails(desk: Desk) -> None:
    desk.engine.refuse["POST /containers/.*/start"] = (500, "port is already allocated")
    with pytest.raises(docker.errors.APIError):
        desk.client.containers.run("img", name="web", ports={80: 80}, detach=True)
    assert desk.lines() == [
        "docker run -d --name web -p 80:80 img",
        "# refused (500): port is already allocated",
    ]


def test_a_name_in_use_is_a_run_that_fails(desk: Desk) -> None:
    desk.engine.refuse["POST /containers/create"] = (409, 'The container name "/web" is already in use')
    with pytest.raises(docker.errors.APIError):
        desk.client.containers.run("img", name="web", detach=True)
    assert desk.lines() == [
        "docker run -d --name web img",
        '# refused (409): The container name "/web" is already in use',
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"healthcheck": {"test": ["CMD", "true"]}}, "health check without a shell"),
        ({"network_disabled": True}, "no option for NetworkDisabled"),
        ({"device_requests": [docker.types.DeviceRequest(count=1)]}, "no option for DeviceRequests"),
        ({"ulimits": [docker.types.Ulimit(name="core", soft=1)]}, "no hard value"),
    ],
)
def test_what_has_no_option_is_a_comment_and_never_a_wrong_line(
    desk: Desk, options: dict[str, Any], says: str
) -> None:
    desk.client.containers.run("img", name="box", detach=True, **options)
    lines = desk.lines()
    assert lines[0].startswith("# POST /containers/create: ")
    assert says in lines[0]
    assert not any(line.startswith(("docker run", "docker create")) for line in lines)


def test_calls_without_a_line_are_comments(desk: Desk) -> None:
    box = desk.client.containers.create("img", name="box")
    desk.lines()
    box.resize(10, 20)
    box.put_archive("/etc", b"{}")
    desk.client.api.connect_container_to_network("box", "net", mac_address="02:00:00:00:00:01")
    assert desk.lines() == [
        "# POST /containers/box/resize: no line for this call here",
        "# PUT /containers/box/archive: docker cp FILES box:/etc, with the files that were sent",
        "# POST /networks/net/connect: the docker command line has no option for MacAddress",
    ]


# ---------------------------------------------------------------- volumes, images, system


def test_volumes(desk: Desk) -> None:
    volume = desk.client.volumes.create(
        "disk", driver="local", driver_opts={"type": "tmpfs", "o": "size=1m,uid=9"}, labels={"a": "b"}
    )
    desk.client.volumes.create()
    desk.client.volumes.list(filters={"dangling": True})
    desk.client.volumes.get("disk")
    volume.remove()
    desk.client.volumes.prune()
    desk.client.volumes.prune(filters={"all": True})
    lines = desk.lines()
    assert lines == [
        "docker volume create -d local -o type=tmpfs -o o=size=1m,uid=9 --label a=b disk",
        "docker volume create",
        "docker volume ls --filter dangling=true",
        "docker volume rm disk",
        "docker volume prune -f",
        "docker volume prune -f --all",
    ]


def test_the_digits_of_a_nameless_volume_are_its_name(desk: Desk) -> None:
    """The command line takes the first digits of an id, and only the whole of a name."""
    desk.client.volumes.create("5f" * 32)
    desk.client.volumes.get("5f" * 32).remove()
    assert desk.lines()[-1] == f"docker volume rm {'5f' * 32}"


def test_images(desk: Desk) -> None:
    desk.engine.make("images", "dockernb/web:latest")
    desk.client.images.list("dockernb/*", all=True)
    desk.client.images.get("dockernb/web:latest").tag("mine/web", tag="2")
    desk.client.images.remove("mine/web:2", force=True)
    desk.client.images.prune(filters={"dangling": False})
    assert desk.lines() == [
        "docker image ls -a 'dockernb/*'",
        "docker tag dockernb/web:latest mine/web:2",
        "docker image rm -f mine/web:2",
        "docker image prune -f --all",
    ]
    desk.client.api.pull("debian", tag="13")
    desk.client.images.get("dockernb/web:latest")
    assert desk.lines() == ["docker pull debian:13", "docker image inspect dockernb/web:latest"]


def test_system(desk: Desk) -> None:
    desk.client.ping()
    desk.client.version()
    desk.client.info()
    desk.client.df()
    assert desk.lines() == ["docker version", "docker info", "docker system df"]


# ---------------------------------------------------------------- swarm


def test_swarm(desk: Desk) -> None:
    desk.client.swarm.init(
        advertise_addr="10.0.0.1",
        default_addr_pool=["10.20.0.0/16"],
        subnet_size=24,
        dispatcher_heartbeat_period=3_000_000_000,
    )
    desk.client.swarm.join(remote_addrs=["10.0.0.1:2377"], join_token="SWMTKN-1-x", advertise_addr="10.0.0.2")
    desk.client.swarm.leave(force=True)
    assert desk.lines() == [
        "docker swarm init --advertise-addr 10.0.0.1 --default-addr-pool 10.20.0.0/16 "
        "--default-addr-pool-mask-length 24 --dispatcher-heartbeat 3s",
        "docker swarm join --token SWMTKN-1-x --advertise-addr 10.0.0.2 10.0.0.1:2377",
        "docker swarm leave --force",
    ]


def test_reading_the_join_token(desk: Desk) -> None:
    desk.client.swarm.attrs  # noqa: B018
    assert desk.lines() == ["docker swarm join-token worker"]


def test_service_create(desk: Desk) -> None:
    desk.client.services.create(
        "dockernb/web",
        args=["--quiet"],
        command=["/bin/web", "a b"],
        name="web",
        mode=ServiceMode("replicated", 3),
        networks=["overlay-net"],
        endpoint_spec=docker.types.EndpointSpec(ports={8080: 80, 5353: (53, "udp", "host")}),
        env=["A=1"],
        mounts=["data:/data:ro"],
        constraints=["node.role == worker"],
        maxreplicas=1,
        labels={"tier": "web"},
        container_labels={"in": "side"},
        resources=docker.types.Resources(cpu_limit=500_000_000, mem_limit=64 << 20),
        restart_policy=docker.types.RestartPolicy("on-failure", delay=5_000_000_000, max_attempts=3),
        update_config=docker.types.UpdateConfig(parallelism=1, delay=10_000_000_000, order="start-first"),
    )
    assert desk.lines() == [
        "docker service create -d --no-resolve-image --name web --replicas 3 --network overlay-net "
        "--publish published=8080,target=80 --publish published=5353,target=53,protocol=udp,mode=host -e A=1 "
        "--mount type=volume,source=data,target=/data,readonly --entrypoint '/bin/web '\"'\"'a b'\"'\"'' "
        "--container-label in=side --constraint 'node.role == worker' --replicas-max-per-node 1 "
        "--limit-cpu 0.5 --limit-memory 64m --restart-condition on-failure --restart-delay 5s "
        "--restart-max-attempts 3 --update-parallelism 1 --update-delay 10s "
        "--update-failure-action continue --update-order start-first --label tier=web dockernb/web --quiet"
    ]


def test_global_service(desk: Desk) -> None:
    desk.client.services.create("img", name="agent", mode="global")
    assert desk.lines() == ["docker service create -d --no-resolve-image --name agent --mode global img"]


def test_service_scale_update_remove(desk: Desk) -> None:
    service = desk.client.services.create("img:1", name="web", mode=ServiceMode("replicated", 1))
    desk.lines()
    service.scale(5)
    service.force_update()
    service.update(image="img:2")
    service.update(env=["A=1"])
    service.tasks()
    service.remove()
    assert desk.lines() == [
        "docker service scale -d web=5",
        "docker service update -d --no-resolve-image --force web",
        "docker service update -d --no-resolve-image --image img:2 web",
        "# POST /services/web/update: docker service update, for tasktemplate.containerspec.env",
        "docker service ps web",
        "docker service rm web",
    ]


def test_nodes(desk: Desk) -> None:
    desk.engine.make(
        "nodes", "worker-1", {"Availability": "active", "Role": "worker", "Labels": {"old": "1"}}
    )
    desk.engine.objects["nodes", "worker-1"]["Description"] = {"Hostname": "worker-1"}
    node = desk.client.nodes.list()[0]
    node.update({"Availability": "drain", "Role": "worker", "Labels": {"disk": "ssd"}})
    assert desk.lines() == [
        "docker node ls",
        "docker node update --availability drain --label-add disk=ssd --label-rm old worker-1",
    ]


# ---------------------------------------------------------------- the text


def test_long_lines_are_folded_and_mean_the_same(desk: Desk) -> None:
    desk.client.containers.run(
        "dockernb/web",
        "serve --all",
        name="web-server",
        detach=True,
        network="frontend-network",
        ports={"80/tcp": 8080},
        environment={"API_URL": "http://api-server:3000", "GREETING": "it's\nhere"},
    )
    script = desk.recorder.take()
    text = str(script)
    assert text.splitlines()[0] == "docker run -d \\"
    assert "    --name web-server \\" in text.splitlines()
    assert text.splitlines()[-1] == "    dockernb/web serve --all"
    assert shlex.split(text.replace("\\\n", "")) == shlex.split(script.lines[0])


def test_short_lines_are_not_folded(desk: Desk) -> None:
    desk.client.networks.create("net")
    assert str(desk.recorder.take()) == "docker network create net"


def test_the_block_in_a_notebook(desk: Desk) -> None:
    desk.client.containers.run("img", "echo '<b>&'", name="x", detach=True)
    script = desk.recorder.take()
    assert "&lt;b&gt;&amp;" in script._repr_html_()
    assert "<b>" not in script._repr_html_()
    assert repr(script) == str(script)
    assert desk.recorder.take()._repr_html_() == ""


def test_lines_is_a_pure_function_of_requests() -> None:
    requests_ = [
        twin.Request(
            "POST", "/v1.45/networks/create", {}, {"Name": "n", "Driver": "bridge"}, 201, {"Id": "a" * 64}
        ),
        twin.Request("DELETE", f"/v1.45/networks/{'a' * 64}", status=204),
    ]
    assert twin.lines(requests_) == ["docker network create -d bridge n", "docker network rm n"]
    assert twin.lines(requests_) == twin.lines(requests_)


def test_a_recorder_takes_bodies_as_text_and_leaves_archives_out() -> None:
    recorder = twin.Recorder()
    recorder.record("post", "/volumes/create", None, '{"Name": "v"}', 201, b'{"Name": "v"}')
    recorder.record("PUT", "/v1.45/containers/c/archive", {"path": "/"}, b"\x1f\x8b\x00tar", 200, None)
    assert recorder.take().lines == [
        "docker volume create v",
        "# PUT /containers/c/archive: docker cp FILES c:/, with the files that were sent",
    ]
