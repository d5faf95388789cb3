"""The front door: what a lesson's first cells call, with progress shown and a badge displayed."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from IPython import get_ipython
from IPython.core.magic import no_var_expand
from IPython.display import display

from dockernb import measure, session, view
from dockernb.labhost.several import Hosts, start_several
from dockernb.session import Lab, magic
from dockernb.view.badge import badge
from dockernb.view.progress import progress


def lab(name: str, *, provider: str | None = None) -> Lab:
    """Open a lesson: start or join the lab host, show what it is, and return the session.

    In a notebook `%%docker` and `%docker` then run command lines on this lab host; see `dockernb.session.magic`.

    Args:
        name: The lesson, which is the name of its notebook, for example "06-three-tier-lab".
        provider: "vm", "container" or "auto" (the default), for a host that has to be started.

    Raises:
        LabError: There is no such lesson.
        HostError: There is no lab host to be had; the sentence says what is missing.
    """
    with progress("Starting the lab host", 1.5) as bar:
        opened = session.open_lab(name, provider=provider, report=bar.report)
        conditions = opened.host.conditions
    display(badge(opened.host, conditions, opened.left_over()))  # type: ignore[no-untyped-call]
    _register_magics(opened)
    return opened


def _register_magics(lab: Lab) -> None:
    """Make `%%docker` and `%docker` mean this lesson's lab host."""
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


def hosts(count: int, *, provider: str | None = None) -> Hosts:
    """Start several lab hosts joined by a segment of their own.

    Args:
        count: How many, 2 to 8.
        provider: "vm", "container" or "auto" (the default).

    Raises:
        HostError: The count is out of range, or one did not start.
    """
    with progress(f"Starting {count} lab hosts", 1.5 * count) as bar:
        return start_several(count, provider=provider, report=bar.report)


def compare(
    lab: Lab, arrangements: Mapping[str, measure.Iperf3], *, runs: int = 5, seconds: int = 1
) -> pd.DataFrame:
    """Measure throughput by iperf3, every arrangement `runs` times in random order, with a progress bar.

    Args:
        lab: The session.
        arrangements: What to measure, by the name that the plot shows: `dn.Iperf3(server, client)`.
        runs: Runs of each; a comparison needs five or more.
        seconds: Measured length of a run, in whole seconds.

    Returns:
        One row a run, failed ones with their reason and without figures; see `dockernb.measure.compare`.

    Raises:
        MeasureError: A container is unknown or not running, or an arrangement makes no sense.
    """
    with progress("Measuring", expected=len(arrangements) * runs * (seconds + 2.5)) as bar:
        return measure.compare(lab, arrangements, runs=runs, seconds=seconds, report=bar.report)


def panel(lab: Lab, **options: Any) -> view.IsolationPanel:
    """The isolation panel of a lesson: a widget, and pictures for readers without a kernel.

    Args:
        lab: The session.
        options: What is probed: sources, targets, ports, ... of `dn.reach`.
    """
    return view.IsolationPanel(lab, **options)
