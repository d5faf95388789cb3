"""Predictions: a question before the cell that shows, and an answer that is measured, never stored.

The state is `Prediction`, a traitlets model that works without a screen; `dockernb.course.widget` shows it.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

import traitlets

from dockernb.arguments import ANYTHING, FUNCTION, NUMBER, TEXT, a, by_name, checked, several
from dockernb.errors import CourseError, DockernbError

_NOT_YET = (NameError, KeyError, IndexError, AttributeError, DockernbError)
"""What looking at a measurement raises that was not made, or not for this question."""


class Prediction(traitlets.HasTraits):
    """One question, what the learner said, and what was measured.

    Attributes:
        question: The question.
        choices: What can be chosen; empty where the answer is a number or a word.
        guess: What the learner said, None as long as nothing was said.
        measured: What the measurement said, as text; empty before `reveal`.
        right: Whether both agree; None as long as one of them is missing.
        reason: Why it is so.
    """

    question = traitlets.Unicode()
    choices = traitlets.Tuple()
    guess = traitlets.Any(None, allow_none=True)
    measured = traitlets.Unicode("")
    right = traitlets.Bool(None, allow_none=True)
    reason = traitlets.Unicode("")

    def __init__(
        self,
        question: str,
        kind: type[str] | type[float] | Sequence[str] | Mapping[str, Any],
        answer: Callable[[], Any],
        *,
        why: str | Callable[[], str],
        unit: str,
        within: float,
    ) -> None:
        self._values: dict[str, Any] = {}
        if isinstance(kind, Mapping):
            self._values = dict(kind)
        elif not isinstance(kind, type):
            self._values = {choice: choice for choice in kind}
        elif kind not in {str, float}:
            raise CourseError("A prediction is a choice from a list, a word (str) or a number (float).")
        if not isinstance(kind, type) and len(self._values) < 2:
            raise CourseError(f'"{question}" needs at least two different choices.')
        self.numeric = kind is float
        self.unit = unit
        self._answer, self._why, self._within = answer, why, within
        super().__init__(question=question, choices=tuple(self._values))

    @traitlets.validate("guess")
    def _check_guess(self, proposal: Any) -> Any:
        value = proposal["value"]
        if self.measured:
            return self.guess  # too late
        if value is None:
            return None
        if self.choices:
            if value not in self.choices:
                raise CourseError(f"Choose one of: {', '.join(self.choices)}.")
            return value
        if self.numeric:
            try:
                return float(value)
            except (TypeError, ValueError):
                raise CourseError(f"Write a number{f' in {self.unit}' if self.unit else ''}.") from None
        return str(value).strip() or None

    def reveal(self) -> Reveal:
        """Say what was measured, whether the prediction was right, and why.

        Call it after the measurement. Before that it says so, and nothing is spoilt.
        """
        try:
            value = self._answer()
            reason = self._why if isinstance(self._why, str) else self._why()
        except _NOT_YET as problem:
            return Reveal(f"There is no measurement yet ({problem}): run the cells above first.", None)
        text = self._told(value)
        with self.hold_trait_notifications():
            self.right = None if self.guess is None else self._agrees(value, text)
            self.reason = reason
            self.measured = text
        return Reveal(self.outcome, self.right)

    @property
    def outcome(self) -> str:
        """The result in a sentence or two; empty before `reveal`."""
        if not self.measured:
            return ""
        measured = f"Measured: {self.measured}."
        if self.guess is None:
            said = f"{measured} You made no prediction."
        else:
            judged = "That is right." if self.right else "That is not what happened."
            said = f"You said: {self._told(self.guess)}. {measured} {judged}"
        return f"{said} {self.reason}".strip()

    def _told(self, value: Any) -> str:
        """A measured or predicted value in the words of the question."""
        for choice, stands_for in self._values.items():
            # 1 and True are the same to Python, and not to a learner
            if choice == value or (
                stands_for == value and isinstance(stands_for, bool) == isinstance(value, bool)
            ):
                return choice
        if isinstance(value, bool):
            return "yes" if value else "no"
        if self.numeric:
            return f"{float(value):.3g}{f' {self.unit}' if self.unit else ''}"
        return str(value.value if isinstance(value, Enum) else value)

    def _agrees(self, value: Any, text: str) -> bool:
        if self.numeric:
            return abs(float(self.guess) - float(value)) <= self._within * abs(float(value))
        return text.casefold() == str(self.guess).casefold()

    def __repr__(self) -> str:
        if self.measured:
            return f"{self.question} {self.outcome}"
        if self.choices:
            return f"Predict: {self.question} ({' / '.join(self.choices)})"
        return f"Predict: {self.question}{f' ({self.unit})' if self.unit else ''}"

    def _repr_mimebundle_(self, **_options: Any) -> dict[str, Any]:
        from dockernb.course.widget import bundle  # noqa: PLC0415  # the model works where there is no screen

        return bundle(self)


class Reveal:
    """What `Prediction.reveal` says: text, and its colour in a notebook."""

    def __init__(self, text: str, right: bool | None) -> None:
        self.text, self.right = text, right

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        colour = {True: "0,158,115", False: "213,94,0", None: "128,128,128"}[self.right]
        sign = {True: "✓ ", False: "✗ ", None: ""}[self.right]
        return (
            f'<div role="status" style="border-left: 4px solid rgb({colour}); background: rgba({colour},0.08); '
            'padding: 0.5em 0.9em; color: var(--jp-content-font-color1, #1f2328)">'
            f'<span aria-hidden="true">{sign}</span>{html.escape(self.text)}</div>'
        )


_open: dict[str, Prediction] = {}
"""The latest prediction of each question in this kernel."""


_CHOICES = (
    several(TEXT, "a list of choices")
    | by_name(ANYTHING, "what each choice stands for")
    | a(type, "float or str")
)


@checked(
    CourseError,
    question=TEXT,
    kind=_CHOICES,
    answer=FUNCTION,
    why=TEXT | FUNCTION,
    unit=TEXT,
    within=NUMBER,
)
def predict(
    question: str,
    kind: type[str] | type[float] | Sequence[str] | Mapping[str, Any],
    *,
    answer: Callable[[], Any],
    why: str | Callable[[], str] = "",
    unit: str = "",
    within: float = 0.25,
) -> Prediction:
    """Ask before the cell that shows.

    A question that was answered and not yet revealed keeps its answer when its cell is run again, which in
    JupyterLab is what the next Shift+Enter does.

    Args:
        question: What will happen?
        kind: The choices: texts, or a mapping from each text to the measured value that it stands for. Or `float` for a
            number, `str` for a word.
        answer: Called by `Prediction.reveal`, after the measurement; returns what was measured: a value of the
            mapping, a text, True or False for "yes" and "no", a number.
        why: The reason, or something that finds it when it is asked for.
        unit: Of a number.
        within: How far a number may be off and still be right, as a part of the measured one.

    Raises:
        CourseError: There are no two choices, or another kind of answer was asked for.
    """
    asked = Prediction(question, kind, answer, why=why, unit=unit, within=within)
    before = _open.get(question)
    if before is not None and not before.measured and before.choices == asked.choices:
        asked.guess = before.guess
    _open[question] = asked
    return asked
