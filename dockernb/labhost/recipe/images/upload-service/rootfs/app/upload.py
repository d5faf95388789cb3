"""Takes files over HTTP and puts each into a directory that others read: complete, or not at all.

    PUT /files/NAME  or POST: 201 when the whole file lies on the disk under its name
    GET /health      200

A file arrives under a hidden, temporary name in the same directory and gets its own name at the end: rename(2) is one
step, so nobody ever finds half a file under NAME.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

PORT = 8000
UPLOADS = Path(os.environ["UPLOADS"])
LARGEST = int(os.environ["LARGEST"])  # bytes of one file
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # no "/", and no "." in front: hidden names are ours
CHUNK = 64 * 1024
LINGER = 5  # seconds in which a client whose file is refused may finish sending


class Upload(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"  # a client may ask whether to send at all: Expect: 100-continue
    timeout = 60  # seconds without a byte from the client

    def do_GET(self):
        if self.path == "/health":
            self._answer(200, {"status": "ok"})
        else:
            self._answer(404, {"error": f"no such path: {self.path}"})

    def do_PUT(self):
        length = self.headers.get("Content-Length", "")
        path = unquote(self.path)
        name = path.removeprefix("/files/")
        if name == path:
            self._refuse(404, f"no such path: {self.path}; send a file to /files/NAME")
        elif not NAME.fullmatch(name):
            self._refuse(
                400, f"{name!r} is no name: letters, digits, '.', '-' and '_', a letter or digit first"
            )
        elif not length.isdecimal():
            self._refuse(411, "say with Content-Length how many bytes will come")
        elif int(length) > LARGEST:
            self._refuse(413, f"a file may have {LARGEST} bytes, and {name} has {length}")
        else:
            self._store(name, int(length))

    def do_POST(self):
        self.do_PUT()

    def _store(self, name, length):
        try:
            digest = receive(self.rfile, length, UPLOADS / name)
        except EOFError as problem:
            self.log_error("%s: %s", name, problem)
            with contextlib.suppress(ConnectionError):  # probably nobody is there any more
                self._answer(400, {"error": f"{name}: {problem}"})
        except (ConnectionError, TimeoutError) as problem:
            self.log_error("%s: the client is gone: %s", name, problem)
        except OSError as problem:  # the disk is full, the volume is read-only, …
            self._answer(507, {"error": f"{name}: {problem.strerror or problem}"})
        else:
            self._answer(201, {"name": name, "size": length, "sha256": digest})

    def _refuse(self, status, why):
        """Answer, then let the client finish: closing on unread bytes would take the answer away (RFC 9112, 9.6)."""
        self._answer(status, {"error": why})
        self.connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER
        self.connection.settimeout(LINGER)
        while time.monotonic() < deadline and self.rfile.read1(CHUNK):
            pass

    def _answer(self, status, content):
        body = (json.dumps(content) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def receive(source, length, path):
    """Write what comes to a temporary name, and then give it its own; return the SHA-256 of the content."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    digest = hashlib.sha256()
    with part.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # while this process lives: see sweep()
        try:
            for piece in pieces(source, length):
                file.write(piece)
                digest.update(piece)
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    sync_directory(path.parent)
    return digest.hexdigest()


def pieces(source, length):
    """Read so many bytes, piece by piece as they come."""
    left = length
    while left:
        piece = source.read1(min(left, CHUNK))
        if not piece:
            raise EOFError(f"only {length - left} of {length} bytes came")
        yield piece
        left -= len(piece)


def sync_directory(path):
    """Bring the names in a directory to the disk, as fsync has brought the content."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep():
    """Remove what a killed upload-service has left. The lock of a living one, in whatever container, is still held."""
    for part in UPLOADS.glob(".*.part"):
        with part.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            part.unlink(missing_ok=True)
            print(f"removed {part.name}, left by an upload that never ended")


def main():
    """Serve until SIGTERM; uploads under way are still finished."""
    sweep()
    server = ThreadingHTTPServer(("", PORT), Upload)
    server.daemon_threads = False
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"taking files on port {PORT} into {UPLOADS}")
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
