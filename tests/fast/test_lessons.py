"""How the notebooks get to a learner."""

from pathlib import Path

import pytest

from dockernb import cli, lessons
from dockernb.errors import LabError


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation with two notebooks."""
    place = tmp_path / "installed/notebooks"
    place.mkdir(parents=True)
    (place / "00-a.ipynb").write_text("a1")
    (place / "01-b.ipynb").write_text("b1")
    monkeypatch.setattr(lessons, "HERE", place.parent)
    return place


def test_the_course_is_copied(course: Path, tmp_path: Path) -> None:
    target = tmp_path / "new/mine"
    assert lessons.copy(target).new == ("00-a.ipynb", "01-b.ipynb")
    assert (target / "01-b.ipynb").read_text() == "b1"
    assert lessons.copy(target).same == ("00-a.ipynb", "01-b.ipynb")


def test_what_the_learner_changed_stays_and_the_rest_is_renewed(course: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    lessons.copy(target)
    (target / "00-a.ipynb").write_text("my work")
    (course / "00-a.ipynb").write_text("a2")
    (course / "01-b.ipynb").write_text("b2")
    done = lessons.copy(target)
    assert (done.kept, done.renewed) == (("00-a.ipynb",), ("01-b.ipynb",))
    assert (target / "00-a.ipynb").read_text() == "my work"
    assert (target / "01-b.ipynb").read_text() == "b2"
    # Again, and after a third version: still the learner's.
    (course / "00-a.ipynb").write_text("a3")
    assert lessons.copy(target).kept == ("00-a.ipynb",)


def test_what_lay_there_before_the_first_copy_stays(course: Path, tmp_path: Path) -> None:
    (tmp_path / "00-a.ipynb").write_text("not ours")
    assert lessons.copy(tmp_path).kept == ("00-a.ipynb",)
    assert (tmp_path / "00-a.ipynb").read_text() == "not ours"


def test_a_place_that_cannot_be_used_is_told(course: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match=r"cannot be copied to .*/file"):
        lessons.copy(tmp_path / "file")


def test_a_damaged_record_loses_nothing(course: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    lessons.copy(target)
    (target / lessons.RECORD).write_text("{")
    (target / "00-a.ipynb").write_text("my work")
    with pytest.raises(LabError, match="cannot be copied"):
        lessons.copy(target)
    assert (target / "00-a.ipynb").read_text() == "my work"


def test_without_notebooks_the_installation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "HERE", tmp_path / "a/b")
    with pytest.raises(LabError, match="has no notebooks"):
        lessons.notebooks()


def test_the_command_says_what_it_did_and_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))  # where trust is kept
    target = tmp_path / "my course"
    assert cli.main(["lessons", str(target)]) == 0
    (target / "06-three-tier-lab.ipynb").write_text("mine")
    assert cli.main(["lessons", str(target)]) == 0
    said = capsys.readouterr().out
    assert "new: " in said
    assert f"kept as you left it: {target}/06-three-tier-lab.ipynb" in said
    assert said.endswith(f"jupyter lab '{target}/00-start-here.ipynb'\n")
