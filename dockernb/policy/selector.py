"""Selectors over labels, in Calico's language: `role == 'web' && !has(test)`.

The subset: ``==``, ``!=``, ``in {..}``, ``not in {..}``, ``has(..)``, ``all()``, ``!``, ``&&``, ``||`` and
parentheses; ``&&`` binds tighter than ``||``. As in Calico, ``!=`` and ``not in`` also hold where the label is
missing, and an empty selector is ``all()``.
(https://docs.tigera.io/calico/latest/reference/resources/networkpolicy#selectors)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dockernb.errors import LabError

_DEEPEST = 50  # each level is some calls of this reader's, which Python bounds

Test = Callable[[Mapping[str, str]], bool]

_TOKEN = re.compile(
    r"""\s*(?: (?P<text>'[^']*'|"[^"]*") | (?P<sign>&&|\|\||==|!=|[!(){},]) | (?P<word>[A-Za-z0-9_./-]+) )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Selector:
    """A selector that was read.

    Attributes:
        text: As it was written.
    """

    text: str
    _test: Test = field(compare=False, repr=False)

    def __call__(self, labels: Mapping[str, str]) -> bool:
        """Whether a thing with these labels is selected."""
        return self._test(labels)


def read_selector(text: str) -> Selector:
    """Read a selector.

    Raises:
        LabError: It is none; the sentence says where it stops making sense.
    """
    reader = _Reader(text)
    if not reader.tokens:
        return Selector("all()", lambda labels: True)
    test = reader.any_of()
    if reader.tokens:
        raise reader.wrong("&&, || or the end")
    return Selector(" ".join(text.split()), test)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.depth = text, 0
        self.tokens: list[tuple[str, str]] = []
        at, rest = 0, text.rstrip()
        while at < len(rest):
            found = _TOKEN.match(rest, at)
            if found is None:
                raise LabError(
                    f"the selector {text!r} has {rest[at:].strip()[:1]!r} where nothing of the kind belongs"
                )
            kind = found.lastgroup or ""
            self.tokens.append((kind, found[kind]))
            at = found.end()

    def wrong(self, wanted: str) -> LabError:
        there = f"{self.tokens[0][1]}" if self.tokens else "nothing"
        return LabError(f"the selector {self.text!r} has {there} where {wanted} is wanted")

    def take(self, *wanted: str) -> bool:
        """Whether one of these signs or words comes next; it is then used up."""
        if self.tokens and self.tokens[0][0] != "text" and self.tokens[0][1] in wanted:
            del self.tokens[0]
            return True
        return False

    def need(self, wanted: str) -> None:
        if not self.take(wanted):
            raise self.wrong(wanted)

    def one(self, kind: str, wanted: str) -> str:
        if not self.tokens or self.tokens[0][0] != kind:
            raise self.wrong(wanted)
        return self.tokens.pop(0)[1]

    def any_of(self) -> Test:
        tests = [self.all_of()]
        while self.take("||"):
            tests.append(self.all_of())
        return lambda labels: any(test(labels) for test in tests)

    def all_of(self) -> Test:
        tests = [self.term()]
        while self.take("&&"):
            tests.append(self.term())
        return lambda labels: all(test(labels) for test in tests)

    def term(self) -> Test:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise LabError(f"the selector has more than {_DEEPEST} parentheses and ! within each other")
        test = self.single()
        self.depth -= 1
        return test

    def single(self) -> Test:
        if self.take("!"):
            test = self.term()
            return lambda labels: not test(labels)
        if self.take("("):
            test = self.any_of()
            self.need(")")
            return test
        key = self.one("word", "a label, has(..), all() or a parenthesis")
        if key == "all" and self.take("("):
            self.need(")")
            return lambda labels: True
        if key == "has" and self.take("("):
            name = self.one("word", "a label")
            self.need(")")
            return lambda labels: name in labels
        if self.take("=="):
            value = self.value()
            return lambda labels: labels.get(key) == value
        if self.take("!="):
            value = self.value()
            return lambda labels: labels.get(key) != value
        turned = self.take("not")
        if not self.take("in"):
            raise self.wrong("in" if turned else "==, !=, in or not in")
        values = self.values()
        return lambda labels: (labels.get(key) in values) is not turned

    def value(self) -> str:
        return self.one("text", "a text in quotes")[1:-1]

    def values(self) -> set[str]:
        self.need("{")
        found = {self.value()}
        while self.take(","):
            found.add(self.value())
        self.need("}")
        return found
