"""The front door: what a lesson's first cells call, with progress shown and a badge displayed."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, overload

import pandas as pd
from IPython import get_ipython
from IPython.core.magic import no_var_expand
from IPython.display import display

from dockernb import measure, probe, session, view
from dockernb.arguments import ENGINE, LAB, PROVIDER, TEXT, Kind, checked, whole
from dockernb.errors import HostError, LabError, MeasureError, ProbeError, UnavailableError
from dockernb.labhost.several import MOST, Hosts, start_several
from dockernb.measure.load import load as send_requests
from dockernb.measure.series import COMPARED
from dockernb.session import Lab, magic
from dockernb.session.needs import Needs
from dockernb.view.badge import badge
from dockernb.view.progress import progress

SAVED = "What this notebook shows below was saved from a real run and can be read without a lab host; it is not live."

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# What the session itself waits for, a slow answer of the engine above all, is shown here, too.
session.show_waiting(progress)


@overload
def lab(name: str, *, provider: str | None = None, engine: str | None = None) -> Lab: ...
@overload
def lab(
    name: str, *, nodes: int, provider: str | None = None, engine: str | None = None
) -> session.Cluster: ...


@checked(LabError, name=TEXT)
@checked(HostError, nodes=whole(1, MOST))
@checked(UnavailableError, provider=PROVIDER, engine=ENGINE)
def lab(name: str, *, nodes: int = 1, provider: str | None = None, engine: str | None = None) -> Lab:
    """Open a lesson: start or join the lab host, show what it is, and return the session.

    In a notebook `%%docker` and `%docker` then run command lines on this lab host; see `dockernb.session.magic`.

    Args:
        name: The lesson, which is the name of its notebook, for example "06-three-tier-lab".
        nodes: How many lab hosts. Several are joined by a segment of their own and called node1, node2, …; the session
            has them as `lab.nodes`, and `lab.host` and `lab.docker` mean the first.
        provider: "vm", "container" or "auto" (the default), for a host that has to be started.
        engine: "testing" (the default) or "stable", the Debian suite that its engine comes from.

    Raises:
        LabError: There is no such lesson.
        HostError: There is no lab host to be had; the sentence says what is missing.
    """
    opened: Lab
    session.show_errors_in_one_sentence(None)
    try:
        with progress(
            "Starting the lab host" if nodes == 1 else f"Starting {nodes} lab hosts", 1.5 * nodes
        ) as bar:
            if nodes == 1:
                opened = session.open_lab(name, provider=provider, engine=engine, report=bar.report)
            else:
                opened = session.open_cluster(
                    name, nodes, provider=provider, engine=engine, report=bar.report
                )
            conditions = opened.host.conditions
    except UnavailableError as problem:
        raise UnavailableError(f"{problem} {SAVED}") from problem
    display(badge(opened.host, conditions, opened.left_over(), nodes))  # type: ignore[no-untyped-call]
    _register_magics(opened)
    return opened


def _register_magics(lab: Lab) -> None:
    """Make `%%docker`, `%docker` and `%%needs` mean this lesson's lab host."""
    shell = get_ipython()
    if shell is None:
        return

    @no_var_expand  # {{.Names}} and $HOME are the command line's
    def docker(line: str, cell: str | None = None) -> None:
        """Run command lines on the lesson's lab host.

        %docker ps --all            one docker command
        %%docker [--limit SECONDS]  the cell is a script for the lab host's bash
        """
        if cell is None:
            magic.run_cell(lab, f"docker {line}")
        else:
            magic.run_cell(lab, cell, limit=magic.limit_of(line))

    shell.register_magic_function(docker, "line_cell", "docker")
    transformers = shell.input_transformers_cleanup
    transformers[:] = [one for one in transformers if not isinstance(one, Needs)] + [Needs(lab.host)]


@checked(HostError, count=whole(2, MOST))
@checked(UnavailableError, provider=PROVIDER, engine=ENGINE)
def hosts(count: int, *, provider: str | None = None, engine: str | None = None) -> Hosts:
    """Start several lab hosts joined by a segment of their own.

    Args:
        count: How many, 2 to 8.
        provider: "vm", "container" or "auto" (the default).
        engine: "testing" (the default) or "stable", the Debian suite that its engine comes from.

    Raises:
        HostError: The count is out of range, or one did not start.
    """
    with progress(f"Starting {count} lab hosts", 1.5 * count) as bar:
        return start_several(count, provider=provider, engine=engine, report=bar.report)


@checked(MeasureError, **COMPARED)
def compare(
    lab: Lab,
    arrangements: Mapping[str, measure.Arrangement],
    *,
    runs: int = 5,
    seconds: float = 1,
    omit: float = 1,
    budget_s: float | None = None,
) -> pd.DataFrame:
    """Measure networks by iperf3 or sockperf, storage by fio or pgbench: each arrangement `runs` times in random order.

    Args:
        lab: The session.
        arrangements: What to measure, by the name that the plot shows: `dn.Iperf3(server, client)` for throughput,
            `dn.Sockperf(server, client)` for round trips, `dn.Fio(container, directory, pattern)`,
            `dn.Pgbench(container, sql)` for a database; all of one kind.
            `dn.sweep` makes several of one.
        runs: Runs of each; a comparison needs five or more.
        seconds: Measured length of a run; whole seconds but for fio, which also knows parts of one.
        omit: Seconds of warm-up before that, left out of the result.
        budget_s: No round of runs begins that would probably end after this many seconds.

    Returns:
        One row a run, failed ones with their reason and without figures; see `dockernb.measure.compare`. The stop
        button keeps the runs so far.

    Raises:
        MeasureError: A container is unknown or not running, or an arrangement makes no sense.
    """
    expected = len(arrangements) * runs * (seconds + omit + 0.5)
    with progress("Measuring", expected=min(expected, budget_s or expected)) as bar:
        return measure.compare(
            lab, arrangements, runs=runs, seconds=seconds, omit=omit, budget_s=budget_s, report=bar.report
        )


def _shown(title: str, expected: float, work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The same work, with a progress bar."""

    @functools.wraps(work)
    def with_a_bar(*args: Arguments.args, **options: Arguments.kwargs) -> Result:
        with progress(title, expected):
            return work(*args, **options)

    return with_a_bar


reach = _shown("Asking who reaches whom", 1.5, probe.reach)
why = _shown("Measuring, and reading the firewall's counters", 2.0, probe.why)
fetch = _shown("Waiting for an answer", 5.0, session.fetch)
load = _shown("Sending requests", 10.0, send_requests)


_PROBED = tuple(inspect.signature(probe.reach).parameters)[1:]
_OPTIONS = Kind(f"what dn.reach takes ({', '.join(_PROBED)})", lambda options: options.keys() <= set(_PROBED))


@checked(ProbeError, lab=LAB, options=_OPTIONS)
def panel(lab: Lab, **options: Any) -> view.IsolationPanel:
    """The isolation panel of a lesson: a widget, and pictures for readers without a kernel.

    Args:
        lab: The session.
        options: What is probed: sources, targets, ports, ... of `dn.reach`.
    """
    with progress("Asking who reaches whom", 1.5):
        return view.IsolationPanel(lab, **options)
