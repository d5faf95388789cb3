"""Which tests a run takes: all but the long ones, those of one lesson, or a part of `make thorough`."""

import datetime
import hashlib
import json
import re
import subprocess
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import pytest
from _pytest.terminal import TerminalReporter

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "thorough"
EVERY_PART = "all"


def part(item: pytest.Item) -> str | None:
    """The part of `make thorough` that a test belongs to; None for one of `make test`."""
    mark = item.get_closest_marker("thorough")
    return None if mark is None else str(mark.args[0])


def of_lesson(item: pytest.Item, lessons: Iterable[str]) -> bool:
    """Whether a test belongs to one of these lessons: its notebook, its checks, the browser if it is opened there."""
    named = getattr(item, "callspec", None)
    if named is not None and named.params.get("lesson") in lessons:
        return True
    number = re.match(r"test_lesson(\d\d)\.py", item.path.name)
    if number:
        return any(lesson.startswith(number[1]) for lesson in lessons)
    return item.path.parent.name == "browser" and "06-three-tier-lab" in lessons


def tree() -> str:
    """What is being tested, as a digest: the last commit and what has changed since."""
    said = b""
    for command in ("git rev-parse HEAD", "git diff HEAD", "git ls-files --others --exclude-standard"):
        said += subprocess.run(command.split(), cwd=ROOT, capture_output=True, timeout=60, check=False).stdout
    return hashlib.sha256(said).hexdigest()[:16]


class Parts:
    """A plugin of pytest's: the results of `make thorough`, kept with their dates: it goes on where it was ended.

    What has passed for the very same tree is not run again.

    Args:
        kept: Where the results are, one file a part.
    """

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._tree = tree()
        self._results: dict[str, dict[str, dict[str, str]]] = {}
        self._part: dict[str, str] = {}
        kept.mkdir(parents=True, exist_ok=True)
        for path in kept.glob("*.json"):
            self._results[path.stem] = json.loads(path.read_text())

    def passed(self) -> list[str]:
        """The tests that have passed for this tree."""
        return [
            nodeid
            for results in self._results.values()
            for nodeid, result in results.items()
            if result["outcome"] == "passed" and result["tree"] == self._tree
        ]

    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker, before it collects, what has passed already."""
        node.workerinput["passed"] = self.passed()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a result as soon as there is one."""
        if report.outcome == "rerun" or (report.when != "call" and report.passed):
            return
        name = dict(report.user_properties).get("part")
        if not name:
            return
        results = self._results.setdefault(name, {})
        if report.when == "teardown" and results.get(report.nodeid, {}).get("outcome") == "failed":
            return
        results[report.nodeid] = {
            "outcome": report.outcome,
            "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": f"{report.duration:.0f}",
            "tree": self._tree,
        }
        (self._kept / f"{name}.json").write_text(json.dumps(results, indent=1))

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Write what each part has shown, and when."""
        terminalreporter.section("make thorough")
        for name, results in sorted(self._results.items()):
            mine = [result for result in results.values() if result["tree"] == self._tree]
            counts = {
                outcome: sum(one["outcome"] == outcome for one in mine)
                for outcome in ("passed", "failed", "skipped")
            }
            last = max((result["when"] for result in results.values()), default="-")
            told = (
                ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
                or "nothing for this tree"
            )
            terminalreporter.write_line(f"{name:12} {told}; last result {last}, in {self._kept / name}.json")


def select(config: pytest.Config, items: list[pytest.Item], passed: Container[str]) -> None:
    """Leave in the list what this run takes.

    Args:
        config: The run's.
        items: All tests.
        passed: Those that `make thorough` has no need to run again.
    """
    wanted = config.getoption("thorough")
    lessons = (config.getoption("lessons") or "").split()
    taken, left = [], []
    for item in items:
        name = part(item)
        if wanted:
            right = name is not None and wanted in (EVERY_PART, name) and item.nodeid not in passed
            item.user_properties.append(("part", name))
        else:
            right = name is None
        right = right and (not lessons or of_lesson(item, lessons))
        (taken if right else left).append(item)
    items[:] = taken
    config.hook.pytest_deselected(items=left)
