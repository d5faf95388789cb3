"""What a lab host of the provider vm promises: real, private, without a way out, and leaving nothing."""

import contextlib
import functools
import json
import mmap
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest

from dockernb.errors import HostError, TemplateError
from dockernb.labhost import LabHost, api, control, join, start, stop, template
from dockernb.labhost import host as hosts
from dockernb.labhost.several import start_several
from tests.support.waiting import wait_for

TOOLBOX = "dockernb/toolbox"
NOBODY = 65534


@contextlib.contextmanager
def listener(address: str = "127.0.0.1") -> Iterator[tuple[int, list[object]]]:
    """A server on the learner's side that remembers who came."""
    came: list[object] = []
    with socket.create_server((address, 0)) as server:
        server.settimeout(0.1)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, peer = server.accept()
                    came.append(peer)
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], came
        finally:
            over.set()
            thread.join()


# --- it is a real Docker host ------------------------------------------------------------------------------------


def test_the_sdk_runs_a_container(host: LabHost) -> None:
    client = host.client()
    assert client.containers.run(TOOLBOX, "echo hello", remove=True) == b"hello\n"
    assert client.info()["DefaultRuntime"] == "crun"


def test_the_clock_is_right_after_the_resume(host: LabHost) -> None:
    there = float(host.run(["date", "+%s"]).stdout)
    assert abs(there - time.time()) < 5


def test_the_plain_docker_cli_works_with_the_environment(host: LabHost) -> None:
    docker_cli = shutil.which("docker") or str(Path("build/engine/bin/docker").resolve())
    done = subprocess.run(
        [docker_cli, "run", "--rm", TOOLBOX, "hostname"],
        env={**os.environ, **host.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 and len(done.stdout.strip()) == 12, done.stderr


def test_an_attached_stream_is_closed_in_one_direction_first(host: LabHost) -> None:
    """`cat` answers only when its input is closed: the TLS front has to pass half-closed streams on."""
    docker_cli = shutil.which("docker") or str(Path("build/engine/bin/docker").resolve())
    done = subprocess.run(
        [docker_cli, "run", "--rm", "-i", TOOLBOX, "sh", "-c", "wc -c"],
        input=b"x" * 100_000,
        env={**os.environ, **host.environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == b"100000", done.stderr


def test_two_starts_share_no_random_numbers(host: LabHost) -> None:
    first = host.run(["head", "-c16", "/dev/urandom"]).stdout
    host.reset()
    assert host.run(["head", "-c16", "/dev/urandom"]).stdout != first


def test_reset_makes_it_pristine_at_the_same_address(host: LabHost) -> None:
    client = host.client()
    client.containers.run(TOOLBOX, "sleep inf", name="gone", detach=True)
    client.volumes.create("gone")
    host.reset()
    assert client.containers.list(all=True) == []
    assert client.volumes.list() == []
    assert client.images.list()


# --- call and run ------------------------------------------------------------------------------------------------


def test_call_returns_what_main_returns(host: LabHost) -> None:
    assert host.call("import os\ndef main(x): return [x, os.uname().nodename]", {"a": 1}) == [
        {"a": 1},
        "tests",
    ]


def test_call_carries_the_reason_of_a_failure(host: LabHost) -> None:
    with pytest.raises(HostError, match="ZeroDivisionError"):
        host.call("def main(x): return 1 / x", 0)


def test_call_and_run_end_at_their_limit(host: LabHost) -> None:
    began = time.monotonic()
    with pytest.raises(HostError, match="sleep was not done after 1 s"):
        host.run(["sleep", "60"], timeout=1)
    with pytest.raises(HostError, match=r"stopped the request after \d+ s: its limit of 0\.5 s was over"):
        host.call("import time\ndef main(x): time.sleep(60)", None, timeout=0.5)
    assert time.monotonic() - began < 15
    assert host.run(["pgrep", "-c", "sleep"]).stdout.strip() == b"0"


def test_run_tells_a_missing_program_in_a_sentence(host: LabHost) -> None:
    with pytest.raises(HostError, match="nonsense: No such file or directory"):
        host.run(["nonsense"])


# --- nobody else's -----------------------------------------------------------------------------------------------


def test_a_client_without_the_certificate_gets_nothing(host: LabHost) -> None:
    address = ("127.0.0.1", int(host.docker_host.rsplit(":", 1)[1]))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name in (None, "agent", "port-2376"):
        with (
            pytest.raises((ssl.SSLError, ConnectionError)),
            socket.create_connection(address, 10) as plain,
            context.wrap_socket(plain, server_hostname=name) as line,
        ):
            line.sendall(b'GET /version HTTP/1.1\r\nHost: x\r\n\r\n{"op": "ping"}\n')
            if not line.recv(100):
                raise ConnectionError
    with socket.create_connection(address, 10) as plain:
        plain.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"ApiVersion" not in plain.recv(1000)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_another_user_of_the_machine_cannot_read_the_credentials(host: LabHost) -> None:
    assert not [name for name in ("agent.sock", "qmp.sock") if (host.directory / name).exists()]
    for name in ("key.pem", "control.sock"):
        assert (host.directory / name).exists()
        tried = f"test -r {host.directory / name} || test -w {host.directory / name}"
        done = subprocess.run(
            ["sh", "-c", tried], user=NOBODY, group=NOBODY, extra_groups=[], timeout=10, check=False
        )
        assert done.returncode != 0, name
    for name in ("ca.pem", "cert.pem", "key.pem"):
        assert (host.directory / name).stat().st_mode & 0o777 == 0o600


def test_two_hosts_of_one_template_do_not_trust_each_others_learners(host: LabHost) -> None:
    other = start("tests-other", provider="vm", owner=os.getpid())
    try:
        context = ssl.create_default_context(cafile=str(other.directory / "ca.pem"))
        context.load_cert_chain(host.directory / "cert.pem", host.directory / "key.pem")
        address = ("127.0.0.1", int(other.docker_host.rsplit(":", 1)[1]))
        with (
            pytest.raises((ssl.SSLError, ConnectionError)),
            socket.create_connection(address, 10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
        ):
            line.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
            if not line.recv(100):
                raise ConnectionError
    finally:
        other.stop()


def test_machine_and_image_share_their_programs_and_a_container_changes_only_its_own(host: LabHost) -> None:
    script = f"""
    layer=$(docker image inspect --format '{{{{.GraphDriver.Data.UpperDir}}}}' {TOOLBOX})
    stat --format %i /usr/bin/curl $layer/usr/bin/curl
    docker run --rm {TOOLBOX} sh -c 'echo x >> /usr/bin/curl; stat --format %s /usr/bin/curl'
    stat --format %s /usr/bin/curl $layer/usr/bin/curl
    """
    done = host.run(["sh", "-ec", script], timeout=60)
    ours, images, changed, our_size, image_size = map(int, done.stdout.split())
    assert ours == images
    assert our_size == image_size == changed - 2


KEY = b"BEGIN EC PRIVATE KEY"
PAGE = 4096  # bytes; larger ones of other processors begin and end where such ones do

KEYS_OF_GNUTLS = """
import glob, re
def main(key):
    [library] = glob.glob("/usr/lib/*/libgnutls.so.30")
    with open(library, encoding="latin-1", newline="") as opened:
        text = opened.read()
    return [text[found.start():][:100] for found in re.finditer(key, text)]
"""


def test_a_template_carries_no_credentials(host: LabHost) -> None:
    found = template.find()
    assert found
    assert KEY in (host.directory / "key.pem").read_bytes()  # so it would be found
    assert KEY not in found.state.read_bytes()
    # Debian's library carries the keys of its self-test, and pages of it may be in memory, each for itself.
    public = [key.encode("latin-1") for key in host.call(KEYS_OF_GNUTLS, KEY.decode())]
    with found.ram.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        for at in (key.start() for key in re.finditer(KEY, memory)):
            within_page = memory[at : min(at + 100, (at // PAGE + 1) * PAGE)]
            assert any(key.startswith(within_page) for key in public)


TIME_STAMPS_ON_AND_OFF = """
import socket, threading, time
def main(seconds):
    over, times = time.monotonic() + seconds, 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))
        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                while time.monotonic() < over:
                    sender.sendto(b"x", there.getsockname())
        traffic = threading.Thread(target=send)
        traffic.start()
        while time.monotonic() < over:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.setsockopt(socket.SOL_SOCKET, 29, 1)  # SO_TIMESTAMP, as ping does
                time.sleep(0.01)
            time.sleep(0.01)
            times += 1
        traffic.join()
    return times
"""


def test_the_kernel_bears_time_stamps_that_are_asked_for_while_packets_come_in(host: LabHost) -> None:
    """Without the agent's own socket a machine emulated by QEMU 7.2 panics within 0.3 to 3.3 s (10 of 10)."""
    assert host.call(TIME_STAMPS_ON_AND_OFF, 8.0)


# --- no way out --------------------------------------------------------------------------------------------------

OUT = """
import socket
def main(targets):
    said = {}
    for host, port in targets:
        with socket.socket() as probe:
            probe.settimeout(2)
            try:
                probe.connect((host, port))
                said[host] = "connected"
            except OSError as problem:
                said[host] = type(problem).__name__
    return said
"""


def test_nothing_reaches_the_learners_loopback(host: LabHost) -> None:
    with listener() as (port, came):
        # 10.0.2.2 is the learner's machine in QEMU's user network, when it is not restricted.
        said = host.call(OUT, [["10.0.2.2", port], ["127.0.0.1", port]])
        inside = host.client().containers.run(
            TOOLBOX, ["sh", "-c", f"nc -z -w2 10.0.2.2 {port} && echo connected || echo no"], remove=True
        )
        assert "connected" not in said.values()
        assert inside == b"no\n"
        assert came == []


@pytest.mark.skipif(os.geteuid() != 0, reason="a namespace needs root")
def test_a_probe_of_an_address_that_does_not_exist_never_leaves(host: LabHost) -> None:
    """Whatever QEMU would send for its guest is a socket of QEMU's: there is none but those that lead inwards."""
    state = host.status()
    machine = next(child for child in psutil.Process(state["keeper"]).children() if "qemu" in child.name())
    over = threading.Event()
    seen: set[object] = set()

    def watch() -> None:
        while not over.is_set():
            for connection in machine.net_connections("inet"):
                if connection.raddr and connection.raddr.ip != "127.0.0.1":
                    seen.add(connection.raddr)
                if connection.type == socket.SOCK_DGRAM:
                    seen.add(connection.laddr)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        said = host.call(OUT, [["192.0.2.77", 80], ["203.0.113.9", 443]])
        names = host.run(["dig", "+time=1", "+tries=1", "example.com", "@10.0.2.3"], timeout=10)
        host.run(["ping", "-c1", "-W1", "203.0.113.9"], timeout=10)
    finally:
        over.set()
        watcher.join()
    assert "connected" not in said.values()
    assert names.returncode != 0
    assert seen == set()


def test_a_name_of_the_outside_does_not_exist_at_once(host: LabHost) -> None:
    began = time.monotonic()
    done = host.run(["dig", "+time=2", "+tries=1", "example.com"])
    assert b"NXDOMAIN" in done.stdout
    assert time.monotonic() - began < 5


# --- ports -------------------------------------------------------------------------------------------------------


def served(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_published_port_opens_on_loopback_and_closes_with_its_container(host: LabHost) -> None:
    container = host.client().containers.run(
        "dockernb/nginx", name="web", ports={"80/tcp": 18080}, detach=True
    )
    url = host.url(18080)
    assert wait_for(lambda: "nginx" in _quietly(url).lower())
    assert url == "http://127.0.0.1:18080"
    container.remove(force=True)
    assert wait_for(lambda: host.status()["ports"] == {})
    with pytest.raises(OSError):
        served(url)


def test_a_port_that_is_taken_here_gets_another_number(host: LabHost) -> None:
    with listener() as (port, came):
        host.client().containers.run("dockernb/nginx", ports={"80/tcp": port}, detach=True)
        other = host.port(port)
        assert other != port
        assert wait_for(lambda: "nginx" in _quietly(host.url(port)).lower())
        assert came == []


def test_a_host_network_server_is_opened_by_name(host: LabHost) -> None:
    host.client().containers.run("dockernb/nginx", network_mode="host", detach=True)
    here = host.open(80)
    assert wait_for(lambda: "nginx" in _quietly(f"http://127.0.0.1:{here}").lower())


def test_a_port_that_nobody_publishes_is_a_sentence(host: LabHost) -> None:
    with pytest.raises(HostError, match="Nothing on the lab host publishes port 9/tcp"):
        host.port(9, timeout=0.2)


def _quietly(url: str) -> str:
    try:
        return served(url)
    except OSError:
        return ""


# --- several ------------------------------------------------------------------------------------------------------


def test_three_hosts_share_a_segment_and_nothing_else() -> None:
    nodes = start_several(3, provider="vm", owner=os.getpid())
    try:
        assert len({node.docker_host for node in nodes}) == 3
        for source in nodes:
            for number in range(3):
                done = source.run(["ping", "-c3", "-i0.3", "-W3", nodes.address(number)])
                assert done.returncode == 0, (source.name, number)
        assert [node.run(["hostname"]).stdout.decode().strip() for node in nodes] == [
            "node1",
            "node2",
            "node3",
        ]
        nodes.reset()
        assert nodes[2].run(["ping", "-c3", "-i0.3", "-W3", nodes.address(1)]).returncode == 0
    finally:
        nodes.stop()
    assert join("node1") is None


def test_a_number_of_hosts_that_cannot_be_is_a_sentence() -> None:
    with pytest.raises(HostError, match="ask for 2 to 8"):
        start_several(1)


# --- ends ---------------------------------------------------------------------------------------------------------

STARTER = """
import sys, time
from dockernb.labhost import start
host = start(sys.argv[1], provider="vm", owner=int(sys.argv[2]))
print(host.status()["keeper"], flush=True)
"""


def qemu_of(keeper: int) -> psutil.Process:
    return next(child for child in psutil.Process(keeper).children() if "qemu" in child.name())


@pytest.fixture
def owned() -> Iterator[tuple[subprocess.Popen[bytes], psutil.Process, psutil.Process]]:
    """An owner, and the keeper and QEMU of its lab host."""
    owner = subprocess.Popen(["sleep", "600"])
    done = subprocess.run(
        [sys.executable, "-c", STARTER, "tests-owned", str(owner.pid)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    keeper = psutil.Process(int(done.stdout))
    yield owner, keeper, qemu_of(keeper.pid)
    owner.kill()
    owner.wait()
    if host := join("tests-owned"):
        host.stop()


def test_the_host_ends_with_its_owner(
    owned: tuple[subprocess.Popen[bytes], psutil.Process, psutil.Process],
) -> None:
    owner, keeper, machine = owned
    owner.kill()
    owner.wait()
    assert wait_for(lambda: not keeper.is_running() and not machine.is_running())
    assert not list(hosts.store.host_directory("tests-owned").glob("*.pem"))


def test_qemu_ends_with_its_keeper(
    owned: tuple[subprocess.Popen[bytes], psutil.Process, psutil.Process],
) -> None:
    _, keeper, machine = owned
    keeper.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not machine.is_running() or machine.status() == psutil.STATUS_ZOMBIE)
    assert join("tests-owned") is None


def test_qemu_killed_in_mid_lesson_is_one_sentence(
    owned: tuple[subprocess.Popen[bytes], psutil.Process, psutil.Process],
) -> None:
    _, keeper, machine = owned
    host = join("tests-owned")
    assert host
    machine.kill()
    assert wait_for(lambda: not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(
        HostError, match=r"does not answer any more \(QEMU ended.*run the lesson's first cell again"
    ):
        host.run(["true"])
    fresh = start("tests-owned", provider="vm", owner=os.getpid())
    assert fresh.run(["true"]).returncode == 0


def test_joining_is_not_starting(host: LabHost) -> None:
    assert start("tests", provider="vm").docker_host == host.docker_host


def test_stop_is_harmless_twice() -> None:
    host = start("tests-owned", provider="vm", owner=os.getpid())
    host.stop()
    host.stop()
    with pytest.raises(HostError, match="dockernb start"):
        control.ask(host.directory, {"do": "status"}, 5)


def gone(process: psutil.Process) -> bool:
    return wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


@pytest.fixture
def spoilt() -> Iterator[LabHost]:
    """A lab host that the test may do anything to."""
    yield start("tests-spoilt", provider="vm", owner=os.getpid())
    stop("tests-spoilt")


def test_there_is_one_keeper_of_a_lab_host_and_stop_ends_one_that_hangs(
    spoilt: LabHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = psutil.Process(spoilt.status()["keeper"])
    machine = qemu_of(keeper.pid)
    keeper.suspend()
    monkeypatch.setattr(hosts, "STOP_LIMIT", 3.0)
    monkeypatch.setattr(control, "ask", functools.partial(impatient, control.ask))
    with pytest.raises(
        HostError, match=r"its keeper \(process \d+\) is still there: run `dockernb stop --name"
    ):
        start("tests-spoilt", provider="vm", owner=os.getpid())
    assert stop("tests-spoilt")
    assert gone(keeper) and gone(machine)
    assert not list(spoilt.directory.glob("*.pem"))
    assert not stop("tests-spoilt")


def test_a_keeper_on_its_way_out_takes_nothing_of_the_next_one_with_it(spoilt: LabHost) -> None:
    keeper = psutil.Process(spoilt.status()["keeper"])
    qemu_of(keeper.pid).suspend()  # so that it takes a while
    keeper.terminate()
    assert wait_for(lambda: join("tests-spoilt") is None)
    following = start("tests-spoilt", provider="vm", owner=os.getpid())
    assert gone(keeper)
    assert following.client().ping()
    assert following.status()["keeper"] != keeper.pid


def impatient(ask: Any, directory: Path, request: dict[str, Any], timeout: float) -> Any:
    """What a hung keeper makes one wait for is not waited for here."""
    return ask(directory, request, min(timeout, 2.0))


def test_a_reset_that_fails_leaves_the_lab_host_as_it_was(copied_template: Path, spoilt: LabHost) -> None:
    spoilt.run(["touch", "/root/still-there"])
    (copied_template / "template.json").unlink()
    with pytest.raises(HostError, match="has not been built yet: run `dockernb build`"):
        spoilt.reset()
    assert spoilt.run(["ls", "/root"]).stdout.split() == [b"still-there"]
    assert spoilt.client().ping()


# --- a template that is not as it was --------------------------------------------------------------------------------


@pytest.fixture
def copied_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own whose template is made of links to the real one."""
    found = template.find()
    assert found
    copy = tmp_path / "dockernb" / found.directory.name
    copy.mkdir(parents=True)
    for path in found.directory.iterdir():
        (copy / path.name).symlink_to(path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return copy


def test_a_damaged_template_is_a_sentence(copied_template: Path) -> None:
    ram = copied_template / "ram"
    ram.unlink()
    ram.write_bytes(b"short")
    with pytest.raises(HostError, match=r"template is damaged .*dockernb build --force"):
        start("tests-owned", provider="vm", owner=os.getpid())
    with pytest.raises(TemplateError):
        template.Template(
            copied_template, json.loads((copied_template / "template.json").read_text())
        ).check()


def test_a_template_of_another_qemu_boots_cold_and_says_so(copied_template: Path) -> None:
    manifest = json.loads((copied_template / "template.json").read_text())
    (copied_template / "template.json").unlink()
    (copied_template / "template.json").write_text(json.dumps({**manifest, "qemu": "99.0"}))
    host = start("tests-owned", provider="vm", owner=os.getpid())
    try:
        assert "Booted cold" in host.notes[0]
        assert host.client().containers.run(TOOLBOX, "echo cold", remove=True) == b"cold\n"
    finally:
        host.stop()


def test_a_comma_and_an_apostrophe_in_the_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    found = template.find()
    assert found
    with tempfile.TemporaryDirectory(prefix="o'b,") as place:  # short: there will be sockets in it
        (Path(place) / "dockernb").symlink_to(found.directory.parent)
        monkeypatch.setenv("XDG_CACHE_HOME", place)
        monkeypatch.setenv("XDG_STATE_HOME", f"{place}/state")
        host = start("odd", provider="vm", owner=os.getpid())
        try:
            assert not host.notes  # resumed, not booted
            assert host.run(["echo", "here"]).stdout == b"here\n"
        finally:
            host.stop()


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of 100 MB, for tests that run as root."""
    with tempfile.TemporaryDirectory(prefix="small-") as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="it mounts a small disk")
def test_a_full_disk_pauses_the_machine_until_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk() as place:
        monkeypatch.setenv("XDG_STATE_HOME", str(place))
        host = start("full", provider="vm", owner=os.getpid())
        try:
            filling = ["sh", "-c", "dd if=/dev/urandom of=/big bs=1M count=150; sync"]
            with pytest.raises(
                HostError, match=r"is paused: the disk of .*small-.* is full; free some space"
            ):
                host.run(filling, timeout=5)
            assert host.status()["paused"]
            subprocess.run(["mount", "-o", "remount,size=500m", place], check=True)
            assert wait_for(lambda: not host.status()["paused"])
            assert host.run(["stat", "-c", "%s", "/big"], timeout=60).stdout == b"157286400\n"
        finally:
            host.stop()


def test_an_engine_that_hangs_is_a_sentence_within_its_limit(
    spoilt: LabHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "CONNECT_LIMIT", 3)
    spoilt.run(["sh", "-c", "(sleep 1; pkill -STOP nginx) >/dev/null 2>&1 &"])
    time.sleep(2)
    begun = time.monotonic()
    with pytest.raises(HostError, match=r"its engine does not answer: .* else run `dockernb reset"):
        spoilt.client()
    assert time.monotonic() - begun < 20


def test_an_unfinished_template_is_not_taken(copied_template: Path) -> None:
    (copied_template / "template.json").unlink()
    assert template.find() is None


def test_nothing_is_pulled(host: LabHost) -> None:
    with pytest.raises(docker.errors.APIError, match="no such host"):
        host.client().containers.run("no-such-image")
