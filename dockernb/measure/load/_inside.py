"""HTTP requests from inside a container's namespaces; runs on the lab host with the standard library only.

The process enters the container's network and mount namespaces, so that a name is resolved as a program in there
would, by its own ``/etc/hosts`` and ``/etc/resolv.conf``, and the connection starts where theirs would. No program
of the image is needed.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit


def main(argument: dict[str, Any]) -> dict[str, Any]:
    """Send every stream's requests and tell of each.

    `argument` has pid (a process in the container), seconds (after which no request begins) and streams: by name url,
    method, look_up, workers, every (seconds between two beginnings of a worker), count (None: until the seconds are
    over) and limit (seconds for one request). The answer has rows (stream, begun and taken in seconds, status,
    backend, error) and took, the seconds that all of it took.
    """
    names = [os.open(f"/proc/{argument['pid']}/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt")]
    socket.getaddrinfo(
        "127.0.0.1", 80
    )  # what this needs from the disk is loaded before the disk is another one
    "x".encode("idna")
    for name in names:
        os.setns(name, 0)  # type: ignore[attr-defined,unused-ignore]  # new in 3.12
    os.chdir("/")
    begun = time.monotonic()
    streams = [_Stream(name, begun, **about) for name, about in argument["streams"].items()]
    workers = [
        threading.Thread(target=stream.work, args=(number, begun + argument["seconds"]), daemon=True)
        for stream in streams
        for number in range(stream.workers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    rows = sorted((row for stream in streams for row in stream.rows), key=lambda row: row["begun"])
    return {"rows": rows, "took": time.monotonic() - begun}


class _Stream:
    """One kind of client: several workers that send the same request again and again."""

    def __init__(
        self,
        name: str,
        begun: float,
        *,
        url: str,
        method: str,
        look_up: str,
        workers: int,
        every: float,
        count: int | None,
        limit: float,
    ) -> None:
        self.name, self.begun, self.limit = name, begun, limit
        self.method, self.look_up, self.workers, self.every = method, look_up, workers, every
        parts = urlsplit(url)
        self.host, self.port, self.path = parts.hostname or "", parts.port or 80, parts.path or "/"
        self.left = count
        self.kept = ""
        self.lock = threading.Lock()
        self.rows: list[dict[str, Any]] = []

    def work(self, number: int, end: float) -> None:
        """Send requests until the count is reached or the time is over."""
        due = self.begun + number * self.every / self.workers  # the workers take turns
        while due < end and time.monotonic() < end and self._another():
            time.sleep(max(0.0, due - time.monotonic()))
            row = self._ask()
            with self.lock:
                self.rows.append(row)
            # One that was held up does not hurry afterwards.
            due = max(due + self.every, time.monotonic())

    def _another(self) -> bool:
        with self.lock:
            if self.left is None:
                return True
            self.left -= 1
            return self.left >= 0

    def _ask(self) -> dict[str, Any]:
        """One request, on a connection of its own."""
        start = time.monotonic()
        row: dict[str, Any] = {"stream": self.name, "status": 0, "backend": "", "error": ""}
        try:
            line = http.client.HTTPConnection(self._address(), self.port, timeout=self.limit)
            try:
                headers = {"Host": f"{self.host}:{self.port}", "Connection": "close"}
                line.request(self.method, self.path, headers=headers)
                answer = line.getresponse()
                answer.read()
                row |= {"status": answer.status, "backend": answer.headers.get("X-Backend", "")}
            finally:
                line.close()
        except (OSError, http.client.HTTPException) as problem:
            row["error"] = str(problem) or type(problem).__name__
        return row | {"begun": start - self.begun, "taken": time.monotonic() - start}

    def _address(self) -> str:
        """The host to connect to; a name is looked up anew for each connection, unless an address is kept."""
        if self.look_up == "each":
            return self.host
        with self.lock:
            if not self.kept:
                self.kept = str(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0][4][0])
            return self.kept
