"""The Dockerfile that repo2docker generates, carried out without an engine.

repo2docker's own steps run as they are, in a container. Three can not here, because neither a registry nor conda-forge
can be reached, and are replaced: the base image, the base environment, and the packages of environment.yml.
"""

import hashlib
import os
import re
import shlex
import shutil
import string
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from dockernb.labhost import debian
from tests.binder.sandbox import USER, Sandbox, Use, disk_use

SUITE = "trixie"  # QEMU 10.0 and Python 3.13; repo2docker's Ubuntu 24.04 has QEMU 8.2, and conda brings Python 3.12
BASE = (
    "apt",
    "bzip2",
    "ca-certificates",
    "curl",
    "git",
    "passwd",
    "procps",
    "python3",
    "python3-venv",
    "xz-utils",
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What the machine says about the way to its package indexes; pip inside has to know it too.
WAY_OUT = re.compile(
    r"PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|DEFAULT_TIMEOUT)|(HTTPS?|NO)_PROXY|DOCKERNB_MIRROR", re.IGNORECASE
)
# conda-forge's names of what the Python package index calls otherwise; None is not a Python package.
PIP_NAMES: dict[str, str | None] = {
    "docker-py": "docker",
    "matplotlib-base": "matplotlib",
    "python-qemu-qmp": "qemu.qmp",
    "jupyterhub-singleuser": "jupyterhub",
    "nodejs": None,
    "python": None,
    "pip": None,
}
# Runs in repo2docker's own environment, in the repository: the build's context, as it would go to an engine.
CAPTURE = """
import os, shutil, sys
from repo2docker.app import Repo2Docker
from repo2docker.buildpacks.conda import CondaBuildPack

class Engine:
    def build(self, fileobj, **rest):
        with open(sys.argv[1], "wb") as out:
            shutil.copyfileobj(fileobj, out)
        return []

app = Repo2Docker()
pack = next(pack for kind in app.buildpacks if (pack := kind(base_image=app.base_image)).detect())
assert isinstance(pack, CondaBuildPack), pack
pack.platform = "linux/amd64"
list(pack.build(Engine(), "image", 0, {"NB_USER": "jovyan", "NB_UID": "1000"}, [], {}, "linux/amd64"))
"""


def capture(work: Path) -> Path:
    """Let repo2docker generate the build of this repository's tracked files; returns the unpacked context."""
    checkout, context, venv = work / "checkout", work / "context", work / "repo2docker"
    for directory in (checkout, context):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    root = Path(__file__).parents[2]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    for name in listed.decode().split("\0"):
        if name and (root / name).exists():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, checkout / name)
    if not (venv / "bin/repo2docker").exists():
        subprocess.run(["python3", "-m", "venv", str(venv)], check=True, timeout=120)
        subprocess.run(
            [str(venv / "bin/pip"), "install", "-qqq", "jupyter-repo2docker"], check=True, timeout=300
        )
    tar = work / "context.tar"
    subprocess.run([str(venv / "bin/python"), "-c", CAPTURE, str(tar)], cwd=checkout, check=True, timeout=120)
    with tarfile.open(tar) as archive:
        archive.extractall(context, filter="tar")
    tar.unlink()
    shutil.rmtree(checkout)
    return context


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The Dockerfile's instructions: word and rest, comments and line ends taken out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()


class Build:
    """The image, as it comes to be.

    Attributes:
        root: Its file system.
        environment: Its environment.
        directory: Its working directory.
        done: What each step of the ordinary user has cost, by the step's text.
    """

    def __init__(self, work: Path, context: Path) -> None:
        self.work, self.context = work, context
        self.root = work / "root"
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.directory, self.user = "/", 0
        self.entry: list[str] = []
        self.done: dict[str, Use] = {}

    def carry_out(self, log: Path) -> None:
        """Do all the steps; those before the repository is copied are spared when they were done before."""
        steps = list(instructions((self.context / "Dockerfile").read_text()))
        copied = steps.index(("COPY", "--chown=1000:1000 src/ ${REPO_DIR}/"))
        asked = (self.context / "src/binder/environment.yml").read_bytes() + Path(__file__).read_bytes()
        digest = hashlib.sha256(repr(steps[:copied]).encode() + asked).hexdigest()
        mark = self.work / "base.sha256"
        spared = mark.exists() and mark.read_text() == digest
        mark.unlink(missing_ok=True)
        if not spared:
            shutil.rmtree(self.root, ignore_errors=True)
        for number, (word, rest) in enumerate(steps):
            if number == copied:
                shutil.rmtree(self._inside("${HOME}"))
                self._inside("${HOME}").mkdir()
                os.chown(self._inside("${HOME}"), USER, USER)
                mark.write_text(digest)
            self._step(word, rest, log, spared and number < copied)

    def _step(self, word: str, rest: str, log: Path, spared: bool) -> None:
        """Do one step; what is spared on disk still counts for the environment."""
        match word:
            case "ENV" | "ARG":
                pairs = dict(part.partition("=")[::2] for part in shlex.split(rest))
                given = {"NB_USER": "jovyan", "NB_UID": str(USER)}
                self.environment |= {
                    name: given.get(name) or self._expand(text) for name, text in pairs.items()
                }
            case "USER":
                self.user = 0 if rest == "root" else USER
            case "WORKDIR":
                self.directory = self._expand(rest)
            case "ENTRYPOINT":
                self.entry = yaml.safe_load(rest)
            case "FROM" if not spared:
                self._from(rest)
            case "COPY" if not spared:
                self._copy(rest)
            case "RUN" if not spared:
                self._run(rest, log)

    def _expand(self, text: str) -> str:
        return string.Template(text).safe_substitute(self.environment)

    def _inside(self, path: str) -> Path:
        """Where a path of the image lies here."""
        return self.root / os.path.join(self.directory, self._expand(path))[1:]  # noqa: PTH118

    def _from(self, image: str) -> None:
        print(f"  base: Debian {SUITE} instead of {image}, which no registry gives here", flush=True)
        command = [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(BASE)}",
            SUITE,
            str(self.root),
        ]
        subprocess.run([*command, debian.mirror()], check=True, timeout=600, stderr=subprocess.DEVNULL)
        # A machine behind a proxy has that one's certificate among its own.
        shutil.copy(CERTIFICATES, self.root / str(CERTIFICATES)[1:])
        for mounted in ("resolv.conf", "hosts"):  # files to mount the machine's own over
            (self.root / "etc" / mounted).unlink(missing_ok=True)
            (self.root / "etc" / mounted).touch()

    def _copy(self, rest: str) -> None:
        words = shlex.split(rest)
        options = dict(word.removeprefix("--").split("=") for word in words if word.startswith("--"))
        source, target = (word for word in words if not word.startswith("--"))
        here, there = self.context / source.lstrip("/"), self._inside(target)
        there.parent.mkdir(parents=True, exist_ok=True)
        if here.is_dir():
            shutil.copytree(here, there, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(here, there)
        if mode := options.get("chmod"):
            there.chmod(int(mode, 8))
        if owner := options.get("chown"):
            subprocess.run(["chown", "-R", owner, str(there)], check=True, timeout=60)

    def _run(self, command: str, log: Path) -> None:
        if "install-base-env.bash" in command:
            command = self._base_environment()
        elif "${MAMBA_EXE} env update" in command:
            wanted = self._packages(self.context / "src/binder/environment.yml")
            print("  conda's packages: by pip, because conda-forge is not to be had here", flush=True)
            command = f"${{NB_PYTHON_PREFIX}}/bin/pip install -q --no-cache-dir {shlex.join(wanted)}"
        environment = dict(self.environment)
        environment |= {name: value for name, value in os.environ.items() if WAY_OUT.fullmatch(name)}
        home = self._inside("${HOME}") if "HOME" in environment else None
        sandbox = Sandbox(self.root, self.work, environment, self.directory, self.user, watch=home)
        with log.open("a") as out:
            out.write(f"\n# {'root' if self.user == 0 else 'jovyan'}: {command}\n")
        code = sandbox.run(["/bin/sh", "-c", command], log, 1500)
        if code:
            raise RuntimeError(f"this step failed ({code}): {command}\n{tail(log)}")
        if self.user:
            sandbox.use.disk = max(sandbox.use.disk, disk_use(home) if home else 0)
            self.done[command] = sandbox.use

    def _base_environment(self) -> str:
        """A virtual environment where conda's would be, with what repo2docker puts into every one."""
        (pinned,) = self.context.glob("build_script_files/*environment-2epy-2d*lock*")
        minor = re.search(r"py-2d3-2e(\d+)", pinned.name)
        (listed,) = (self.work / "repo2docker").glob(
            f"lib/python3*/site-packages/repo2docker/buildpacks/conda/environment.py-3.{minor[1] if minor else ''}.yml"
        )
        profile = (
            self.root / "etc/profile.d/activate-conda.sh"
        )  # a login shell's PATH, which the entry point asks for
        profile.write_text(f"export PATH={self.environment['NB_PYTHON_PREFIX']}/bin:$PATH\n")
        wanted = shlex.join(self._packages(listed))
        return (
            "python3 -m venv ${NB_PYTHON_PREFIX} && "
            f"${{NB_PYTHON_PREFIX}}/bin/pip install -q --no-cache-dir {wanted} && "
            "chown -R ${NB_USER}:${NB_USER} ${CONDA_DIR}"
        )

    @staticmethod
    def _packages(path: Path) -> list[str]:
        """An environment file's packages, as pip wants them."""
        wanted = []
        for entry in yaml.safe_load(path.read_text())["dependencies"]:
            name, bound = re.fullmatch(r"([A-Za-z0-9_.-]+)\s*(.*)", entry).groups()  # type: ignore[union-attr]
            name = PIP_NAMES.get(name, name)
            if name:
                wanted.append(name + bound)
        return wanted


def tail(log: Path, length: int = 3000) -> str:
    """The end of a log, for an error."""
    return log.read_text(errors="replace")[-length:]
