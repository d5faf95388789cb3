"""Several lab hosts side by side, joined by a segment of their own that touches no network of the learner's."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from dockernb.arguments import ENGINE, PROVIDER, WHOLE, checked
from dockernb.errors import HostError, UnavailableError
from dockernb.labhost import host as hosts
from dockernb.labhost.host import LabHost, Report
from dockernb.labhost.machine import SEGMENT
from dockernb.waiting import until

MOST = 8
JOINED_LIMIT = 20.0  # seconds for the segment to carry packets between two


@dataclass(frozen=True)
class Hosts:
    """Lab hosts on one segment (198.51.100.0/24); the first is the hub.

    Example:
        nodes = dn.hosts(3)
        nodes[0].run(["ping", "-c1", nodes.address(1)])
    """

    members: tuple[LabHost, ...]

    def __iter__(self) -> Iterator[LabHost]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, number: int) -> LabHost:
        return self.members[number]

    def address(self, number: int) -> str:
        """The address of a member on the segment."""
        return f"{SEGMENT}.{range(len(self.members))[number] + 1}"

    def reset(self) -> None:
        """All of them pristine again, and joined again: the hub first, since the others plug into it."""
        for member in self.members:
            member.reset()
        self.wait_until_joined()

    def wait_until_joined(self) -> None:
        """Wait until every member reaches those before it: the first packets of a new cable may be lost.

        Raises:
            HostError: One does not within 20 s.
        """
        for number, member in enumerate(self.members):
            for other in range(number):
                address = self.address(other)
                ping = functools.partial(member.run, ["ping", "-c1", "-W1", address])
                if until(ping, JOINED_LIMIT, lambda done: not done.returncode).returncode:
                    raise HostError(
                        f"{member.name} does not reach {address}: stop the lab hosts, then start them again."
                    )

    def stop(self) -> None:
        """End all of them."""
        for member in reversed(self.members):
            member.stop()


@checked(HostError, count=WHOLE)
@checked(UnavailableError, provider=PROVIDER, engine=ENGINE)
def start_several(
    count: int,
    *,
    provider: str | None = None,
    engine: str | None = None,
    owner: int | None = None,
    report: Report = lambda text, part: None,
) -> Hosts:
    """Start lab hosts node1, node2, … from one template, or join those that run.

    Args:
        count: How many, 2 to 8. Each takes about 0.3 GB of memory of its own.
        provider: "vm", "container" or "auto"; the same for all.
        engine: "testing" (the default) or "stable", the Debian suite that its engine comes from.
        owner: Process id with which they end; default: the parent of this process.
        report: Told what is being done and the fraction that is done.

    Raises:
        HostError: The count is out of range, or one did not start; those that did are stopped.
    """
    if not 2 <= count <= MOST:
        raise HostError(f"{count} lab hosts cannot be joined: ask for 2 to {MOST}.")
    members: list[LabHost] = []
    try:
        for number in range(1, count + 1):
            part = (number - 1) / count

            def step(text: str, fraction: float, part: float = part) -> None:
                report(text, part + fraction / count)

            members.append(
                hosts.start(
                    f"node{number}",
                    provider=provider,
                    engine=engine,
                    owner=owner,
                    report=step,
                    hub="node1" if number > 1 else None,
                    index=number,
                )
            )
        joined = Hosts(tuple(members))
        joined.wait_until_joined()
    except BaseException:
        for member in reversed(members):
            member.stop()
        raise
    return joined
