"""The CLI twin of several Docker hosts: each stretch of lines says on which of them to type it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any

from dockernb.session.twin import Recorder, Request
from dockernb.session.twin.calls import Call, Known
from dockernb.session.twin.render import render
from dockernb.session.twin.script import Line, Script


class Journal:
    """Collects the requests to all hosts, in their order; a name that one answer told is known for all."""

    def __init__(self) -> None:
        self._known = Known()
        self._requests: list[tuple[str, Request]] = []
        self._silent = False

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Requests that are not kept, whoever records them."""
        self._silent = True
        try:
            yield
        finally:
            self._silent = False

    def of(self, where: str) -> Recorder:
        """The recorder of one host."""
        return _Stretch(self, where)

    def keep(self, where: str, request: Request) -> None:
        """Take one request in."""
        if not self._silent:
            self._requests.append((where, request))

    def take(self) -> Script:
        """The twin of what was recorded since the last call."""
        acted = {where for where, request in self._requests if _on_swarm(request) and request.method != "GET"}
        requests = [
            (where, request)
            for where, request in self._requests
            # `client.swarm` reads the swarm each time it is used, which a machine that is to join cannot answer
            if not (_on_swarm(request) and request.method == "GET" and where in acted)
        ]
        self._requests.clear()
        lines: list[Line] = []
        for where, stretch in groupby(requests, key=itemgetter(0)):
            if told := render([request for _, request in stretch], self._known):
                lines += [Line(comment=f"on {where}"), *told]
        return Script(lines)


def _on_swarm(request: Request) -> bool:
    """Whether it is about the swarm as a whole."""
    return Call.of(request).kind == "swarm"


class _Stretch(Recorder):
    """Records into the journal."""

    def __init__(self, journal: Journal, where: str) -> None:
        super().__init__()
        self._journal, self._where = journal, where

    def record(  # noqa: PLR0917  # as in the class above
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Any,
        status: int,
        response: Any = None,
    ) -> None:
        """Keep one request, and where it went."""
        super().record(method, path, query, body, status, response)
        self._journal.keep(self._where, self._requests.pop())
