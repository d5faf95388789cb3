"""The client of a lab host on bad lines: a server of our own that hangs up at a chosen moment."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockernb.errors import HostError
from dockernb.labhost import api
from dockernb.labhost.credentials import Credentials

VERSION = b'{"ApiVersion": "1.45"}'


@contextlib.contextmanager
def server(directory: Path, *, hang_ups: int, answers: int) -> Iterator[tuple[str, list[bytes]]]:
    """An engine that hangs up before TLS is agreed on, then answers, then takes requests and hangs up.

    Yields its address, and the first lines of the requests that it got.
    """
    credentials = Credentials.make()
    credentials.write(directory)
    (directory / "server.pem").write_text(credentials.server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    got: list[bytes] = []

    def talk() -> None:
        number = 0
        while True:
            try:
                line, _ = listener.accept()
            except OSError:  # the test has ended
                return
            number += 1
            with line:
                if number <= hang_ups:
                    line.recv(65536)  # the client's hello
                    line.shutdown(socket.SHUT_WR)
                    continue
                with context.wrap_socket(line, server_side=True) as tls:
                    got.append(tls.recv(65536).partition(b"\r\n")[0])
                    if len(got) <= answers:
                        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
                        tls.sendall(head + b"Content-Length: %d\r\n\r\n" % len(VERSION) + VERSION)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=talk)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}", got
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread
            thread.join(10)


def test_a_handshake_that_breaks_off_is_tried_again(tmp_path: Path) -> None:
    with server(tmp_path, hang_ups=2, answers=1) as (address, got):
        client = api.client(api.LabHostAPI, address, tmp_path, 10)
        assert client.api.api_version == "1.45"
    assert got == [b"GET /version HTTP/1.1"]


def test_but_not_for_ever(tmp_path: Path) -> None:
    with (
        server(tmp_path, hang_ups=9, answers=0) as (address, got),
        pytest.raises(HostError, match="does not answer any more"),
    ):
        api.client(api.LabHostAPI, address, tmp_path, 10)
    assert got == []


def test_a_request_that_was_taken_is_not_sent_twice(tmp_path: Path) -> None:
    with server(tmp_path, hang_ups=0, answers=1) as (address, got):
        client = api.client(api.LabHostAPI, address, tmp_path, 10)
        with pytest.raises(HostError):
            client.api.create_container("dockernb/toolbox")
    assert [line.split()[0] for line in got] == [b"GET", b"POST"]
