"""Offers the files of a directory over HTTP; it only reads.

    GET /files       their names and sizes as JSON
    GET /files/NAME  one of them, with its length and its SHA-256 (Repr-Digest, RFC 9530)
    GET /health      200 while the directory can be read

Hidden names belong to whoever is still writing: they are not offered.
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

PORT = 8000
RESULTS = Path(os.environ["RESULTS"])
KINDS = {".png": "image/png"}


class Delivery(BaseHTTPRequestHandler):
    """One request."""

    timeout = 60  # seconds in which the client takes nothing

    def do_GET(self):
        try:
            files = offered()
        except OSError as problem:
            return self._answer(503, {"error": f"{RESULTS} cannot be read: {problem.strerror}"})
        name = unquote(self.path).removeprefix("/files/")
        if self.path == "/health":
            return self._answer(200, {"status": "ok"})
        if self.path == "/files":
            return self._answer(200, files)
        if name not in {file["name"] for file in files}:
            return self._answer(404, {"error": f"no such file: {self.path}"})
        return self._deliver(RESULTS / name)

    def _deliver(self, path):
        # One open file from first byte to last: if its name passes to another meanwhile, this one stays as it is.
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            size = file.tell()
            file.seek(0)
            self.send_response(200)
            self.send_header("Content-Type", KINDS.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(size))
            self.send_header("Repr-Digest", f"sha-256=:{base64.b64encode(digest).decode()}:")
            self.end_headers()
            shutil.copyfileobj(file, self.wfile)

    def _answer(self, status, content):
        body = (json.dumps(content) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def offered():
    """The name and size of each file, sorted."""
    with os.scandir(RESULTS) as entries:
        return sorted(
            (
                {"name": entry.name, "size": entry.stat().st_size}
                for entry in entries
                if entry.is_file(follow_symlinks=False) and not entry.name.startswith(".")
            ),
            key=lambda file: file["name"],
        )


def main():
    """Serve until SIGTERM; answers under way are still finished."""
    server = ThreadingHTTPServer(("", PORT), Delivery)
    server.daemon_threads = False
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"offering the files of {RESULTS} on port {PORT}")
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
