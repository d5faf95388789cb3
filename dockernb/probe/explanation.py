"""An explanation of one verdict: the steps of the packet, and one sentence."""

from __future__ import annotations

from dataclasses import dataclass

from dockernb.probe.verdict import Verdict

PASSED, STOPPED, AHEAD = "passed", "stopped", "ahead"


@dataclass(frozen=True, slots=True)
class Step:
    """One station on the packet's way.

    Attributes:
        where: a container, an interface or a bridge of the Docker host, a name server, "iptables", "nftables".
        what: what happened there, without a full stop.
        evidence: what was read there: a rule with its packet count, a route, ...; empty when there is none.
        kind: "name", "source", "veth", "bridge", "rules", "proxy", "host", "outside" or "target".
        state: "passed", "stopped", or "ahead" for what the packet did not come to.
        network: the Docker network to which it belongs; empty when to none.
    """

    where: str
    what: str
    evidence: str = ""
    kind: str = "host"
    state: str = PASSED
    network: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one pair can or cannot talk.

    Attributes:
        verdict: what was measured.
        steps: the stations on the way, in order, those that the packet did not come to included.
        sentence: the explanation in short.
        agrees: whether what the configuration says is what was measured.
    """

    verdict: Verdict
    steps: tuple[Step, ...]
    sentence: str
    agrees: bool

    @property
    def stopped(self) -> Step | None:
        """Where it ended, or None if it did not."""
        return next((step for step in self.steps if step.state == STOPPED), None)

    @property
    def question(self) -> str:
        """What was asked, in words."""
        v = self.verdict
        door = f"{v.protocol.upper()} {v.port}" if v.port else v.protocol.upper()
        return f"{v.source} → {v.target} by {v.how}, {door}"

    @property
    def agreement(self) -> str:
        """How explanation and measurement go together, as a sentence."""
        if self.agrees:
            return "The configuration says the same as the measurement."
        return "The configuration does not explain what was measured: look further."

    def __str__(self) -> str:
        lines = [f"{self.question}: {self.verdict.outcome}", "", self.sentence, ""]
        width = max((len(step.where) for step in self.steps), default=0)
        for number, step in enumerate((s for s in self.steps if s.state != AHEAD), 1):
            sign = "✕" if step.state == STOPPED else " "
            lines.append(f"{number:>2}. {sign} {step.where:<{width}}  {step.what}")
            lines += [f"{'':{width + 8}}{line}" for line in step.evidence.splitlines()]
        return "\n".join([*lines, "", self.agreement])

    __repr__ = __str__
