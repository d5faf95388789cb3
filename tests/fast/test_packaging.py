"""pyproject.toml, environment.yml and binder/ ask for the same things; the set-up says what to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Where conda-forge has another name for what the Python package index calls so. Looked up in conda-forge's
# feedstocks (docker-py, matplotlib, qemu.qmp); matplotlib-base leaves out a Qt that a notebook does not use.
CONDA_NAMES = {"docker": "docker-py", "matplotlib": "matplotlib-base", "qemu.qmp": "python-qemu-qmp"}
# From the extra [test], what a learner needs to run the lessons as a test.
FOR_LESSONS = {"pytest", "nbval"}


def bounds(requirements: list[str]) -> dict[str, str]:
    """Return name -> lower bound; every requirement of this project is of the form name>=version."""
    found = {}
    for requirement in requirements:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", requirement)
        assert match, f"{requirement!r} is not of the form name>=version"
        found[match[1]] = match[2]
    return found


def wanted_in_conda() -> dict[str, str]:
    tools = bounds(PROJECT["optional-dependencies"]["test"])
    wanted = bounds(PROJECT["dependencies"]) | {name: tools[name] for name in FOR_LESSONS}
    return {CONDA_NAMES.get(name, name): version for name, version in wanted.items()}


def conda_environment(path: str) -> tuple[list[str], list[str]]:
    """Return the conda requirements and the pip requirements of an environment file."""
    environment = yaml.safe_load((ROOT / path).read_text())
    assert environment["channels"] == ["conda-forge"]
    entries = environment["dependencies"]
    pip = [line for entry in entries if isinstance(entry, dict) for line in entry["pip"]]
    return [entry for entry in entries if isinstance(entry, str)], pip


def test_environment_yml_asks_for_what_pyproject_asks_for() -> None:
    conda, pip = conda_environment("environment.yml")
    conda.remove("pip")
    assert bounds(conda) == wanted_in_conda() | {"python": PROJECT["requires-python"].removeprefix(">=")}
    assert pip == ["-e ."]


def test_binder_asks_for_what_pyproject_asks_for() -> None:
    conda, pip = conda_environment("binder/environment.yml")
    conda.remove("pip")
    # repo2docker reads this line by a pattern, and takes another Python where it does not match.
    (python,) = [entry for entry in conda if re.fullmatch(r"python=3\.\d+", entry)]
    conda.remove(python)
    assert bounds(conda) == wanted_in_conda()
    assert pip == [], "binder/postBuild installs the package"
    minor, least = (int(text.rpartition(".")[2]) for text in (python, PROJECT["requires-python"]))
    assert minor >= least


@pytest.mark.parametrize("path", ["binder/apt.txt", ".ci/apt.txt"])
def test_a_system_package_names_what_it_brings(path: str) -> None:
    lines = [line for line in (ROOT / path).read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        # .ci/setup and repo2docker each read these lines; this form suits both.
        assert re.fullmatch(r"[a-z0-9][a-z0-9.+-]* *# [A-Za-z0-9._+/-]+", line), line


def test_what_an_error_tells_to_install_is_installed_by_make() -> None:
    told = {
        package
        for path in (ROOT / "dockernb").rglob("*.py")
        for names in re.findall(r"apt-get install ([a-z0-9 .+-]+)", path.read_text())
        for package in names.split()
    }
    listed = {line.split()[0] for line in (ROOT / "binder/apt.txt").read_text().splitlines() if line}
    assert told <= listed


@pytest.mark.parametrize("path", [".ci/run", ".ci/setup", ".ci/lab", "binder/postBuild"])
def test_a_script_parses(path: str) -> None:
    script = ROOT / path
    shell = script.read_text().splitlines()[0].rpartition("/")[2].removeprefix("env ")
    subprocess.run([shell, "-n", script], check=True, timeout=10)


@pytest.mark.parametrize("path", [".ci/run", "binder/postBuild"])
def test_what_others_start_may_be_executed(path: str) -> None:
    assert os.access(ROOT / path, os.X_OK)


def test_nothing_makes_repo2docker_build_another_way() -> None:
    # In repo2docker 2026.4 these build packs are asked before conda's: nix, docker, Julia (old and new), R.
    others = {"default.nix", "Dockerfile", "REQUIRE", "Project.toml", "JuliaProject.toml"}
    others |= {"runtime.txt", "install.R", "DESCRIPTION"}
    assert not others & {path.name for path in (ROOT / "binder").iterdir()}
    assert not (ROOT / ".binder").exists(), "repo2docker refuses a repository with both folders"
    assert not (ROOT / "binder/environment.yaml").exists(), "there is one list, environment.yml"


def test_binders_scripts_stop_at_an_error_and_hand_over() -> None:
    for script in (ROOT / "binder").iterdir():
        text = script.read_text()
        if text.startswith("#!"):
            assert "\nset -euo pipefail\n" in text, (
                f"{script.name}: a build that failed would be taken for a good one"
            )
    start = ROOT / "binder/start"
    assert not start.exists() or 'exec "$@"' in start.read_text(), "repo2docker hands JupyterLab to start"


def test_make_alone_says_what_there_is() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
    ).stdout
    for target in re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split():  # type: ignore[index]
        assert re.search(rf"^make {target} +\w", shown, re.MULTILINE), f"{target} is not explained"


class Machine:
    """A machine as .ci's scripts see it: the set-up files, and a PATH with only what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.programs = folder / "bin"
        self.programs.mkdir()
        (self.checkout / "binder").mkdir(parents=True)
        for path in (".ci", "binder/apt.txt", "pyproject.toml"):
            source, target = ROOT / path, self.checkout / path
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        # The script looks into these folders too, and there the machine under the test may have anything.
        setup = self.checkout / ".ci/setup"
        setup.write_text(setup.read_text().replace("PATH=$PATH:/usr/sbin:/sbin\n", ""))
        for name in (
            "sh",
            "dirname",
            "mkdir",
            "sed",
            "grep",
            "date",
            "cat",
            "cksum",
            "env",
            "sleep",
            "timeout",
        ):
            found = shutil.which(name)
            assert found, name
            (self.programs / name).symlink_to(found)

    def has(self, name: str, script: str) -> None:
        """Put a program there, as a shell script; with a path as its name, into the checkout."""
        program = self.checkout / name if "/" in name else self.programs / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!{self.programs / 'sh'}\n{script}\n")
        program.chmod(0o755)

    def lists(self, *lines: str) -> None:
        """Make these the packages that the lab host needs."""
        (self.checkout / "binder/apt.txt").write_text("\n".join(lines) + "\n")

    def set_up(self, what: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run(".ci/setup", what, **environment)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", *words],
            cwd=self.checkout,
            env={"PATH": str(self.programs), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.has("python3", "exit 0")
    machine.has("apt-get", 'echo "$@" >>apt.log')
    machine.has("id", "echo 0")
    return machine


def test_without_root_the_exact_command_is_named(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.lists("qemu-system-x86 # qemu-system-x86_64", "fakeroot # fakeroot", "e2fsprogs # mke2fs")
    machine.has("fakeroot", "")
    outcome = machine.set_up("lab")
    assert outcome.returncode == 1
    command = outcome.stderr.splitlines()[-1].strip()
    assert command == "apt-get update && apt-get install --no-install-recommends qemu-system-x86 e2fsprogs"
    assert not (machine.checkout / "apt.log").exists()


@pytest.mark.parametrize(
    ("docker", "provider", "asked"), [("exit 0", "", False), ("exit 1", "", True), ("exit 0", "vm", True)]
)
def test_an_engine_of_the_learners_own_spares_qemu(
    machine: Machine, docker: str, provider: str, asked: bool
) -> None:
    machine.lists("qemu-system-x86 # qemu-system-x86_64", "fakeroot # fakeroot")
    machine.has("docker", docker)
    machine.set_up("lab", **({"DOCKERNB_PROVIDER": provider} if provider else {}))
    installed = (machine.checkout / "apt.log").read_text()
    assert "fakeroot" in installed
    assert ("qemu-system-x86" in installed) is asked


def test_sudo_is_used_where_it_asks_nothing(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.has("sudo", 'echo "$@" >>sudo.log')
    machine.set_up("lab")
    assert "apt-get" in (machine.checkout / "sudo.log").read_text()


@pytest.mark.parametrize(
    ("complaint", "advice"),
    [
        ("E: Could not get lock /var/lib/dpkg/lock-frontend.", "another program is installing packages"),
        ("E: Failed to fetch http://deb.debian.org/debian/x.deb", "the package mirror did not answer"),
        ("E: Unable to locate package mmdebstrap", "the package mirror did not answer"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "the disk is full"),
        ("E: Something new", "apt-get failed for"),
    ],
)
def test_a_failed_installation_is_explained_in_one_sentence(
    machine: Machine, complaint: str, advice: str
) -> None:
    machine.has("apt-get", f'echo "{complaint}" >&2; exit 100')
    outcome = machine.set_up("lab")
    assert outcome.returncode == 1
    (line,) = outcome.stderr.splitlines()
    assert advice in line


def test_package_lists_are_fetched_when_apt_has_none(machine: Machine) -> None:
    machine.has(
        "apt-get",
        'echo "$@" >>apt.log\n'
        'case "$*" in *update*) : >lists; esac\n'
        '[ -e lists ] || { echo "E: Unable to locate package" >&2; exit 100; }',
    )
    machine.set_up("lab")
    verbs = [
        next(word for word in line.split() if word in ("install", "update"))
        for line in (machine.checkout / "apt.log").read_text().splitlines()
    ]
    assert verbs == ["install", "update", "install"]


def test_an_old_python_is_named(machine: Machine) -> None:
    machine.has("python3", 'case "$*" in *version_info*) exit 1 ;; --version) echo Python 3.9.2 ;; esac')
    machine.has("apt-get", "exit 100")
    outcome = machine.set_up("tools")
    assert outcome.returncode == 1
    assert "Python 3.11 or newer is needed and this machine has Python 3.9.2" in outcome.stderr


@pytest.mark.parametrize(
    ("user", "environment", "flags"),
    [
        (0, {}, {"--allow-root", "--no-browser"}),
        (1000, {}, {"--no-browser"}),
        (1000, {"DISPLAY": ":0"}, set[str]()),
        (1000, {"WAYLAND_DISPLAY": "wayland-0"}, set[str]()),
    ],
)
def test_make_lab_opens_the_first_lesson_and_leaves_no_lab_host(
    machine: Machine, user: int, environment: dict[str, str], flags: set[str]
) -> None:
    machine.has("id", f"echo {user}")
    machine.has(".venv/bin/jupyter", 'echo "jupyter $*" >>calls; [ "$1" != lab ] || exit 3')
    machine.has(".venv/bin/dockernb", 'echo "dockernb $*" >>calls')
    outcome = machine.run(".ci/lab", **environment)
    assert outcome.returncode == 3
    trust, news, jupyter, stop = (machine.checkout / "calls").read_text().splitlines()
    assert trust.startswith("jupyter trust notebooks/") and news.endswith(":announcements")
    assert set(jupyter.split()) & {"--allow-root", "--no-browser"} == flags
    assert "--ip=127.0.0.1" in jupyter
    assert "/lab/tree/notebooks/00-start-here.ipynb" in jupyter
    assert stop == "dockernb stop"


def test_set_up_twice_does_nothing_the_second_time(machine: Machine) -> None:
    machine.lists("fakeroot # fakeroot")
    machine.has("fakeroot", "")
    machine.has(".venv/bin/python", 'echo "python $*" >>calls')
    machine.has(".venv/bin/dockernb", 'echo "dockernb $*" >>calls')
    pip, build = "pip install", "dockernb build"
    assert [machine.set_up("lab").returncode for _ in range(2)] == [0, 0]
    calls = (machine.checkout / "calls").read_text()
    assert (calls.count(pip), calls.count(build)) == (1, 2)

    project = machine.checkout / "pyproject.toml"
    project.write_text(project.read_text() + "# another dependency\n")
    machine.set_up("lab")
    assert (machine.checkout / "calls").read_text().count(pip) == 2
