"""The package as pip installs it: what is in the wheel and in the source archive, and that it works by itself."""

import json
import os
import subprocess
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import pytest

from dockernb.labhost import rootfs
from dockernb.session import LESSONS

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600


def run(*command: str | Path, **environment: str) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(
        command,
        cwd="/",
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel, built from the source archive, which is built from this checkout."""
    place = tmp_path_factory.mktemp("dist")
    builder = place / "builder"
    venv.create(builder, with_pip=True)
    # pip has no command for a source archive, and the build backend has one.
    run(builder / "bin/python", "-m", "pip", "install", "-q", "hatchling>=1.24")
    script = f"import os, hatchling.build as b; os.chdir({str(ROOT)!r}); print(b.build_sdist({str(place)!r}))"
    source = place / run(builder / "bin/python", "-c", script).split()[-1]
    run(builder / "bin/python", "-m", "pip", "wheel", "-q", "--no-deps", "-w", place, source)
    [wheel] = place.glob("*.whl")
    return {"source": source, "wheel": wheel}


def test_the_wheel_has_library_notebooks_and_recipe_and_nothing_else(archives: dict[str, Path]) -> None:
    names = zipfile.ZipFile(archives["wheel"]).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"dockernb"}
    lessons = {
        Path(name).stem
        for name in names
        if name.startswith("dockernb/notebooks/") and name.endswith(".ipynb")
    }
    assert lessons == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    tracked = subprocess.run(
        ["git", "ls-files", "dockernb"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    ).stdout.split()
    assert set(tracked) <= set(names)
    assert "dockernb/py.typed" in names
    assert not any("__pycache__" in name or "/tests/" in name for name in names)


def test_the_source_archive_has_what_a_test_run_needs(archives: dict[str, Path]) -> None:
    with tarfile.open(archives["source"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"Makefile", "README.md", "LICENSE", "pyproject.toml", "environment.yml", ".ci/setup"}
    assert wanted | {"binder/postBuild", "tests/engine/test_installed.py"} <= names
    assert not any(name.startswith((".venv", "dist/", ".git/")) for name in names)


def test_installed_in_a_clean_environment_it_works(archives: dict[str, Path], tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=True)
    run(clean / "bin/python", "-m", "pip", "install", "-q", archives["wheel"])
    command = clean / "bin/dockernb"
    where = run(clean / "bin/python", "-c", "import dockernb; print(dockernb.__file__, dockernb.lab)")
    assert where.startswith(str(clean))

    # The recipe is the same to the byte, so the template that is there already fits.
    digest = "from dockernb.labhost import rootfs; print(rootfs.recipe_digest())"
    assert run(clean / "bin/python", "-c", digest).strip() == rootfs.recipe_digest()

    run(command, "lessons", tmp_path / "course", JUPYTER_DATA_DIR=str(tmp_path / "jupyter"))
    assert {path.stem for path in (tmp_path / "course").glob("*.ipynb")} == set(LESSONS)

    # pytest's own directory may be too long a path for the lab host's sockets.
    with tempfile.TemporaryDirectory(prefix="installed-") as state:
        try:
            run(command, "start", "--provider", "vm", XDG_STATE_HOME=state)
            assert json.loads(run(command, "status", "--json", XDG_STATE_HOME=state))["hosts"]
            assert run(command, "run", "--", "docker", "images", "-q", XDG_STATE_HOME=state).split()
        finally:
            run(command, "stop", XDG_STATE_HOME=state)
