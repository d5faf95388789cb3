"""A plugin for the pytest that runs nbval: each cell of a lesson shows what it promises (`tests.support.promises`)."""

from collections.abc import Generator

import pytest
from nbval.plugin import IPyNbCell

from tests.support.promises import broken


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Look at what a cell has shown, after nbval has compared it."""
    yield
    if isinstance(item, IPyNbCell) and (problems := broken(item.cell, item.test_outputs)):
        item.raise_cell_error("\n".join(problems))
