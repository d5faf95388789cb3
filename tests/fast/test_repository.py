"""What no tool checks: where files are, which way imports run, what a committed notebook may hold."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dockernb"

TOP_LEVEL = {
    *(".ci", "binder", "dockernb", "notebooks", "tests"),
    *(".gitignore", "LICENSE", "Makefile", "environment.yml", "pyproject.toml"),
    *("CHANGELOG.md", "README.md", "SECURITY.md"),
}

# Which part of dockernb may import which: view -> probe, measure, course -> session -> labhost. A check (in
# course) is built on probes and measurements; the ground floor (errors, arguments, waiting, model) is
# everyone's; the front parts see all.
MAY_IMPORT = {
    "errors": set[str](),
    "arguments": {"errors"},
    "waiting": set[str](),
    "lessons": {"errors"},
    "model": {"errors"},
    "labhost": {"errors", "arguments", "waiting", "model"},
    "session": {"errors", "arguments", "waiting", "model", "labhost"},
    "probe": {"errors", "arguments", "waiting", "model", "labhost", "session"},
    "measure": {"errors", "arguments", "waiting", "model", "labhost", "session"},
    "policy": {"errors", "arguments", "waiting", "model", "labhost", "session", "probe"},
    "course": {"errors", "arguments", "waiting", "model", "labhost", "session", "probe", "measure", "policy"},
    "view": {"errors", "arguments", "waiting", "model", "labhost", "session", "probe", "measure", "course"},
}
FRONT = {"__init__", "__main__", "cli", "front"}
# What runs on the lab host finds nothing but Python there, and psycopg in the toolbox.
ON_THE_LAB_HOST = {"**/_inside.py": set[str](), "labhost/recipe/**/*.py": {"psycopg"}}

notebooks = pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout of the repository")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    ).stdout
    return [Path(name) for name in listing.split("\0") if name and (ROOT / name).is_file()]


def imports(source: str, package: str) -> Iterator[str]:
    """Yield the full name of each module that a source of this package imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{above}.{base}".rstrip(".")
            # `from dockernb import session` names a part only in the list that follows.
            yield from (f"{base}.{alias.name}" for alias in node.names)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_top_level_is_the_fixed_set() -> None:
    assert {path.parts[0] for path in tracked()} == TOP_LEVEL


def test_every_part_has_its_place_in_the_order() -> None:
    assert {part_of(path) for path in modules()} <= MAY_IMPORT.keys() | FRONT


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_arrows_run_one_way(part: str) -> None:
    wrong = []
    for path in modules():
        if part_of(path) != part:
            continue
        for name in imports(path.read_text(), package_of(path)):
            top, _, rest = name.partition(".")
            if top == "dockernb" and rest.partition(".")[0] not in MAY_IMPORT[part] | {part}:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_model_does_not_know_docker() -> None:
    for path in (PACKAGE / "model").rglob("*.py"):
        assert not {name.partition(".")[0] for name in imports(path.read_text(), package_of(path))} & {
            "docker",
            "ipywidgets",
        }


@pytest.mark.parametrize("where", ON_THE_LAB_HOST)
def test_what_runs_on_the_lab_host_needs_only_python(where: str) -> None:
    files = sorted(PACKAGE.glob(where))
    assert files, f"no file matches {where} any more: correct this test"
    for path in files:
        foreign = {name.partition(".")[0] for name in imports(path.read_text(), package_of(path))}
        foreign -= sys.stdlib_module_names | ON_THE_LAB_HOST[where]
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_imports_are_found_wherever_they_hide() -> None:
    source = "import a.b\nfrom . import c\nfrom ..d import e\ndef f():\n    from g import h\n"
    assert list(imports(source, "dockernb.session")) == ["a.b", "dockernb.session.c", "dockernb.d.e", "g.h"]


def test_nothing_is_left_to_be_done_in_the_code() -> None:
    pattern = re.compile("TO" + "DO|FIX" + "ME")
    marked = [
        f"{path}:{number}"
        for path in tracked()
        if path.suffix not in {".png", ".ico"}
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert marked == []


SECRETS = re.compile(
    r"[?&]token=\w{16,}|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bgh[pousr]_\w{30,}|\bAKIA[0-9A-Z]{16}\b"
)


def problems(notebook: dict[str, Any]) -> list[str]:
    """Return what a reader of the committed notebook would stumble over, as sentences."""
    found = []
    cells = [
        cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()
    ]
    if [cell["execution_count"] for cell in cells] != list(range(1, len(cells) + 1)):
        found.append("the outputs are not of one clean run from top to bottom")
    outputs = [
        (cell["metadata"].get("tags", []), output)
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
    ]
    if any(output["output_type"] == "error" and "raises-exception" not in tags for tags, output in outputs):
        found.append("an error is committed as an output")
    text = json.dumps([output for _, output in outputs], ensure_ascii=False)
    for place in (f"{ROOT}/", f"{Path.home()}/", "/home/jovyan/", "/.venv/", "/site-packages/"):
        if place in text:
            found.append(f"an output shows a path of the machine it ran on ({place})")
    if SECRETS.search(json.dumps(notebook)):
        found.append("it holds a token or a private key")
    return found


@notebooks
def test_a_notebook_is_fit_to_be_read(path: Path) -> None:
    assert problems(json.loads(path.read_text())) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"execution_count": 2}, "one clean run"),
        ({"outputs": [{"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]}, "an error"),
        ({"outputs": [{"output_type": "stream", "name": "stdout", "text": [f"{ROOT}/x.py"]}]}, "a path"),
        ({"source": ["'http://127.0.0.1:8888/lab?token=0123456789abcdef0123'"]}, "a token"),
    ],
)
def test_an_unfit_notebook_is_caught(change: dict[str, Any], sentence: str) -> None:
    cell = {"cell_type": "code", "metadata": {}, "source": ["1"], "execution_count": 1, "outputs": []}
    assert problems({"cells": [cell]}) == []
    (problem,) = problems({"cells": [cell | change]})
    assert sentence in problem


def test_the_readme_lists_every_notebook() -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("|")]
    listed = set(re.findall(r"notebooks/([\w-]+)\.ipynb", "\n".join(rows)))
    if not listed:
        pytest.skip("the README has no table of lessons yet")
    assert listed == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
