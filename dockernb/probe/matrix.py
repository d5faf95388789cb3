"""The answers of one probe, as a table to compute with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields

import pandas as pd

from dockernb.probe.verdict import Outcome, Verdict

_MANNER = {"name": 0, "alias": 1, "address": 2, "published": 3}


@dataclass(frozen=True, slots=True)
class Answer:
    """One way of asking within a pair: the best verdict over its addresses, and all of them."""

    how: str
    port: int | None
    protocol: str
    outcome: Outcome
    verdicts: tuple[Verdict, ...]

    @property
    def reason(self) -> str:
        """The reason of the verdict that counts."""
        return next(v.reason for v in self.verdicts if v.outcome is self.outcome)


@dataclass(frozen=True, slots=True)
class Matrix:
    """Who reaches whom: one verdict for each question, in the order of the plan.

    Attributes:
        verdicts: the answers.
        sources: who asked.
        targets: who was asked.
        elapsed_s: seconds that the helper call took.
    """

    verdicts: tuple[Verdict, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    elapsed_s: float = 0.0

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each question, with the fields of `Verdict` as columns; ``outcome`` is a word."""
        names = [field.name for field in fields(Verdict)]
        rows = [asdict(verdict) | {"outcome": verdict.outcome.value} for verdict in self.verdicts]
        return pd.DataFrame(rows, columns=names).astype({"port": "Int64"})

    def answers(self, source: str, target: str) -> tuple[Answer, ...]:
        """What one pair's cell shows: one answer for each way of asking and each port."""
        groups: dict[tuple[str, str, int, str], list[Verdict]] = {}
        for verdict in self.verdicts:
            if verdict.source == source and verdict.target == target:
                asked = verdict.asked if verdict.how == "alias" else ""
                key = (verdict.how, asked, verdict.port or 0, verdict.protocol)
                groups.setdefault(key, []).append(verdict)
        return tuple(
            Answer(
                how,
                port or None,
                protocol,
                min((v.outcome for v in found), key=lambda o: o.rank),
                tuple(found),
            )
            for (how, _asked, port, protocol), found in sorted(groups.items(), key=lambda g: _MANNER[g[0][0]])
        )

    def outcome(self, source: str, target: str, how: str = "address", port: int | None = None) -> Outcome:
        """The outcome of one pair; of several addresses and ports the best counts.

        Raises:
            KeyError: the pair was not asked in this way.
        """
        found = [a.outcome for a in self.answers(source, target) if a.how == how and port in (None, a.port)]
        if not found:
            raise KeyError(f"{source} did not ask {target} by {how}")
        return min(found, key=lambda o: o.rank)

    def reaches(self, source: str, target: str, how: str = "address", port: int | None = None) -> bool:
        """Whether one pair can talk; see `outcome`."""
        return self.outcome(source, target, how, port) is Outcome.REACHABLE

    def table(self, how: str | None = None) -> pd.DataFrame:
        """Sources by targets, in words.

        Args:
            how: only this way of asking; without it a cell tells the ways apart where they differ.
        """
        rows = [
            [cell_text(self.answers(source, target), how) for target in self.targets]
            for source in self.sources
        ]
        index = pd.Index(self.sources, name="from")
        return pd.DataFrame(rows, index=index, columns=pd.Index(self.targets, name="to"))

    def diff(self, before: Matrix) -> pd.DataFrame:
        """The questions whose outcome changed since ``before``.

        Returns:
            source, target, how, network, port, protocol, before, after; a question that only one of the two
            matrices holds has an empty word on the other side.
        """
        old = {v.key: v for v in before.verdicts}
        new = {v.key: v for v in self.verdicts}
        changes = []
        for key in dict.fromkeys([*new, *old]):
            was, now = old.get(key), new.get(key)
            known = now or was
            if known is not None and (was is None or now is None or was.outcome is not now.outcome):
                changes.append(
                    (
                        *(known.source, known.target, known.how, known.network, known.port, known.protocol),
                        was.outcome.value if was else "",
                        now.outcome.value if now else "",
                    )
                )
        columns = ["source", "target", "how", "network", "port", "protocol", "before", "after"]
        return pd.DataFrame(changes, columns=columns).astype({"port": "Int64"})

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def __repr__(self) -> str:
        return self.table().to_string()


def cell_text(answers: tuple[Answer, ...], how: str | None = None) -> str:
    """One cell in words: one word when all answers agree, otherwise each with its label."""
    chosen = [answer for answer in answers if how in (None, answer.how)]
    return "; ".join(
        f"{label}: {outcome.short}" if label else str(outcome) for label, outcome in labelled(chosen)
    )


def labelled(answers: list[Answer]) -> list[tuple[str, Outcome]]:
    """The distinct outcomes of a cell, each with the label that tells it apart (empty when all agree)."""
    if len({answer.outcome for answer in answers}) <= 1:
        return [("", answers[0].outcome)] if answers else []
    by_how: dict[str, dict[str, Outcome]] = {}
    for answer in answers:
        port = str(answer.port) if answer.port else "echo"
        by_how.setdefault(answer.how, {})[port] = answer.outcome
    if len(by_how) > 1 and all(ports == next(iter(by_how.values())) for ports in by_how.values()):
        by_how = {"": next(iter(by_how.values()))}
    parts = []
    for how, ports in by_how.items():
        if len(set(ports.values())) == 1:
            parts.append((how, next(iter(ports.values()))))
        else:
            parts += [(f"{how} {port}".strip(), outcome) for port, outcome in ports.items()]
    return parts
