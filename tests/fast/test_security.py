"""SECURITY.md claims only what a test holds."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HELD_BY = sorted(
    set(re.findall(r"`(tests/\S+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
)


def test_every_line_of_the_table_names_a_test() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| **")]
    assert len(lines) >= 7
    assert [line for line in lines if "`tests/" not in line] == []


@pytest.mark.parametrize(("path", "test"), HELD_BY)
def test_each_claim_names_a_test_that_is_there(path: str, test: str) -> None:
    assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8")
