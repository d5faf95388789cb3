"""The exercise of lesson 10: a database on a disk of its own that outlives its container."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.course.storage import read, run_in
from dockernb.model import Mount

NAME, VOLUME = "store", "records"
# The name and user of the database are the learner's own business.
_ASK = (
    "until pg_isready -q; do sleep 0.2; done; "
    'psql -qtA -U "${POSTGRES_USER:-postgres}" -d "${POSTGRES_DB:-${POSTGRES_USER:-postgres}}" -c "$0"'
)
_PATIENCE = 30  # seconds in which a database that has just been started may begin to answer


@dataclass(frozen=True, slots=True)
class _Mounted:
    """A line of the kernel's mount table (proc_pid_mountinfo(5))."""

    root: str  # which directory of the file system: "/" for all of it
    options: tuple[str, ...]
    kind: str


def _running(sight: Sight) -> str:
    """As `runs`, with a word about the log: that is where PostgreSQL says what it does not like."""
    found = sight.container(NAME)
    if found is not None and found.state == "exited":
        return f'"{NAME}" has ended with exit code {found.exit_code}: docker logs {NAME} tells why.'
    if found is not None and found.state == "created":
        return f'"{NAME}" was never started: docker start {NAME} tells why not.'
    return runs(NAME).test(sight)


def _sql(sight: Sight, question: str) -> tuple[bool, str]:
    """Whether the database answered, and what it said."""
    code, said = run_in(
        sight, NAME, "timeout", str(_PATIENCE), "sh", "-c", _ASK, question, limit=_PATIENCE + 10
    )
    return code == 0, said


@lru_cache(maxsize=1)
def _directory(sight: Sight) -> str:
    """Where the database really writes; empty if it does not answer."""
    there, said = _sql(sight, "SHOW data_directory")
    return said if there else ""


def _mount(sight: Sight) -> Mount | None:
    """What is mounted where the database writes."""
    found = sight.container(NAME)
    directory = _directory(sight) + "/"
    holding = [m for m in (found.mounts if found else ()) if directory.startswith(m.target.rstrip("/") + "/")]
    return max(holding, key=lambda mount: len(mount.target), default=None)


def _answers(sight: Sight) -> str:
    return "" if _directory(sight) else f"The database in {NAME} does not answer: look at docker logs {NAME}."


def _on_the_volume(sight: Sight) -> str:
    mount, directory = _mount(sight), _directory(sight)
    if mount is None:
        return f"The database writes to {directory}, which goes with the container: nothing is mounted there."
    if (mount.kind, mount.source) == ("volume", VOLUME):
        return ""
    instead = "an anonymous volume" if mount.anonymous else f"{mount.source or mount.kind}"
    return f"The database writes to {directory}, which is on {instead} and not on the volume {VOLUME}."


@lru_cache(maxsize=1)
def _mounted(sight: Sight) -> _Mounted:
    """The kernel's word on that mount."""
    mount = _mount(sight)
    assert mount is not None  # the conditions before hold
    table = read(sight, NAME, "/proc/1/mountinfo") or ""
    rows = [line.split() for line in table.splitlines()]
    row = next(row for row in reversed(rows) if row[4] == mount.target)
    return _Mounted(row[3], tuple(row[5].split(",")), row[row.index("-") + 1])


def _own_disk(sight: Sight) -> str:
    mounted = _mounted(sight)
    if mounted.root != "/":
        return f"{VOLUME} is a directory of the Docker host's own file system: it needs a disk, device=... ."
    if mounted.kind != "ext4":
        return f"The file system on {VOLUME} is {mounted.kind}, and ext4 is wanted."
    return ""


def _noatime(sight: Sight) -> str:
    options = _mounted(sight).options
    if "noatime" in options:
        return ""
    return (
        f"{VOLUME} is mounted {','.join(options)}, without noatime. Options of a volume cannot be changed: "
        "remove the container and the volume (the disk keeps its content), and make them anew."
    )


def _has_orders(sight: Sight) -> str:
    there, said = _sql(sight, "SELECT count(*) FROM orders")
    if not there:
        return f"The database has no table orders: {said.splitlines()[0] if said else 'it does not answer'}"
    return "" if int(said) else "The table orders is empty: INSERT INTO orders VALUES (...)."


def _outlived(sight: Sight) -> str:
    """PG_VERSION is written when a database is made, and never again; and the image's log says that one was made.

    The clock alone is not enough: that of a virtual machine may be set back between the two.
    """
    there, said = _sql(sight, "SELECT extract(epoch FROM (pg_stat_file('PG_VERSION')).modification)")
    if not there:
        return f"The database in {NAME} does not say how old it is: {said}"
    asked = sight.lab.host.run(["docker", "inspect", "--format", "{{.Created}}", NAME])
    created = datetime.fromisoformat(asked.stdout.decode().strip()).timestamp()
    log = sight.lab.host.run(["docker", "logs", NAME])
    if float(said) < created and b"The database is made" not in log.stdout + log.stderr:
        return ""
    return (
        f"This {NAME} made the database itself, so nothing has been outlived yet: "
        f"remove the container (docker rm -f {NAME}) and start it again with the same volume."
    )


store = check(
    "A database on a disk of its own",
    Condition(f"{NAME} runs", _running, first=True),
    Condition("its database answers", _answers, first=True),
    Condition(f"the database writes to the volume {VOLUME}", _on_the_volume, first=True),
    Condition(f"{VOLUME} is ext4 on a disk of its own", _own_disk, first=True),
    Condition(f"{VOLUME} is mounted with noatime", _noatime),
    Condition("there is a table orders with an order in it", _has_orders),
    Condition("the database is older than its container", _outlived),
    hints=[
        "Step 5 has the disk, step 6 the database. Only the names differ, and the disk needs a file of its own.",
        "The four lines of the disk: truncate, mkfs.ext4, losetup, ln. Then docker volume create with type=ext4, "
        "o=noatime and device=/dev/disk/by-label/records.",
        "A new disk holds lost+found: set PGDATA to a directory below the mount point. Insert an order, docker rm "
        "-f store, and run the very same docker run once more.",
    ],
    solution="""
%%docker
cd /srv/disks
truncate --size 128M records.img
mkfs.ext4 -q -L records records.img
ln -sf $(losetup --find --show records.img) /dev/disk/by-label/records
docker volume create --opt type=ext4 --opt o=noatime --opt device=/dev/disk/by-label/records records

start() {
    docker run --detach --name store --env POSTGRES_PASSWORD=secret --env PGDATA=/var/lib/postgresql/data/pgdata \\
        --mount source=records,target=/var/lib/postgresql/data dockernb/postgres
    docker exec store timeout 60 sh -c 'until pg_isready -q; do sleep 0.2; done'
}
start
docker exec store psql -U postgres -c 'CREATE TABLE orders (id int)' -c 'INSERT INTO orders VALUES (1)'
docker rm --force store
start
""",
)
"""Run `store` on a volume `records`, ext4 with noatime on a loop device, with a database that an earlier one made."""
