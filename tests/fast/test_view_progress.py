import io
import sys
import time

import pytest

from dockernb.view import progress as module
from dockernb.view.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_silent_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with progress("Working", expected=1) as p:
        p.report("half", 0.5)
    assert written.getvalue() == ""


def test_one_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    with progress("Working", expected=2) as p:
        p.report("half", 0.5)
    text = written.getvalue()
    assert "Working: half · 0 of about 2 s" in text and "██████████████░░░░░░░░░░░░░░" in text
    assert text.split("\x1b[K")[-1].startswith("Working: 0.") and text.endswith(" s\n")
    assert text.count("\n") == 1


def test_an_interrupt_is_told_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    with pytest.raises(KeyboardInterrupt), progress("Working"):
        raise KeyboardInterrupt
    assert written.getvalue().endswith("(not finished)\n")


def test_the_clock_moves_the_bar_but_not_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    bar = progress("Working", expected=10)
    now[0] = 105.0
    assert bar.fraction == pytest.approx(0.475)
    now[0] = 200.0
    assert bar.fraction == pytest.approx(0.95)
    bar.report("nearly", 0.99)
    assert bar.fraction == 0.99
    bar.report("more than all", 7)
    assert bar.fraction == 1.0


def test_a_notebook_keeps_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []

    class Handle:
        def update(self, thing: object) -> None:
            shown.append(thing)

    monkeypatch.setattr(module, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda thing, display_id: shown.append(thing) or Handle())
    with progress("Working") as p:
        p.report("half", 0.5)
        bar = shown[0].children[0]  # type: ignore[attr-defined]
        assert bar.value == 0.5
    assert shown[-1].data == ""  # type: ignore[attr-defined]
