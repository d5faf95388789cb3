"""The set-up for a class, as far as it can be checked without JupyterHub (`make classroom` starts it)."""

import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from traitlets.config import Config

from dockernb.cli import _parser

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "binder/jupyterhub_config.py"


def configured() -> Any:
    """What JupyterHub reads from the file."""
    config = Config()
    exec(compile(CONFIG.read_text(), str(CONFIG), "exec"), {"get_config": lambda: config})
    return config


def test_the_hub_listens_on_loopback_and_lets_one_group_in() -> None:
    config = configured()
    assert config.JupyterHub.bind_url == "http://127.0.0.1:8000"
    assert config.PAMAuthenticator.allowed_groups == {"learners"}
    assert "allow_all" not in config.PAMAuthenticator


def test_a_server_begins_with_copies_of_the_lessons(tmp_path: Path) -> None:
    config = configured()
    shell, flag, script, name = config.Spawner.cmd
    assert subprocess.run([shell, "-n", flag, script], timeout=20, check=False).returncode == 0
    assert _parser().parse_args(["lessons", "dockernb"]).directory == Path("dockernb")
    folder, lesson = config.Spawner.default_url.removeprefix("/lab/tree/").split("/")
    assert f'dockernb lessons "$HOME/{folder}"' in script
    assert (ROOT / "notebooks" / lesson).exists()
    # JupyterHub's own arguments arrive where they belong, whatever became of the copies.
    programs = tmp_path / "bin"
    programs.mkdir()
    for program, text in (("dockernb", "exit 1"), ("jupyterhub-singleuser", 'echo "$@"')):
        (programs / program).write_text(f"#!/bin/sh\n{text}\n")
        (programs / program).chmod(0o755)
    here = script.split('"')[1].removesuffix(":$PATH")
    done = subprocess.run(
        [shell, flag, script.replace(here, str(programs)), name, "--one", "two words"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stdout == "--one two words\n"


@pytest.mark.parametrize(("gib", "learners"), [(1, 1), (8, 5), (64, 51)])
def test_memory_limits_how_many_come_in(gib: int, learners: int, monkeypatch: pytest.MonkeyPatch) -> None:
    total = psutil.virtual_memory()._replace(total=gib * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: total)
    assert configured().JupyterHub.active_server_limit == learners


def test_the_page_for_teachers_names_what_there_is() -> None:
    page = (ROOT / "notebooks/CLASSROOM.md").read_text()
    for path in ("binder/jupyterhub_config.py", "tests/benchmarks/memory.py"):
        assert path in page
        assert (ROOT / path).exists()
    for target in ("make classroom", "make bench"):
        assert target in page
        assert f"\n{target.split()[1]}:" in (ROOT / "Makefile").read_text()
