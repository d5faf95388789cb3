import io
import sys
import time
from collections.abc import Callable

import pytest

from dockernb.view import progress as module
from dockernb.view.progress import progress


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars that do not wait half a second, and work that lasts until its bar is there."""
    monkeypatch.setattr(module, "_PATIENCE", 0.0)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_silent_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    with progress("Working", expected=1) as p:
        p.report("half", 0.5)
    assert written.getvalue() == ""


@pytest.mark.usefixtures("at_once")
def test_one_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    with progress("Working", expected=2) as p:
        p.report("half", 0.5)
        until(lambda: "half" in written.getvalue())
    text = written.getvalue()
    assert "Working: half · 0 of about 2 s" in text and "██████████████░░░░░░░░░░░░░░" in text
    assert text.split("\x1b[K")[-1].startswith("Working: 0.") and text.endswith(" s\n")
    assert text.count("\n") == 1


@pytest.mark.usefixtures("at_once")
def test_an_interrupt_is_told_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    with pytest.raises(KeyboardInterrupt), progress("Working"):
        until(written.getvalue)
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


def test_what_is_quick_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    with progress("Working"):
        pass
    assert written.getvalue() == ""


@pytest.mark.usefixtures("at_once")
def test_work_within_work_has_no_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr(sys, "stderr", written)
    with progress("Outer"):
        until(written.getvalue)
        with progress("Inner") as inner:
            until(lambda: not inner._clock.is_alive())
    assert "Inner" not in written.getvalue()
    with progress("Next"):
        until(lambda: "Next" in written.getvalue())


@pytest.mark.usefixtures("at_once")
def test_a_notebook_keeps_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, object]] = []

    class Handle:
        def update(self, bundle: dict[str, object], *, raw: bool) -> None:
            assert raw
            shown.append(bundle)

    def display(bundle: dict[str, object], *, raw: bool, display_id: bool) -> Handle:
        assert raw and display_id
        shown.append(bundle)
        return Handle()

    monkeypatch.setattr(module, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    with progress("Working") as p:
        until(lambda: shown)
        p.report("half", 0.5)
        (view,) = shown
        assert list(view) == ["application/vnd.jupyter.widget-view+json"], "nothing that nbval compares"
        assert p._face._bar.value == 0.5  # type: ignore[union-attr]
    assert shown[-1] == {}
