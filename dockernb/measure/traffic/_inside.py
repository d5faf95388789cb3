"""Read the counters of a network namespace's interfaces again and again; standard library only, on the lab host."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def main(argument: dict[str, Any]) -> dict[str, Any]:
    """Read /proc/<pid>/net/dev every `argument["every"]` seconds, for `argument["seconds"]`.

    The answer has readings: each a time in seconds since the first, and the text of the file.
    """
    path = Path(f"/proc/{argument['pid']}/net/dev")
    begun = time.monotonic()
    readings: list[tuple[float, str]] = []
    while True:
        text = path.read_text()
        now = time.monotonic() - begun
        readings.append((now, text))
        if now >= argument["seconds"]:
            return {"readings": readings}
        time.sleep(max(0.0, len(readings) * argument["every"] - (time.monotonic() - begun)))
