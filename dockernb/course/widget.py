"""A prediction on the screen: ordinary form fields, which the keyboard reaches and a screen reader names."""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets

from dockernb.course.predictions import Prediction
from dockernb.errors import CourseError

_WIDTH = "auto"


def bundle(prediction: Prediction) -> dict[str, Any]:
    """What a notebook stores: the widget, and the same as HTML and as text for where no kernel runs."""
    view = make_view(prediction)
    choices = "".join(f"<li>{html.escape(choice)}</li>" for choice in prediction.choices)
    return {
        "text/plain": repr(prediction),
        "text/html": f"<p><strong>Predict:</strong> {html.escape(prediction.question)}</p><ul>{choices}</ul>",
        "application/vnd.jupyter.widget-view+json": {
            "version_major": 2,
            "version_minor": 0,
            "model_id": view.model_id,
        },
    }


def make_view(prediction: Prediction) -> widgets.VBox:
    """The question, a field for the guess, and a line that says what became of it."""
    field = _choice(prediction) if prediction.choices else _entry(prediction)
    status = widgets.HTML()
    status.add_class("dockernb-prediction-status")

    def follow(_change: Any = None) -> None:
        revealed = bool(prediction.measured)
        for part in (field, *getattr(field, "children", ())):
            if hasattr(part, "disabled"):
                part.disabled = revealed
        text = prediction.outcome
        if not revealed and prediction.guess is not None:
            text = "Noted. Run on, and see."
        sign = {True: "✓ ", False: "✗ ", None: ""}[prediction.right]
        status.value = f'<div role="status">{sign}{html.escape(text)}</div>'

    prediction.observe(follow, ["guess", "measured"])
    follow()
    heading = widgets.HTML(f"<strong>Predict:</strong> {html.escape(prediction.question)}")
    return widgets.VBox([heading, field, status], layout=widgets.Layout(margin="0.3em 0"))


def _choice(prediction: Prediction) -> widgets.RadioButtons:
    """Radio buttons: Tab and Space; the arrow keys JupyterLab keeps for itself, which is why Tab stops at each."""
    field = widgets.RadioButtons(
        options=list(prediction.choices),
        value=prediction.guess,
        layout=widgets.Layout(width=_WIDTH),
    )

    def chosen(change: Any) -> None:
        prediction.guess = change["new"]

    field.observe(chosen, "value")
    return field


def _entry(prediction: Prediction) -> widgets.HBox:
    """A text field; Enter or leaving it is enough, the button is for whoever looks for one."""
    field = widgets.Text(
        value=""
        if prediction.guess is None
        else f"{prediction.guess:g}"
        if prediction.numeric
        else prediction.guess,
        placeholder="a number" if prediction.numeric else "a word",
        continuous_update=False,
    )
    button = widgets.Button(description="Predict")
    note = widgets.Label()

    def entered(_event: Any) -> None:
        try:
            prediction.guess = field.value.strip() or None
        except CourseError as problem:
            note.value = str(problem)
        else:
            note.value = ""

    field.observe(entered, "value")
    button.on_click(entered)
    return widgets.HBox([field, widgets.Label(prediction.unit), button, note])
