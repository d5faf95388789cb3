"""The exercise of lesson 13: a backup job that passes the drill, which this check makes by itself."""

import functools
import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.course.storage import run_in
from dockernb.model import Container
from dockernb.model.entities import Mount

VOLUME = "nightly-backups"
PASSWORDS = ("secure-password", "nobody-knows", "somebody-knows")  # all that the lesson has used
PATIENCE = 60.0  # seconds for the job's next two backups
DAY = 86_400  # seconds

# Each table with its rows and a checksum over them in a fixed order, as the lesson's rows.sql.
_ROWS = r"""
SELECT format('SELECT %1$L, count(*), md5(string_agg(t::text, E''\n'' ORDER BY t::text COLLATE "C")) FROM %1$s AS t',
              oid::regclass)
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname
\gexec
"""

# Run by the agent: put two old files beside the backups, and watch what becomes of the directory. The kernel tells of
# each file that is made, written and renamed there (inotify(7)), so nothing between two looks is missed.
_WATCH = r"""
import ctypes, fnmatch, os, select, struct, time

MODIFY, CLOSE_WRITE, MOVED_TO, CREATE = 0x2, 0x8, 0x80, 0x100

def main(argument):
    directory, pattern, wanted, old, limit = argument
    os.chdir(directory)
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.inotify_init1(os.O_CLOEXEC)
    if handle < 0 or libc.inotify_add_watch(handle, b".", MODIFY | CLOSE_WRITE | MOVED_TO | CREATE) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for name, seconds in old.items():
        with open(".planted", "wb") as file:
            file.write(b"an old backup")
        os.utime(".planted", (seconds, seconds))
        os.rename(".planted", name)
    begun, came, in_place = set(old), [], []
    deadline = time.monotonic() + limit
    while len(came) < wanted and (left := deadline - time.monotonic()) > 0:
        if not select.select([handle], [], [], left)[0]:
            break
        events = os.read(handle, 1 << 16)
        while events:
            _, mask, _, length = struct.unpack_from("iIII", events)
            name, events = os.fsdecode(events[16 : 16 + length].rstrip(b"\0")), events[16 + length :]
            if not fnmatch.fnmatchcase(name, pattern) or name in old:
                continue
            if mask & CREATE:
                begun.add(name)
            elif mask & MODIFY and name not in in_place:
                in_place.append(name)
            elif mask & MOVED_TO or (mask & CLOSE_WRITE and name in begun):
                came.append(name)
    left = [name for name in old if os.path.exists(name)]
    for name in left:
        os.unlink(name)
    sizes = [os.path.getsize(name) if os.path.exists(name) else 0 for name in came]
    os.close(handle)
    return came, in_place, sizes, left
"""


@dataclass(frozen=True, slots=True)
class _Night:
    """What the job did while it was watched.

    Attributes:
        came: Names of the new backups, in order.
        in_place: Of these, those that were written under their final name.
        sizes: Their sizes in bytes.
        old_left: Whether the file of eight days ago is still there.
        young_left: Whether the file of six days ago is.
        restored: Why the last one could not be restored, or an empty string.
        backup: Its tables, each with rows and checksum.
        production: The same of production at that time.
    """

    came: list[str]
    in_place: list[str]
    sizes: list[int]
    old_left: bool
    young_left: bool
    restored: str
    backup: dict[str, tuple[int, str]]
    production: dict[str, tuple[int, str]]


def _nightly(sight: Sight) -> Container:
    found = sight.container("nightly")
    assert found is not None  # nothing else is looked at while the first conditions fail
    return found


def _mount(sight: Sight) -> Mount | None:
    return next((mount for mount in _nightly(sight).mounts if mount.source == VOLUME), None)


def _writes(sight: Sight) -> str:
    """The volume is mounted, wherever the job likes to have it, and may be written."""
    mount = _mount(sight)
    if mount is None:
        there = ", ".join(mount.source for mount in _nightly(sight).mounts if mount.source) or "nothing"
        return f"nightly does not have the volume {VOLUME} mounted; it has {there}."
    return f"nightly may not write into {VOLUME}: it is mounted read-only." if mount.read_only else ""


def _hides_the_password(sight: Sight) -> str:
    """What everybody sees who may call `docker inspect`."""
    done = sight.lab.host.run(["docker", "inspect", "nightly"])
    config: dict[str, Any] = json.loads(done.stdout)[0]["Config"]
    for place in ("Env", "Cmd", "Entrypoint"):
        shown = " ".join(config.get(place) or ())
        if any(password in shown for password in PASSWORDS):
            return f"docker inspect nightly shows the password in {place}: put it into a file that PGPASSFILE names."
    return ""


@contextmanager
def _held(sight: Sight) -> Iterator[None]:
    """The shop stands still, so that production is the same before and after."""
    sight.lab.host.run(["docker", "pause", "shop"])
    try:
        yield
    finally:
        sight.lab.host.run(["docker", "unpause", "shop"])


@functools.lru_cache(maxsize=1)
def _night(sight: Sight) -> _Night:
    """Watch two turns of the job and restore the second one's backup. One observation for all conditions.

    Of two backups the second was begun after the first had come, so after the shop was held: it has to have all rows.
    """
    directory = sight.lab.host.run(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", VOLUME])
    path = directory.stdout.decode().strip()
    now = float(sight.lab.host.run(["date", "+%s"]).stdout)
    old, young = (
        f"backup-{time.strftime('%Y%m%d', time.gmtime(now - days * DAY))}-030000.dump" for days in (8, 6)
    )
    planted = {old: now - 8 * DAY - 60, young: now - 6 * DAY}
    with _held(sight):
        watched = sight.lab.host.call(
            _WATCH, [path, "backup-*.dump", 2, planted, PATIENCE], timeout=PATIENCE + 30
        )
        came, in_place, sizes, left = watched
        restored, backup, production = "", {}, {}
        if len(came) == 2 and sizes[1]:
            restored = _restore(sight, f"{path}/{came[1]}")
            backup = _rows(sight, "drill", "postgres", "checked")
            production = _rows(sight, "production-db", "admin", "production")
    return _Night(
        came,
        [name for name in in_place if name in came],
        sizes,
        old in left,
        young in left,
        restored,
        backup,
        production,
    )


def _restore(sight: Sight, file: str) -> str:
    """Restore a file into a fresh database of the drill's server; return its complaint."""
    run_in(sight, "drill", "dropdb", "--if-exists", "--username=postgres", "checked")
    run_in(sight, "drill", "createdb", "--username=postgres", "checked")
    tool = "docker exec -i drill pg_restore --exit-on-error --no-owner --no-privileges -U postgres --dbname=checked"
    done = sight.lab.host.run(["bash", "-c", f"{tool} < {shlex.quote(file)}"])
    return done.stderr.decode(errors="replace").strip().partition("\n")[0] if done.returncode else ""


def _rows(sight: Sight, container: str, user: str, database: str) -> dict[str, tuple[int, str]]:
    """Each table of a database, with the number of its rows and their checksum."""
    tool = [
        "psql",
        "-XqAt",
        "-v",
        "ON_ERROR_STOP=1",
        f"--username={user}",
        f"--dbname={database}",
        "--file=-",
    ]
    done = sight.lab.host.run(["docker", "exec", "-i", container, *tool], input=_ROWS.encode())
    lines = (line.split("|") for line in done.stdout.decode().splitlines())
    return {name: (int(rows), checksum) for name, rows, checksum in lines}


def _comes(sight: Sight) -> str:
    """Two backups in a minute, none of them empty."""
    night = _night(sight)
    if len(night.came) < 2:
        number = "no backup-*.dump" if not night.came else "only one backup-*.dump"
        return f"In {PATIENCE:.0f} s there came {number} into {VOLUME}. {_last_words(sight)}"
    empty = next((name for name, size in zip(night.came, night.sizes, strict=True) if not size), None)
    return f"{empty} is empty. {_last_words(sight)}" if empty else ""


def _last_words(sight: Sight) -> str:
    """The end of the job's log."""
    said = sight.lab.host.run(["docker", "logs", "--tail", "5", "nightly"])
    told = (said.stderr + said.stdout).decode(errors="replace")
    lines = [line for line in told.splitlines() if line.strip()]
    complaints = [line for line in lines if "rror" in line or "FATAL" in line] or lines
    return f"Its log says: {complaints[-1].strip()}" if complaints else "Its log says nothing."


def _whole_from_the_start(sight: Sight) -> str:
    """Under its final name no file is written."""
    in_place = _night(sight).in_place
    if not in_place:
        return ""
    return (
        f"{in_place[0]} had its name before it had its content, and who looked meanwhile found a part of a backup. "
        "Write it under another name in the same volume, then rename it."
    )


def _restores(sight: Sight) -> str:
    """The pass mark."""
    night = _night(sight)
    name = night.came[-1]
    if night.restored:
        return f"{name} cannot be restored: {night.restored}"
    for table, (rows, checksum) in night.production.items():
        if table not in night.backup:
            return f"{name} can be restored, and there is no table {table} in it: which database does nightly dump?"
        found, seen = night.backup[table]
        if found != rows:
            return f"The table {table} has {found} rows when {name} is restored, and production had {rows}."
        if seen != checksum:
            return f"The table {table} has other rows when {name} is restored than production had."
    return "" if night.production else "production-db has no tables: run the lesson from its first cell."


def _rotates(sight: Sight) -> str:
    """Of two old files that the check put there, one has to go."""
    night = _night(sight)
    if not night.young_left:
        return "A backup of six days ago was there, and nightly has removed it: keep seven days."
    if night.old_left:
        return "A backup of eight days ago was there, and nightly has kept it: it goes on until the disk is full."
    return ""


nightly = check(
    "A backup that restores",
    *(runs(name) for name in ("production-db", "shop", "drill", "nightly")),
    Condition(f"nightly may write into {VOLUME}", _writes, first=True),
    Condition("docker inspect nightly shows no password", _hides_the_password),
    Condition("a backup comes every few seconds", _comes, first=True),
    Condition("restored, it has every row of production", _restores),
    Condition("a file with a backup's name is whole at every moment", _whole_from_the_start),
    Condition("backups are kept for seven days, and no longer", _rotates),
    hints=[
        "Begin with what pg_dump needs to get in: which database, as whom, and where is the password? The container "
        "db-backup of step 3 has it all in its environment (client) and in its mounts.",
        "The shell opens the file behind > before pg_dump starts. Let pg_dump write to another name in /backups (with "
        "--file), and rename it with mv.",
        "Tie the steps together by &&: dump, rename, rotation. What fails ends the turn, and nothing is renamed or "
        "removed.",
    ],
    solution="""
job = \"\"\"
while true; do
    pg_dump --no-password --format=custom --file=/backups/.new &&
        mv /backups/.new /backups/backup-$(date -u +%Y%m%d-%H%M%S).dump &&
        find /backups -name 'backup-*' -mtime +7 -delete
    sleep 2
done
\"\"\"
lab.docker.containers.run(
    "dockernb/toolbox",
    ["sh", "-c", job],
    name="nightly",
    network="db-net",
    environment=client,
    mounts=[Mount("/backups", "nightly-backups"), script("secrets/backup", "/run/secrets/backup")],
    detach=True,
)
""",
)
"""Run a container nightly whose backups of production restore, arrive whole, and are kept for seven days."""
