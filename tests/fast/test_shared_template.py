"""One template for all users of a machine: where it is found, and how its memory is opened by whom."""

import json
from pathlib import Path

import pytest

from dockernb.errors import UnavailableError
from dockernb.labhost import debian, providers, qemu, store, template


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The learner's own cache and the system's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    monkeypatch.setattr(store.platformdirs, "site_cache_path", lambda name: tmp_path / "system" / name)
    monkeypatch.setattr(qemu, "accelerator", lambda: qemu.TCG)
    return tmp_path / "own" / "dockernb", tmp_path / "system" / "dockernb"


def put(cache: Path, text: str = "{}") -> Path:
    """A directory that looks like the template of this recipe."""
    place = cache / template.directory().name
    place.mkdir(parents=True)
    (place / "template.json").write_text(text)
    return place


def test_the_template_of_all_users_is_found_and_ones_own_goes_first(places: tuple[Path, Path]) -> None:
    own, system = places
    assert template.find() is None
    shared = put(system)
    found = template.find()
    assert found and found.directory == shared
    mine = put(own)
    found = template.find()
    assert found and found.directory == mine


def test_an_unfinished_or_other_template_is_not_taken(places: tuple[Path, Path]) -> None:
    _, system = places
    put(system, json.dumps({})[:1])
    (system / "template-of-another-recipe").mkdir()
    assert template.find() is None


def test_by_default_all_users_share_what_lies_in_var_cache() -> None:
    assert store.shared_cache() == Path("/var/cache/dockernb")


@pytest.mark.parametrize(
    ("version", "able"),
    [
        ("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", False),
        ("8.1.5", False),
        ("8.2.2 (Debian 1:8.2.2+ds-0ubuntu1)", True),
        ("10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)", True),
        ("unknown", False),
    ],
)
def test_qemu_maps_a_read_only_memory_file_since_8_2(
    version: str, able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "version", lambda: version)
    assert qemu.opens_memory_read_only() is able


def test_how_memory_is_opened_does_not_decide_which_template_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "accelerator", lambda: qemu.TCG)
    digests = set()
    for version in ("7.2.22", "10.0.13"):
        monkeypatch.setattr(qemu, "version", lambda version=version: version)
        digests.add(qemu.machine_digest())
    assert len(digests) == 1


def test_there_is_one_template_for_each_engine(places: tuple[Path, Path]) -> None:
    put(places[0])
    assert template.find() is not None
    other = next(engine for engine in debian.ENGINES if engine != debian.DEFAULT_ENGINE)
    assert template.find(other) is None


def test_which_engine_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKERNB_ENGINE", raising=False)
    assert providers.choose_engine() == debian.DEFAULT_ENGINE
    monkeypatch.setenv("DOCKERNB_ENGINE", "stable")
    assert providers.choose_engine() == "stable"
    assert providers.choose_engine("testing") == "testing"
    with pytest.raises(UnavailableError, match="There is no engine 'sid': use testing or stable"):
        providers.choose_engine("sid")
