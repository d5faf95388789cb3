"""The exercise of lesson 13: right backup jobs pass, and each wrong one is told why.

The database, its shop and the drill's server are made by the lesson's own cells, once; each test brings its own job.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from docker.types import Mount

import dockernb as dn
from dockernb.course import Result, lesson13
from dockernb.session import Lab
from tests.support.lesson import Lesson, shell

NAME = "13-database-with-backups"
LESSON = Lesson(NAME)
DUMP = "pg_dump --no-password --format=custom --file={0} && mv {0} /backups/backup-$(date -u +%Y%m%d-%H%M%S).dump"
ROTATE = "find /backups -name 'backup-*' -mtime +7 -delete"
JOB = f"{DUMP.format('/backups/.new')} && {ROTATE}"


class Scene:
    """The lesson up to its drill, and a way to put a job to work."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.names: dict[str, Any] = {"lab": lab, "dn": dn, "Mount": Mount}
        for text in ("> schema.sql", "> rows.sql"):
            shell(lab, LESSON.cell(text))
        exec(LESSON.cell("def script("), self.names)
        exec(LESSON.cell("to_regclass("), self.names)
        exec(LESSON.cell("drill = lab.docker"), self.names)
        client = re.search(r"(?ms)^client = \{.*?^\}", LESSON.cell("client = {"))
        assert client
        exec(client[0], self.names)

    def checked(self, job: str, volume: str = "nightly-backups", **environment: str) -> Result:
        """Run a job again and again, and look at it."""
        script = self.names["script"]
        self.forget()
        self.lab.docker.containers.run(
            "dockernb/toolbox",
            ["bash", "-c", f"while true; do\n{job}\nsleep 1\ndone"],
            name="nightly",
            network="db-net",
            environment=self.names["client"] | environment,
            mounts=[Mount("/backups", volume), script("secrets/backup", "/run/secrets/backup")],
            detach=True,
        )
        return lesson13.nightly(self.lab)

    def forget(self) -> None:
        """No job, no backups."""
        script = "docker rm -f nightly; docker volume rm nightly-backups"
        self.lab.host.run(["bash", "-c", script])


@pytest.fixture(scope="module")
def scene(opened: Lab) -> Scene:
    return Scene(opened)


def problems(result: Result) -> list[str]:
    return [finding.problem for finding in result.findings if finding.problem]


def test_nothing_done(scene: Scene) -> None:
    scene.forget()
    assert lesson13.nightly(scene.lab).sentence == 'There is no container called "nightly" yet.'


def test_the_solution_is_the_one_of_the_notebook() -> None:
    assert LESSON.folds(lesson13.nightly.solution)


def test_the_solution(scene: Scene) -> None:
    scene.forget()
    exec(lesson13.nightly.solution, scene.names)
    result = lesson13.nightly(scene.lab)
    assert result.passed, str(result)
    # The shop was held only meanwhile, and nothing of the check is left among the backups.
    assert scene.lab.docker.containers.get("shop").status == "running"
    left = scene.lab.host.run(["docker", "exec", "nightly", "find", "/backups", "-mtime", "+1"])
    assert left.stdout == b""


def test_another_solution(scene: Scene) -> None:
    """Another role and another password file, a pipe, a scratch directory, and rotation by the names."""
    result = scene.checked("""
        set -euo pipefail
        umask 077
        echo "db:*:*:admin:$(printf secure)-password" > /root/pass
        mkdir -p /backups/scratch
        PGUSER=admin PGPASSFILE=/root/pass pg_dump --format=custom | cat > /backups/scratch/dump
        mv /backups/scratch/dump /backups/backup-$(date -u +%Y%m%d-%H%M%S)-production.dump
        for old in /backups/backup-*.dump; do
            [[ ${old##*/} > backup-$(date -u -d '7 days ago' +%Y%m%d) ]] || rm $old
        done
    """)
    assert result.passed, str(result)


def test_the_colleagues_script(scene: Scene) -> None:
    loop = LESSON.cell("A colleague shows you this", "markdown").split("```")[1]
    result = scene.checked(loop.replace("sleep 5", "sleep 1"), PGPASSFILE="", PGUSER="", PGDATABASE="")
    assert re.match(
        r"backup-\S+\.dump is empty\. Its log says: pg_dump: error: .* no password", result.sentence
    )


def test_no_password(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson13, "PATIENCE", 4.0)
    result = scene.checked(JOB, PGPASSFILE="/nowhere")
    assert result.sentence.startswith(
        "In 4 s there came no backup-*.dump into nightly-backups. Its log says: pg_dump"
    )
    assert "no password supplied" in result.sentence


def test_half_a_file_is_delivered(scene: Scene) -> None:
    pipe = "pg_dump --no-password --format=custom | head -c 6000 > /backups/.new"
    result = scene.checked(JOB.replace("pg_dump --no-password --format=custom --file=/backups/.new", pipe))
    assert "cannot be restored: pg_restore: error: could not read from input file" in result.sentence
    assert len(problems(result)) == 1


def test_no_rename_and_no_rotation(scene: Scene) -> None:
    result = scene.checked("pg_dump --format=custom > /backups/backup-$(date -u +%Y%m%d-%H%M%S).dump")
    whole, rotation = problems(result)
    assert "had its name before it had its content" in whole
    assert "A backup of eight days ago was there, and nightly has kept it" in rotation


def test_a_rename_from_elsewhere_and_too_short_a_memory(scene: Scene) -> None:
    """From another file system mv copies."""
    result = scene.checked(JOB.replace("/backups/.new", "/tmp/new").replace("+7", "+1"))
    whole, rotation = problems(result)
    assert "had its name before it had its content" in whole
    assert "A backup of six days ago was there, and nightly has removed it" in rotation


def test_the_wrong_database_and_an_open_password(scene: Scene) -> None:
    result = scene.checked(JOB, PGDATABASE="postgres", PGPASSWORD="nobody-knows")
    password, restored = problems(result)
    assert "docker inspect nightly shows the password in Env" in password
    assert "there is no table orders in it: which database does nightly dump?" in restored


def test_a_backup_of_yesterday(scene: Scene) -> None:
    """Fresh names, old rows; and the password in the command."""
    dump = "PGPASSWORD=nobody-knows pg_dump --format=custom --file=/tmp/first"
    order = "INSERT INTO orders (item, pieces, customer) VALUES (1, 1, 'too late for the dump')"
    first = f'[ -e /tmp/first ] || {{ {dump}; PGPASSWORD=secure-password psql -q -U admin -c "{order}"; }}'
    later = "cp /tmp/first /backups/.new; mv /backups/.new /backups/backup-$(date -u +%Y%m%d-%H%M%S).dump"
    result = scene.checked(f"{first}; {later}; {ROTATE}")
    password, restored = problems(result)
    assert "docker inspect nightly shows the password in Cmd" in password
    assert re.search(r"orders has \d+ rows when backup-.* is restored, and production had \d+\.", restored)


def test_another_volume(scene: Scene) -> None:
    result = scene.checked("true", volume="postgres-backups")
    assert "nightly does not have the volume nightly-backups mounted; it has" in result.sentence
