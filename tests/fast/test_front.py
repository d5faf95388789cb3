"""A lesson's first cell where no lab host can run."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

CELL = "import dockernb as dn\nlab = dn.lab('02-bridge'{more})\nprint('alive')"


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty directory; pytest's own may be too long a path for a lab host's sockets."""
    with tempfile.TemporaryDirectory(prefix="front-") as path:
        yield Path(path)


@pytest.mark.parametrize("more", ["", ", nodes=3"])
def test_without_qemu_and_docker_a_lesson_says_so_in_one_line_and_pretends_nothing(
    short_path: Path, more: str
) -> None:
    nothing = {
        "PATH": str(short_path),
        "DOCKER_HOST": f"unix://{short_path}/none.sock",
        **{f"XDG_{kind}_HOME": str(short_path / kind) for kind in ("CACHE", "STATE")},
    }
    ours = {name: text for name, text in os.environ.items() if not name.startswith("DOCKERNB_")}
    cell = CELL.format(more=more)
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt", "--no-confirm-exit", "-c", cell],
        env={**ours, "IPYTHONDIR": str(short_path), **nothing},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == (
        "The vm provider does not work here: qemu-system-x86_64 is not installed: "
        "`sudo apt-get install qemu-system-x86`. "
        "What this notebook shows below was saved from a real run and can be read without a lab host; it is not live."
    )
    assert "alive" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
