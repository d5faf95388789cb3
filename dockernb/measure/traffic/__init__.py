"""How much a container receives and sends, from the counters that the kernel keeps of each interface.

watched = dn.traffic(lab, "web", seconds=5)
dn.rates(watched)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import pandas as pd

from dockernb.arguments import LAB, NAME, SECONDS, checked
from dockernb.errors import MeasureError
from dockernb.measure.containers import running

if TYPE_CHECKING:
    from dockernb.session import Lab

__all__ = ["counters", "rates", "traffic"]

_RECEIVED, _SENT = 0, 8  # the fields of bytes in a line of /proc/net/dev; see proc_pid_net(5)


@checked(MeasureError, lab=LAB, container=NAME, seconds=SECONDS, every=SECONDS)
def traffic(lab: Lab, container: str, *, seconds: float = 5.0, every: float = 0.25) -> pd.DataFrame:
    """Watch a container's interfaces for a while, in one helper call on the lab host; its image needs no program.

    Args:
        lab: The lesson's session.
        container: Name of the container.
        seconds: How long.
        every: Seconds between two readings.

    Returns:
        One row for each interface but loopback and each time between two readings: interface, from_s and to_s
        (seconds since the first reading), received_mbit_s and sent_mbit_s (10^6 bits a second, with all headers that
        the kernel counts). ``attrs`` holds the conditions and the container.

    Raises:
        MeasureError: The container does not exist or does not run, or the times make no sense.
        HostError: The lab host is gone.
    """
    if not 0 < every <= seconds:
        raise MeasureError(
            "Ask for more than no time at all between two readings, and for at least one such time."
        )
    source = resources.files(__package__).joinpath("_inside.py").read_text(encoding="utf-8")
    argument = {"pid": running(lab.host.client().api, container).pid, "seconds": seconds, "every": every}
    answer = lab.host.call(source, argument, timeout=seconds + 20)
    frame = rates([(at, counters(text)) for at, text in answer["readings"]])
    conditions: dict[Any, Any] = {**lab.host.conditions}
    frame.attrs = conditions | {"container": container, "every_s": every}
    return frame


def counters(text: str) -> dict[str, tuple[int, int]]:
    """Bytes received and sent so far, by interface, from the text of /proc/net/dev; without loopback."""
    found = {}
    for line in text.splitlines():
        name, colon, figures = line.partition(":")
        fields = figures.split()
        if colon and name.strip() != "lo" and len(fields) > _SENT:
            found[name.strip()] = int(fields[_RECEIVED]), int(fields[_SENT])
    return found


def rates(readings: Sequence[tuple[float, dict[str, tuple[int, int]]]]) -> pd.DataFrame:
    """The differences of successive readings, as rates. An interface that comes or goes has no rate for that time.

    Args:
        readings: Seconds, and `counters` of that moment.
    """
    rows = []
    for (begin, before), (end, after) in itertools.pairwise(readings):
        for name, now in after.items():
            if name not in before or end <= begin:
                continue
            received, sent = (
                (new - old) * 8 / 1e6 / (end - begin) for new, old in zip(now, before[name], strict=True)
            )
            rows.append((name, begin, end, received, sent))
    return pd.DataFrame(rows, columns=["interface", "from_s", "to_s", "received_mbit_s", "sent_mbit_s"])
