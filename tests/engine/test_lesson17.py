"""The capstone: what was handed over fails every check, the notebook's solution passes all, and so does another.

Each wrong system differs from the right one in one thing, and is told which.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from docker.types import Mount

from dockernb.course import Result, lesson17
from dockernb.session import Lab
from tests.support.lesson import Lesson, shell
from tests.support.waiting import wait_for

NAME = "17-capstone"
LESSON = Lesson(NAME)
FILES, *PROGRAM = re.findall(r"(?s)```(?:python)?\n(.*?)```", LESSON.cell("One way to do it", "markdown"))
HANDED_OVER = next(text for text in LESSON.texts() if text.startswith("def build():"))

Change = tuple[str, str]
"""Text of the solution, and what stands there instead."""

A_DUMP_IN_PLAIN_TEXT = """
def at_the_database(line):
    # in the server's own container: it asks nobody for a password there
    code, said = lab.docker.containers.get("db").exec_run(["bash", "-euo", "pipefail", "-c", line])
    assert code == 0, said


def backup():
    lab.docker.volumes.create("notes-backups")
    at_the_database("pg_dump -U notes --clean --if-exists notes > /backups/notes.sql")


def restore():
    at_the_database("psql -Xq -v ON_ERROR_STOP=1 -U notes notes < /backups/notes.sql")
"""


class System:
    """A builder's functions on a lab host."""

    def __init__(self, lab: Lab, program: str, *changes: Change) -> None:
        for old, new in changes:
            assert program.count(old), f"the solution has no {old!r}"
            program = program.replace(old, new)
        self.lab, self.names = lab, dict[str, Any](lab=lab, Mount=Mount)
        exec(program, self.names)

    def build(self) -> System:
        self.lab.clean()
        self.names["build"]()
        return self

    def fire(self) -> Result:
        return lesson17.fire(self.names["build"])(self.lab)

    def disaster(self) -> Result:
        return lesson17.disaster(*(self.names[step] for step in ("build", "backup", "restore")))(self.lab)


@pytest.fixture(scope="module")
def lab(opened: Lab) -> Lab:
    shell(opened, FILES)
    return opened


@pytest.fixture(scope="module")
def ours(lab: Lab) -> System:
    """The solution of the notebook, not built."""
    return System(lab, "\n".join(PROGRAM))


def changed(lab: Lab, *changes: Change) -> System:
    return System(lab, "\n".join(PROGRAM), *changes).build()


def wrong(result: Result, claim: str, sentence: str) -> None:
    """This alone is wrong, or what follows from it; it is the first thing told."""
    assert sentence in result.sentence, str(result)
    assert next(f.claim for f in result.findings if f.problem) == claim, str(result)
    assert result.sentence.endswith(".")


def test_nothing_done(lab: Lab) -> None:
    lab.clean()
    for check in (lesson17.ways, lesson17.kept, lesson17.crash):
        wrong(check(lab), "web runs", 'There is no container called "web" yet.')


def test_what_was_handed_over_works_and_fails_every_check(lab: Lab) -> None:
    system = System(lab, HANDED_OVER).build()
    result = lesson17.ways(lab)
    wrong(result, "web reaches db in no way", "web reaches db by ")
    assert [f.claim for f in result.findings if not f.holds] == [
        "web reaches db in no way",
        "nothing is published but port 8080",
        "api and db have no way to the outside",
    ]
    result = lesson17.kept(lab)
    wrong(
        result,
        "db has volume notes-data at /var/lib/postgresql/data, writable",
        "a volume without a name, and notes-data",
    )
    assert any("docker inspect api shows a password, in DATABASE_URL" in f.problem for f in result.findings)
    result = lesson17.crash(lab)
    assert "stayed down after a crash" in result.sentence
    assert lesson17.ways(lab).findings[3].holds, "the check has put it back"
    assert "is not in it" in system.fire().sentence
    containers = {c.id for c in lab.docker.containers.list()}
    assert "nothing was destroyed" in system.disaster().sentence
    assert {c.id for c in lab.docker.containers.list()} == containers


def test_the_solution_passes_all_five(lab: Lab, ours: System) -> None:
    ours.build()
    for result in (lesson17.ways(lab), lesson17.kept(lab), lesson17.crash(lab), ours.fire(), ours.disaster()):
        assert result.passed, str(result)


@pytest.mark.thorough("engine")
def test_another_solution(lab: Lab) -> None:
    """The password by the shell, restarts that are counted, a dump as text that is made in the server's container."""
    export = "export DATABASE_URL=postgresql://notes:$(cat /run/secrets/password)@db/notes"
    system = System(
        lab,
        PROGRAM[0] + A_DUMP_IN_PLAIN_TEXT,
        (
            'environment={"DATABASE_URL": "postgresql://notes@db:5432/notes", **login}',
            f'command=["sh", "-c", "{export}; exec python3 api.py"]',
        ),
        ('[secret("pgpass")]', '[secret("password")]'),
        (
            '"notes-data"), secret("password")]',
            '"notes-data"), secret("password"), Mount("/backups", "notes-backups")]',
        ),
        ('{"Name": "unless-stopped"}', '{"Name": "on-failure", "MaximumRetryCount": 5}'),
    ).build()
    for result in (
        lesson17.ways(lab),
        lesson17.kept(lab),
        lesson17.crash(lab),
        system.fire(),
        system.disaster(),
    ):
        assert result.passed, str(result)


FILES_OF_THE_DATABASE = 'Mount("/var/lib/postgresql/data", "notes-data")'
WEB_TOO: Change = ("middle.connect(web)", "middle.connect(web)\n    inner.connect(web)")
DB_PUBLISHED: Change = (
    'name="db",\n        network="inner"',
    'name="db",\n        network="front",\n        ports={"5432/tcp": 5432}',
)
DB_ON_BOTH: Change = ("inner.connect(api)", 'inner.connect("db")\n    inner.connect(api)')
MIDDLE_OPEN: Change = ('"middle", internal=True', '"middle"')
API_PUBLISHED: Change = ('network="middle"', 'network="middle",\n        ports={"3000/tcp": 3000}')
INNER_OPEN: Change = ('"inner", internal=True', '"inner"')
NO_API: Change = ("    middle.connect(web)\n", "")
NO_DB: Change = ("    inner.connect(api)\n", "")
ELSEWHERE: Change = ('{"80/tcp": 8080}', '{"80/tcp": 8081}')

ANSWERS = "the page on port 8080 answers, through all three tiers"
NO_WAY = "web reaches db in no way"


@pytest.mark.parametrize(
    ("changes", "claim", "sentence"),
    [
        ([WEB_TOO], NO_WAY, "web reaches db by the name db."),
        ([DB_PUBLISHED, DB_ON_BOTH], NO_WAY, "web reaches db by "),
        (
            [MIDDLE_OPEN, API_PUBLISHED],
            "nothing is published but port 8080",
            "api publishes port 3000 of the Docker host, where anybody may knock.",
        ),
        (
            [INNER_OPEN],
            "api and db have no way to the outside",
            "has a way to the outside, by its network inner",
        ),
        ([NO_API], ANSWERS, "The page says 502: "),
        ([NO_DB], ANSWERS, "The page says 503: "),
        ([ELSEWHERE], ANSWERS, "The page does not answer on port 8080 of the Docker host: "),
    ],
    ids=["both in one", "beside it", "api published", "not internal", "no api", "no db", "another port"],
)
def test_who_reaches_whom(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, changes: list[Change], claim: str, sentence: str
) -> None:
    # The system is asked often instead of long: what is wrong may be that it never answers.
    monkeypatch.setattr(lesson17, "PATIENCE", 2.0)
    changed(lab, *changes)
    results: list[Result] = []

    def told() -> bool:
        results.append(lesson17.ways(lab))
        return sentence in results[-1].sentence

    wait_for(told, 30)
    wrong(results[-1], claim, sentence)


@pytest.mark.parametrize(
    ("change", "claim", "sentence"),
    [
        (
            (FILES_OF_THE_DATABASE, 'Mount("/var/lib/postgresql", "notes-data")'),
            "db has volume notes-data at /var/lib/postgresql/data, writable",
            "notes-data is wanted",
        ),
        (
            ("notes@db", "notes:tell-nobody@db"),
            "docker inspect shows no password",
            "docker inspect api shows a password, in DATABASE_URL",
        ),
        (
            ("**login}", '"PGPASSWORD": "tell-nobody"}'),
            "docker inspect shows no password",
            "docker inspect api shows a password, in PGPASSWORD",
        ),
        (
            ('"POSTGRES_PASSWORD_FILE": "/run/secrets/password"', '"POSTGRES_HOST_AUTH_METHOD": "trust"'),
            "db asks for a password",
            "db lets everybody in without a password",
        ),
    ],
    ids=["too high", "in the URL", "in the environment", "trust"],
)
def test_data_and_secrets(lab: Lab, change: Change, claim: str, sentence: str) -> None:
    changed(lab, change)
    assert lesson17._page(lesson17.Sight(lab, ())) == ""
    wrong(lesson17.kept(lab), claim, sentence)


def test_one_stays_down(lab: Lab) -> None:
    changed(lab, ('[secret("pgpass")],\n        restart_policy=again', '[secret("pgpass")]'))
    result = lesson17.crash(lab)
    wrong(
        result,
        "after a crash of all three the page answers again, by itself",
        "api stayed down after a crash",
    )
    assert lesson17.ways(lab).passed, "the check has put it back"


def test_a_fire_that_takes_the_notes(lab: Lab, ours: System) -> None:
    claim = "all containers and networks removed, build() brings system and notes back"
    system = changed(lab, (f"{FILES_OF_THE_DATABASE}, ", ""))
    wrong(system.fire(), claim, "is not in it")

    def fails() -> None:
        raise ValueError("no such plan\nand more")

    ours.build()
    wrong(lesson17.fire(fails)(lab), claim, "build() ended with ValueError: no such plan.")
    assert lab.docker.containers.list() == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ("--file=/backups/.new", "--file=/tmp/.new"),
            "In backup() a container ended with exit code 1: mv: cannot stat",
        ),
        (('"notes-backups"', '"notes-data"'), "there is nothing in a volume notes-backups"),
        (
            ('"--format=custom"', '"--format=custom", "--schema-only"'),
            "the note that was written before the backup",
        ),
        (
            ('"--clean", "--if-exists"', '"--exit-on-error"'),
            "In restore() a container ended with exit code 1: pg_restore: error: ",
        ),
    ],
    ids=["elsewhere", "into the data", "without the rows", "into a table that is there"],
)
def test_backups_that_are_none(lab: Lab, change: Change, sentence: str) -> None:
    system = changed(lab, change)
    claim = "backup(); all but notes-backups removed; build(), restore(): the notes are there"
    wrong(system.disaster(), claim, sentence)


def test_a_disaster_that_did_not_reach_the_notes(lab: Lab) -> None:
    """The files of the database in a directory of the host, which the drill does not remove."""
    lab.host.run(["mkdir", "-p", "/srv/data"])
    system = changed(
        lab, (FILES_OF_THE_DATABASE, 'Mount("/var/lib/postgresql/data", "/srv/data", type="bind")')
    )
    assert "have survived without restore()" in system.disaster().sentence


@pytest.mark.thorough("engine")
def test_a_drill_touches_nothing_of_others(lab: Lab, ours: System) -> None:
    """Another lesson's container, network and volume stay."""
    other = Lab("16-storage-performance", lab.host)
    other.docker.networks.create("others")
    other.docker.containers.run(
        "dockernb/toolbox",
        "sleep 600",
        name="other",
        network="others",
        mounts=[Mount("/x", "others")],
        detach=True,
    )
    ours.build()
    assert ours.disaster().passed
    assert {c.name for c in lab.docker.containers.list()} == {"web", "api", "db", "other"}
    assert "others" in {volume.name for volume in lab.docker.volumes.list()}
    other.clean()
