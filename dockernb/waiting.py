"""Waiting for a condition, with a limit: the one loop for it, below everything that waits."""

import time
from collections.abc import Callable
from typing import TypeVar

PAUSE = 0.2  # seconds between two looks

Seen = TypeVar("Seen")


def until(
    look: Callable[[], Seen],
    limit: float,
    enough: Callable[[Seen], object] = bool,
    *,
    despite: type[Exception] | tuple[type[Exception], ...] = (),
    pause: float = PAUSE,
) -> Seen:
    """Look again and again until what is seen is enough; after the limit what the last look saw has to do.

    So the caller tells by the value whether it came, and has its own sentence for the case that it did not. The last
    look begins at the limit; how long a single look may take is for the look itself to bound.

    Args:
        look: Called at least once.
        limit: Seconds.
        enough: Whether what was seen is what is waited for; by default: whether it is true.
        despite: Exceptions of a look that mean no more than "not yet"; the last look's is raised. Others are at once.
        pause: Seconds between two looks.

    Returns:
        What the last look saw, enough or not.
    """
    deadline = time.monotonic() + limit
    while True:
        try:
            seen = look()
        except despite:
            if time.monotonic() >= deadline:
                raise
        else:
            if enough(seen) or time.monotonic() >= deadline:
                return seen
        time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
