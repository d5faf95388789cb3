"""`make classroom`: JupyterHub as binder/jupyterhub_config.py sets it up, with three learners and one template."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from dockernb.labhost import qemu, template

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
INSTALLED = ROOT / "build/classroom"  # by .ci/classroom
LEARNERS = ("ada", "grace", "linus")
START_LIMIT = 120.0  # seconds
LIMIT = 1200.0


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A machine with JupyterHub running; the id of its first process."""
    if os.geteuid() != 0 or not (INSTALLED / "venv/bin/jupyterhub").exists():
        pytest.skip("needs root, and what `make classroom` installs")
    found = template.find()
    assert found, "run `dockernb build` first"
    # Not below pytest's own directory, which is private to root.
    place = Path(tempfile.mkdtemp(prefix="dockernb-class-"))
    place.chmod(0o755)
    path = f"{INSTALLED}/venv/bin:{INSTALLED}/node_modules/.bin:/usr/sbin:/usr/bin:/sbin:/bin"
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    script = [
        "sh", HERE / "stage.sh", place, found.directory, ROOT / "binder/jupyterhub_config.py", *LEARNERS, "stranger",
    ]  # fmt: skip
    log = place / "hub.log"
    with log.open("wb") as out:
        stage = subprocess.Popen(
            [*command, *script],
            env={"PATH": path, "LANG": "C.UTF-8"},
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
        )
    try:
        first = wait_for_hub(stage, log)
        yield first
    finally:
        stage.kill()  # --kill-child: and with it the first process in there, and with that all others
        stage.wait(20)
        shutil.copy(log, INSTALLED / "hub.log")
        shutil.rmtree(place)


def wait_for_hub(stage: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_LIMIT
    while "JupyterHub is now running" not in log.read_text(errors="replace"):
        assert stage.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.2)  # JupyterHub says it in its log only
    return psutil.Process(stage.pid).children()[0].pid


@pytest.fixture(scope="module")
def told(stage: int) -> dict[str, Any]:
    """What the learners saw."""
    inside = ["nsenter", "--target", str(stage), "--mount", "--net", "--pid"]
    done = subprocess.run(
        [*inside, INSTALLED / "venv/bin/python", HERE / "learner.py", *LEARNERS],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    print(json.dumps(report, indent=1))
    return report


def test_each_learner_opens_the_page_that_the_own_container_publishes(told: dict[str, Any]) -> None:
    for name in LEARNERS:
        saw = told["saw"][name]
        assert saw["status"] == 200
        assert saw["page"] == f"this is the page of {name}"
        assert saw["url"].startswith(f"/user/{name}/proxy/")
    # All publish 8080; on one machine only one of them can have that number.
    assert len({saw["url"].split("/")[-2] for saw in told["saw"].values()}) == len(LEARNERS)


def test_nobody_else_gets_in(told: dict[str, Any]) -> None:
    assert set(told["refused"].values()) == {403}, told["refused"]


def test_all_lab_hosts_are_of_one_template_that_no_learner_can_change(told: dict[str, Any]) -> None:
    machines = told["meanwhile"]["machines"]
    assert [one["user"] for one in machines] == sorted(LEARNERS)
    [disk] = {one["disk"] for one in machines}
    assert disk.startswith("/var/cache/dockernb/template-")
    for one in machines:
        if qemu.opens_memory_read_only():
            assert one["memory"] == disk.replace("disk.raw", "ram")
        else:  # a private copy, which has no name any more
            assert one["memory"] == f"/home/{one['user']}/.local/state/dockernb/hosts/lab/ram (deleted)"


def test_nothing_listens_but_on_loopback(told: dict[str, Any]) -> None:
    assert set(told["meanwhile"]["listening"]) <= {"127.0.0.1", "::1"}


def test_a_lab_host_ends_with_the_server_that_it_belongs_to(told: dict[str, Any]) -> None:
    assert told["left"] == []
