"""HTTP requests and their figures: every request is counted, a lost one with its reason."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

from dockernb.errors import HostError, MeasureError
from dockernb.measure.load import Requests, load
from dockernb.view.load import shares, timeline

CONDITIONS = {"provider": "vm", "engine": "26.1.5", "kernel": "6.12", "cpus": 2, "emulation": "TCG"}


class Server(BaseHTTPRequestHandler):
    """Answers with the status that is asked for; /hang never does."""

    busy = most = 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        with Server.lock:
            Server.busy += 1
            Server.most = max(Server.most, Server.busy)
        time.sleep(1 if self.path == "/hang" else 0.01)
        with Server.lock:
            Server.busy -= 1
        self.send_response(int(self.path.strip("/") or 200) if self.path != "/hang" else 200)
        self.send_header("X-Backend", "one")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Host:
    """A lab host whose agent is this process; the namespaces that are entered are our own."""

    conditions = CONDITIONS

    def __init__(self, state: dict[str, Any]) -> None:
        attributes = {"Id": "a" * 64, "Name": "/client", "State": state, "Config": {}, "NetworkSettings": {}}
        self.api = SimpleNamespace(inspect_container=lambda name: attributes)

    def client(self) -> Host:
        return self

    def call(self, source: str, argument: Any, *, timeout: float) -> Any:
        names: dict[str, Any] = {"__name__": "inside"}
        exec(compile(source, "<call>", "exec", dont_inherit=True), names)
        return json.loads(json.dumps(names["main"](json.loads(json.dumps(argument)))))


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(os, "setns", lambda handle, kind: os.close(handle), raising=False)
    monkeypatch.setattr(os, "chdir", lambda path: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def lab(state: str = "running") -> Any:
    return SimpleNamespace(host=Host({"Status": state, "Running": state == "running", "Pid": os.getpid()}))


def test_each_request_is_a_row(url: str) -> None:
    frame = load(
        lab(),
        "client",
        {"good": Requests(url, count=7), "bad": Requests(f"{url}/503", count=3, method="POST")},
    )
    assert frame.groupby("arrangement").size().to_dict() == {"good": 7, "bad": 3}
    assert frame.groupby("arrangement")["lost"].sum().to_dict() == {"good": 0, "bad": 3}
    assert set(frame["backend"]) == {"one"}
    assert frame["begun_s"].is_monotonic_increasing
    assert (frame["taken_s"] > 0.009).all()
    assert frame.attrs["engine"] == "26.1.5"


def test_what_is_the_clients_fault_is_not_lost(url: str) -> None:
    assert not load(lab(), "client", {"a": Requests(f"{url}/404", count=1)})["lost"].any()


def test_no_more_are_under_way_than_there_are_workers(url: str) -> None:
    Server.most = 0
    load(lab(), "client", {"a": Requests(url, count=12, workers=3)})
    assert Server.most == 3


def test_a_time_instead_of_a_count(url: str) -> None:
    frame = load(lab(), "client", {"a": Requests(url, workers=2, every=0.1)}, seconds=0.5)
    assert 2 <= len(frame) <= 12  # ten, and what a busy machine makes of it
    assert frame["begun_s"].max() < 1


def test_no_answer_is_lost_and_says_why(url: str) -> None:
    frame = load(
        lab(),
        "client",
        {
            "hangs": Requests(f"{url}/hang", count=1, limit=0.2),
            "refused": Requests("http://127.0.0.1:1/", count=1),
            "unknown": Requests("http://no-such-name.invalid/", count=1, look_up="once"),
        },
    ).set_index("arrangement")
    assert frame["lost"].all()
    assert (frame["status"] == 0).all()
    assert frame.loc["hangs", "error"] == "timed out"
    assert "refused" in frame.loc["refused", "error"]
    assert frame.loc["unknown", "error"]


def test_an_address_is_kept_only_if_asked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *more: Any, **options: Any) -> Any:
        asked.append(host)
        return real(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    load(lab(), "client", {"a": Requests(url, count=5)})
    assert asked.count("localhost") == 5
    asked.clear()
    # Kept addresses may be of the other family than the server's.
    load(lab(), "client", {"a": Requests(url, count=5, look_up="once")})
    assert asked.count("localhost") == 1


def test_events_happen_in_time_and_are_told(url: str) -> None:
    done: list[str] = []
    frame = load(
        lab(),
        "client",
        {"a": Requests(url, every=0.1)},
        seconds=0.6,
        events={"second": (0.4, lambda: done.append("second")), "first": (0.2, lambda: done.append("first"))},
    )
    assert done == ["first", "second"]
    assert frame.attrs["events"]["first"][0] == pytest.approx(0.2, abs=0.1)
    assert frame.attrs["events"]["second"][0] == pytest.approx(0.4, abs=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"a": Requests("https://localhost/", count=1)},
        {"a": Requests("http://localhost/", count=1, workers=0)},
        {"a": Requests("http://localhost/", count=1, look_up="never")},  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Requests]) -> None:
    with pytest.raises(MeasureError):
        load(lab(), "client", wrong)


def test_a_container_that_does_not_run() -> None:
    with pytest.raises(MeasureError, match='"client" is exited, not running'):
        load(lab("exited"), "client", {"a": Requests("http://localhost/", count=1)})


def test_a_lab_host_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise HostError("gone")

    there = lab()
    monkeypatch.setattr(there.host, "call", gone)
    with pytest.raises(HostError, match="gone"):
        load(there, "client", {"a": Requests("http://localhost/", count=1)})


# The figures


def frame(**streams: list[tuple[str, int]]) -> pd.DataFrame:
    """A frame with a request each tenth of a second: its server and its status."""
    rows = [
        {
            "arrangement": name,
            "begun_s": number / 10,
            "taken_s": 0.05,
            "status": status,
            "backend": server,
            "lost": status in {0, 502, 503},
            "error": "",
        }
        for name, answers in streams.items()
        for number, (server, status) in enumerate(answers)
    ]
    made = pd.DataFrame(rows)
    made.attrs = {**CONDITIONS, "events": {"one is killed": (0.3, 0.4)}}
    return made


SAMPLE = frame(even=[("one", 200), ("two", 200)] * 5, lonely=[("one", 200)] * 4 + [("", 0), ("", 502)])


def texts(figure: Any) -> str:
    return " | ".join(text.get_text() for text in figure.findobj(mpl.text.Text))


def test_shares_names_and_counts_every_part() -> None:
    ax = shares(SAMPLE)
    assert sum(bar.get_width() for bar in ax.patches) == len(SAMPLE)
    assert {"one: 5", "two: 5", "one: 4", "nobody: 2"} <= set(texts(ax.figure).split(" | "))
    assert "even: one 5, two 5. lonely: nobody 2, one 4." in ax.figure.alternative
    assert "emulated (TCG)" in texts(ax.figure)


def test_timeline_counts_every_request_once() -> None:
    axes = timeline(SAMPLE)
    bars = [bar for ax in axes for bar in ax.patches if bar.get_height() >= 1 and bar.get_width() < 0.3]
    assert sum(bar.get_height() for ax in axes for group in ax.containers for bar in group) == len(SAMPLE)
    assert any(bar.get_hatch() for bar in bars)
    words = axes[0].figure.alternative  # type: ignore[attr-defined]
    assert "even: 10 answered, 0 lost" in words
    assert "lonely: 4 answered, 2 lost (502: 1, no answer: 1)" in words
    assert "one is killed from 0.3 to 0.4 s" in words


@pytest.mark.parametrize("draw", [shares, timeline])
def test_nothing_to_draw(draw: Any) -> None:
    with pytest.raises(MeasureError, match="no requests"):
        draw(SAMPLE.iloc[:0])
    with pytest.raises(MeasureError, match="no requests"):
        draw(pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize("draw", [shares, timeline])
def test_a_figure_is_shown_in_colours_of_the_theme(draw: Any) -> None:
    first = draw(SAMPLE)
    figure = (first if isinstance(first, plt.Axes) else first[0]).figure
    html = figure._repr_html_()
    assert 'role="img"' in base64.b64decode(html.split("base64,")[1].split('"')[0]).decode()
