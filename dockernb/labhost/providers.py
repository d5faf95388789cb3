"""Which provider works here, and why the choice fell as it did."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from dockernb.errors import UnavailableError
from dockernb.labhost import container, template, vm

Report = Callable[[str, float], None]

NAMES = ("vm", "container")


@dataclass(frozen=True)
class Choice:
    """A provider that works here.

    Attributes:
        name: "vm" or "container".
        why: Half a sentence for the learner.
        engine: URL of the learner's engine, for `container`.
    """

    name: str
    why: str
    engine: str | None = None

    def prepare(self, report: Report, *, force: bool = False) -> None:
        """Build what a start needs, when it is missing or when forced."""
        if self.name == "vm":
            if force or template.find() is None:
                template.build(report, force=force)
        else:
            assert self.engine is not None
            container.prepare(self.engine, report, force=force)


def choose(wanted: str | None = None) -> Choice:
    """The provider to use.

    Args:
        wanted: "vm", "container" or "auto"; default: the environment's DOCKERNB_PROVIDER, else "auto".

    Raises:
        UnavailableError: There is no such provider, it does not work here, or none does.
    """
    asked_by = "asked for" if wanted else "asked for by DOCKERNB_PROVIDER"
    wanted = wanted or os.environ.get("DOCKERNB_PROVIDER") or "auto"
    if wanted not in (*NAMES, "auto"):
        raise UnavailableError(f"There is no provider {wanted!r}: use vm, container or auto.")
    if wanted in ("auto", "container"):
        engine, problem = container.find_engine()
        if engine:
            return Choice(
                "container", asked_by if wanted == "container" else f"your engine answers ({engine})", engine
            )
        if wanted == "container":
            raise UnavailableError(f"The container provider does not work here: {problem}")
    lacks = vm.missing()
    if lacks:
        raise UnavailableError("The vm provider does not work here: " + " ".join(lacks))
    return Choice(
        "vm", asked_by if wanted == "vm" else "no Docker Engine of yours answers, so QEMU makes one"
    )
