"""What `dockernb doctor` says of a machine that lacks something. Nothing is started."""

from pathlib import Path

import pytest

from dockernb import cli
from dockernb.labhost import container, debian

NO_ENGINE = "No Docker Engine listens."


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux machine with nothing on its PATH, seen by an ordinary user; returns the place for its programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("dockernb.labhost.template.shutil.which", which(tmp_path))
    monkeypatch.setattr(container, "find_engine", lambda: (None, NO_ENGINE))
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "keyring.gpg")
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    return tmp_path


def which(place: Path):  # type: ignore[no-untyped-def]
    """shutil.which, for one directory, whatever else a caller adds to the PATH."""
    return lambda name, path=None: str(place / name) if (place / name).exists() else None


ALL = "sudo apt-get install qemu-system-x86 dpkg e2fsprogs fakeroot debian-archive-keyring"


def test_one_command_gets_all_that_is_missing(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bare / "apt-get").touch()
    assert cli.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "qemu-system-x86_64 is not installed" in said
    assert [line.strip() for line in said.splitlines()].count(ALL) == 1
    assert NO_ENGINE in said
    assert "conda" not in said


def test_where_there_is_no_apt_docker_is_named(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor"])
    said = capsys.readouterr().out
    assert "on Debian or Ubuntu: sudo apt-get install" in said
    assert "elsewhere start Docker" in said


def test_in_conda_it_says_what_conda_lacks(
    bare: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_PREFIX", "/opt/conda/envs/dockernb")
    cli.main(["doctor"])
    assert "/opt/conda/envs/dockernb has no QEMU" in capsys.readouterr().out
