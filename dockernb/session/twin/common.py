"""Handlers that several nouns share."""

from __future__ import annotations

from collections.abc import Callable

from dockernb.session.twin import words
from dockernb.session.twin.calls import Call, Known
from dockernb.session.twin.script import Group

Handler = Callable[[Call, Known], list[Group]]
"""Makes the groups of a line out of a call."""


def prune(noun: str) -> Handler:
    """A handler for prune; the SDK does not ask back, hence -f."""

    def handler(call: Call, known: Known) -> list[Group]:
        del known
        filters = dict(words.filter_items(call.request.query))
        groups: list[Group] = [("docker", noun, "prune", "-f")]
        if noun == "volume" and "true" in filters.pop("all", []):
            groups.append(("--all",))
        if noun == "image" and "false" in filters.pop("dangling", []):
            groups.append(("--all",))
        return groups + [("--filter", f"{k}={v}") for k, values in filters.items() for v in values]

    return handler


def listing(*verb: str) -> Handler:
    """A handler for a list with filters."""

    def handler(call: Call, known: Known) -> list[Group]:
        del known
        return [("docker", *verb), *words.filters(call.request.query)]

    return handler


def _named(call: Call, known: Known) -> str:
    """The target as the command line takes it: the 64 digits of an anonymous volume are its name, not an id."""
    return call.target if call.kind == "volumes" else known.name(call.target)


def removal(*verb: str) -> Handler:
    """A handler for DELETE on one object."""

    def handler(call: Call, known: Known) -> list[Group]:
        return [
            ("docker", *verb),
            *words.flag("-f", words.true(call.request.query.get("force"))),
            (_named(call, known),),
        ]

    return handler


def inspection(*verb: str) -> Handler:
    """A handler for GET on one object."""

    def handler(call: Call, known: Known) -> list[Group]:
        verbose = words.flag("-v", words.true(call.request.query.get("verbose")))
        return [("docker", *verb), *verbose, (_named(call, known),)]

    return handler


def plain(*words: str) -> Handler:
    """A handler for a call without arguments."""

    def handler(call: Call, known: Known) -> list[Group]:
        del call, known
        return [words]

    return handler


def logs(call: Call, known: Known) -> list[Group]:
    """Docker logs and docker service logs."""
    query = call.request.query
    service = call.kind == "services"
    tail = query.get("tail", "all")
    return [
        ("docker", "service", "logs") if service else ("docker", "logs"),
        *words.flag("-f", words.true(query.get("follow"))),
        *words.flag("-t", words.true(query.get("timestamps"))),
        *words.option("--tail", None if tail == "all" else tail),
        *words.option("--since", None if query.get("since") in {None, "0"} else query["since"]),
        *words.option("--until", query.get("until")),
        (known.name(call.target),),
    ]
