"""The programs of lesson 14's images: what they take, make and hand out, and that nobody ever sees half of it."""

import base64
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import types
import urllib.error
import urllib.request
import zlib
from http.server import ThreadingHTTPServer

import pytest

from dockernb.labhost import images

PROGRAMS = {
    name: images.RECIPES / f"{name}-service/rootfs/app/{name}.py"
    for name in ("upload", "process", "delivery")
}


def ppm(width, height, pixel=b"\x10\x20\x30"):
    """A picture of one colour."""
    return f"P6 {width} {height} 255\n".encode() + pixel * (width * height)


def pixels(png):
    """Width, height and the bytes of all pixels of a PNG that the service wrote."""
    width, height = struct.unpack(">II", png[16:24])
    at, data = 8, b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + body),)
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    lines = zlib.decompress(data)
    step = 1 + 3 * width
    assert len(lines) == height * step
    return width, height, b"".join(lines[y * step + 1 : (y + 1) * step] for y in range(height))


class Service:
    """A program with directories of its own, as a module and over HTTP."""

    def __init__(self, root, monkeypatch):
        self.uploads, self.results, self.scratch = root / "uploads", root / "results", root / "scratch"
        for directory in (self.uploads, self.results, self.scratch):
            directory.mkdir()
        self.environment = {
            "UPLOADS": str(self.uploads),
            "RESULTS": str(self.results),
            "SCRATCH": str(self.scratch),
            "LARGEST": "1000",
        }
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        self.port = 0
        self._ends = []

    def module(self, name) -> types.ModuleType:
        spec = importlib.util.spec_from_file_location(name, PROGRAMS[name])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def serve(self, handler):
        handler.log_message = lambda *arguments: None
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.port = server.server_port
        self._ends += [server.shutdown, lambda: thread.join(5), server.server_close]

    def ask(self, path, data=None, method=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as problem:
            with problem:
                return problem.code, problem.headers, problem.read()

    def put(self, name, data, method="PUT"):
        status, _, body = self.ask(f"/files/{name}", data, method)
        return status, json.loads(body)

    def half_an_upload(self, name, data, length):
        """A connection that promises so many bytes, and has sent these."""
        line = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        line.sendall(f"PUT /files/{name} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode() + data)
        return line

    def start(self, name, port=None):
        """Run a program as its container does."""
        order = (
            f"import sys; sys.path.insert(0, {str(PROGRAMS[name].parent)!r}); import {name} as program; "
            f"program.PORT = {port}; program.main()"
        )
        process = subprocess.Popen(
            [sys.executable, "-B", "-u", "-c", order],
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._ends += [process.kill, process.wait, process.stdout.close]
        return process

    def close(self):
        for end in self._ends:
            end()


def wait_until(look, limit=10):
    deadline = time.monotonic() + limit
    while not (seen := look()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return seen


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as door:
        return door.getsockname()[1]


@pytest.fixture
def service(tmp_path, monkeypatch):
    made = Service(tmp_path, monkeypatch)
    yield made
    made.close()


# Upload


@pytest.fixture
def upload(service):
    module = service.module("upload")
    module.LINGER = 1
    service.serve(module.Upload)
    return service


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_upload_lies_there_under_its_name(upload, method):
    data = os.urandom(1000)
    digest = hashlib.sha256(data).hexdigest()
    assert upload.put("a-1_b.ppm", data, method) == (
        201,
        {"name": "a-1_b.ppm", "size": 1000, "sha256": digest},
    )
    assert {path.name: path.read_bytes() for path in upload.uploads.iterdir()} == {"a-1_b.ppm": data}
    assert upload.ask("/health")[0] == 200


def test_an_upload_takes_the_place_of_an_older_one(upload):
    upload.put("a", b"old")
    upload.put("a", b"")
    assert {path.name: path.read_bytes() for path in upload.uploads.iterdir()} == {"a": b""}


@pytest.mark.parametrize(
    "name", [".hidden", "a%2Fb", "..", "%2E%2E%2Fetc%2Fpasswd", "a%00b", "a%20b", "a%0Ab", "a" * 101, ""]
)
def test_a_name_that_is_none_is_refused(upload, name):
    status, said = upload.put(name, b"x")
    assert status == 400
    assert "is no name" in said["error"]
    assert not list(upload.uploads.iterdir())


@pytest.mark.parametrize("path", ["/", "/files", "/other/files/a"])
def test_there_is_one_path(upload, path):
    assert upload.ask(path, b"x", "PUT")[0] == 404
    assert upload.ask(path)[0] == 404


def test_too_large_a_file_is_refused_and_the_client_reads_why(upload):
    status, said = upload.put("a", bytes(500_000))
    assert (status, said["error"]) == (413, "a file may have 1000 bytes, and a has 500000")
    assert not list(upload.uploads.iterdir())


def test_a_file_without_a_length_is_refused(upload):
    with socket.create_connection(("127.0.0.1", upload.port), timeout=5) as line:
        line.sendall(b"PUT /files/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert line.makefile("rb").readline().startswith(b"HTTP/1.1 411 ")


def test_half_an_upload_has_no_name(upload):
    with upload.half_an_upload("a.ppm", b"x" * 400, 800) as line:
        [part] = wait_until(lambda: list(upload.uploads.iterdir()))
        assert part.name.startswith(".a.ppm.")
        line.sendall(b"y" * 400)
        assert line.makefile("rb").readline().startswith(b"HTTP/1.1 201 ")
    assert {path.name: path.read_bytes() for path in upload.uploads.iterdir()} == {
        "a.ppm": b"x" * 400 + b"y" * 400
    }


def test_an_upload_that_breaks_off_leaves_nothing(upload):
    with upload.half_an_upload("a.ppm", b"x" * 400, 800) as line:
        wait_until(lambda: list(upload.uploads.iterdir()))
        line.shutdown(socket.SHUT_WR)
        assert b"only 400 of 800 bytes came" in line.makefile("rb").read()
    assert not list(upload.uploads.iterdir())


def test_a_directory_that_cannot_be_written(upload):
    upload.uploads.rmdir()
    assert upload.put("a", b"x") == (507, {"error": "a: No such file or directory"})


def test_what_a_killed_service_left_is_removed_and_what_is_under_way_is_not(service, capsys):
    left, alive = service.uploads / ".a.1.part", service.uploads / ".b.2.part"
    left.touch()
    with alive.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        service.module("upload").sweep()
    assert list(service.uploads.iterdir()) == [alive]
    assert capsys.readouterr().out == "removed .a.1.part, left by an upload that never ended\n"


def test_sigterm_lets_an_upload_end(service):
    service.port = free_port()
    program = service.start("upload", service.port)
    assert program.stdout.readline().startswith("taking files on port ")
    with service.half_an_upload("a.ppm", b"x", 2) as line:
        wait_until(lambda: list(service.uploads.iterdir()))
        program.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(service.port))
        line.sendall(b"y")
        assert line.makefile("rb").readline().startswith(b"HTTP/1.1 201 ")
    assert program.wait(5) == 0
    assert (service.uploads / "a.ppm").read_bytes() == b"xy"


def refused(port):
    """Whether a server takes no new connections; one that is only queued gets no answer."""
    with socket.socket() as line:
        line.settimeout(0.2)
        try:
            line.connect(("127.0.0.1", port))
            line.sendall(b"GET /health HTTP/1.1\r\n\r\n")
            return not line.recv(1)
        except OSError:
            return True


# Process


@pytest.fixture
def process(service):
    return service.module("process")


def made(service, process, data):
    """The small picture of an upload."""
    (service.uploads / "a.ppm").write_bytes(data)
    assert process.work(service.uploads / "a.ppm", service.results / "a.png")
    assert not list(service.scratch.iterdir())
    [result] = service.results.iterdir()
    return pixels(result.read_bytes())


@pytest.mark.parametrize(
    ("size", "small"),
    [((160, 120), (160, 120)), ((161, 120), (80, 60)), ((640, 480), (160, 120)), ((100, 900), (16, 150))],
)
def test_a_picture_is_made_small(service, process, size, small):
    width, height, data = made(service, process, ppm(*size))
    assert (width, height) == small
    assert data == b"\x10\x20\x30" * (width * height)


def test_a_pixel_is_the_mean_of_a_square(service, process):
    process.EDGE = 1
    data = b"P6\n# made by hand\n2 2\n255\n" + bytes([0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14])
    assert made(service, process, data) == (1, 1, bytes([6, 7, 8]))


def test_half_a_picture_is_half_grey(service, process):
    whole = ppm(160, 100)
    _, _, data = made(service, process, whole[: len(whole) - 160 * 50 * 3])
    assert data == b"\x10\x20\x30" * (160 * 50) + b"\x80\x80\x80" * (160 * 50)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is no PPM picture"),
        (b"P5 1 1 255\nx", "it is no PPM picture"),
        (b"P6 99999 1 255\n", "it is no PPM picture"),
        (ppm(9000, 1), "9000 x 1 pixels leave nothing"),
        (b"P6 0 0 255\n", "0 x 0 pixels leave nothing"),
    ],
)
def test_what_is_no_picture_is_told(service, process, data, why):
    (service.uploads / "a.ppm").write_bytes(data)
    with pytest.raises(process.NotDoneError, match=why):
        process.work(service.uploads / "a.ppm", service.results / "a.png")
    assert not [*service.results.iterdir(), *service.scratch.iterdir()]


def test_a_result_has_the_date_of_its_upload_and_is_made_again_when_that_changes(service, process):
    upload, result = service.uploads / "a.ppm", service.results / "a.png"
    upload.write_bytes(ppm(1, 1))
    assert process.work(upload, result)
    assert result.stat().st_mtime_ns == upload.stat().st_mtime_ns
    assert not process.work(upload, result)
    os.utime(upload, ns=(1, 1))
    assert process.work(upload, result)
    assert result.stat().st_mtime_ns == 1


def test_who_holds_the_lock_works_alone(service, process):
    upload, result = service.uploads / "a.ppm", service.results / "a.png"
    upload.write_bytes(ppm(1, 1))
    with upload.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert not process.work(upload, result)
    assert not result.exists()
    assert process.work(upload, result)


def test_a_full_scratch_space_is_told(service, process, monkeypatch):
    upload = service.uploads / "a.ppm"
    upload.write_bytes(ppm(1, 1))

    def full(*files):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(process.shutil, "copyfileobj", full)
    with pytest.raises(
        process.NotDoneError, match=r"scratch is full: it holds \d+ bytes, and the picture has 14"
    ):
        process.work(upload, service.results / "a.png")


def test_results_that_cannot_be_written_are_told(service, process):
    upload = service.uploads / "a.ppm"
    upload.write_bytes(ppm(1, 1))
    service.results.rmdir()
    with pytest.raises(process.NotDoneError, match=r"cannot write to .*/results: No such file or directory"):
        process.work(upload, service.results / "a.png")


def test_two_workers_do_everything_once_and_go_on_after_what_they_cannot_do(service):
    (service.uploads / "0.ppm").write_bytes(b"no picture")
    for number in range(1, 9):
        (service.uploads / f"{number}.ppm").write_bytes(ppm(160, 160))
    (service.uploads / ".hidden.ppm").write_bytes(ppm(1, 1))
    workers = [service.start("process") for _ in range(2)]
    wait_until(lambda: len([path for path in service.results.iterdir() if path.suffix == ".png"]) == 8)
    lines = []
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(5) == 0
        lines += worker.stdout.read().splitlines()
    assert sorted(line for line in lines if ": done, " in line) == [
        f"{number}.ppm: done, {number}.png" for number in range(1, 9)
    ]
    assert 1 <= len([line for line in lines if line.startswith("0.ppm: not done: it is no PPM")]) <= 2
    assert len(lines) <= 8 + 2 + 2
    assert not list(service.scratch.iterdir())


# Delivery


@pytest.fixture
def delivery(service):
    service.serve(service.module("delivery").Delivery)
    return service


def test_files_are_listed_and_handed_out_with_their_digest(delivery):
    data = os.urandom(100_000)
    (delivery.results / "b.png").write_bytes(data)
    (delivery.results / "a").write_bytes(b"")
    status, _, body = delivery.ask("/files")
    assert (status, json.loads(body)) == (200, [{"name": "a", "size": 0}, {"name": "b.png", "size": 100_000}])
    status, headers, body = delivery.ask("/files/b.png")
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert (status, body) == (200, data)
    assert headers["Content-Length"] == "100000"
    assert headers["Content-Type"] == "image/png"
    assert headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert delivery.ask("/health")[0] == 200


@pytest.mark.parametrize("name", [".part", "link", "folder", "missing", "..%2Fsecret", "../secret", ""])
def test_nothing_else_is_handed_out(delivery, name):
    (delivery.results / ".part").write_bytes(b"half")
    (delivery.results / "folder").mkdir()
    (delivery.results.parent / "secret").write_bytes(b"secret")
    (delivery.results / "link").symlink_to("../secret")
    assert json.loads(delivery.ask("/files")[2]) == []
    assert delivery.ask(f"/files/{name}")[0] == 404


def test_a_directory_that_is_not_there_is_told(delivery):
    delivery.results.rmdir()
    status, _, body = delivery.ask("/files")
    assert status == 503
    assert json.loads(body)["error"].endswith("/results cannot be read: No such file or directory")
