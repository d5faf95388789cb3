"""A progress bar for whatever takes longer than half a second: a widget, a line of text, or nothing.

In a notebook it is a widget, which leaves nothing behind when the work is done; on a terminal one line,
which ends as "Starting the lab host: 1.4 s"; where standard error goes to a file or a pipe it is silent.
What is done within half a second shows nothing, and so does what is done within something that is shown.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Protocol, Self

_PATIENCE = 0.5  # seconds without a bar
_shown = threading.Lock()  # held by the work that has the bar
_TICK = 0.1  # seconds between two looks at the clock
_TRUSTED = 0.95  # how far the clock alone may move the bar
_CELLS = 28  # width of the bar on a terminal


class _Face(Protocol):
    def show(self, text: str, fraction: float) -> None: ...

    def close(self, text: str) -> None: ...


class progress:  # noqa: N801  # used like a function: with progress("...") as p
    """Show how far something is.

    Where nobody reports a fraction the clock moves the bar, by the expected time.

    Example:
        with progress("Starting the lab host", expected=1.5) as p:
            p.report("Resuming the template", 0.4)
    """

    def __init__(self, title: str, expected: float | None = None) -> None:
        """Prepare the bar.

        Args:
            title: what is being done.
            expected: how long it takes, in seconds, when that is known.
        """
        self.title, self.expected = title, expected
        self._text, self._fraction = "", 0.0
        self._began = time.monotonic()
        self._face: _Face | None = None
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._run, name="dockernb-progress", daemon=True)

    def report(self, text: str, fraction: float | None = None) -> None:
        """Tell what is being done now, and how much of the whole is done (0 to 1)."""
        self._text = text
        if fraction is not None:
            self._fraction = min(max(fraction, 0.0), 1.0)
        self._show()

    @property
    def fraction(self) -> float:
        """How far it is: what was reported, or what the clock says when that is more."""
        if self.expected is None:
            return self._fraction
        return max(self._fraction, min((time.monotonic() - self._began) / self.expected, 1.0) * _TRUSTED)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._clock.join()
        if self._face is None:
            return
        how = "" if error is None else " (not finished)"
        self._face.close(f"{self.title}: {time.monotonic() - self._began:.1f} s{how}")

    def _run(self) -> None:
        if self._over.wait(_PATIENCE) or not _shown.acquire(blocking=False):
            return
        try:
            self._face = _face()
            self._show()
            while not self._over.wait(_TICK):
                self._show()
        finally:
            _shown.release()

    def _show(self) -> None:
        if self._face is None or self._over.is_set():
            return
        spent = time.monotonic() - self._began
        told = f"{self.title}: {self._text}" if self._text else self.title
        told += (
            f" · {spent:.0f} s" if self.expected is None else f" · {spent:.0f} of about {self.expected:.0f} s"
        )
        self._face.show(told, self.fraction)


class _Line:
    """One line on a terminal, written over and over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def show(self, text: str, fraction: float) -> None:
        done = round(fraction * _CELLS)
        with self._lock:
            sys.stderr.write(f"\r\x1b[K{'█' * done}{'░' * (_CELLS - done)} {text[: 78 - _CELLS]}")
            sys.stderr.flush()

    def close(self, text: str) -> None:
        with self._lock:
            sys.stderr.write(f"\r\x1b[K{text}\n")
            sys.stderr.flush()


class _Widget:
    """A bar in a notebook. The saved notebook keeps no trace of it."""

    def __init__(self) -> None:
        import ipywidgets  # noqa: PLC0415  # a terminal need not load it
        from IPython.display import display  # noqa: PLC0415

        self._bar = ipywidgets.FloatProgress(min=0, max=1, layout={"width": "240px"})
        self._label = ipywidgets.Label()
        view = "application/vnd.jupyter.widget-view+json"
        box = ipywidgets.HBox([self._bar, self._label])._repr_mimebundle_()[view]
        # Without the widget's text: whether a bar was shown is no part of a cell's output that could be compared.
        self._shown = display({view: box}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def show(self, text: str, fraction: float) -> None:
        self._bar.value, self._label.value = fraction, text

    def close(self, text: str) -> None:
        self._shown.update({}, raw=True)
        self._bar.close()
        self._label.close()


def _face() -> _Face | None:
    """What fits the place where this runs."""
    if in_notebook():
        return _Widget()
    return _Line() if sys.stderr.isatty() else None


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython  # noqa: PLC0415

    return getattr(get_ipython(), "kernel", None) is not None
