"""One verb for all pictures."""

from __future__ import annotations

from typing import Any, overload

from dockernb.arguments import FLAG, NONE, a, checked
from dockernb.errors import ProbeError
from dockernb.measure.capture import Capture
from dockernb.model import Snapshot, Swarm
from dockernb.probe import Explanation, Matrix
from dockernb.view.explanation import explanation_picture
from dockernb.view.matrix import matrix_picture
from dockernb.view.packets import packets_picture
from dockernb.view.picture import Picture
from dockernb.view.storage import storage_picture
from dockernb.view.swarm import swarm_picture
from dockernb.view.topology import topology

_SEEN = a(
    (Matrix, Snapshot, Swarm, Explanation, Capture),
    "what dn.reach, dn.snapshot, dn.why, dn.capture or lab.swarm gave",
)


@overload
def look(thing: Matrix, before: Matrix | None = None) -> Picture: ...
@overload
def look(thing: Snapshot, before: Snapshot | None = None, *, volumes: bool = False) -> Picture: ...


@overload
def look(thing: Swarm, before: Swarm | None = None) -> Picture: ...
@overload
def look(thing: Explanation | Capture) -> Picture: ...


@checked(ProbeError, thing=_SEEN, volumes=FLAG)
def look(
    thing: Matrix | Snapshot | Swarm | Explanation | Capture, before: Any = None, *, volumes: bool = False
) -> Picture:
    """Draw what was seen: a matrix, a snapshot or a swarm (and what is different now), an explanation, packets.

    Args:
        thing: what `probe.reach`, `probe.snapshot`, `probe.why`, `Cluster.swarm` or `capture` returned.
        before: an earlier one of the same kind.
        volumes: for a snapshot, draw who mounts what, in place of the networks.
    """
    (a(type(thing), "an earlier one of the same kind") | NONE).check(ProbeError, "before", before)
    if isinstance(thing, Matrix):
        return matrix_picture(thing, before)
    if isinstance(thing, Swarm):
        return swarm_picture(thing, before)
    if isinstance(thing, Explanation):
        return explanation_picture(thing)
    if isinstance(thing, Capture):
        return packets_picture(thing)
    return storage_picture(thing, before) if volumes else topology(thing, before)
