"""Show an explanation: the verdict, one sentence, and the steps with their evidence on demand."""

from __future__ import annotations

from dockernb.probe import Explanation, Step
from dockernb.view.picture import CODE_FONT, COLOURS, FAINT, FONT, INK, LINE, SIGNS, Picture, mark


def explanation_picture(explanation: Explanation) -> Picture:
    """The explanation as a short text with a numbered list."""
    outcome = explanation.verdict.outcome
    chip = (
        f'<span style="background:rgba({COLOURS[outcome]},0.35);padding:1px 7px;border-radius:3px;'
        f'white-space:nowrap"><span aria-hidden="true" style="font-weight:800">{SIGNS[outcome]}</span> '
        f"{mark(outcome.value)}</span>"
    )
    rows = "".join(_row(number, step) for number, step in enumerate(_met(explanation), 1))
    table = f"border-collapse:collapse;margin:8px 0;font-size:12px;color:{INK}"
    weight = "" if explanation.agrees else "font-weight:700;"
    html = (
        f'<div style="font-family:{FONT};color:{INK};line-height:1.45;font-size:13px;max-width:860px">'
        f"<div><b>{mark(explanation.question)}</b> &nbsp;{chip}</div>"
        f'<div style="margin-top:6px">{mark(explanation.sentence)}</div>'
        f'<table style="{table}"><caption style="{_HIDDEN}">The packet\'s way, step by step</caption>'
        f"<tbody>{rows}</tbody></table>"
        f'<div style="{weight}font-size:12px;color:{FAINT if explanation.agrees else INK}">'
        f"{mark(explanation.agreement)}</div></div>"
    )
    return Picture(html, str(explanation))


# For those who listen: it is read aloud and takes no room.
_HIDDEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip:rect(0,0,0,0)"


def _met(explanation: Explanation) -> list[Step]:
    return [step for step in explanation.steps if step.state != "ahead"]


def _row(number: int, step: Step) -> str:
    cell = f"padding:3px 8px;vertical-align:top;text-align:left;border-top:1px solid {LINE};background:none"
    stopped = step.state == "stopped"
    what = mark(step.what)
    if stopped:
        what = f"<b>{what}</b>"
    if step.evidence:
        lines = mark(step.evidence)
        # JupyterLab breaks a <pre> in the middle of a word; this breaks there only what has no other place.
        wrap = "white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere"
        pre = f"font:11px {CODE_FONT};color:{FAINT};{wrap};margin:2px 0 0;background:none"
        what = (
            f'<details{" open" * stopped}><summary>{what}</summary><pre style="{pre}">{lines}</pre></details>'
        )
    sign = "✕" if stopped else ""
    return (
        f'<tr style="background:none"><td style="{cell};color:{FAINT}">{number}</td>'
        f'<td style="{cell};font-weight:800">{sign}</td>'
        f'<th scope="row" style="{cell};white-space:nowrap;font-weight:600">{mark(step.where)}</th>'
        f'<td style="{cell};width:100%">{what}</td></tr>'
    )
