"""The keeper of a lab host, with a machine that does what the test wants."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from dockernb.errors import HostError
from dockernb.labhost import control, keeper, store
from dockernb.labhost.machine import Facts, Plan


class Machine:
    """A machine whose reset fails."""

    def __init__(self, stands: bool) -> None:
        self.api_port, self.facts, self.stands = 1, Facts("none"), stands

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def ended(self) -> str:
        await asyncio.sleep(60)
        return "the test was too slow"

    async def reset(self) -> None:
        raise HostError("There is no room.")


async def reset_of(directory: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Ask a keeper for a reset; whether it keeps on afterwards."""
    monkeypatch.setattr(keeper, "make_machine", lambda plan: machine)
    keeping = asyncio.create_task(keeper.Keeper(Plan("lab", "vm", os.getpid(), directory, "testing")).keep())
    while not (directory / control.NAME).exists():
        await asyncio.sleep(0.01)
    with pytest.raises(HostError, match="There is no room"):
        await asyncio.to_thread(control.ask, directory, {"do": "reset"}, 10)
    ended, _ = await asyncio.wait({keeping}, timeout=1)
    keeping.cancel()
    return not ended


def test_a_failed_reset_is_not_the_end_while_a_machine_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asyncio.run(reset_of(tmp_path, Machine(stands=True), monkeypatch))


def test_a_failed_reset_that_leaves_no_machine_is_the_end_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not asyncio.run(reset_of(tmp_path, Machine(stands=False), monkeypatch))
    assert json.loads((tmp_path / "ended.json").read_text())["why"] == "its reset failed: There is no room"


def test_a_directory_has_one_keeper_and_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CLAIM_LIMIT", 0.2)
    assert store.holder(tmp_path) is None
    with store.claim(tmp_path):
        assert store.holder(tmp_path) == os.getpid()
        with pytest.raises(HostError, match=rf"its keeper \(process {os.getpid()}\) is still there"):
            store.claim(tmp_path)
    assert store.holder(tmp_path) is None
    store.claim(tmp_path).close()
