"""The exercise of lesson 14: right solutions pass, and each wrong one is told why.

What the exercise needs of the lesson is made by the lesson's own cell, once; each test makes an archive of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docker.types import Mount

from dockernb.course import Result, lesson14
from dockernb.course.lesson14 import archived
from dockernb.session import Lab
from tests.support.lesson import Lesson
from tests.support.lesson import shell as shell_in

NAME = "14-shared-storage"
LESSON = Lesson(NAME)
READ, WRITE = Mount("/uploads", "shared-uploads", read_only=True), Mount("/archive", "archive")

IN_THE_SHELL = """
cd /uploads
while sleep 0.2; do
    for name in *; do
        {check} || {copy}
    done
done
"""
NEW = '[ -e "/archive/$name" ]'
RENAMED = '{ cp "$name" "/archive/.$name" && mv "/archive/.$name" "/archive/$name"; }'
IN_PYTHON = """
import os, shutil, time
while True:
    for name in os.listdir("/uploads"):
        if not name.startswith(".") and not os.path.exists("/archive/" + name):
            os.makedirs("/archive/.new", exist_ok=True)
            shutil.copy("/uploads/" + name, "/archive/.new/" + name)
            os.rename("/archive/.new/" + name, "/archive/" + name)
    time.sleep(0.2)
"""


def shell(copy: str, check: str = NEW) -> list[str]:
    return ["bash", "-c", IN_THE_SHELL.replace("{check}", check).replace("{copy}", copy)]


def archive(lab: Lab, command: list[str], *mounts: Mount, **options: Any) -> None:
    lab.docker.containers.run(
        "dockernb/toolbox",
        command,
        name="archive",
        mounts=list(mounts or (READ, WRITE)),
        detach=True,
        **options,
    )


@pytest.fixture(scope="module")
def lesson(opened: Lab) -> Lab:
    """The lesson's uploads and the service that takes them."""
    lines = LESSON.cell("docker volume create shared-uploads").split("\n\n")[
        :2
    ]  # the volume, and upload-service
    shell_in(opened, "\n".join(lines))
    return opened


@pytest.fixture
def lab(lesson: Lab) -> Iterator[Lab]:
    yield lesson
    for container in lesson.docker.containers.list(all=True, filters={"name": "^/archive$"}):
        container.remove(force=True)
    for volume in lesson.docker.volumes.list(filters={"name": "archive"}):
        volume.remove()
    lesson.docker.containers.get("upload-service").start()


def wrong(result: Result, claim: str, sentence: str) -> None:
    """This alone is wrong, or what follows from it; it is the first thing told."""
    assert sentence in result.sentence, str(result)
    assert next(f.claim for f in result.findings if f.problem) == claim


def test_the_solution(lab: Lab) -> None:
    exec(archived.solution, {"lab": lab, "Mount": Mount})
    assert archived(lab).passed, archived(lab)
    files = lab.docker.containers.get("archive").exec_run("ls -A /uploads /archive").output.decode()
    assert files.split() == ["/archive:", "/uploads:"], "the check leaves nothing behind"


def test_the_solution_is_the_one_of_the_notebook() -> None:
    assert LESSON.folds(archived.solution)


@pytest.mark.parametrize("command", [shell(RENAMED), ["python3", "-c", IN_PYTHON]], ids=["shell", "python"])
def test_other_solutions(lab: Lab, command: list[str]) -> None:
    archive(lab, command, READ, WRITE, Mount("/scratch", None, type="tmpfs"))
    assert archived(lab).passed, archived(lab)


def test_nothing_done(lab: Lab) -> None:
    wrong(archived(lab), "archive runs", 'There is no container called "archive" yet.')


def test_it_may_write_to_the_uploads(lab: Lab) -> None:
    archive(lab, shell(RENAMED), Mount("/uploads", "shared-uploads"), WRITE)
    wrong(archived(lab), "archive cannot write to the uploads", "archive can write to /uploads")


def test_it_has_more_than_it_needs(lab: Lab) -> None:
    archive(lab, shell(RENAMED), READ, WRITE, Mount("/results", "shared-results", read_only=True))
    wrong(archived(lab), "archive has nothing else mounted", "archive also has shared-results at /results")


def test_another_volume(lab: Lab) -> None:
    archive(lab, shell(RENAMED), READ, Mount("/archive", "shared-results"))
    wrong(
        archived(lab),
        "archive has volume archive at /archive, writable",
        "/archive of archive is shared-results",
    )


def test_the_archive_is_not_mounted(lab: Lab) -> None:
    archive(lab, shell(RENAMED), READ)
    said = archived(lab)
    wrong(said, "archive has volume archive at /archive, writable", "Nothing is mounted at /archive")
    assert said.findings[-1].holds is None


def test_written_in_place(lab: Lab) -> None:
    archive(lab, shell('cp "$name" /archive'))
    wrong(
        archived(lab),
        "under its final name there is never half a file",
        "archive writes under the final name",
    )


def test_renamed_across_two_mounts(lab: Lab) -> None:
    archive(lab, shell('{ cp "$name" /tmp && mv "/tmp/$name" /archive; }'))
    wrong(archived(lab), "under its final name there is never half a file", "across two mounts it copies")


def test_hidden_names_are_taken(lab: Lab) -> None:
    archive(lab, ["bash", "-c", f"shopt -s dotglob\n{shell(RENAMED)[2]}"])
    claim = "uploads that are under way stay out of the archive"
    wrong(archived(lab), claim, "archive took .unfinished-check-")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["sleep", "infinity"], "did not come to /archive within 1 s"),
        (shell('head -c 100 "$name" > "/archive/$name"'), "the copy differs"),
    ],
    ids=["nothing comes", "something else comes"],
)
def test_it_does_not_come(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, command: list[str], sentence: str
) -> None:
    monkeypatch.setattr(lesson14, "PATIENCE", 1.0)
    archive(lab, command)
    wrong(archived(lab), "a new upload comes to the archive, as it was sent", sentence)


def test_no_uploads(lab: Lab) -> None:
    lab.docker.containers.get("upload-service").stop(timeout=1)
    wrong(archived(lab), "upload-service runs", '"upload-service" is there, but it is exited: start it.')
