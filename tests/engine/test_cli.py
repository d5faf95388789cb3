"""The command dockernb, as a learner types it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockernb.labhost import LabHost, debian, join, template

NAME = "tests-cli"


def dockernb(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from dockernb.cli import main; sys.exit(main())", *arguments],
        env={**os.environ, "DOCKERNB_PROVIDER": "vm", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def started() -> Iterator[str]:
    done = dockernb("start", "--name", NAME)
    assert done.returncode == 0, done.stderr
    yield done.stdout
    if host := join(NAME):
        host.stop()


def test_start_says_how_to_go_on(started: str) -> None:
    assert f'eval "$(dockernb env --name {NAME})"' in started
    assert "is up" in dockernb("start", "--name", NAME).stdout


def test_run_passes_output_and_exit_code_on(started: str) -> None:
    done = dockernb("run", "--name", NAME, "--", "docker", "images", "-q", "dockernb/toolbox:latest")
    assert done.returncode == 0 and len(done.stdout.strip()) == 12
    assert dockernb("run", "--name", NAME, "--", "sh", "-c", "echo no >&2; exit 7").returncode == 7
    late = dockernb("run", "--name", NAME, "--timeout", "1", "--", "sleep", "60")
    assert late.returncode == 1 and "was not done after 1 s" in late.stderr


def test_the_engine_is_the_one_that_lessons_were_run_on() -> None:
    """Where testing's could not be had the stable one took its place: good to learn with, and no ground for outputs."""
    found = template.find()
    assert found and (found.manifest["engine"], found.manifest["note"]) == (debian.DEFAULT_ENGINE, "")


def test_env_is_what_the_docker_cli_needs(started: str) -> None:
    cli = shutil.which("docker") or str(Path("build/engine/bin/docker").resolve())
    exports = dockernb("env", "--name", NAME).stdout
    script = f"{exports}\n{shlex.quote(cli)} version --format '{{{{.Server.Version}}}}'"
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=60, check=False)
    found = template.find()
    assert found and done.stdout.startswith(found.manifest["docker"]), done.stderr


def test_status_for_people_and_programs(started: str) -> None:
    assert f"{NAME}: vm, " in dockernb("status").stdout
    told = json.loads(dockernb("status", "--json").stdout)
    assert NAME in [host["name"] for host in told["hosts"]]
    assert told["cache_bytes"] > 0


def test_reset_and_stop(started: str) -> None:
    host = join(NAME)
    assert host
    host.client().volumes.create("gone")
    assert dockernb("reset", "--name", NAME).returncode == 0
    assert host.client().volumes.list() == []
    assert "has stopped" in dockernb("stop", "--name", NAME).stdout
    assert dockernb("stop", "--name", NAME).returncode == 0


def test_without_a_host_one_sentence_says_what_to_do() -> None:
    for command in (["env"], ["run", "--", "true"], ["reset"]):
        done = (
            dockernb(*command, "--name", "nobody")
            if command[0] != "run"
            else dockernb("run", "--name", "nobody", "true")
        )
        assert done.returncode == 1
        assert (
            done.stderr.strip() == "dockernb: No lab host 'nobody' is running: dockernb start --name nobody"
        )


def test_a_name_that_cannot_be_is_a_sentence() -> None:
    done = dockernb("start", "--name", "../x")
    assert done.returncode == 1 and "cannot name a lab host" in done.stderr


def test_doctor_says_what_works(running_host: LabHost) -> None:
    done = dockernb("doctor")
    assert done.returncode == 0
    assert "Lessons run here, with the provider vm." in done.stdout
    told = json.loads(dockernb("doctor", "--json").stdout)
    assert told["works"] is True
    assert {"qemu", "template", "disk"} <= {finding["what"] for finding in told["findings"]}


def test_doctor_without_qemu_names_the_command(tmp_path: Path) -> None:
    done = dockernb("doctor", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "qemu-system-x86_64 is not installed: `sudo apt-get install qemu-system-x86`" in done.stdout
    assert "No provider works here yet" in done.stdout


def test_start_without_qemu_is_one_sentence(tmp_path: Path) -> None:
    done = dockernb("start", "--name", "nobody", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "dockernb: The vm provider does not work here: qemu-system-x86_64 is not installed: "
        "`sudo apt-get install qemu-system-x86`."
    )


def test_a_provider_that_cannot_be_is_a_sentence() -> None:
    done = dockernb("start", "--name", "nobody", DOCKERNB_PROVIDER="podman")
    assert done.returncode == 1 and "There is no provider 'podman': use vm, container or auto." in done.stderr


def test_the_container_provider_without_an_engine_is_a_sentence(tmp_path: Path) -> None:
    done = dockernb(
        "start", "--name", "nobody", "--provider", "container", DOCKER_HOST=f"unix://{tmp_path}/no.sock"
    )
    assert done.returncode == 1
    assert "The container provider does not work here: No Docker Engine listens at" in done.stderr


def test_a_build_without_its_tools_or_its_mirror_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "qemu-system-x86_64").symlink_to(shutil.which("qemu-system-x86_64") or "")
    done = dockernb("build", PATH=str(tmp_path / "bin"), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 1 and "apt-get is needed to build the lab host" in done.stderr
    done = dockernb(
        "build", XDG_CACHE_HOME=str(tmp_path / "cache"), DOCKERNB_MIRROR="http://127.0.0.1:9/debian"
    )
    assert done.returncode == 1 and "http://127.0.0.1:9/debian" in done.stderr.splitlines()[-1]
    assert not list((tmp_path / "cache" / "dockernb").glob("unfinished-*"))


def test_help_is_worth_reading() -> None:
    told = dockernb("--help").stdout
    for word in ("doctor", "exit codes", 'eval "$(dockernb env)"', "DOCKERNB_PROVIDER"):
        assert word in told
    assert dockernb("no-such-command").returncode == 2
