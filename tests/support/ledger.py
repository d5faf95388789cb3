"""What a test run ends with: where its minutes went, and which tests passed only when they were tried again.

`make test` is to fit into twenty minutes on two processors, so its time is divided. A part that takes more than its
share is marked; nothing fails by the clock. What later work adds to `make test` is a minute at the most, and what takes
longer belongs to `make thorough`.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import PurePath

import pytest
from _pytest.terminal import TerminalReporter

BEGAN = "DOCKERNB_TEST_BEGAN"  # the environment's: when `make test` began, in seconds since 1970

# Minutes: of the one process before the tests, and of a worker. Two workers need half of the latter: twenty in all.
BEFORE = "set-up, style, types"
SHARES = {
    BEFORE: 5.0,
    "fast": 2.0,
    "engine": 10.0,
    "lessons, quick": 8.0,
    "lessons, emulated": 8.0,
    "browser": 2.0,
}


def part_of(nodeid: str) -> str:
    """The part of the run that a test belongs to."""
    folder, name = PurePath(nodeid.split("::", maxsplit=1)[0]).parts[1:3]
    if folder == "notebooks":
        return "lessons, emulated" if "on_vm" in name else "lessons, quick"
    return folder


class Ledger:
    """A plugin of pytest's: it adds up what the tests take, and tells at the end."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._tests: defaultdict[str, int] = defaultdict(int)
        self._again: dict[str, str] = {}
        self._passed: set[str] = set()
        self._began = time.time()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what one phase of a test took."""
        part = part_of(report.nodeid)
        self._seconds[part] += report.duration
        self._tests[part] += report.when == "call"
        if report.outcome == "rerun":
            self._again[report.nodeid] = _last_line(report)
        elif report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Write both tables."""
        terminalreporter.section("where the time went")
        for line in self.lines(time.time()):
            terminalreporter.write_line(line)
        if faults := self.faults():
            terminalreporter.section("faults with a name: these passed only when tried again")
            for nodeid, reason in faults.items():
                terminalreporter.write_line(f"{nodeid}\n    {reason}")

    def lines(self, now: float, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
        """The table of the parts."""
        before = self._began - float(environment.get(BEGAN, self._began))
        spent = {BEFORE: before, **self._seconds}
        yield f"{'part':22} {'tests':>6} {'minutes':>8} {'share':>6}"
        for part in sorted(spent, key=list(SHARES).index):
            over = "  more than its share" if spent[part] > SHARES[part] * 60 else ""
            yield f"{part:22} {self._tests[part]:6} {spent[part] / 60:8.1f} {SHARES[part]:6.0f}{over}"
        total = (now - self._began + before) / 60
        yield f"{total:.1f} minutes by the clock, with {self._workers} workers on {os.cpu_count()} processors"

    def faults(self) -> dict[str, str]:
        """The tests that passed only when they were tried again, and what their first try ended with."""
        return {nodeid: reason for nodeid, reason in self._again.items() if nodeid in self._passed}


def _last_line(report: pytest.TestReport) -> str:
    lines = [line for line in report.longreprtext.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
