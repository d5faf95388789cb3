"""`make lesson`: what it writes is clean, and entered where it has to be."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of a checkout as the script reads and writes."""
    for path in (".ci/new-lesson", "README.md", "dockernb/session/lab.py", "pyproject.toml"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    for folder in ("notebooks", "dockernb/course", "dockernb/labhost", "tests/engine"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "notebooks/08-discovery-and-balancing.ipynb").touch()
    return tmp_path


def begin(checkout: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, checkout / ".ci/new-lesson", name]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("name", ["95-my-subject", "17-capstones"])
def test_a_new_lesson_is_written_and_entered(checkout: Path, name: str) -> None:
    done = begin(checkout, name)
    assert done.returncode == 0, done.stderr
    number = name[:2]

    notebook = nbformat.read(checkout / f"notebooks/{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert f'dn.lab("{name}")' in text
    assert f"lesson{number}.answer(lab)" in text
    assert "{" not in re.sub(r"```.*?```", "", text, flags=re.DOTALL).replace("{}", "")

    lessons = re.findall(
        r'^    "(\d\d-[a-z0-9-]+)",$', (checkout / "dockernb/session/lab.py").read_text(), re.MULTILINE
    )
    assert name in lessons
    assert lessons == sorted(lessons)
    rows = re.findall(r"\]\(notebooks/(.*)\.ipynb\)", (checkout / "README.md").read_text())
    assert name in rows
    assert rows == sorted(rows)

    code = [
        checkout / f"dockernb/course/lesson{number}.py",
        checkout / f"tests/engine/test_lesson{number}.py",
    ]
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", ROOT / "pyproject.toml", *code]
        checked = subprocess.run(ruff, cwd=checkout, capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "NAME is no name"),
        ("subject", "no name for a lesson"),
        ("08-again", "There is a lesson 08 already"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(checkout: Path, name: str, says: str) -> None:
    done = begin(checkout, name)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(list((checkout / "notebooks").iterdir())) == 1
    assert not list((checkout / "dockernb/course").iterdir())
