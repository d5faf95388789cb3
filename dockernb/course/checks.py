"""Checks: does the learner's lab do what the exercise asks? They look at the engine and at what really happens.

A check is a list of conditions. Each says in one sentence what is wrong, so that two different right solutions pass
and a wrong one tells its author what to think about next. A learner's mistake never ends in a traceback.

Example:
    ```python
    admin = check(
        "An admin container",
        runs("admin"),
        reaches("admin", "postgres-db", 5432),
        hints=["Which networks is the database on?"],
    )
    admin(lab)
    ```
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import docker.errors

from dockernb import probe
from dockernb.arguments import TEXT, WHOLE, a, checked, several
from dockernb.errors import CourseError, DockernbError
from dockernb.model import Container, Snapshot
from dockernb.probe import Outcome, Verdict

if TYPE_CHECKING:
    from dockernb.session import Lab

Ask = tuple[str, str, int]
"""Does this container reach that one on this TCP port?"""


class Sight:
    """What a check sees: the engine's state and, on demand, who reaches whom (one helper call for all conditions)."""

    def __init__(self, lab: Lab, conditions: Sequence[Condition]) -> None:
        self.lab = lab
        self._conditions = conditions

    @cached_property
    def state(self) -> Snapshot:
        """All networks and containers of the lab host, whoever made them."""
        return probe.snapshot(self.lab, everything=True)

    @cached_property
    def _matrix(self) -> probe.Matrix:
        asks = {ask for condition in self._conditions for ask in condition.asks(self.state)}
        there = {ask for ask in asks if self.state.container(ask[0]) and self.state.container(ask[1])}
        return probe.reach(
            self.lab,
            sorted({source for source, _, _ in there}),
            sorted({target for _, target, _ in there}),
            ports=sorted({port for _, _, port in there}),
            by=("name", "alias", "address", "published"),
            snapshot=self.state,
        )

    def container(self, name: str) -> Container | None:
        """The container, or None."""
        return self.state.container(name)

    def ways(self, source: str, target: str, port: int) -> list[Verdict]:
        """Every way in which the source was made to ask for the target's port: names, addresses, published ports."""
        return [
            verdict
            for verdict in self._matrix
            if (verdict.source, verdict.target) == (source, target)
            and (verdict.port == port or verdict.how == "published")
        ]


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold.

    Attributes:
        claim: What must hold, in words: "admin reaches postgres-db".
        test: Looks, and returns an empty string or one sentence that says what is wrong.
        asks: Who must be made to reach whom before `test` is called, from the state of the engine.
        first: Nothing after this condition makes sense while it fails.
    """

    claim: str
    test: Callable[[Sight], str]
    asks: Callable[[Snapshot], Iterable[Ask]] = lambda _state: ()
    first: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What one condition found: ``holds`` is None where it was not looked at."""

    claim: str
    holds: bool | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found, to show and to ask: `passed`, `sentence`, `findings`."""

    name: str
    findings: tuple[Finding, ...]
    hints: tuple[str, ...] = ()
    solution: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return all(finding.holds for finding in self.findings)

    @property
    def sentence(self) -> str:
        """What is wrong first, or that everything holds."""
        return next((f.problem for f in self.findings if f.problem), "Everything holds.")

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        lines = [f"{self.name}: {'done' if self.passed else 'not yet'}. {self.sentence}"]
        lines += [f"  {_SIGNS[f.holds]} {f.claim} ({_WORDS[f.holds]})" for f in self.findings]
        if not self.passed and self.hints:
            lines.append(
                f"  Hints: {len(self.hints)}, one after the other with print(hint(1)), print(hint(2)), …"
            )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        done = "done" if self.passed else "not yet"
        colour = "0,158,115" if self.passed else "213,94,0"
        items = "".join(
            f'<li style="margin: 0.1em 0"><span aria-hidden="true">{_SIGNS[f.holds]}</span> {_marked(f.claim)}'
            f'<span style="color: var(--jp-content-font-color1, #1f2328)"> ({_WORDS[f.holds]})</span></li>'
            for f in self.findings
        )
        return (
            f'<section aria-label="{_marked(self.name)}: {done}" style="border-left: 4px solid rgb({colour}); '
            f'background: rgba({colour},0.08); padding: 0.5em 0.9em; color: var(--jp-content-font-color1, #1f2328)">'
            f"<strong>{_marked(self.name)}: {done}.</strong> {_marked(self.sentence)}"
            f'<ul style="list-style: none; margin: 0.4em 0 0; padding: 0">{items}</ul>'
            f"{'' if self.passed else self._folded()}</section>"
        )

    def _folded(self) -> str:
        """The hints, each folded away inside the one before, and the solution inside the last."""
        inner = ""
        if self.solution:
            code = (
                '<pre style="padding: 0.5em 0.8em; overflow-x: auto; background: var(--jp-layout-color2, #f2f3f5); '
                'font-family: var(--jp-code-font-family, ui-monospace, monospace)">'
                f"{_marked(self.solution.strip())}</pre>"
            )
            inner = _details("The solution", code)
        for number, text in reversed(list(enumerate(self.hints, 1))):
            inner = _details("A hint" if number == 1 else "Another hint", f"<p>{_marked(text)}</p>{inner}")
        return inner


_SIGNS = {True: "✓", False: "✗", None: "–"}
_WORDS = {True: "holds", False: "does not hold", None: "not looked at"}


@dataclass(frozen=True, slots=True)
class Check:
    """An exercise's check; call it with the lesson's session."""

    name: str
    conditions: tuple[Condition, ...]
    hints: tuple[str, ...] = ()
    solution: str = ""

    def __call__(self, lab: Lab) -> Result:
        """Look at the lab. Problems of the lab and of the lab host are sentences in the result, never exceptions."""
        sight = Sight(lab, self.conditions)
        findings: list[Finding] = []
        blocked = False
        for condition in self.conditions:
            if blocked:
                findings.append(Finding(condition.claim, None))
                continue
            try:
                problem = condition.test(sight)
            except (DockernbError, docker.errors.DockerException) as error:
                problem, blocked = f"The check could not look: {error}", True
            findings.append(Finding(condition.claim, not problem, problem))
            blocked = blocked or (condition.first and bool(problem))
        return Result(self.name, tuple(findings), self.hints, self.solution)

    @checked(CourseError, number=WHOLE)
    def hint(self, number: int) -> str:
        """One hint, from 1; the next one says more.

        Raises:
            CourseError: There is no such hint.
        """
        if not 1 <= number <= len(self.hints):
            raise CourseError(f"There are {len(self.hints)} hints, from 1 to {len(self.hints)}.")
        return self.hints[number - 1]


@checked(
    CourseError,
    name=TEXT,
    conditions=several(a(Condition, ""), "conditions, as those of dockernb.course.checks"),
    hints=several(TEXT, "a list of texts"),
    solution=TEXT,
)
def check(name: str, *conditions: Condition, hints: Sequence[str] = (), solution: str = "") -> Check:
    """Make a check.

    Args:
        name: What the learner reads in front of the result.
        conditions: What must hold, in the order in which problems are told.
        hints: From a nudge to nearly the answer; each is unfolded from the one before.
        solution: One right solution as code, folded into the last hint.
    """
    if not conditions:
        raise CourseError(f'The check "{name}" has no conditions.')
    return Check(name, conditions, tuple(hints), solution)


# ---------------------------------------------------------------- conditions that lessons share


def runs(name: str) -> Condition:
    """The container is there and runs; without it nothing else is looked at."""

    def test(sight: Sight) -> str:
        container = sight.container(name)
        if container is None:
            return f'There is no container called "{name}" yet.'
        return "" if container.running else f'"{name}" is there, but it is {container.state}: start it.'

    return Condition(f"{name} runs", test, first=True)


def reaches(source: str, target: str, port: int) -> Condition:
    """The source opens a TCP connection to the target's port by the target's name."""

    def test(sight: Sight) -> str:
        if missing := _missing(sight, source, target):
            return missing
        asked = [v for v in sight.ways(source, target, port) if v.how == "name"]
        if any(v.outcome is Outcome.REACHABLE for v in asked):
            return ""
        reason = f": {_lowered(asked[0].reason, asked[0])}" if asked else "."
        return f"{source} does not reach {target} on port {port}{reason}"

    return Condition(
        f"{source} reaches {target} on port {port}", test, lambda _state: [(source, target, port)]
    )


def keeps_out(network: str, target: str, port: int) -> Condition:
    """No container on the network reaches the target's port: not by name or alias, address or published port."""

    def members(state: Snapshot) -> list[str]:
        return [container.name for container in state.members(network) if container.name != target]

    def test(sight: Sight) -> str:
        if sight.state.network(network) is None:
            return f'There is no network called "{network}" any more: run the lesson from its first cell.'
        if missing := _missing(sight, target):
            return missing
        for source in members(sight.state):
            for verdict in sight.ways(source, target, port):
                if verdict.outcome is Outcome.REACHABLE:
                    way = {
                        "name": "its name",
                        "alias": f"its alias {verdict.asked}",
                        "address": f"its address {verdict.asked}",
                        "published": f"port {verdict.port} of the Docker host, where it is published",
                    }[verdict.how]
                    return f"{source} is on {network} and reaches {target} by {way}."
        return ""

    return Condition(
        f"nothing on {network} reaches {target}",
        test,
        lambda state: [(source, target, port) for source in members(state)],
    )


def _missing(sight: Sight, *names: str) -> str:
    """A sentence about the first container that is not there or does not run."""
    return next((problem for name in names if (problem := runs(name).test(sight))), "")


def _lowered(sentence: str, verdict: Verdict) -> str:
    """A sentence that goes on after a colon."""
    names = {verdict.source, verdict.target, verdict.asked}
    return sentence if sentence.split(" ", 1)[0] in names else sentence[:1].lower() + sentence[1:]


def _marked(text: str) -> str:
    return html.escape(text, quote=True)


def _details(summary: str, inner: str) -> str:
    return f'<details style="margin-top: 0.4em"><summary>{summary}</summary>{inner}</details>'
