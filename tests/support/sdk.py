"""docker-py's own integration tests: where they come from, and running a file of them on a lab host.

They are in Debian's source package of python-docker, and in no binary package of it nor on PyPI.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from dockernb.labhost import LabHost, debian

SOURCE_PACKAGE = "python-docker"
ONE_TEST = 150  # seconds

# They want these images, and nothing can be pulled: a small Linux of the lab host's busybox goes by their names, with
# the two things that the tests expect of Alpine's, a user and a directory.
IMAGES = r"""
cd "$(mktemp -d)"
mkdir -p bin etc tmp var/opt var/log mnt root proc sys dev
chmod 1777 tmp
cp /usr/bin/busybox bin/busybox
for name in $(busybox --list); do [ "$name" = busybox ] || ln -s busybox "bin/$name"; done
printf '%s\n' root:x:0:0:root:/root:/bin/sh postgres:x:70:70::/var/lib/postgresql:/bin/sh > etc/passwd
printf '%s\n' root:x:0: postgres:x:70: > etc/group
tar c . | docker import --change 'CMD ["/bin/sh"]' - alpine:3.10
docker tag alpine:3.10 alpine:latest
docker tag alpine:3.10 busybox:latest
"""

# The tests import paramiko for a kind of connection that a lab host has not.
NO_PARAMIKO = "class Channel:\n    pass\n"


class NoSourcesError(Exception):
    """The mirror does not give the source package; the text says what apt said."""


def take(kept: Path) -> Path:
    """The tree that has docker-py's ``tests``: from an archive that is kept, or else by apt from the engine's suite.

    Args:
        kept: Where the archive is; made if missing. A ``*.tar.gz`` that lies there is taken as it is.

    Raises:
        NoSourcesError: There is none, and the mirror has the package's sources not.
    """
    kept.mkdir(parents=True, exist_ok=True)
    if not list(kept.glob("*.tar.gz")):
        _download(kept)
    [archive] = kept.glob("*.tar.gz")
    tree = kept / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    with tarfile.open(archive) as packed:
        # Not its package docker: the SDK that is installed here is the one to be tried.
        packed.extractall(tree, [one for one in packed if "/tests/" in one.name], filter="data")
    [base] = tree.glob("*/tests/integration/base.py")
    (tree / "stand-in").mkdir()
    (tree / "stand-in/paramiko.py").write_text(NO_PARAMIKO)
    return base.parents[2]


def _download(into: Path) -> None:
    apt = into / "apt"
    config = debian._configure_apt(apt, [], debian.ENGINES["testing"])
    sources = apt / "etc/sources.list"
    sources.write_text(re.sub("^deb ", "deb-src ", sources.read_text(), flags=re.MULTILINE))
    for arguments in (["update"], ["source", "--download-only", "--tar-only", SOURCE_PACKAGE]):
        done = subprocess.run(
            ["apt-get", "--quiet", *arguments],
            cwd=into,
            env=os.environ | {"APT_CONFIG": str(config), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            raise NoSourcesError(done.stderr)


def files(tree: Path) -> set[str]:
    """The names of docker-py's files of integration tests, without ``.py``."""
    return {path.stem for path in (tree / "tests/integration").glob("*_test.py")}


def outcomes(tree: Path, name: str, host: LabHost, timeout: float) -> dict[str, str]:
    """Run a file of docker-py's tests on a lab host; what pytest says goes into ``FILE.log`` in the tree.

    Args:
        tree: What `take` gave.
        name: The file's, without ``.py``.
        host: A pristine one.
        timeout: Seconds for all of its tests together.

    Returns:
        By name (``file::Class::test``) why a test failed, in docker-py's words; "" if it did not fail or was skipped
        by docker-py.

    Raises:
        subprocess.TimeoutExpired: They took longer.
        AssertionError: pytest could not run them.
    """
    made = host.run(["sh", "-ec", IMAGES], timeout=120)
    assert made.returncode == 0, made.stderr.decode()
    results = tree / f"{name}.xml"
    # requests lets the learner's own certificates and proxies win over the lab host's; the tests' clients are plain.
    theirs = re.compile(r"(REQUESTS|CURL)_CA_BUNDLE|PYTEST_.*|.*_proxy", re.IGNORECASE)
    environment = {key: value for key, value in os.environ.items() if not theirs.fullmatch(key)}
    log = tree / f"{name}.log"
    with log.open("wb") as said:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", tree, "-v", "--tb=short"),
                *("-p", "no:cacheprovider", "-p", "no:nbval", "-p", "no:xdist"),
                *(f"--timeout={ONE_TEST}", f"--junitxml={results}", f"tests/integration/{name}.py"),
            ],
            cwd=tree,
            env=environment | host.environment | {"PYTHONPATH": str(tree.parent / "stand-in")},
            stdout=said,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    assert done.returncode in (0, 1), log.read_text()  # 1: some failed
    return dict(_read(results))


def _read(results: Path) -> Iterator[tuple[str, str]]:
    for case in ElementTree.parse(results).iter("testcase"):
        file, _, group = case.get("classname", "").removeprefix("tests.integration.").partition(".")
        problem = case.find("failure")
        problem = case.find("error") if problem is None else problem
        why = "" if problem is None else problem.get("message") or "failed"
        yield "::".join(filter(None, (file, group, case.get("name")))), why


@dataclass(frozen=True)
class Known:
    """The tests of docker-py that fail on a lab host, each with its reason.

    Attributes:
        always: By name (``file::Class::test``) why a test fails.
        sometimes: The same of those that pass in some runs.
    """

    always: dict[str, str] = field(default_factory=dict)
    sometimes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Known":
        """Read the file: groups, each with ``why``, ``tests`` and, if they do not always fail, ``sometimes = true``."""
        known = cls()
        for group in tomllib.loads(path.read_text(encoding="utf-8"))["group"]:
            into = known.sometimes if group.get("sometimes") else known.always
            into |= dict.fromkeys(group["tests"], group["why"])
        return known

    def complaints(self, file: str, seen: dict[str, str]) -> list[str]:
        """What does not agree with the run of a file's tests, a sentence each.

        Args:
            file: Its name.
            seen: The outcomes.
        """
        mine = [name for name in (*self.always, *self.sometimes) if name.startswith(f"{file}::")]
        return [
            *(
                f"{name} failed: {why}"
                for name, why in seen.items()
                if why and name not in self.always and name not in self.sometimes
            ),
            *(f"{name} is listed and does not fail" for name in self.always if seen.get(name) == ""),
            *(f"{name} is listed and does not exist" for name in mine if name not in seen),
        ]
