"""One verb for all pictures."""

from __future__ import annotations

from typing import Any, overload

from dockernb.model import Snapshot
from dockernb.probe import Matrix
from dockernb.view.matrix import matrix_picture
from dockernb.view.picture import Picture
from dockernb.view.topology import topology


@overload
def look(thing: Matrix, before: Matrix | None = None) -> Picture: ...
@overload
def look(thing: Snapshot, before: Snapshot | None = None, *, volumes: bool = False) -> Picture: ...


def look(thing: Matrix | Snapshot, before: Any = None, *, volumes: bool = False) -> Picture:
    """Draw a matrix or a snapshot, with the difference from an earlier one marked.

    Args:
        thing: what `probe.reach` or `probe.snapshot` returned.
        before: an earlier one of the same kind.
        volumes: for a snapshot, draw volumes and mounts, too.
    """
    if isinstance(thing, Matrix):
        return matrix_picture(thing, before)
    return topology(thing, before, volumes=volumes)
