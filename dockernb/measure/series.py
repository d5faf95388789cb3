"""A series of runs as a tidy DataFrame: several arrangements in rounds of random order, every run a row."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import random
import time
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import docker
import pandas as pd

from dockernb.arguments import LAB, NONE, NUMBER, SECONDS, WHOLE, Kind, by_name, checked, having
from dockernb.errors import HostError, MeasureError

if TYPE_CHECKING:
    from dockernb.session import Lab

HURRY = "DOCKERNB_BUDGET_S"  # environment variable: the most that any one comparison may take, in seconds

Report = Callable[[str, float], None]
"""Told what is being done, and the fraction of the whole that is done (0 to 1)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run gave; a program's own kind adds its figures, each None where there is none.

    Attributes:
        version: The program that measured, "3.18".
        error: Why there is no result; empty for a good run.
    """

    version: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """An arrangement for which everything is known and nothing has run yet.

    Attributes:
        program: What measures, as the conditions name it.
        source: What runs on the lab host: the text of a module with ``main``.
        argument: Its argument; ``limit`` in it is the longest time it takes, in seconds.
        columns: What the frame says of the arrangement.
        kind: The kind of reading.
        read: Makes a reading of main's answer.
    """

    program: str
    source: str
    argument: Mapping[str, Any]
    columns: Mapping[str, Any]
    kind: type[Reading]
    read: Callable[[Mapping[str, Any]], Reading]

    def measure(self, lab: Lab) -> Reading:
        """One run: one helper call on the lab host."""
        return self.read(lab.host.call(self.source, dict(self.argument), timeout=self.argument["limit"] + 10))


class Arrangement(Protocol):
    """Something to measure, such as `dockernb.measure.Iperf3`, `dockernb.measure.Fio`, `dockernb.measure.Pgbench`."""

    def plan(self, engine: docker.APIClient, name: str, seconds: float, omit: float) -> Plan:
        """Look up what is needed; `name` is for what is said of mistakes.

        Raises:
            MeasureError: A container does not exist or does not run, or a field makes no sense.
        """


def whole_seconds(name: str, *times: float) -> list[int]:
    """The times, for a program that counts in whole seconds.

    Raises:
        MeasureError: One of them is not whole.
    """
    if any(time != int(time) for time in times):
        raise MeasureError(f'"{name}": its program counts in whole seconds; fio alone measures parts of one.')
    return [int(time) for time in times]


Base = TypeVar("Base", bound=Arrangement)


_A_BASE = Kind(
    'an arrangement, such as dn.Iperf3("server", "client")',
    lambda value: dataclasses.is_dataclass(value) and not isinstance(value, type),
)
_VALUES = Kind(
    "values in a list for each field, such as parallel=[1, 4]",
    lambda values: all(
        hasattr(each, "__iter__") and not isinstance(each, str | bytes) for each in values.values()
    ),
)


@checked(MeasureError, base=_A_BASE, values=_VALUES)
def sweep(base: Base, **values: Iterable[Any]) -> dict[str, Base]:
    """The same arrangement with other values of some fields, in all combinations.

    Args:
        base: What the others are made of.
        **values: For a field of the arrangement, the values it is to take.

    Returns:
        The arrangements by name, for example "block_kib 4, parallel 1", as `compare` takes them.

    Raises:
        MeasureError: The arrangement has no such field.
    """
    fields = {field.name for field in dataclasses.fields(base)}  # type: ignore[arg-type]
    if unknown := sorted(values.keys() - fields):
        raise MeasureError(
            f"{type(base).__name__} has no field {unknown[0]!r}: it has {', '.join(sorted(fields))}."
        )
    found = {}
    for combination in itertools.product(*values.values()):
        chosen = dict(zip(values, combination, strict=True))
        name = ", ".join(f"{field} {value}" for field, value in chosen.items())
        found[name] = dataclasses.replace(base, **chosen)  # type: ignore[type-var]
    return found


COMPARED = {
    "lab": LAB,
    "arrangements": by_name(
        having("plan", ""), 'arrangements by name, such as {"bridge": dn.Iperf3("server", "client")}'
    ),
    "runs": WHOLE,
    "seconds": NUMBER,
    "omit": NUMBER,
    "budget_s": SECONDS | NONE,
}


@checked(MeasureError, **COMPARED)
def compare(
    lab: Lab,
    arrangements: Mapping[str, Arrangement],
    *,
    runs: int = 5,
    seconds: float = 1,
    omit: float = 1,
    budget_s: float | None = None,
    seed: int | None = None,
    report: Report | None = None,
) -> pd.DataFrame:
    """Measure several arrangements of one kind, each ``runs`` times, in rounds of random order.

    Each round measures every arrangement once, so that a slow drift of the machine (heat, other work) falls on all
    alike. An interrupt (the stop button), a lost lab host or a budget that is used up ends the series and keeps the
    samples so far; ``attrs["complete"]`` is then False.

    Args:
        lab: The lesson's session.
        arrangements: What to measure, by the name that the frame and the plot show; see also `sweep`.
        runs: Runs of each arrangement; a comparison needs five or more.
        seconds: Measured length of a run; whole seconds but for fio, which also knows parts of one.
        omit: Seconds of warm-up before that, left out of the result.
        budget_s: No round begins that would, at the pace of the one before, end after this many seconds. Where
            the environment variable DOCKERNB_BUDGET_S is set (a class in a hurry, a test), never more than that.
        seed: Makes the order repeatable.
        report: Told the run that is being made and the fraction done, for a progress bar.

    Returns:
        One row a run, in the order in which they ran: arrangement, run (1 to ``runs``), the fields of the arrangement,
        the figures (with their units in their names; see the program's kind of reading), elapsed_s (with start and
        stop) and error. A failed run has its reason in ``error``, which is empty otherwise, and no figures. ``attrs``
        holds the conditions: those of ``lab.host.conditions``, the program's version under its name, seconds, omit_s,
        runs, complete.

    Raises:
        MeasureError: A container does not exist, does not run or has no address; the arrangements are of several
            kinds; the first run found no lab host; or DOCKERNB_BUDGET_S is no number.
    """
    if runs < 1 or seconds <= 0 or omit < 0 or not arrangements:
        raise MeasureError("Ask for at least one arrangement, one run and some time; omit may be 0.")
    engine = lab.host.client().api
    plans = {name: each.plan(engine, name, seconds, omit) for name, each in arrangements.items()}
    first = next(iter(plans.values()))
    if any(plan.program != first.program for plan in plans.values()):
        raise MeasureError(
            "Measure networks and storage each for itself: their figures have no common columns."
        )
    budget = min(_seconds(budget_s), _seconds(os.environ.get(HURRY)))
    dice = random.Random(seed)
    rows: list[dict[str, Any]] = []
    version, complete = "", False
    begun = time.monotonic()
    try:
        for run in range(1, runs + 1):
            round_begun = time.monotonic()
            for name in dice.sample(list(plans), len(plans)):
                if report:
                    report(f"{name}, run {run} of {runs}", len(rows) / (runs * len(plans)))
                before = time.monotonic()
                row = {"arrangement": name, "run": run, **plans[name].columns}
                reading = plans[name].measure(lab)
                rows.append({**row, **dataclasses.asdict(reading), "elapsed_s": time.monotonic() - before})
                version = version or reading.version
            now = time.monotonic()
            if run < runs and now - begun + (now - round_begun) > budget:
                break
        else:
            complete = True
    except HostError as gone:
        if not rows:
            raise MeasureError(f"Nothing could be measured: {gone}") from gone
        rows.append({**row, "error": str(gone)})
    except KeyboardInterrupt:
        if not rows:
            raise
    figures = [field.name for field in dataclasses.fields(first.kind) if field.name not in _OF_ALL]
    columns = ["arrangement", "run", *first.columns, *figures, "elapsed_s", "error"]
    frame = pd.DataFrame(rows, columns=columns)
    hints = typing.get_type_hints(first.kind)
    kinds = {
        name: "Int64" if hints[name] == int | None else float for name in figures if hints[name] != str | None
    }
    frame = frame.astype(kinds).astype({"elapsed_s": float, "error": "string"})
    conditions: dict[Any, Any] = {**lab.host.conditions}
    frame.attrs = conditions | {
        first.program: version,
        "seconds": seconds,
        "omit_s": omit,
        "runs": runs,
        "complete": complete,
    }
    return frame


def _seconds(budget: float | str | None) -> float:
    """A budget in seconds; none is as much as one likes.

    Raises:
        MeasureError: It is no number.
    """
    try:
        return math.inf if budget is None else float(budget)
    except ValueError:
        raise MeasureError(f"{HURRY} is {budget!r}: set it to a number of seconds, or not at all.") from None


_OF_ALL = {field.name for field in dataclasses.fields(Reading)}
