"""Snapshots for tests without an engine: the inspect JSON of one and the same lab on two real engines.

The lab: networks frontend, backend and database (both internal), dual (IPv4 and IPv6, icc off, MTU 1400);
containers web (frontend and backend, 8080 published), lb (frontend, 80 and 443), client (frontend, paused),
api (backend and database, alias api-service), db (database, static 172.22.0.10, alias postgres, volume
pgdata), six (dual), onhost (host network), lonely (no network), peer (in web's network namespace), old
(bridge, stopped).
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from dockernb.model import Snapshot

ENGINES = ("20.10", "26.1")
_DATA = Path(__file__).parents[1] / "fast" / "data"


@cache
def inspected(engine: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((_DATA / f"engine-{engine}.json").read_text())
    return loaded


def snapshot_of(engine: str = "26.1") -> Snapshot:
    data = inspected(engine)
    return Snapshot.from_inspect(
        networks=data["networks"], containers=data["containers"], volumes=data["volumes"]
    )
