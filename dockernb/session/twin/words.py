"""From fields of a request to words of a command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dockernb.session.twin.calls import Known, Unrenderable
from dockernb.session.twin.script import Group

HIDDEN_LABELS = "org.dockernb."
"""Labels with this prefix are dockernb's own and left out of the lines."""


class Fields:
    """A part of a body whose fields are taken one by one, so that none is overlooked."""

    def __init__(self, data: Any) -> None:
        self.data: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}

    def take(self, key: str) -> Any:
        """The value, once."""
        return self.data.pop(key, None)

    def nothing_left(self) -> None:
        """Raise unless everything that says something was taken."""
        if left := sorted(k for k, v in self.data.items() if not empty(v)):
            raise Unrenderable(f"the docker command line has no option for {', '.join(left)}")


def empty(value: Any) -> bool:
    """Whether a value says nothing: the engine takes it for "not given"."""
    if isinstance(value, Mapping):
        return all(empty(v) for v in value.values())
    return value is None or value is False or value in (0, "", [])


def flag(option: str, value: Any) -> list[Group]:
    """The option alone, if the value holds."""
    return [(option,)] if value else []


def option(option: str, value: Any) -> list[Group]:
    """The option and its value, if there is one."""
    return [] if value is None or value == "" else [(option, str(value))]


def each(option: str, values: Iterable[Any] | None) -> list[Group]:
    """The option once for each value."""
    return [(option, str(value)) for value in values or ()]


def pairs(option: str, values: Mapping[str, Any] | None) -> list[Group]:
    """The option once for each key=value."""
    return [(option, f"{k}={v}") for k, v in (values or {}).items()]


def pair(key: str, value: str) -> str:
    """key=value, or the key alone."""
    return f"{key}={value}" if value else key


def shown(labels: Mapping[str, str] | None) -> dict[str, str]:
    """The labels that are the learner's own."""
    return {k: v for k, v in (labels or {}).items() if not k.startswith(HIDDEN_LABELS)}


def labels(option: str, labels: Mapping[str, str] | None) -> list[Group]:
    """The option once for each label that is the learner's own."""
    return [(option, pair(k, v)) for k, v in shown(labels).items()]


def first_named(text: str, known: Known) -> str:
    """A reference such as "web:alias" or "data:ro" with a name instead of the id in front."""
    first, colon, rest = text.partition(":")
    return known.name(first) + colon + rest


def csv_value(fields: Sequence[str]) -> str:
    """Fields as --mount and --network read them: comma-separated, quoted where a field holds a comma."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(fields)
    return out.getvalue()


def size(value: int) -> str:
    """67108864 as 64m."""
    for unit, size in (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)):
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def duration(nanoseconds: int) -> str:
    """30000000000 as 30s."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return f"{nanoseconds}ns"


def true(value: str | None) -> bool:
    """How the engine reads a boolean query parameter."""
    return (value or "").strip().lower() not in {"", "0", "no", "false", "none"}


def filter_items(query: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """The filters parameter: {"label": ["a"]} or the older {"label": {"a": true}}."""
    given = decoded(query.get("filters")) or {}
    return [(key, [str(v) for v in values]) for key, values in given.items()]


def filters(query: Mapping[str, str]) -> list[Group]:
    """--filter for each filter of a query."""
    return [("--filter", f"{k}={v}") for k, values in filter_items(query) for v in values]


def decoded(data: Any) -> Any:
    """JSON text as data; what is no JSON is None."""
    if isinstance(data, str | bytes | bytearray):
        try:
            return json.loads(data)
        except ValueError:
            return None
    return data
