"""A plugin for the pytest that runs nbval: each cell of a lesson shows what it promises, and its twin is written down.

DOCKERNB_WRITE_DOWN is the file for the twin and for what the lesson has made before it cleans up; nothing is written
without. See `tests.support.promises` and `tests.support.twins`.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

from dockernb.labhost import debian, join
from tests.support import twins
from tests.support.promises import broken

LIMIT = 120  # seconds for what we run in the kernel ourselves


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Look at what a cell has shown, after nbval has compared it; and write the twin down around the cells."""
    if not isinstance(item, IPyNbCell):
        yield
        return
    path = os.environ.get("DOCKERNB_WRITE_DOWN")
    code = [cell for cell in item.parent.nb.cells if cell.cell_type == "code"]
    if path and item.cell is next(cell for cell in reversed(code) if "lab.clean()" in cell.source):
        hand_over(item, Path(path))
    yield
    if path and item.cell is next(cell for cell in code if "dn.lab(" in cell.source):
        execute(item, twins.WRITE_DOWN)
    outputs = item.test_outputs
    if item.cell.source.rstrip().endswith(";"):  # nbval's way to run a cell does not know what that means
        outputs = [output for output in outputs if output.output_type != "execute_result"]
    complete = os.environ["DOCKERNB_PROVIDER"] == "vm"
    alike = os.environ["DOCKERNB_ENGINE"] == debian.DEFAULT_ENGINE
    if problems := broken(item.cell, outputs, complete=complete, alike=alike):
        item.raise_cell_error("\n".join(problems))


def execute(item: IPyNbCell, source: str) -> None:
    """Run something of ours in the lesson's kernel."""
    kernel = item.parent.kernel
    number = kernel.execute_cell_input(source, allow_stdin=False)
    kernel.await_reply(number, timeout=LIMIT)
    while True:
        message = kernel.get_message("iopub", timeout=LIMIT)
        if message["parent_header"].get("msg_id") != number:
            continue
        if message["msg_type"] == "error":
            item.raise_cell_error("the twin was not written down", "\n".join(message["content"]["traceback"]))
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return


def hand_over(item: IPyNbCell, path: Path) -> None:
    """Keep the twin's lines, and what is on the lesson's host now."""
    execute(item, twins.HAND_OVER.format(path=str(path)))
    host = join(os.environ["DOCKERNB_HOST"])
    assert host is not None
    path.write_text(json.dumps({"said": json.loads(path.read_text()), "seen": twins.seen(host)}))
