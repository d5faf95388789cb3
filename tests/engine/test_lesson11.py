"""The exercise of lesson 11: right solutions pass, and each wrong one is told why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docker.types import Mount

from dockernb.course import Result
from dockernb.course.lesson11 import report
from dockernb.session import Lab
from tests.support.lesson import Lesson, shell

NAME = "11-bind-and-tmpfs"
LESSON = Lesson(NAME)
CONFIG = Mount("/etc/report", "/srv/report/config", type="bind", read_only=True)
FILE = Mount("/etc/report/report.conf", "/srv/report/config/report.conf", type="bind", read_only=True)
REPORTS = Mount("/var/reports", "reports")
SCRATCH = Mount("/tmp", None, type="tmpfs", tmpfs_size="16m")


@pytest.fixture
def lab(opened: Lab) -> Iterator[Lab]:
    """The configuration as the lesson writes it, and no container, whatever the test before did."""
    shell(opened, next(text for text in LESSON.texts() if "Monthly report" in text))
    yield opened
    opened.clean()


def start(lab: Lab, **options: Any) -> Result:
    """Start report, in the right way unless something else is given, and look."""
    given = {"mounts": [CONFIG, REPORTS, SCRATCH], "read_only": True} | options
    lab.docker.containers.run(
        "dockernb/toolbox",
        "sleep infinity",
        name="report",
        detach=True,
        **given,
    )
    return report(lab)


def test_nothing_done(lab: Lab) -> None:
    said = report(lab)
    assert 'There is no container called "report" yet.' in said.sentence
    assert not any(finding.holds for finding in said.findings)


def test_the_solution(lab: Lab) -> None:
    exec(report.solution, {"lab": lab, "Mount": Mount})
    said = report(lab)
    assert said.passed, said
    assert report(lab).passed  # the check leaves nothing behind
    left = lab.host.run(["find", "/srv/report", "/var/lib/docker/volumes/reports/_data", "-type", "f"])
    assert left.stdout.decode().split() == ["/srv/report/config/report.conf"]


def test_the_solution_is_the_one_of_the_notebook() -> None:
    assert LESSON.folds(report.solution)


def test_by_the_command_line(lab: Lab) -> None:
    """The short forms; a size in bytes; without the right to be root's equal over files."""
    line = (
        "docker run -d --name report --read-only --cap-drop ALL -v /srv/report/config:/etc/report:ro "
        "-v reports:/var/reports --tmpfs /tmp:size=8388608 dockernb/toolbox sleep infinity"
    )
    shell(lab, line)
    said = report(lab)
    assert said.passed, said


def test_as_somebody_else(lab: Lab) -> None:
    """Not as root, with a volume that was given to that user."""
    lab.docker.containers.run(
        "dockernb/toolbox", "chown 2000 /r", mounts=[Mount("/r", "reports")], remove=True
    )
    said = start(lab, user="2000")
    assert said.passed, said


WRONG = {
    "a writable configuration": (
        {"mounts": [Mount("/etc/report", "/srv/report/config", type="bind"), REPORTS, SCRATCH]},
        "report may write to /etc/report/report.conf.",
    ),
    "the single file": (
        {"mounts": [FILE, REPORTS, SCRATCH]},
        "A new file in /srv/report/config is not seen in report",
    ),
    "another directory": (
        {"mounts": [Mount("/etc/report", "/srv/report", type="bind", read_only=True), REPORTS, SCRATCH]},
        "There is no /etc/report/report.conf in report.",
    ),
    "no volume": (
        {"mounts": [CONFIG, SCRATCH]},
        "Nothing is mounted at /var/reports of report",
    ),
    "another volume": (
        {"mounts": [CONFIG, Mount("/var/reports", "report"), SCRATCH]},
        "/var/reports of report is report, and reports is wanted.",
    ),
    "a read-only volume": (
        {"mounts": [CONFIG, Mount("/var/reports", "reports", read_only=True), SCRATCH]},
        "report cannot write in /var/reports: Read-only file system.",
    ),
    "no scratch space": (
        {"mounts": [CONFIG, REPORTS]},
        "Nothing is mounted at /tmp of report",
    ),
    "scratch space in a volume": (
        {"mounts": [CONFIG, REPORTS, Mount("/tmp", "scratch")]},
        "/tmp of report is a volume mount, and a tmpfs is wanted.",
    ),
    "too much scratch space": (
        {"mounts": [CONFIG, REPORTS, Mount("/tmp", None, type="tmpfs")]},
        "report writes 17 MiB in /tmp, and more than 16 must not fit.",
    ),
    "too little scratch space": (
        {"mounts": [CONFIG, REPORTS, Mount("/tmp", None, type="tmpfs", tmpfs_size="1m")]},
        "report cannot write 4 MiB in /tmp: No space left on device.",
    ),
    "scratch space from which programs start": (
        {"mounts": [CONFIG, REPORTS], "tmpfs": {"/tmp": "exec,size=16m"}},
        "A program in /tmp of report could be started",
    ),
    "another writable place": (
        {"mounts": [CONFIG, REPORTS, SCRATCH, Mount("/run", None, type="tmpfs")]},
        "report can also write in /run.",
    ),
    "a writable root": (
        {"read_only": False},
        "report can also write in /, /etc, /home, /root, /run, /srv, /usr/local, /var, /var/cache, /var/tmp.",
    ),
    "somebody without the right to write": (
        {"user": "2000"},
        "report cannot write in /var/reports: Permission denied.",
    ),
    "so little memory that the trials are killed": (
        {"mem_limit": "12m"},
        "what it tried in report ended with exit code 137",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_wrong_solutions_are_told_why(lab: Lab, mistake: str) -> None:
    options, says = WRONG[mistake]
    said = start(lab, **options)
    assert not said.passed
    assert says in said.sentence


def test_an_outdated_configuration(lab: Lab) -> None:
    """Replaced after the single file was mounted."""
    start(lab, mounts=[FILE, REPORTS, SCRATCH])
    shell(lab, "sed -i s/Monthly/Weekly/ /srv/report/config/report.conf")
    assert "/etc/report/report.conf is not what the Docker host has now." in report(lab).sentence


def test_no_configuration_on_the_host(lab: Lab) -> None:
    shell(lab, "rm /srv/report/config/report.conf")
    assert "There is no /srv/report/config/report.conf on the Docker host" in start(lab).sentence


def test_stopped(lab: Lab) -> None:
    start(lab)
    lab.docker.api.kill("report")
    lab.docker.api.wait("report", timeout=10)
    assert '"report" is there, but it is exited: start it.' in report(lab).sentence
