"""Which provider works here and with which engine, and why the choice fell as it did."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from dockernb.errors import UnavailableError
from dockernb.labhost import container, debian, template, vm

Report = Callable[[str, float], None]

NAMES = ("vm", "container")


@dataclass(frozen=True)
class Choice:
    """A provider that works here.

    Attributes:
        name: "vm" or "container".
        why: Half a sentence for the learner.
        engine: Which suite the lab host's engine comes from, "testing" or "stable".
        outer: URL of the learner's own engine, for `container`.
    """

    name: str
    why: str
    engine: str
    outer: str | None = None

    def prepare(self, report: Report, *, force: bool = False) -> None:
        """Build what a start needs, when it is missing or when forced."""
        if self.name == "vm":
            if force or template.find(self.engine) is None:
                template.build(report, engine=self.engine, force=force)
        else:
            assert self.outer is not None
            container.prepare(self.outer, report, engine=self.engine, force=force)


def choose_engine(wanted: str | None = None) -> str:
    """Which suite the lab host's engine comes from.

    Args:
        wanted: "testing" or "stable"; default: the environment's DOCKERNB_ENGINE, else "testing".

    Raises:
        UnavailableError: There is no such engine.
    """
    wanted = wanted or os.environ.get("DOCKERNB_ENGINE") or debian.DEFAULT_ENGINE
    if wanted not in debian.ENGINES:
        raise UnavailableError(f"There is no engine {wanted!r}: use {' or '.join(debian.ENGINES)}.")
    return wanted


def choose(wanted: str | None = None, engine: str | None = None) -> Choice:
    """The provider and the engine to use.

    Args:
        wanted: "vm", "container" or "auto"; default: the environment's DOCKERNB_PROVIDER, else "auto".
        engine: As for `choose_engine`.

    Raises:
        UnavailableError: There is no such provider or engine, it does not work here, or none does.
    """
    inner = choose_engine(engine)
    asked_by = "asked for" if wanted else "asked for by DOCKERNB_PROVIDER"
    wanted = wanted or os.environ.get("DOCKERNB_PROVIDER") or "auto"
    if wanted not in (*NAMES, "auto"):
        raise UnavailableError(f"There is no provider {wanted!r}: use vm, container or auto.")
    if wanted in ("auto", "container"):
        outer, problem = container.find_engine()
        if outer:
            why = asked_by if wanted == "container" else f"your engine answers ({outer})"
            return Choice("container", why, inner, outer)
        if wanted == "container":
            raise UnavailableError(f"The container provider does not work here: {problem}")
    lacks = vm.missing(inner)
    if lacks:
        raise UnavailableError("The vm provider does not work here: " + " ".join(lacks))
    why = asked_by if wanted == "vm" else "no Docker Engine of yours answers, so QEMU makes one"
    return Choice("vm", why, inner)
