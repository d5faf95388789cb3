"""A lesson's first cell where no lab host can run."""

import os
import subprocess
import sys
import tempfile

import pytest

FIRST_CELLS = ("lab = dn.lab('02-bridge')", "lab = dn.lab('02-bridge', nodes=3)")
SESSION = """
for cell in {cells!r}:
    print("[cell]")
    get_ipython().run_cell("import dockernb as dn\\n" + cell + "\\nprint('alive')")
"""


@pytest.fixture(scope="module")
def session() -> subprocess.CompletedProcess[str]:
    """An IPython session with those cells in it, where there is neither QEMU nor Docker."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith("DOCKERNB_")}
    command = ["--no-banner", "--simple-prompt", "--no-confirm-exit", "-c", SESSION.format(cells=FIRST_CELLS)]
    # pytest's own directory may be too long a path for a lab host's sockets.
    with tempfile.TemporaryDirectory(prefix="front-") as path:
        nothing = {
            "PATH": path,
            "DOCKER_HOST": f"unix://{path}/none.sock",
            **{f"XDG_{kind}_HOME": f"{path}/{kind}" for kind in ("CACHE", "STATE")},
        }
        return subprocess.run(
            [sys.executable, "-m", "IPython", *command],
            env={**ours, "IPYTHONDIR": path, **nothing},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.mark.parametrize("cell", FIRST_CELLS)
def test_without_qemu_and_docker_a_lesson_says_so_in_one_line_and_pretends_nothing(
    session: subprocess.CompletedProcess[str], cell: str
) -> None:
    said = session.stdout.split("[cell]\n")[1 + FIRST_CELLS.index(cell)]
    assert said.splitlines()[-1] == (
        "The vm provider does not work here: qemu-system-x86_64 is not installed: "
        "`sudo apt-get install qemu-system-x86`. "
        "What this notebook shows below was saved from a real run and can be read without a lab host; it is not live."
    )
    assert "alive" not in said
    assert "Traceback" not in session.stdout + session.stderr
