"""The exercise of lesson 16: a database whose files nobody can read who has only the disk."""

import secrets
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.course.storage import run_in
from dockernb.errors import ProbeError
from dockernb.labhost.features import features

NAME = "ledger"
PATIENCE = 60  # seconds that a database may take for its first start

# Run by the agent on the Docker host: what a container's paths lie on, down to the device that dm-crypt writes to.
_BELOW = r"""
from pathlib import Path

def main(argument):
    pid, paths = argument
    mounts = []
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        number, place = before.split()[2], before.split()[4]
        mounts.append([place.rstrip("/"), number, *after.split()[:2]])
    return [look(path, mounts) for path in paths]

def look(path, mounts):
    inside = [one for one in mounts if (path + "/").startswith(one[0] + "/")]
    longest = max(len(one[0]) for one in inside)
    place, number, kind, source = [one for one in inside if len(one[0]) == longest][-1]
    crypt = encrypted(Path("/sys/dev/block", number))
    disk = disk_of(crypt) if crypt else None
    return {"path": path, "kind": kind, "source": source, "disk": disk}

def encrypted(block):
    uuid = block / "dm/uuid"
    if uuid.exists() and uuid.read_text().startswith("CRYPT-"):
        return block.resolve()
    for below in (block / "slaves").glob("*"):
        if found := encrypted(below):
            return found
    return None

def disk_of(crypt):
    [below] = (crypt / "slaves").iterdir()
    backing = below / "loop/backing_file"
    return backing.read_text().strip() if backing.exists() else "/dev/" + below.name
"""

# Is this text on that disk? What a sparse file has no room for is not read.
_SEARCH = r"""
import os

def main(argument):
    path, text = argument
    text, step = text.encode(), 1 << 22
    os.sync()
    with open(path, "rb", buffering=0) as disk:
        size, at = disk.seek(0, os.SEEK_END), 0
        os.posix_fadvise(disk.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while at < size:
            try:
                at = disk.seek(at, os.SEEK_DATA)
            except OSError:  # only holes are left, or it is a device
                if not path.startswith("/dev/"):
                    break
                disk.seek(at)
            if text in disk.read(step + len(text)):
                return True
            at += step
    return False
"""

# Which file that would go with the disk opens it? Files of a file system in memory would not.
_KEYS = r"""
import os, subprocess

PLACES, SMALL, MANY = ("/srv", "/root", "/home"), 8192, 60

def main(disk):
    beside = [] if disk.startswith("/dev/") else [os.path.dirname(disk)]
    for path in files([*beside, *PLACES])[:MANY]:
        test = ["cryptsetup", "open", "--test-passphrase", "--batch-mode", "--key-file", path, disk]
        if subprocess.run(test, capture_output=True, timeout=30).returncode == 0:
            return path
    return ""

def files(places):
    found = []
    for place in places:
        for directory, below, names in os.walk(place):
            below[:] = [name for name in below if not os.path.ismount(os.path.join(directory, name))]
            paths = [os.path.join(directory, name) for name in names]
            found += [path for path in paths if os.path.isfile(path) and 0 < os.path.getsize(path) <= SMALL]
    return list(dict.fromkeys(found))
"""

_SQL = 'psql -U "${POSTGRES_USER:-postgres}" -v ON_ERROR_STOP=1 -qtAc "$0" "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}"'


def _can_encrypt(sight: Sight) -> str:
    if features(sight.lab.host)["dm_crypt"]:
        return ""
    return "The kernel of this lab host has no dm_crypt: do this exercise on a lab host of the provider vm."


def _answers(sight: Sight) -> str:
    wait = f'timeout {PATIENCE} sh -c "until pg_isready -q; do sleep 0.2; done"'
    code, _ = run_in(sight, NAME, "sh", "-c", wait, limit=PATIENCE + 15)
    if not code:
        return ""
    if (found := sight.container(NAME)) and "postgres" not in found.image:
        return f"{NAME} is made from {found.image}: a PostgreSQL is wanted, dockernb/postgres."
    return f"No PostgreSQL answers in {NAME}: look at `docker logs {NAME}`."


def _sql(sight: Sight, statement: str) -> str:
    code, said = run_in(sight, NAME, "sh", "-c", _SQL, statement)
    if code:
        raise ProbeError(f'{NAME} did not do "{statement}": {said}')
    return said


@lru_cache(maxsize=1)  # one look for the conditions of one check
def _places(sight: Sight) -> list[dict[str, Any]]:
    """What the database's files lie on: data, write-ahead log, and tablespaces elsewhere."""
    directory = _sql(sight, "SHOW data_directory")
    parts = f"readlink -f {directory} {directory}/pg_wal {directory}/pg_tblspc/* | sort -u"
    _, said = run_in(sight, NAME, "sh", "-c", parts)
    found = sight.container(NAME)
    assert found  # it runs
    paths = [line for line in said.splitlines() if line.startswith("/") and "*" not in line]
    looked: list[dict[str, Any]] = sight.lab.host.call(_BELOW, [found.pid, paths])
    return looked


def _is_encrypted(sight: Sight) -> str:
    for place in _places(sight):
        if place["disk"]:
            continue
        what = "the write-ahead log" if "wal" in PurePosixPath(place["path"]).name else "data"
        where = f"{place['path']} of {NAME}, where {what} is kept,"
        if place["kind"] == "tmpfs":
            return f"{where} lies in memory (tmpfs): it is never at rest, and gone when the container stops."
        if place["kind"].startswith("nfs"):
            return f"{where} lies on a server ({place['source']}): who has its disk reads it."
        return f"{where} lies on {place['source']} ({place['kind']}), and no dm-crypt is below it."
    return ""


def _nothing_to_read(sight: Sight) -> str:
    """Make the database write a text that is nowhere else, and look for it where dm-crypt writes."""
    text = f"nobody-reads-{secrets.token_hex(8)}"
    try:
        _sql(sight, f"CREATE TABLE dockernb_check AS SELECT '{text}'::text AS secret")
        _sql(sight, "CHECKPOINT")
        for disk in sorted({place["disk"] for place in _places(sight) if place["disk"]}):
            if sight.lab.host.call(_SEARCH, [disk, text], timeout=90.0):
                return f"What {NAME} wrote can be read in {disk}: the device in between encrypts nothing."
    finally:
        _sql(sight, "DROP TABLE IF EXISTS dockernb_check")
    return ""


def _key_is_elsewhere(sight: Sight) -> str:
    for disk in sorted({place["disk"] for place in _places(sight) if place["disk"]}):
        if key := sight.lab.host.call(_KEYS, disk, timeout=120.0):
            return f"{key} opens {disk}: whoever takes the disk takes the key along."
    return ""


def _survives(sight: Sight) -> str:
    """What is mounted by hand into a running container is not there in the next one."""
    found = sight.container(NAME)
    assert found  # it runs
    targets = [
        m.target for m in found.mounts if m.kind in ("volume", "bind") and m.source and not m.anonymous
    ]
    for place in _places(sight):
        if not any((place["path"] + "/").startswith(target.rstrip("/") + "/") for target in targets):
            return f"{place['path']} of {NAME} is in no volume that has a name: a new container would not find it."
    return ""


encrypted_at_rest = check(
    "A database that is encrypted at rest",
    Condition("this lab host can encrypt", _can_encrypt, first=True),
    runs(NAME),
    Condition("PostgreSQL answers in it", _answers, first=True),
    Condition("all its files lie above dm-crypt", _is_encrypted, first=True),
    Condition("in a volume that the next container finds", _survives),
    Condition("what it writes cannot be read on the disk below", _nothing_to_read),
    Condition("no file on the disk opens it", _key_is_elsewhere),
    hints=[
        "The volume vault is there: a container of dockernb/postgres, with vault where PostgreSQL keeps its data. "
        "It wants a password, too.",
        "Does it run? `docker logs ledger`: a new ext4 file system is not empty, it has lost+found.",
        "PGDATA names the directory for the data: one below the mount point. And vault.key belongs into /run, which is "
        "memory.",
    ],
    solution="""
lab.docker.containers.run(
    "dockernb/postgres",
    name="ledger",
    mounts=[Mount("/var/lib/postgresql/data", "vault")],
    environment={"POSTGRES_PASSWORD": "secret", "PGDATA": "/var/lib/postgresql/data/pgdata"},
    detach=True,
)
""",
)
"""Run a PostgreSQL called ledger with every file of it above dm-crypt, and the key not on the disk."""
