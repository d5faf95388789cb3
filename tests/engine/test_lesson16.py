"""The exercise of lesson 16: right solutions pass, and each wrong one is told why; and pgbench in real databases.

The vault is made by the lesson's own cell, once; the database's directory in it stays for the next test.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docker.types import DriverConfig, Mount

from dockernb import measure
from dockernb.course import Result, lesson16
from dockernb.course.lesson16 import encrypted_at_rest
from dockernb.session import Lab
from tests.support.lesson import Lesson, shell
from tests.support.shared import Shared

NAME = "16-storage-performance"
LESSON = Lesson(NAME)
DATA = "/var/lib/postgresql/data"
READY = "timeout 240 sh -c 'until pg_isready -q; do sleep 0.2; done'"
BELOW = {"PGDATA": f"{DATA}/pgdata"}  # an ext4 file system has lost+found
ENCRYPTED, SURVIVES = "all its files lie above dm-crypt", "in a volume that the next container finds"
UNREADABLE, KEY = "what it writes cannot be read on the disk below", "no file on the disk opens it"


def said_in(lab: Lab, command: str) -> str:
    """What a command says in the database's container."""
    done = lab.host.run(["docker", "exec", "ledger", "sh", "-c", command], timeout=300)
    return (done.stdout + done.stderr).decode()


def ledger(lab: Lab, *mounts: Mount, image: str = "dockernb/postgres", **environment: str) -> None:
    lab.docker.containers.run(
        image,
        "sleep infinity" if image.endswith("toolbox") else None,
        name="ledger",
        mounts=list(mounts),
        environment={"POSTGRES_PASSWORD": "secret", **environment},
        detach=True,
    )


@pytest.fixture(scope="module")
def lesson(shared_vm: Shared) -> Lab:
    """The open vault, a volume on it, and a database in that, which each test finds there."""
    lab = Lab(NAME, shared_vm.pristine())
    shell(lab, "mkdir -p /srv/storage\n" + LESSON.cell("cryptsetup luksFormat").partition("%%docker\n")[2])
    shell(lab, "docker volume create --opt type=ext4 --opt device=/dev/mapper/vault vault")
    ledger(lab, Mount(DATA, "vault"), **BELOW)
    assert "accepting connections" in said_in(lab, f"{READY}; pg_isready")
    made = lab.docker.containers.get("ledger")
    made.stop()
    made.remove(v=True)
    return lab


def copy(lab: Lab, volume: str, then: str = "true", *more: str) -> None:
    """Another volume with the same database, which is quicker than to make one."""
    mounts = " ".join(f"--mount source={name},target=/{name}" for name in {"vault", volume, *more})
    shell(
        lab,
        f"docker run --rm --network none {mounts} dockernb/toolbox "
        f"sh -c 'mkdir -p /{volume}/copy && cp -a /vault/pgdata/. /{volume}/copy && {then}'",
    )


@pytest.fixture
def lab(lesson: Lab) -> Iterator[Lab]:
    yield lesson
    for container in lesson.docker.containers.list(all=True, filters={"name": "^/ledger$"}):
        container.remove(force=True, v=True)


def right(result: Result) -> None:
    assert result.passed, [finding.problem for finding in result.findings if finding.problem]


def wrong(result: Result, claim: str, sentence: str) -> None:
    """This is the first thing that is wrong."""
    assert sentence in result.sentence, str(result)
    assert next(f.claim for f in result.findings if f.problem) == claim


def test_nothing_done(lab: Lab) -> None:
    wrong(encrypted_at_rest(lab), "ledger runs", 'There is no container called "ledger" yet.')


def test_a_disk_is_not_empty(lab: Lab) -> None:
    ledger(lab, Mount(DATA, "vault"))
    lab.docker.containers.get("ledger").wait(timeout=30)
    wrong(encrypted_at_rest(lab), "ledger runs", '"ledger" is there, but it is exited')


def test_the_solution_and_a_key_beside_it(lab: Lab) -> None:
    exec(encrypted_at_rest.solution, {"lab": lab, "Mount": Mount})
    right(encrypted_at_rest(lab))
    tables = said_in(lab, "psql -U postgres -c '\\dt'")
    assert "Did not find any" in tables, "the check leaves nothing behind"
    shell(lab, "cp /run/vault.key /srv/storage/key.txt")
    wrong(encrypted_at_rest(lab), KEY, "/srv/storage/key.txt opens /srv/storage/vault.img: whoever takes")
    shell(lab, "rm /srv/storage/key.txt")


def test_the_solution_is_the_one_of_the_notebook() -> None:
    assert LESSON.folds(encrypted_at_rest.solution)


def test_a_directory_of_the_vault_by_a_bind_mount(lab: Lab) -> None:
    shell(lab, "mkdir -p /mnt/vault && mount /dev/mapper/vault /mnt/vault")
    try:
        ledger(lab, Mount(DATA, "/mnt/vault/pgdata", type="bind"))
        right(encrypted_at_rest(lab))
    finally:
        lab.docker.containers.get("ledger").remove(force=True, v=True)
        shell(lab, "umount /mnt/vault")


def test_a_volume_without_a_name(lab: Lab) -> None:
    driver = DriverConfig("local", {"type": "ext4", "device": "/dev/mapper/vault"})
    ledger(lab, Mount(DATA, None, type="volume", driver_config=driver), **BELOW)
    wrong(encrypted_at_rest(lab), SURVIVES, "is in no volume that has a name")


def test_another_volume(lab: Lab) -> None:
    copy(lab, "plain")
    ledger(lab, Mount("/vault", "vault"), Mount(DATA, "plain"), PGDATA=f"{DATA}/copy")
    wrong(encrypted_at_rest(lab), ENCRYPTED, f"{DATA}/copy of ledger, where data is kept, lies on /dev/")


def test_the_log_is_elsewhere(lab: Lab) -> None:
    # What POSTGRES_INITDB_WALDIR makes of it.
    copy(lab, "vault", "mv /vault/copy/pg_wal /log/wal && ln -s /log/wal /vault/copy/pg_wal", "log")
    ledger(lab, Mount(DATA, "vault"), Mount("/log", "log"), PGDATA=f"{DATA}/copy")
    said = "/log/wal of ledger, where the write-ahead log is kept, lies on /dev/"
    wrong(encrypted_at_rest(lab), ENCRYPTED, said)


def test_in_memory(lab: Lab) -> None:
    ledger(lab, Mount(DATA, None, type="tmpfs", tmpfs_size="128m"))
    wrong(encrypted_at_rest(lab), ENCRYPTED, "lies in memory (tmpfs): it is never at rest")


def test_a_cipher_that_encrypts_nothing(lab: Lab) -> None:
    shell(
        lab,
        "cd /srv/storage; truncate --size 160M null.img; device=$(losetup --find --show null.img)\n"
        "head -c 16 /dev/zero | cryptsetup open --type plain --cipher cipher_null-ecb --hash plain --key-size 128 "
        "--key-file - --keyfile-size 16 $device null\n"
        "mkfs.ext4 -q /dev/mapper/null\n"
        "docker volume create --opt type=ext4 --opt device=/dev/mapper/null null",
    )
    copy(lab, "null")
    ledger(lab, Mount(DATA, "null"), PGDATA=f"{DATA}/copy")
    wrong(encrypted_at_rest(lab), UNREADABLE, "What ledger wrote can be read in /srv/storage/null.img")


def test_no_database(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson16, "PATIENCE", 1)
    ledger(lab, Mount(DATA, "vault"), image="dockernb/toolbox")
    wrong(encrypted_at_rest(lab), "PostgreSQL answers in it", "ledger is made from dockernb/toolbox")


def test_pgbench_sees_what_a_commit_waits_for(lab: Lab) -> None:
    ledger(lab, Mount(DATA, "vault"), **BELOW)
    said_in(lab, f"{READY}; psql -U postgres -c 'CREATE TABLE IF NOT EXISTS orders (item text)'")
    kinds: dict[str, Any] = {"on": "on", "off": "off"}
    order = "INSERT INTO orders VALUES ('tea')"
    arrangements = {name: measure.Pgbench("ledger", order, kind) for name, kind in kinds.items()}
    frame = measure.compare(lab, arrangements, runs=2, omit=0)
    assert list(frame["error"]) == [""] * 4
    assert (frame["transactions_per_s"] > 1).all()
    assert (frame["latency_p99_ms"] >= frame["latency_p50_ms"]).all()
    done = int(said_in(lab, "psql -U postgres -qtAc 'SELECT count(*) FROM orders'"))
    assert done == pytest.approx(frame["transactions"].sum(), abs=4)
    assert frame.attrs["pgbench"].startswith("17.")
    broken = measure.compare(lab, {"x": measure.Pgbench("ledger", "SELECT nothing")}, runs=1, omit=0)
    assert 'column "nothing" does not exist' in str(broken.loc[0, "error"])
