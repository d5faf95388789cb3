"""A lesson's CLI twin against the lesson: its lines, typed on a pristine host, leave behind what the lesson did.

While nbval runs the lesson the twin is written down, up to its clean-up (`tests.notebooks.plugin` does it in the
lesson's own kernel). Then the host is reset, the lines are run by bash and the real docker CLI, and what `inspect` says
of both is compared.
"""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from dockernb.errors import HostError, LabError
from dockernb.labhost import LabHost
from dockernb.session import Lab, magic
from tests.support.inspected import flat, plain

# A recorder of our own beside the lesson's: what `lab.twin()` shows is as it is without us.
WRITE_DOWN = """
import json as _json, pathlib as _pathlib
from dockernb.session import magic as _magic
from dockernb.session.twin import Recorder as _Recorder
_said, _ours, _theirs = [], _Recorder(), lab._recorder
_ours._requests.extend(_theirs._requests)
_record, _on_host, _run_cell = _theirs.record, type(lab.host).run, _magic.run_cell
def _both(*args, **options):
    _record(*args, **options)
    _ours.record(*args, **options)
def _note():
    _said.extend(["line", line] for line in _ours.take().lines)
def _host(host, argv, **options):
    _note()
    _said.append(["host", [argv, options.get("input", b"").decode()]])
    return _on_host(host, argv, **options)
def _run(lab, script, **options):
    _note()
    _said.append(["cell", script])
    _run_cell(lab, script, **options)
_theirs.record, type(lab.host).run, _magic.run_cell = _both, _host, _run
"""
HAND_OVER = """
_note()
_pathlib.Path({path!r}).write_text(_json.dumps(_said))
"""


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


def compare(lesson: str, host: LabHost, written: Path) -> None:
    """Type what was written down on the host, which is pristine, and compare what then is there."""
    noted = json.loads(written.read_text())
    said, by_lesson = noted["said"], noted["seen"]
    assert any(kind == "line" for kind, _ in said)
    lab = Lab(lesson, host)
    for (kind, text), (_, following) in zip(said, [*said[1:], ["", ""]], strict=True):
        if kind == "line":
            run_line(host, text, refused=str(following).startswith("# refused"))
        elif kind == "cell":
            with contextlib.suppress(LabError):  # a cell that shows a mistake
                magic.run_cell(lab, text, show=lambda text: None)
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
