"""Ask a published port of the lab host over HTTP, as the learner's browser would."""

import json
import re
import warnings
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
from urllib3.exceptions import InsecureRequestWarning

from dockernb.arguments import LAB, PORT, SECONDS, Kind, checked, one_of
from dockernb.errors import LabError
from dockernb.session.lab import Lab
from dockernb.waiting import until


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    Attributes:
        status: The status code.
        headers: The headers, by lower-case name.
        text: The body.
    """

    status: int
    headers: dict[str, str]
    text: str

    def __repr__(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}\n{self.text.strip()}"


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


_PATH = Kind("a text that begins with /", lambda value: isinstance(value, str) and value.startswith("/"))
_METHOD = Kind(
    "a method of HTTP, such as 'GET'",
    lambda value: isinstance(value, str) and re.fullmatch("[A-Za-z-]+", value) is not None,
)


@checked(
    LabError,
    lab=LAB,
    port=PORT,
    path=_PATH,
    scheme=one_of("http", "https"),
    method=_METHOD,
    body=Kind("what JSON can carry", _is_json),
    wait=SECONDS,
)
def fetch(
    lab: Lab,
    port: int,
    path: str = "/",
    *,
    scheme: str = "http",
    method: str = "GET",
    body: Any = None,
    wait: float = 60.0,
) -> Answer:
    """Ask a published port, waiting until the server behind it has started.

    Args:
        lab: The session.
        port: The port that the container publishes on the lab host.
        path: Path and query.
        scheme: "http", or "https" (a self-signed certificate is accepted).
        method: GET, POST, ...
        body: JSON to send.
        wait: Seconds to wait for an answer that is not a connection error or 502, 503 or 504.

    Returns:
        The answer; after the wait also one that says 502, 503 or 504.

    Raises:
        HostError: Nothing publishes that port.
        LabError: Nothing answered at all.
    """
    url = f"{lab.host.url(port, scheme)}{path}"
    with requests.Session() as session:
        session.trust_env = False  # a proxy has nothing to do with a loopback port

        def ask() -> requests.Response:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InsecureRequestWarning)
                return session.request(
                    method, url, json=body, timeout=10, verify=False, allow_redirects=False
                )

        try:
            got = until(
                ask,
                wait,
                lambda got: got.status_code not in (502, 503, 504),
                despite=requests.RequestException,
            )
        except requests.RequestException as problem:
            raise LabError(
                f"Port {port} of the lab host did not answer within {wait:.0f} s: does its container run? "
                "(lab.docker.containers.list(all=True) and container.logs() tell.)"
            ) from problem
    return Answer(got.status_code, {name.lower(): text for name, text in got.headers.items()}, got.text)
