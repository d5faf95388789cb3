"""HTTP requests from a container as a tidy DataFrame: every request a row, lost ones too."""

from __future__ import annotations

import dataclasses
import importlib.resources
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from dockernb.arguments import LAB, NAME, NONE, SECONDS, Kind, a, by_name, check_fields, checked
from dockernb.errors import MeasureError
from dockernb.measure.containers import running

if TYPE_CHECKING:
    from dockernb.session import Lab

_GRACE_S = 10  # what the helper may take beyond its requests
LOST = 500
"""From this status on, and with none at all, a request is lost: the client has no answer that it can use."""


@dataclass(frozen=True, slots=True)
class Requests:
    """One kind of client: what it asks for, and how.

    Attributes:
        url: What it asks for, as ``http://name:port/path``.
        method: GET, POST, ...; never with a body.
        count: How many requests in all; None goes on until the time is over.
        workers: How many requests may be under way at a time.
        every: Seconds between two beginnings of a worker, if the answer came by then; 0 for as fast as it can.
        look_up: "each" looks the name up for every request, by the C library as most programs do. "once" keeps the
            first address of the first answer for good.
        limit: Seconds after which a single request is given up.
    """

    url: str
    method: str = "GET"
    count: int | None = None
    workers: int = 4
    every: float = 0.0
    look_up: Literal["each", "once"] = "each"
    limit: float = 5.0

    def __post_init__(self) -> None:
        check_fields(MeasureError, self)


Event = tuple[float, Callable[[], object]]
"""Seconds after the beginning, and what is done then."""


_REQUESTS = by_name(a(Requests, ""), 'requests by name, such as {"browser": dn.Requests("http://web")}')


def _is_event(value: object) -> bool:
    match value:
        case (after, act):
            return SECONDS.fits(after) and callable(act)
    return False


_EVENTS = by_name(Kind("", _is_event), 'seconds and a function by name, such as {"stop": (2, web.stop)}')


@checked(MeasureError, lab=LAB, client=NAME, requests=_REQUESTS, seconds=SECONDS, events=_EVENTS | NONE)
def load(
    lab: Lab,
    client: str,
    requests: Mapping[str, Requests],
    *,
    seconds: float = 20.0,
    events: Mapping[str, Event] | None = None,
) -> pd.DataFrame:
    """Send HTTP requests from inside a container, all kinds at the same time, and note what became of each.

    One helper call on the lab host; the container's image needs no program for it.

    Args:
        lab: The lesson's session.
        client: Name of the container that the requests come from.
        requests: The kinds of client, by the name that the frame and the plots show.
        seconds: After these no further request begins.
        events: What is done meanwhile, by the name that a plot shows: seconds after the beginning, and a function.

    Returns:
        One row a request, in the order in which they began: arrangement, begun_s, taken_s, status (0: no answer),
        backend (the answer's header ``X-Backend``), lost (no answer, or status 500 and above) and error (why there
        is no answer). ``attrs`` holds the conditions, ``seconds``, and ``events``: name to begin and end in seconds.

    Raises:
        MeasureError: The container does not exist or does not run, or a kind of client makes no sense.
        HostError: The lab host is gone.
    """
    if not requests or any(each.count is None and not math.isfinite(seconds) for each in requests.values()):
        raise MeasureError("Ask for at least one kind of client, and for a count or a number of seconds.")
    for name, each in requests.items():
        if not each.url.startswith("http://") or each.workers < 1 or each.look_up not in {"each", "once"}:
            raise MeasureError(
                f'"{name}": the url begins with http://, workers is at least 1, look_up is "each" or "once".'
            )
    argument = {
        "pid": running(lab.host.client().api, client).pid,
        "seconds": seconds,
        "streams": {name: dataclasses.asdict(each) for name, each in requests.items()},
    }
    source = importlib.resources.files("dockernb.measure.load").joinpath("_inside.py").read_text()
    longest = max(each.limit for each in requests.values())
    told: dict[str, Any] = {}

    def ask() -> None:
        before = time.monotonic()
        try:
            told.update(lab.host.call(source, argument, timeout=seconds + longest + _GRACE_S))
            # The call takes as long to get there as its answer to come back, as far as anyone can tell.
            told["begun"] = before + (time.monotonic() - before - told["took"]) / 2
        except BaseException as problem:  # raised again below, where the caller sees it
            told["problem"] = problem

    caller = threading.Thread(target=ask, daemon=True)
    started = time.monotonic()
    caller.start()
    done: dict[str, tuple[float, float]] = {}
    for name, (after, act) in sorted((events or {}).items(), key=lambda event: event[1][0]):
        caller.join(max(0.0, started + after - time.monotonic()))
        before = time.monotonic()
        act()
        done[name] = before, time.monotonic()
    caller.join()
    if "problem" in told:
        raise told["problem"]
    columns = {"stream": "arrangement", "begun": "begun_s", "taken": "taken_s"}
    order = ["arrangement", "begun_s", "taken_s", "status", "backend", "lost", "error"]
    frame = pd.DataFrame(told["rows"], columns=["stream", "begun", "taken", "status", "backend", "error"])
    frame = frame.rename(columns=columns)
    frame["lost"] = (frame["status"] == 0) | (frame["status"] >= LOST)
    frame = frame[order]
    conditions: dict[Any, Any] = {**lab.host.conditions}
    moments = {name: tuple(at - told["begun"] for at in span) for name, span in done.items()}
    frame.attrs = conditions | {"seconds": seconds, "events": moments}
    return frame
