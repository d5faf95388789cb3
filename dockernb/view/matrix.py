"""Draw who reaches whom: a table with a sign and a word in each cell, and the reasons on demand."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from dockernb.probe import Answer, Matrix, Outcome
from dockernb.probe.matrix import cell_text, labelled
from dockernb.view.picture import COLOURS, FAINT, FONT, INK, LINE, PAPER, SIGNS, Picture, mark

_WORDY = 10  # with more targets than this a cell holds signs alone, and the legend explains them
_HEAD = "text-align:center;font-weight:600;padding:3px 6px;white-space:nowrap;background:none"

Changes = Mapping[tuple[str, str], str]


def matrix_picture(matrix: Matrix, before: Matrix | None = None) -> Picture:
    """Draw a matrix; rows ask, columns are asked.

    Args:
        matrix: the answers.
        before: an earlier matrix; a cell that differs from it has a thick frame and says what it was.
    """
    wordy = len(matrix.targets) <= _WORDY
    changed = _changed(matrix, before)
    head = "".join(
        f'<th scope="col" style="{_HEAD};vertical-align:bottom;border-bottom:1px solid {LINE}">'
        f"{_heading(name, wordy)}</th>"
        for name in matrix.targets
    )
    side = f"{_HEAD.replace('center', 'right')};border-right:1px solid {LINE}"
    rows = "".join(
        f'<tr style="background:none"><th scope="row" style="{side}">{mark(source)}</th>'
        + "".join(_cell(matrix, source, target, changed, wordy) for target in matrix.targets)
        + "</tr>"
        for source in matrix.sources
    )
    about = f"text-align:left;color:{FAINT};padding:2px 0 6px;caption-side:top"
    corner = f"text-align:right;color:{FAINT};padding:2px 6px;white-space:nowrap"
    frame = f"overflow-x:auto;line-height:1.35;font-family:{FONT};color:{INK}"
    table = f"border-collapse:separate;border-spacing:3px;font-size:12px;background:{PAPER};margin:0"
    html = (
        f'<div style="{frame}"><table style="{table}">'
        f'<caption style="{about}">{mark(_caption(matrix, before, changed))}</caption>'
        f'<thead><tr><td style="{corner}">from ↓ to →</td>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>{_legend(matrix)}</div>"
    )
    return Picture(html, _text(matrix, changed))


def _changed(matrix: Matrix, before: Matrix | None) -> Changes:
    """For each pair that differs, what its cell said before."""
    if before is None:
        return {}
    changes = {}
    for source in matrix.sources:
        for target in matrix.targets:
            was = cell_text(before.answers(source, target))
            if was != cell_text(matrix.answers(source, target)):
                changes[source, target] = was or "not asked"
    return changes


def _caption(matrix: Matrix, before: Matrix | None, changed: Changes) -> str:
    asked = sorted({verdict.protocol.upper() for verdict in matrix.verdicts})
    told = f"Who reaches whom ({', '.join(asked)}): {len(matrix)} questions"
    if before is not None:
        told += f"; {len(changed) or 'no'} {'pair has' if len(changed) == 1 else 'pairs have'} changed"
    return told


def _heading(name: str, wordy: bool) -> str:
    if wordy:
        return mark(name)
    return f'<span style="writing-mode:vertical-rl;transform:rotate(180deg)">{mark(name)}</span>'


def _cell(matrix: Matrix, source: str, target: str, changed: Changes, wordy: bool) -> str:
    answers = matrix.answers(source, target)
    if not answers:
        return f'<td style="text-align:center;color:{FAINT}">{"·" if source == target else ""}</td>'
    was = changed.get((source, target))
    title = "\n".join(_reasons(answers))
    spoken = f"{source} to {target}: {cell_text(answers)}"
    parts = labelled(list(answers))
    inside = "".join(_chip(label, outcome, wordy) for label, outcome in parts)
    frame = f"background:{_tint(parts[0][1])};" if len(parts) == 1 else ""
    if was is not None:
        title += f"\nBefore: {was}."
        spoken += f"; before: {was}"
        frame += f"outline:2.5px solid {INK};outline-offset:-1px;"
        if wordy:
            inside += f'<div style="font-size:10.5px;font-style:italic;padding:1px 5px">was {mark(was)}</div>'
    style = f"padding:0;border-radius:4px;overflow:hidden;text-align:center;vertical-align:middle;{frame}"
    return (
        f'<td title="{mark(title)}" aria-label="{mark(spoken)}" '
        f'style="{style}min-width:{"86px" if wordy else "22px"}">{inside}</td>'
    )


def _chip(label: str, outcome: Outcome, wordy: bool) -> str:
    style = f"padding:3px 5px;white-space:nowrap;color:{INK}"
    if label:
        style += f";background:{_tint(outcome)}"
    sign = f'<span aria-hidden="true" style="font-weight:800">{SIGNS[outcome]}</span>'
    if not wordy:
        return f'<div style="{style}">{sign}</div>'
    words = f"{label}: {outcome.short}" if label else outcome.value
    return f'<div style="{style}">{sign} {mark(words)}</div>'


def _tint(outcome: Outcome) -> str:
    return f"rgba({COLOURS[outcome]},{0.45 if outcome is Outcome.REACHABLE else 0.28})"


def _reasons(answers: tuple[Answer, ...]) -> list[str]:
    lines = []
    for answer in answers:
        door = f"{answer.protocol.upper()} {answer.port}" if answer.port else answer.protocol.upper()
        lines += [f"{v.how} {v.asked} {door}: {v.outcome.value}. {v.reason}" for v in answer.verdicts]
    return lines


def _legend(matrix: Matrix) -> str:
    met = {verdict.outcome for verdict in matrix.verdicts}
    parts = [
        f'<span style="background:{_tint(outcome)};padding:1px 6px;border-radius:3px;'
        f'margin-right:8px;white-space:nowrap;color:{INK}"><b>{SIGNS[outcome]}</b> {outcome.value}</span>'
        for outcome in Outcome
        if outcome in met
    ]
    return f'<div style="margin-top:6px;font-size:11px;line-height:1.9">{"".join(parts)}</div>'


def _text(matrix: Matrix, changed: Changes) -> str:
    words = {
        source: {target: cell_text(matrix.answers(source, target)) for target in matrix.targets}
        for source in matrix.sources
    }
    for (source, target), was in changed.items():
        words[source][target] += f" (was {was})"
    return pd.DataFrame.from_dict(words, orient="index", columns=list(matrix.targets)).to_string()
