"""One verb for all pictures."""

from __future__ import annotations

from typing import Any, overload

from dockernb.model import Snapshot
from dockernb.probe import Explanation, Matrix
from dockernb.view.explanation import explanation_picture
from dockernb.view.matrix import matrix_picture
from dockernb.view.picture import Picture
from dockernb.view.topology import topology


@overload
def look(thing: Matrix, before: Matrix | None = None) -> Picture: ...
@overload
def look(thing: Snapshot, before: Snapshot | None = None, *, volumes: bool = False) -> Picture: ...


@overload
def look(thing: Explanation) -> Picture: ...


def look(thing: Matrix | Snapshot | Explanation, before: Any = None, *, volumes: bool = False) -> Picture:
    """Draw a matrix or a snapshot, with the difference from an earlier one marked, or an explanation.

    Args:
        thing: what `probe.reach`, `probe.snapshot` or `probe.why` returned.
        before: an earlier one of the same kind.
        volumes: for a snapshot, draw volumes and mounts, too.
    """
    if isinstance(thing, Matrix):
        return matrix_picture(thing, before)
    if isinstance(thing, Explanation):
        return explanation_picture(thing)
    return topology(thing, before, volumes=volumes)
