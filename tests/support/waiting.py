"""Waiting for a condition, with a limit."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], seconds: float = 15) -> bool:
    """Whether the condition comes true within so many seconds; it returns at once when it is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
