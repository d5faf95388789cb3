"""Errors in a notebook: each is an error output of one sentence, whatever front end runs the cell."""

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

# An engine's refusal as the SDK raises it, and the handler that a lesson's first cell sets.
SET_UP = """
import docker, os, requests, signal
from dockernb import errors, session
session.show_errors_in_one_sentence(None)
refusal = docker.errors.APIError("409 Client Error", explanation="the name is in use")
missing = docker.errors.ImageNotFound("404 Client Error", explanation="no such image")
"""
MISTAKES = {
    "raise errors.LabError('There is no such lesson.')": ("LabError", "There is no such lesson."),
    "raise errors.CommandError(3, [(7, 'docker  run \\\\\\n x')])": (
        "CommandError",
        "Exit code 7: docker run \\ x",
    ),
    "raise errors.CommandError(4, [])": ("CommandError", "Exit code 4."),
    "raise refusal": ("APIError", '409 Client Error ("the name is in use")'),
    "raise missing": ("ImageNotFound", '404 Client Error ("no such image")'),
    "os.kill(os.getpid(), signal.SIGINT); __import__('time').sleep(5)": (
        "KeyboardInterrupt",
        "Interrupted. The lab can be used as before, and this cell can be run again.",
    ),
}

STOPS = "raise errors.LabError('Not here.')"


@pytest.fixture(scope="module")
def cells() -> dict[str, nbformat.NotebookNode]:
    """The cells of a notebook in which everything goes wrong and is meant to, but for the one before the last."""
    sources = (SET_UP, *MISTAKES, "1 / 0", STOPS, "print('on')")
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    for cell in notebook.cells[:-2]:
        cell.metadata["tags"] = ["raises-exception"]
    with pytest.raises(CellExecutionError, match=r"Not here\."):
        NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return {cell.source: cell for cell in notebook.cells}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_an_error_output_of_one_sentence(
    cells: dict[str, nbformat.NotebookNode], mistake: str
) -> None:
    [output] = cells[mistake].outputs
    name, sentence = MISTAKES[mistake]
    assert (output.output_type, output.ename, output.traceback) == ("error", name, [sentence])


def test_an_error_that_is_not_a_mistake_keeps_its_traceback(
    cells: dict[str, nbformat.NotebookNode],
) -> None:
    [output] = cells["1 / 0"].outputs
    assert output.ename == "ZeroDivisionError" and len(output.traceback) > 1


def test_a_notebook_with_such_an_error_stops_there(cells: dict[str, nbformat.NotebookNode]) -> None:
    assert cells[STOPS].outputs and not cells["print('on')"].outputs
