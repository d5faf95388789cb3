"""What a learner gives to a call: checked before anything is started, and refused in one sentence.

    @checked(LabError, service=NAME, limit=SECONDS)
    def wait(self, service: str, limit: float = 60.0) -> Swarm: ...

    lab.wait(5)  # LabError: service has to be a text that is not empty, and it is 5.

Only what would end in an exception of Python's or of another library is refused here; a value that has what the
call needs passes, whatever its type.
"""

import functools
import inspect
import reprlib
import types
import typing
from collections.abc import Callable, Mapping, Sequence, Set, ValuesView
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeVar

from dockernb.errors import DockernbError

Call = TypeVar("Call", bound=Callable[..., Any])

DAY = 86400
LAST_PORT = 65535

_told = reprlib.Repr()
_told.maxstring = _told.maxother = 60


@dataclass(frozen=True, slots=True)
class Kind:
    """What an argument may be: in words, for "has to be …", and as a test that raises nothing."""

    words: str
    fits: Callable[[Any], bool]

    def __or__(self, other: "Kind") -> "Kind":
        return Kind(f"{self.words}, or {other.words}", lambda value: self.fits(value) or other.fits(value))

    def check(self, error: type[DockernbError], name: str, value: Any) -> None:
        """Raise the error when the value does not fit."""
        if not self.fits(value):
            raise error(f"{name} has to be {self.words}, and it is {_told.repr(value)}.")


def checked(error: type[DockernbError], **kinds: Kind) -> Callable[[Call], Call]:
    """Have the arguments of a function checked before it begins.

    Args:
        error: What is raised; its sentence names the argument, what it may be and what was given.
        kinds: What each argument may be, by its name. One that is left out of a call is not looked at.
    """

    def decorate(function: Call) -> Call:
        signature = inspect.signature(function)
        assert kinds.keys() <= signature.parameters.keys()

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            given = signature.bind(*args, **options).arguments
            for name, kind in kinds.items():
                if name in given:
                    kind.check(error, name, given[name])
            return function(*args, **options)

        return typing.cast("Call", call)

    return decorate


def check_fields(error: type[DockernbError], thing: Any) -> None:
    """Check the fields of a dataclass's instance by their annotations; for its `__post_init__`."""
    for name, hint in typing.get_type_hints(type(thing)).items():
        _of(hint).check(error, name, getattr(thing, name))


def _of(hint: Any) -> Kind:
    """The kind that an annotation means; one that is not told here lets everything pass."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return functools.reduce(Kind.__or__, map(_of, typing.get_args(hint)))
    return {str: TEXT, int: WHOLE, float: NUMBER, bool: FLAG, type(None): NONE}.get(hint, ANYTHING)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    # Not infinite, not "not a number", and not so great that it cannot be a float.
    return (_is_whole(value) and abs(value) < 1 << 63) or (isinstance(value, float) and abs(value) < 1 << 63)


def whole(first: int, last: int, what: str = "a whole number") -> Kind:
    """A whole number of a range."""
    return Kind(f"{what} from {first} to {last}", lambda value: _is_whole(value) and first <= value <= last)


def number(first: float, last: float, what: str = "a number") -> Kind:
    """A number of a range."""
    return Kind(
        f"{what} from {first:g} to {last:g}", lambda value: _is_number(value) and first <= value <= last
    )


def one_of(*texts: str) -> Kind:
    """One of these texts."""
    return Kind(" or ".join(map(repr, texts)), lambda value: isinstance(value, str) and value in texts)


def a(kind: type | tuple[type, ...], words: str) -> Kind:
    """An instance of a class."""
    return Kind(words, lambda value: isinstance(value, kind))


def having(attribute: str, words: str) -> Kind:
    """Whatever has an attribute; a class has those of its instances, and is none."""
    return Kind(words, lambda value: not isinstance(value, type) and hasattr(value, attribute))


def several(kind: Kind, words: str) -> Kind:
    """A list, tuple, set, … of things of a kind. A single text is none: its letters are never meant."""
    return Kind(
        words,
        lambda value: (
            isinstance(value, Sequence | Set | ValuesView)
            and not isinstance(value, str | bytes)
            and all(map(kind.fits, value))
        ),
    )


def by_name(kind: Kind, words: str) -> Kind:
    """A mapping from texts to things of a kind."""
    return Kind(
        words,
        lambda value: (
            isinstance(value, Mapping)
            and all(isinstance(name, str) for name in value)
            and all(map(kind.fits, value.values()))
        ),
    )


ANYTHING = Kind("anything", lambda value: True)
NONE = Kind("None", lambda value: value is None)
FLAG = a(bool, "True or False")
TEXT = a(str, "a text")
NAME = Kind("a text that is not empty", lambda value: isinstance(value, str) and bool(value))
FUNCTION = Kind("a function", callable)
# NumPy's whole numbers, too: a sweep may be over one of its arrays.
WHOLE = Kind(
    "a whole number",
    lambda value: isinstance(value, Integral) and not isinstance(value, bool) and _is_number(int(value)),
)
NUMBER = Kind("a number", _is_number)
SECONDS = number(0, DAY, "a number of seconds")
PORT = whole(1, LAST_PORT, "a port")
PORTS = several(PORT, f"a list of ports from 1 to {LAST_PORT}, such as [80, 443]")
NAMES = several(NAME, 'a list of names, such as ["web", "db"]')
BYTES = a((bytes, bytearray), 'bytes, such as b"yes"')

LAB = having("host", "a lesson's session, as dn.lab gives it")
HOST = having("call", "a lab host, such as lab.host")
PROVIDER = one_of("vm", "container", "auto") | NONE
ENGINE = one_of("testing", "stable") | NONE
