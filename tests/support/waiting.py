"""Waiting for a condition, with a limit."""

from collections.abc import Callable

from dockernb.waiting import until


def wait_for(condition: Callable[[], object], seconds: float = 15) -> bool:
    """Whether the condition comes true within so many seconds; it returns at once when it is true."""
    return bool(until(condition, seconds, pause=0.05))
