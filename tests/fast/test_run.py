"""The test run's own parts: what it takes, what it writes at the end, and that nothing in it passes unseen."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import ledger, sdk, selection
from tests.support.ledger import Ledger
from tests.support.selection import Parts

pytest_plugins = ["pytester"]

RUN = """
import pytest

@pytest.mark.parametrize("lesson", ["02-bridge", "10-volumes"])
def test_a_lesson(lesson): pass

@pytest.mark.thorough("long")
def test_that_takes_hours(): pass

@pytest.mark.thorough("longer")
def test_that_fails(): assert not "today"
"""


def report(nodeid: str, outcome: str = "passed", when: str = "call", *, text: str = "", **more: Any) -> Any:
    return SimpleNamespace(
        nodeid=nodeid,
        outcome=outcome,
        when=when,
        duration=90.0,
        passed=outcome == "passed",
        longreprtext=text,
        **more,
    )


def test_the_minutes_are_told_by_part_and_what_takes_more_than_its_share() -> None:
    book = Ledger(2)
    for number in range(4):
        book.pytest_runtest_logreport(report(f"tests/notebooks/test_on_vm.py::test[{number}]"))
        book.pytest_runtest_logreport(report(f"tests/fast/test_x.py::test[{number}]", when="setup"))
    lines = list(book.lines(book._began + 300, {ledger.BEGAN: str(book._began - 60)}))
    assert lines[1].split()[-3:] == ["0", "1.0", "5"]
    assert lines[2].split() == ["fast", "0", "6.0", "2", "more", "than", "its", "share"]
    assert lines[3].split() == ["lessons,", "emulated", "4", "6.0", "8"]
    assert lines[4].startswith("6.0 minutes by the clock, with 2 workers")


def test_what_passed_on_a_second_try_has_a_name() -> None:
    book = Ledger(1)
    for nodeid, outcome, text in (
        ("tests/fast/a.py::mended", "rerun", "...\nE  KeyError: 'x'\n"),
        ("tests/fast/a.py::mended", "passed", ""),
        ("tests/fast/a.py::broken", "rerun", "E  1 / 0\n"),
        ("tests/fast/a.py::broken", "failed", "E  1 / 0\n"),
        ("tests/fast/a.py::fine", "passed", ""),
    ):
        book.pytest_runtest_logreport(report(nodeid, outcome, text=text))
    assert book.faults() == {"tests/fast/a.py::mended": "E  KeyError: 'x'"}


class Seen:
    """A plugin of the inner run: the outcomes by name."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.outcomes[report.nodeid.rsplit("::", maxsplit=1)[1]] = report.outcome


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run these tests as a run of their own: their outcomes by name, and what pytest said."""
    folder = pytester.mkdir("tests") / "notebooks"
    folder.mkdir()
    (folder / "test_it.py").write_text(RUN)
    monkeypatch.setattr(selection, "RESULTS", pytester.path / "kept")

    def once(*options: str) -> tuple[dict[str, str], str]:
        seen = Seen()
        result = pytester.runpytest_inprocess(
            *("-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:nbval", "-c", os.devnull),
            *(f"--rootdir={pytester.path}", *options, "tests"),
            plugins=[seen],
        )
        return seen.outcomes, result.stdout.str()

    return once


def test_an_ordinary_run_leaves_out_what_takes_hours(run: Any) -> None:
    outcomes, said = run()
    assert outcomes == {"test_a_lesson[02-bridge]": "passed", "test_a_lesson[10-volumes]": "passed"}
    assert "lessons, quick" in said and "minutes by the clock" in said


def test_a_run_for_a_lesson_takes_what_belongs_to_it(run: Any) -> None:
    assert run("--lessons", "02-bridge 05-macvlan")[0] == {"test_a_lesson[02-bridge]": "passed"}


@pytest.mark.parametrize(
    ("path", "lessons", "belongs"),
    [
        ("engine/test_lesson02.py", ["02-bridge"], True),
        ("engine/test_lesson12.py", ["02-bridge"], False),
        ("browser/test_lesson.py", ["06-three-tier-lab"], True),
        ("browser/test_lesson.py", ["02-bridge"], False),
        ("fast/test_policy.py", ["02-bridge"], False),
    ],
)
def test_what_belongs_to_a_lesson(path: str, lessons: list[str], belongs: bool) -> None:
    item: Any = SimpleNamespace(path=Path("tests", path))
    assert selection.of_lesson(item, lessons) is belongs


def test_parts_run_alone_and_go_on_where_they_were_ended(run: Any, pytester: pytest.Pytester) -> None:
    assert run("--thorough", "long")[0] == {"test_that_takes_hours": "passed"}
    outcomes, said = run("--thorough", "all")
    assert outcomes == {"test_that_fails": "failed"}, "what has passed is not run again"
    assert "long         1 passed; last result 20" in said and "longer       1 failed; last result 20" in said
    assert run("--thorough", "all")[0] == {"test_that_fails": "failed"}, "what failed is"
    path = pytester.path / "kept/long.json"
    kept = json.loads(path.read_text())
    for result in kept.values():
        result["tree"] = "another"
    path.write_text(json.dumps(kept))
    assert "test_that_takes_hours" in run("--thorough", "all")[0], "for another tree it is"


def test_a_worker_is_told_what_has_passed(tmp_path: Path) -> None:
    parts, node = Parts(tmp_path), SimpleNamespace(workerinput={})
    parts.pytest_runtest_logreport(report("a.py::one", user_properties=[("part", "long")]))
    parts.pytest_runtest_logreport(report("a.py::two", "failed", user_properties=[("part", "long")]))
    parts.pytest_runtest_logreport(report("a.py::three", user_properties=[("part", None)]))
    Parts(tmp_path).pytest_configure_node(node)
    assert node.workerinput == {"passed": ["a.py::one"]}


def test_a_failure_of_the_sdk_has_to_be_listed_and_what_is_listed_has_to_fail(tmp_path: Path) -> None:
    path = tmp_path / "failures.toml"
    path.write_text(
        """
        [[group]]
        why = "needs a registry"
        tests = ["a_test::A::pulls", "a_test::A::pushes", "a_test::A::gone", "b_test::B::pulls"]
        [[group]]
        why = "is quicker than its container"
        sometimes = true
        tests = ["a_test::A::races", "a_test::A::is_there_no_more"]
        """
    )
    seen = {
        "a_test::A::pulls": "500",
        "a_test::A::pushes": "",
        "a_test::A::lists": "0 != 1",
        "a_test::A::races": "",
    }
    known = sdk.Known.read(path)
    assert known.complaints("a_test", seen) == [
        "a_test::A::lists failed: 0 != 1",
        "a_test::A::pushes is listed and does not fail",
        "a_test::A::gone is listed and does not exist",
        "a_test::A::is_there_no_more is listed and does not exist",
    ]
    seen["a_test::A::races"] = "too late"
    assert len(known.complaints("a_test", seen)) == 4


def test_what_the_tests_of_the_sdk_gave_is_read_by_name(tmp_path: Path) -> None:
    results = tmp_path / "results.xml"
    results.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.integration.a_test.A" name="test_1"/>
        <testcase classname="tests.integration.a_test.A" name="test_2"><skipped message="old"/></testcase>
        <testcase classname="tests.integration.a_test.A" name="test_3"><failure message="no"/></testcase>
        <testcase classname="tests.integration.a_test" name="test_4"><error message="set up"/></testcase>
        </testsuite></testsuites>"""
    )
    assert dict(sdk._read(results)) == {
        "a_test::A::test_1": "",
        "a_test::A::test_2": "",
        "a_test::A::test_3": "no",
        "a_test::test_4": "set up",
    }
