"""The CLI twin: the ``docker …`` lines that do what a cell's SDK calls did, from the API requests themselves.

`Recorder` collects the requests; `lines` is a pure function over them. A request that has no line of its
own becomes a comment that names the API call, never a line that does something else.

What docker-py sends is read off its source (7.1, docker/api and docker/types); the options are those of the
docker CLI (https://docs.docker.com/reference/cli/docker/). Both are held together by
tests/engine/test_twin.py, which runs the lines with the real CLI and compares what ``docker inspect`` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dockernb.session.twin import words
from dockernb.session.twin.calls import Known, Request
from dockernb.session.twin.render import render
from dockernb.session.twin.script import Line, Script

__all__ = ["Line", "Recorder", "Request", "Script", "lines"]


class Recorder:
    """Collects the API requests of a session; what it learns about names outlives `take`."""

    def __init__(self) -> None:
        self._known = Known()
        self._requests: list[Request] = []

    def record(  # noqa: PLR0917  # the parts of a request in their own order
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Any,
        status: int,
        response: Any = None,
    ) -> None:
        """Keep one request.

        Args:
            method: "GET", "POST", …
            path: The path, with or without the version, without the query.
            query: Query parameters.
            body: The JSON body, decoded or not; anything else than JSON (an archive) is left out.
            status: HTTP status of the answer.
            response: JSON of the answer, decoded or not; None for a stream.
        """
        asked = {k: str(v) for k, v in (query or {}).items() if v is not None}
        self._requests.append(
            Request(method.upper(), path, asked, words.decoded(body), status, words.decoded(response))
        )

    def take(self) -> Script:
        """The twin of what was recorded since the last call."""
        requests, self._requests = self._requests, []
        return Script(render(requests, self._known))


def lines(requests: Iterable[Request]) -> list[str]:
    """The docker command lines that do what the requests did, one string a command."""
    return [str(line) for line in render(list(requests), Known())]
