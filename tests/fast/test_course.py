"""Predictions without a screen, their fields without a browser, and what checks make of what they see."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import pytest

from dockernb.course import Check, Condition, Prediction, check, lesson06, predict, reaches, runs
from dockernb.course import checks as checks_module
from dockernb.course.widget import bundle, make_view
from dockernb.errors import CourseError, HostError, ProbeError
from dockernb.probe import Outcome

QUESTION = "Will web-server reach postgres-db?"


def ask(value: Any, kind: Any = ("yes", "no"), **more: Any) -> Prediction:
    return predict(QUESTION, kind, answer=lambda: value, **more)


# ---------------------------------------------------------------- predictions


@pytest.mark.parametrize(
    ("guess", "value", "right"),
    [("no", False, True), ("yes", False, False), ("yes", True, True), (None, True, None)],
)
def test_a_choice_is_judged_by_the_measurement(guess: str | None, value: bool, right: bool | None) -> None:
    prediction = ask(value, why="They share no network.")
    prediction.guess = guess
    told = prediction.reveal()
    assert prediction.right is right
    assert prediction.measured == ("yes" if value else "no")
    assert str(told).endswith("They share no network.")
    assert ("You made no prediction." in str(told)) == (guess is None)


def test_the_answer_is_measured_late_and_anew() -> None:
    results: list[bool] = []
    prediction = predict(QUESTION, ["yes", "no"], answer=lambda: results[-1])
    prediction.guess = "yes"
    assert "There is no measurement yet" in str(prediction.reveal())
    assert prediction.right is None
    assert prediction.measured == ""
    results.append(True)
    assert str(prediction.reveal()) == "You said: yes. Measured: yes. That is right."


def test_a_cell_that_was_not_run_is_a_sentence() -> None:
    prediction = predict(QUESTION, ["yes", "no"], answer=lambda: undefined_matrix)  # type: ignore[name-defined] # noqa: F821
    assert str(prediction.reveal()) == (
        "There is no measurement yet (name 'undefined_matrix' is not defined): run the cells above first."
    )


def test_a_bug_in_the_lesson_is_not_hidden() -> None:
    prediction = predict(QUESTION, ["yes", "no"], answer=lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        prediction.reveal()


def test_choices_may_stand_for_values() -> None:
    kinds = {
        "yes": Outcome.REACHABLE,
        "no: the name means nothing there": Outcome.NOT_RESOLVED,
        "no: packets are dropped": Outcome.TIMED_OUT,
    }
    prediction = ask(Outcome.NOT_RESOLVED, kinds, why=lambda: "No network in common.")
    prediction.guess = "no: packets are dropped"
    assert str(prediction.reveal()) == (
        "You said: no: packets are dropped. Measured: no: the name means nothing there. "
        "That is not what happened. No network in common."
    )


def test_a_value_that_no_choice_stands_for_is_still_told() -> None:
    prediction = ask(Outcome.REFUSED, {"yes": Outcome.REACHABLE, "no": Outcome.TIMED_OUT})
    prediction.guess = "no"
    assert "Measured: refused. That is not what happened." in str(prediction.reveal())


def test_one_and_true_are_not_the_same() -> None:
    assert ask(True, {"one": 1, "two": 2}).reveal().text.startswith("Measured: yes.")
    assert ask(1, {"one": 1, "two": 2}).reveal().text.startswith("Measured: one.")


@pytest.mark.parametrize(("guess", "right"), [("10", True), (12.4, True), (13, False), (7.4, False)])
def test_a_number_may_be_off_by_a_quarter(guess: Any, right: bool) -> None:
    prediction = ask(10.0, float, unit="Gbit/s")
    prediction.guess = guess
    told = prediction.reveal()
    assert prediction.right is right
    assert "Measured: 10 Gbit/s." in str(told)


def test_a_word_is_compared_without_case() -> None:
    prediction = ask("127.0.0.11", str)
    prediction.guess = " 127.0.0.11 "
    assert prediction.reveal().right is True


def test_too_late_to_change_ones_mind() -> None:
    prediction = ask(True)
    prediction.guess = "no"
    prediction.reveal()
    prediction.guess = "yes"
    assert prediction.guess == "no"
    assert prediction.right is False


@pytest.mark.parametrize(
    ("kind", "guess", "says"),
    [(("yes", "no"), "maybe", "Choose one of: yes, no."), (float, "fast", "Write a number in Gbit/s.")],
)
def test_what_is_no_answer_is_told(kind: Any, guess: str, says: str) -> None:
    prediction = ask(1.0, kind, unit="Gbit/s")
    with pytest.raises(CourseError, match=says):
        prediction.guess = guess
    assert prediction.guess is None


@pytest.mark.parametrize("kind", [[], ["only"], ["same", "same"], int])
def test_questions_without_a_choice_are_refused(kind: Any) -> None:
    with pytest.raises(CourseError):
        ask(True, kind)


# ---------------------------------------------------------------- their fields


def parts(view: widgets.VBox) -> tuple[Any, str]:
    """The field and what the status line says."""
    return view.children[1], view.children[2].value


def test_radio_buttons_set_the_guess_and_nothing_is_chosen_beforehand() -> None:
    prediction = ask(False)
    view = make_view(prediction)
    field, _ = parts(view)
    assert isinstance(field, widgets.RadioButtons)
    assert field.value is None
    field.value = "no"
    assert prediction.guess == "no"
    assert "Noted" in parts(view)[1]


def test_revealing_locks_the_field_and_says_the_outcome() -> None:
    prediction = ask(False)
    view = make_view(prediction)
    parts(view)[0].value = "yes"
    prediction.reveal()
    field, status = parts(view)
    assert field.disabled
    assert "You said: yes. Measured: no." in status
    assert "✗" in status
    assert 'role="status"' in status


def test_a_number_field_explains_what_it_wants() -> None:
    prediction = ask(2.0, float, unit="Gbit/s")
    view = make_view(prediction)
    text, unit, button, note = parts(view)[0].children
    text.value = "quick"
    assert note.value == "Write a number in Gbit/s."
    assert prediction.guess is None
    text.value = "2.2"
    assert (prediction.guess, note.value, unit.value) == (2.2, "", "Gbit/s")
    prediction.reveal()
    assert text.disabled
    assert button.disabled


def test_the_notebook_keeps_text_that_is_always_the_same() -> None:
    first, second = bundle(ask(True)), bundle(ask(True))
    for key in ("text/plain", "text/html"):
        assert first[key] == second[key]
        assert QUESTION in first[key]
    assert first["text/plain"] == f"Predict: {QUESTION} (yes / no)"
    assert "application/vnd.jupyter.widget-view+json" in first


def test_nothing_of_a_question_becomes_markup() -> None:
    prediction = predict("<i>&", ["<b>", "no"], answer=lambda: "<b>", why="<script>")
    assert "<i>" not in bundle(prediction)["text/html"]
    assert "<b>" not in bundle(prediction)["text/html"]
    prediction.guess = "<b>"
    assert "<script>" not in prediction.reveal()._repr_html_()
    assert "<script>" not in make_view(prediction).children[2].value


# ---------------------------------------------------------------- checks


def condition(problem: str, claim: str = "it holds", *, first: bool = False) -> Condition:
    return Condition(claim, lambda _sight: problem, first=first)


def result_of(*conditions: Condition, **more: Any) -> checks_module.Result:
    made: Check = check("Exercise", *conditions, **more)
    return made(None)  # type: ignore[arg-type]  # these conditions look at nothing


def test_everything_holds() -> None:
    result = result_of(condition(""), condition(""))
    assert result
    assert result.passed
    assert str(result).splitlines()[0] == "Exercise: done. Everything holds."
    assert "<details" not in result._repr_html_()


def test_the_first_problem_is_the_sentence_and_all_are_found() -> None:
    result = result_of(condition(""), condition("One is wrong."), condition("Two is wrong."))
    assert not result
    assert result.sentence == "One is wrong."
    assert [f.holds for f in result.findings] == [True, False, False]


def test_what_makes_no_sense_is_not_looked_at() -> None:
    result = result_of(condition("It is not there.", first=True), condition("", claim="the rest"))
    assert [f.holds for f in result.findings] == [False, None]
    assert "– the rest (not looked at)" in str(result)


def test_a_lost_lab_host_is_a_sentence() -> None:
    def lost(_sight: Any) -> str:
        raise HostError("The lab host is gone.")

    result = result_of(Condition("a", lost), condition(""))
    assert result.sentence == "The check could not look: The lab host is gone."
    assert [f.holds for f in result.findings] == [False, None]


def test_an_engine_that_does_not_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_lab: Any, **_options: Any) -> Any:
        raise ProbeError("The Docker engine did not say what is there.")

    monkeypatch.setattr(checks_module.probe, "snapshot", refuse)
    result = lesson06.admin(None)  # type: ignore[arg-type]  # nothing gets as far as the lab
    assert result.sentence == "The check could not look: The Docker engine did not say what is there."
    assert [f.holds for f in result.findings] == [False] + [None] * 6


def test_hints_come_one_inside_the_other_and_the_solution_last() -> None:
    made = check("Exercise", condition("Wrong."), hints=["first <hint>", "second"], solution="code < 1")
    result = made(None)  # type: ignore[arg-type]
    markup = result._repr_html_()
    order = [markup.index(text) for text in ("first &lt;hint&gt;", "second", "The solution", "code &lt; 1")]
    assert order == sorted(order)
    assert markup.count("<details") == markup.count("</details>") == 3
    assert markup.rindex("</details></details></details>")
    assert " open" not in markup
    assert made.hint(2) == "second"
    with pytest.raises(CourseError, match="There are 2 hints"):
        made.hint(3)
    assert "code" not in str(result)


def test_a_check_without_conditions_is_refused() -> None:
    with pytest.raises(CourseError, match="no conditions"):
        check("Nothing")


def test_conditions_say_what_they_ask() -> None:
    assert list(reaches("a", "b", 80).asks(None)) == [("a", "b", 80)]  # type: ignore[arg-type]
    assert list(runs("a").asks(None)) == []  # type: ignore[arg-type]


def test_an_answer_that_was_not_revealed_is_kept() -> None:
    first = predict("again?", ["yes", "no"], answer=lambda: "yes")
    first.guess = "no"
    second = predict("again?", ["yes", "no"], answer=lambda: "yes")
    assert second.guess == "no"
    assert second.reveal().text.startswith("You said: no.")
    assert predict("again?", ["yes", "no"], answer=lambda: "yes").guess is None


def test_another_question_starts_afresh() -> None:
    predict("one?", ["yes", "no"], answer=lambda: "yes").guess = "no"
    assert predict("one?", ["yes", "perhaps"], answer=lambda: "yes").guess is None
    assert predict("two?", ["yes", "no"], answer=lambda: "yes").guess is None
