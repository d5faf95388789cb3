"""Waiting for a condition: what comes back, when it ends, and what passes through."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dockernb.errors import LabError
from dockernb.session import Lab, client
from dockernb.waiting import until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only sleeping moves: [now, each pause...]."""
    times = [1000.0]

    def sleep(seconds: float) -> None:
        assert seconds >= 0
        times[0] += seconds
        times.append(seconds)

    monkeypatch.setattr("dockernb.waiting.time.monotonic", lambda: times[0])
    monkeypatch.setattr("dockernb.waiting.time.sleep", sleep)
    return times


def looks(*values: Any) -> Any:
    """A look that sees these, one after the other, and then the last for ever; what is an exception is raised."""
    left = list(values)

    def look() -> Any:
        look.times += 1  # type: ignore[attr-defined]
        value = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(value, BaseException):
            raise value
        return value

    look.times = 0  # type: ignore[attr-defined]
    return look


def test_what_is_there_is_returned_at_once(clock: list[float]) -> None:
    assert until(looks("here"), 10) == "here"
    assert clock == [1000.0]


def test_it_looks_until_something_is_seen(clock: list[float]) -> None:
    look = looks("", None, [], "here", "too late")
    assert until(look, 10, pause=0.5) == "here"
    assert look.times == 4
    assert clock[1:] == [0.5, 0.5, 0.5]


def test_the_caller_says_what_is_enough(clock: list[float]) -> None:
    look = looks(["a"], ["a", "b"], ["a", "b", "c"])
    assert until(look, 10, lambda seen: len(seen) == 2) == ["a", "b"]
    assert until(looks(["a"], []), 10, lambda seen: not seen) == []


def test_at_the_limit_the_last_look_is_returned(clock: list[float]) -> None:
    assert until(looks("1 of 3", "2 of 3"), 10, lambda seen: seen == "3 of 3") == "2 of 3"
    assert clock[0] == pytest.approx(1010)


def test_the_last_look_is_at_the_limit_and_not_a_pause_later(clock: list[float]) -> None:
    at: list[float] = []

    def look() -> bool:
        at.append(clock[0] - 1000)
        return False

    assert until(look, 1, pause=0.7) is False
    assert at == pytest.approx([0, 0.7, 1])


def test_a_look_that_ends_after_the_limit_is_the_last(clock: list[float]) -> None:
    def look() -> str:
        clock[0] += 30
        return ""

    assert until(look, 20) == ""
    assert clock == [1030.0]


@pytest.mark.parametrize("limit", [0, -1])
def test_without_time_it_looks_once(limit: float, clock: list[float]) -> None:
    look = looks(False)
    assert until(look, limit) is False
    assert look.times == 1
    assert clock == [1000.0]


def test_an_exception_passes_through_at_once(clock: list[float]) -> None:
    look = looks(None, ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        until(look, 10)
    assert look.times == 2


def test_exceptions_that_mean_not_yet_are_waited_over(clock: list[float]) -> None:
    assert until(looks(ConnectionRefusedError(), TimeoutError(), "here"), 10, despite=OSError) == "here"
    assert until(looks(KeyError(), OSError(), "here"), 10, despite=(OSError, KeyError)) == "here"
    with pytest.raises(ValueError, match="broken"):
        until(looks(OSError(), ValueError("broken")), 10, despite=OSError)


def test_the_last_of_these_is_raised_at_the_limit(clock: list[float]) -> None:
    with pytest.raises(OSError, match="the last"):
        until(looks(OSError("the first"), OSError("the last")), 10, despite=OSError)
    assert clock[0] == pytest.approx(1010)


def test_what_enough_raises_is_never_waited_over(clock: list[float]) -> None:
    look = looks({})
    with pytest.raises(KeyError):
        until(look, 10, lambda seen: seen["State"], despite=KeyError)
    assert look.times == 1


def test_an_interrupt_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    look = looks(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        until(look, 10, despite=Exception)
    assert look.times == 1

    def stop_button(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dockernb.waiting.time.sleep", stop_button)
    with pytest.raises(KeyboardInterrupt):
        until(lambda: False, 10)


def test_the_limit_holds_on_a_real_clock() -> None:
    began = time.monotonic()
    assert until(lambda: False, 0.2, pause=0.15) is False
    assert 0.2 <= time.monotonic() - began < 2

    there = threading.Event()
    threading.Timer(0.05, there.set).start()
    assert until(there.is_set, 10, pause=0.01) is True


# What a learner waits for.


@pytest.fixture
def session() -> Lab:
    """A session without a lab host, which waiting does not need."""
    return Lab.__new__(Lab)


def test_a_learner_gets_what_came(session: Lab, clock: list[float]) -> None:
    assert session.until(looks("", "here")) == "here"


def test_a_learner_is_told_when_it_does_not_come(session: Lab, clock: list[float]) -> None:
    with pytest.raises(LabError, match=r"has not come about within 7 s: .*logs"):
        session.until(lambda: False, limit=7)
    assert clock[0] == pytest.approx(1007)


@pytest.mark.parametrize("otherwise", [None, False, "nothing"])
def test_a_learner_may_go_on_without_it(otherwise: Any, session: Lab, clock: list[float]) -> None:
    assert session.until(lambda: 0, limit=7, otherwise=otherwise) == otherwise
    assert session.until(lambda: 1, limit=7, otherwise=otherwise) == 1


def test_a_condition_that_was_looked_at_too_early_is_told(session: Lab) -> None:
    with pytest.raises(LabError, match="lambda"):
        session.until(1 + 1 == 3)  # type: ignore[arg-type]


def test_a_bar_is_shown_while_a_learner_waits(
    session: Lab, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    @contextlib.contextmanager
    def bar(title: str) -> Iterator[None]:
        told.append(title)
        yield
        told.append("over")

    monkeypatch.setattr(client, "_waiting", bar)
    session.until(lambda: told == ["Waiting, 60 s at most"] and told.append("seen") is None)
    assert told == ["Waiting, 60 s at most", "seen", "over"]
