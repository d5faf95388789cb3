"""The badge of a lab host: what the lesson runs on, in one line."""

from collections.abc import Mapping
from html import escape

from dockernb.labhost import LabHost
from dockernb.view.picture import FONT, INK, LINE, SHADE, Picture


def badge(
    host: LabHost, conditions: Mapping[str, str | int], left_over: Mapping[str, int], hosts: int = 1
) -> Picture:
    """Draw the badge.

    Args:
        host: The lab host, or the first of several that are alike.
        conditions: Its conditions.
        left_over: Other lessons that still have containers there, and how many.
        hosts: How many there are.
    """
    noun = "lab host" if hosts == 1 else f"{hosts} lab hosts, the first is"
    facts = [
        ("provider", f"{conditions['provider']} ({conditions['emulation']})"),
        ("Docker Engine", str(conditions["engine"])),
        ("kernel", str(conditions["kernel"])),
        ("CPUs", str(conditions["cpus"])),
        ("memory", f"{conditions['memory_mib']} MiB"),
    ]
    notes = list(host.notes)
    if left_over:
        others = ", ".join(f"{count} of {lesson}" for lesson, count in left_over.items())
        notes.append(f"There are still containers here ({others}): lab.reset() makes the host pristine.")
    pills = "".join(
        f'<span style="padding:2px 8px;border-left:1px solid {LINE}">'
        f'<span style="opacity:.75">{escape(name)}</span> <b>{escape(value)}</b></span>'
        for name, value in facts
    )
    extra = "".join(f'<div style="margin-top:4px">{escape(note)}</div>' for note in notes)
    html = (
        f'<div role="note" aria-label="lab host" style="font:12px {FONT};color:{INK}">'
        f'<span style="display:inline-flex;flex-wrap:wrap;background:{SHADE};'
        f'border:1px solid {LINE};border-radius:4px">'
        f'<span style="padding:2px 8px">{noun} <b>{escape(host.name)}</b></span>'
        f"{pills}</span>{extra}</div>"
    )
    text = f"{noun} {host.name}: " + ", ".join(f"{name} {value}" for name, value in facts)
    return Picture(html=html, text="\n".join([text, *notes]))
