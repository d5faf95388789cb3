"""An ordinary user without any capability, as in a Binder session: the lab host starts, runs, opens ports, resets."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockernb.labhost import template

USER = 1000
SCRIPT = """
import json, os, time, urllib.request
from dockernb.labhost import start

status = open("/proc/self/status").read()
host = start("lab", provider="vm")
try:
    client = host.client()
    said = client.containers.run("dockernb/toolbox", "echo hello", remove=True).decode()
    client.containers.run("dockernb/nginx", ports={"80/tcp": 80}, detach=True)
    url = host.url(80)
    page, deadline = None, time.monotonic() + 60
    while page is None and time.monotonic() < deadline:
        try:
            page = urllib.request.urlopen(url, timeout=5).status
        except OSError:
            time.sleep(0.1)  # until nginx has started
    host.reset()
    print(json.dumps({
        "uid": os.getuid(),
        "capabilities": int(status.split("CapBnd:")[1].split()[0], 16),
        "no_new_privs": status.split("NoNewPrivs:")[1].split()[0],
        "said": said,
        "page": page,
        "left": len(client.containers.list(all=True)),
    }))
finally:
    host.stop()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """Not tmp_path: pytest's directories are private to root."""
    with tempfile.TemporaryDirectory(prefix="dockernb-user-") as directory:
        yield Path(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="the whole test session is unprivileged already")
def test_all_of_it_works_without_any_privilege(home: Path) -> None:
    python = shutil.which("python3", path="/usr/bin")
    same = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    if not python or subprocess.run([python, "-c", same], timeout=20, check=False).returncode:
        pytest.skip(f"uid {USER} needs a system Python of this version: apt-get install python3")
    found = template.find()
    assert found
    cache = home / "cache" / "dockernb"
    cache.mkdir(parents=True)
    subprocess.run(["cp", "-r", "--sparse=always", str(found.directory), str(cache)], check=True, timeout=120)
    shutil.copytree(Path(template.__file__).parents[1], home / "lib" / "dockernb")
    shutil.copytree(sysconfig.get_path("purelib"), home / "lib", dirs_exist_ok=True, symlinks=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", str(home)], check=True, timeout=60)
    # Whoever uses a template may only read it: it may be an administrator's (notebooks/CLASSROOM.md).
    subprocess.run(["chown", "-R", "0:0", str(cache)], check=True, timeout=60)
    subprocess.run(["chmod", "-R", "a-w", str(cache)], check=True, timeout=60)

    drop = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--clear-groups"]
    done = subprocess.run(
        ["setpriv", f"--reuid={USER}", f"--regid={USER}", *drop, python, "-c", SCRIPT],
        env={
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(home / "lib"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_STATE_HOME": str(home / "state"),
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for fact in (
        '"uid": 1000',
        '"capabilities": 0',
        '"no_new_privs": "1"',
        '"said": "hello\\n"',
        '"page": 200',
        '"left": 0',
    ):
        assert fact in done.stdout, done.stdout
