"""Cells that need a feature of the kernel: run, left out with a sentence, or refused."""

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from dockernb.errors import LabError
from dockernb.session import needs

THERE = {"nfs": False, "cifs": False, "loop": True}


@pytest.fixture
def transform(monkeypatch: pytest.MonkeyPatch) -> needs.Needs:
    monkeypatch.setattr(needs, "features", lambda host: THERE)
    return needs.Needs(None)  # type: ignore[arg-type]


def test_a_cell_without_the_line_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "features", lambda host: pytest.fail("nobody needed anything"))
    transform = needs.Needs(None)  # type: ignore[arg-type]
    for cell in ([], ["\n"], ["1\n", "%%needs nfs\n"], ["%%docker\n", "ps\n"]):
        assert transform(list(cell)) == cell


def test_what_is_there_is_run(transform: needs.Needs) -> None:
    assert transform(["%%needs loop\n", "%%docker\n", "losetup\n"]) == ["%%docker\n", "losetup\n"]


def test_what_is_lacking_is_left_out_in_a_sentence(transform: needs.Needs) -> None:
    [line] = transform(["%%needs nfs loop cifs\n", "1 / 0\n"])
    assert line == "print('Left out: the kernel of this lab host has no nfs and no cifs.')\n"


@pytest.mark.parametrize("line", ["%%needs\n", "%%needs zfs\n"])
def test_what_nobody_knows_is_refused(transform: needs.Needs, line: str) -> None:
    with pytest.raises(LabError, match="features of the kernel: nfs, cifs, loop"):
        transform([line])


def test_the_latest_lab_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from dockernb import front

    class Opened:
        def __init__(self, there: bool) -> None:
            self.host: Any = {"nfs": there}

    shell: Any = InteractiveShell()  # type: ignore[no-untyped-call]
    monkeypatch.setattr(front, "get_ipython", lambda: shell)
    monkeypatch.setattr(needs, "features", lambda host: host)
    for there in (False, True):
        front._register_magics(Opened(there))  # type: ignore[arg-type]
    shell.run_cell("%%needs nfs\nseen = 1").raise_error()
    assert shell.user_ns["seen"] == 1
