"""The lab hosts that the files of a test process share, since a reset takes a fraction of what a start does.

Each ends with that process, whatever happens to it.
"""

import os
from collections.abc import Callable

from dockernb.errors import HostError
from dockernb.labhost import LabHost, join, start

NAME = "tests"
ANSWERS_WITHIN = 10.0  # seconds


class Shared:
    """One lab host of a provider: started when it is first asked for, and anew when it does not answer any more.

    Args:
        provider: "vm" or "container".
        engine: Which suite its engine comes from; None for the default.
    """

    def __init__(self, provider: str, engine: str | None = None) -> None:
        self._provider, self._engine = provider, engine
        self._name = f"{NAME}-{engine}" if engine else NAME
        self._host: LabHost | None = None

    def pristine(self) -> LabHost:
        """The lab host as a start makes it; one that has just been started is not reset."""
        return self._host_that_does(LabHost.reset)

    def as_it_is(self) -> LabHost:
        """The lab host with what others have left on it."""
        return self._host_that_does(lambda host: host.run(["true"], timeout=ANSWERS_WITHIN))

    def _host_that_does(self, wanted: Callable[[LabHost], object]) -> LabHost:
        # What hangs until the test's limit of time is not asked again.
        host, self._host = self._host, None
        if host is None or not _does(wanted, host):
            if left := join(self._name):
                left.stop()
            host = start(self._name, provider=self._provider, engine=self._engine, owner=os.getpid())
        self._host = host
        return host

    def stop(self) -> None:
        """End it, if there is one."""
        if self._host:
            self._host.stop()


def _does(wanted: Callable[[LabHost], object], host: LabHost) -> bool:
    try:
        wanted(host)
    except HostError:
        return False
    return True
