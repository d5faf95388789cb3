"""The CLI twin of every lesson: run on another pristine host, its lines leave behind what the lesson's calls did.

A lesson is run with its twin written down, up to its clean-up; then the host is reset, the lines are run by bash and
the real docker CLI, and what `inspect` says of both is compared.
"""

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from dockernb.errors import HostError, LabError
from dockernb.labhost import LabHost
from dockernb.session import LESSONS, Lab, magic
from tests.notebooks.lessons import BUDGET
from tests.support.engine import why_not
from tests.support.inspected import flat, plain
from tests.support.lesson import NOTEBOOKS
from tests.support.shared import Shared

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")

# A lesson on several hosts has a twin for each; tests/engine/test_twin.py compares their calls one by one.
_SEVERAL = {
    path.stem
    for path in NOTEBOOKS.glob("*.ipynb")
    if re.search(r"dn\.lab\([^)]*nodes=", path.read_text(encoding="utf-8"))
}
LESSONS_OF_ONE_HOST = [lesson for lesson in LESSONS if lesson not in _SEVERAL]

WRITE_DOWN = """
import json as _json, pathlib as _pathlib
from dockernb.session import magic as _magic
_said = []
_on_host = type(lab.host).run
def _host(host, argv, **options):
    _twin()
    _said.append(["host", [argv, options.get("input", b"").decode()]])
    return _on_host(host, argv, **options)
type(lab.host).run = _host
_take, _run_cell = lab.twin, _magic.run_cell
def _twin():
    script = _take()
    _said.extend(["line", line] for line in script.lines)
    return script
def _run(lab, script, **options):
    _twin()
    _said.append(["cell", script])
    return _run_cell(lab, script, **options)
lab.twin, _magic.run_cell = _twin, _run
"""
HAND_OVER = """
_twin()
_pathlib.Path({path!r}).write_text(_json.dumps(_said))
raise SystemExit
"""


@pytest.fixture
def host(shared_container: Shared) -> LabHost:
    return shared_container.pristine()


def written_down(lesson: str, host: LabHost, path: Path) -> list[list[Any]]:
    """Run a lesson up to its clean-up; return its twin's lines and the cells of command lines, in order."""
    notebook = nbformat.read(NOTEBOOKS / f"{lesson}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    first = next(number for number, cell in enumerate(code) if "dn.lab(" in cell.source)
    last = max(number for number, cell in enumerate(code) if "lab.clean()" in cell.source)
    notebook.cells = [
        *code[: first + 1],
        nbformat.v4.new_code_cell(WRITE_DOWN),
        *code[first + 1 : last],
        nbformat.v4.new_code_cell(HAND_OVER.format(path=str(path))),
    ]
    environment = {
        **os.environ,
        "DOCKERNB_HOST": host.name,
        "DOCKERNB_PROVIDER": host.provider,
        "DOCKERNB_BUDGET_S": BUDGET,  # what is measured leaves nothing behind
    }
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True)
    client.execute(env=environment, cwd=str(NOTEBOOKS))
    said: list[list[Any]] = json.loads(path.read_text())
    return said


def seen(host: LabHost) -> dict[str, Any]:
    """Everything that is on the engine but Docker's own networks, without what differs from time to time."""
    client = host.client()
    api = client.api
    try:
        found: dict[str, Any] = {}
        for item in api.containers(all=True):
            data = api.inspect_container(item["Id"])
            data["State"] = {"Running": data["State"]["Running"]}
            for endpoint in data["NetworkSettings"]["Networks"].values():
                if not endpoint["IPAMConfig"]:
                    endpoint["IPAddress"] = ""
                for names in ("Aliases", "DNSNames"):  # among them the container's id
                    endpoint[names] = sorted(n for n in endpoint.get(names) or () if n != data["Id"][:12])
            data["NetworkSettings"] = {
                key: data["NetworkSettings"][key] for key in ("Networks", "Ports") if data["State"]["Running"]
            }
            data.pop("RestartCount")
            found["container " + data["Name"]] = data
        for item in api.networks(filters={"type": "custom"}):
            data = api.inspect_network(item["Id"])
            found["network " + item["Name"]] = data | {
                "Containers": sorted(one["Name"] for one in data["Containers"].values())
            }
        for item in api.volumes()["Volumes"] or ():
            name = "anonymous" if re.fullmatch("[0-9a-f]{64}", item["Name"]) else item["Name"]
            found[f"volume {name}"] = item
        compared: dict[str, Any] = without_our_labels(plain(found))
        return compared
    finally:
        client.close()


def without_our_labels(value: Any) -> Any:
    """The library labels what a lesson makes; the command lines are the learner's own."""
    if isinstance(value, dict):
        kept = {k: without_our_labels(v) for k, v in value.items() if not k.startswith("org.dockernb.")}
        return {k: v for k, v in kept.items() if v != {}}
    if isinstance(value, list):
        return [without_our_labels(one) for one in value]
    return value


@pytest.mark.parametrize("lesson", LESSONS_OF_ONE_HOST)
def test_the_lines_do_what_the_lesson_did(lesson: str, host: LabHost, tmp_path: Path) -> None:
    said = written_down(lesson, host, tmp_path / "twin.json")
    by_lesson = seen(host)
    assert any(kind == "line" for kind, _ in said)
    host.reset()
    lab = Lab(lesson, host)
    for (kind, text), (_, following) in zip(said, [*said[1:], ["", ""]], strict=True):
        if kind == "line":
            run_line(host, text, refused=str(following).startswith("# refused"))
        elif kind == "cell":
            with contextlib.suppress(LabError):  # a cell that shows a mistake
                magic.run_cell(lab, text)
        else:
            with contextlib.suppress(HostError):  # a process of the other host, by its number
                host.run(text[0], input=text[1].encode(), timeout=10)
    assert flat(seen(host)) == flat(by_lesson), "\n".join(str(text) for _, text in said)


def run_line(host: LabHost, line: str, *, refused: bool) -> None:
    """Run a line of the twin; Docker refuses it exactly if it refused the lesson's call."""
    try:
        done = host.run(["bash", "-c", line], timeout=60)
    except HostError as problem:
        raise AssertionError(f"{line}\n{problem}") from problem
    said = done.stderr.decode()
    # What runs in a container may fail by itself, with a code of its own.
    failed = done.returncode == 125 or "Error response from daemon" in said
    assert failed == refused, f"{line}\n{said}"
