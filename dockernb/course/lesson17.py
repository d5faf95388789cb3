"""The capstone, lesson 17: five checks of a system that its builder hands over as a program.

The last two do not only look. They destroy what the lesson made, and call the builder's own functions to get it back.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from typing import Any

from docker.errors import ContainerError

from dockernb.course.checks import Check, Condition, Sight, check, reaches, runs
from dockernb.course.kernel import ip
from dockernb.course.storage import mounts
from dockernb.errors import CourseError, DockernbError
from dockernb.probe import Outcome
from dockernb.session import Answer, fetch
from dockernb.session.lab import remove_containers, remove_networks
from dockernb.waiting import until

TIERS = ("web", "api", "db")
PORT, DATA, BACKUPS = 8080, "notes-data", "notes-backups"
PATIENCE = 60.0  # seconds in which the system has to answer again
OUTSIDE = "192.0.2.1"  # an address that nobody has (RFC 5737); the kernel is only asked for the way to it

# A setting whose name says password, or a URL with one in it; what the shell puts in later ($…) is not to be seen.
_SHOWN = re.compile(r"(?i)pass(word|wd)?=[^\s$/]|://[^/\s:@]*:[^@\s$][^@\s]*@")

Step = Callable[[], object]
"""A function of the learner's."""


# ---------------------------------------------------------------- who reaches whom


def _page(sight: Sight) -> str:
    """The way through all tiers."""
    try:
        answer = fetch(sight.lab, PORT, "/api/health", wait=PATIENCE / 2)
    except DockernbError as problem:
        return f"The page does not answer on port {PORT} of the Docker host: {problem}"
    return "" if answer.status == 200 else f"The page says {answer.status}: {_error(answer)}."


def _error(answer: Answer) -> str:
    """What web and api say of an error."""
    try:
        return str(json.loads(answer.text)["error"])
    except (ValueError, TypeError, KeyError):
        return answer.text.strip()


def _no_way_to_the_database(sight: Sight) -> str:
    for verdict in sight.ways("web", "db", 5432):
        if verdict.outcome is Outcome.REACHABLE:
            way = {"address": f"its address {verdict.asked}", "published": "a port of the Docker host"}
            return f"web reaches db by {way.get(verdict.how, f'the name {verdict.asked}')}."
    return ""


def _published(sight: Sight) -> str:
    """The whole of what the world sees."""
    for container in sight.state.containers:
        for port in container.published:
            if (container.name, port.host_port) != ("web", PORT):
                return f"{container.name} publishes port {port.host_port} of the Docker host, where anybody may knock."
    return ""


def _no_way_out(sight: Sight) -> str:
    for name in ("api", "db"):
        container = sight.container(name)
        assert container  # it runs
        for route in ip(sight.lab.host, "route", "get", OUTSIDE, pid=container.pid):
            by = next(
                (e.network for e in container.endpoints if e.gateway == route.get("gateway")), "the host"
            )
            return f"{name} has a way to the outside, by its network {by}: an internal network has none."
    return ""


ways = check(
    "1. Who reaches whom",
    *map(runs, TIERS),
    Condition(f"the page on port {PORT} answers, through all three tiers", _page),
    reaches("web", "api", 3000),
    reaches("api", "db", 5432),
    Condition("web reaches db in no way", _no_way_to_the_database, lambda _state: [("web", "db", 5432)]),
    Condition(f"nothing is published but port {PORT}", _published),
    Condition("api and db have no way to the outside", _no_way_out),
    hints=[
        "Who may meet whom decides how many networks there are: one for each pair that may, and one to publish on.",
        "A port of an internal network is not published. So web needs a network of its own that is not internal, and "
        "neither api nor db may be on that one.",
        "Three networks: front for web, middle (internal) for web and api, inner (internal) for api and db. Create, "
        "connect, start.",
    ],
)
"""The networks let through what is needed, and nothing else."""


# ---------------------------------------------------------------- data and secrets


def _hidden(sight: Sight) -> str:
    """What everybody sees who may call `docker inspect`."""
    for name in TIERS:
        config = _config(sight, "container", name)
        image = _config(sight, "image", config["Image"])
        for place in ("Env", "Cmd", "Entrypoint"):
            for text in config.get(place) or ():
                if _SHOWN.search(text) and text not in (image.get(place) or ()):
                    setting = text.partition("=")[0] if place == "Env" else place
                    return f"docker inspect {name} shows a password, in {setting}: put it into a file that is mounted."
    return ""


def _config(sight: Sight, kind: str, name: str) -> dict[str, Any]:
    """What `docker inspect` shows of how a container, or an image, is to run."""
    done = sight.lab.host.run(["docker", kind, "inspect", name])
    config: dict[str, Any] = json.loads(done.stdout)[0]["Config"]
    return config


def _asks_for_the_password(sight: Sight) -> str:
    """Whether PostgreSQL lets api in without one: asked from api's network with the lab host's own psql."""
    api, db = sight.container("api"), sight.container("db")
    assert api and db  # they run
    shared = {endpoint.network for endpoint in api.endpoints}
    address = next((endpoint.address for endpoint in db.endpoints if endpoint.network in shared), "")
    if not address:
        return "api and db share no network."
    enter = ["nsenter", f"--net=/proc/{api.pid}/ns/net", "env", "PGPASSFILE=/dev/null", "PGCONNECT_TIMEOUT=5"]
    ask = ["psql", "-Xqt", "--no-password", "--username=notes", "--dbname=notes", "--command=SELECT 1"]
    done = sight.lab.host.run([*enter, *ask, f"--host={address}"])
    code, said = done.returncode, (done.stdout + done.stderr).decode(errors="replace").strip()
    if code == 0:
        return "db lets everybody in without a password: that was POSTGRES_HOST_AUTH_METHOD."
    if "no password supplied" in said:
        return ""
    return f"Whether db asks for a password cannot be told: {said.splitlines()[-1] if said else 'psql said nothing'}"


kept = check(
    "2. Data and secrets",
    *map(runs, TIERS),
    mounts("db", "/var/lib/postgresql/data", kind="volume", source=DATA, read_only=False),
    Condition("docker inspect shows no password", _hidden),
    Condition("db asks for a password", _asks_for_the_password),
    hints=[
        "Lesson 13 has it all: where the data are, and which setting takes the name of a file instead of the password.",
        "For db: POSTGRES_PASSWORD_FILE. The server runs as user 999, who must be able to read the file. For api: a "
        "DATABASE_URL without a password, and PGPASSFILE.",
        "A line of PGPASSFILE is db:5432:notes:notes:the-password. The file must be of mode 600, or it is ignored, and "
        "belong to root, as whom api runs.",
    ],
)
"""The notes lie in a volume that has a name, and the password in a file."""


# ---------------------------------------------------------------- crash

# Run by the agent on the Docker host: what a crash does to a container. (After `docker kill` Docker believes that
# somebody wanted it so, and restarts nothing.)
_CRASH = """
import os, signal

def main(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
"""


def _comes_back(sight: Sight) -> str:
    """Kill the main process of every tier, and look who starts again by itself."""
    if problem := _page(sight):  # a database that is killed while it is being made stays half-made
        return problem
    before = {name: container.pid for name in TIERS if (container := sight.container(name))}
    sight.lab.host.call(_CRASH, list(before.values()))

    def look() -> tuple[list[str], list[str]]:
        now = {name: _state(sight, name) for name in TIERS}
        # Docker goes from "running" to "restarting" where a policy says so: who is "exited" stays so.
        down = [name for name, (state, _) in now.items() if state in {"exited", "dead"}]
        back = [name for name, (state, pid) in now.items() if state == "running" and pid != before[name]]
        return down, back

    down, back = until(look, PATIENCE, lambda seen: len(seen[0]) + len(seen[1]) == len(TIERS))
    if len(back) == len(TIERS):
        return _page(sight)
    if not down:
        late = ", ".join(name for name in TIERS if name not in back)
        return f"{late} did not run again within {PATIENCE:.0f} s of a crash: docker logs tells why."
    sight.lab.host.run(["docker", "start", *down], timeout=PATIENCE)  # as it was before
    return f"{', '.join(down)} stayed down after a crash, until this check did what a restart policy does."


def _state(sight: Sight, name: str) -> tuple[str, int]:
    """State and first process of a container, now."""
    done = sight.lab.host.run(["docker", "inspect", "--format", "{{.State.Status}} {{.State.Pid}}", name])
    state, _, pid = done.stdout.decode().strip().partition(" ")
    return state, int(pid or 0)


crash = check(
    "3. A crash",
    *map(runs, TIERS),
    Condition("after a crash of all three the page answers again, by itself", _comes_back),
    hints=[
        "Ask docker run --help for restart.",
        'The SDK calls it restart_policy={"Name": "unless-stopped"}; it belongs to each of the three.',
    ],
)
"""The main process of every container is killed at once, and nobody helps."""


# ---------------------------------------------------------------- fire and disaster


def _write(sight: Sight) -> str:
    """Write a note that nobody has seen before, and return its text."""
    text = f"written before the drill, {secrets.token_hex(8)}"
    answer = fetch(sight.lab, PORT, "/api/notes", method="POST", body={"text": text}, wait=PATIENCE)
    if answer.status != 201:
        raise CourseError(f"The system takes no note ({answer.status}): {_error(answer)}.")
    return text


def _reads(sight: Sight, text: str) -> bool:
    """Whether the note is there."""
    answer = fetch(sight.lab, PORT, "/api/notes", wait=PATIENCE)
    return answer.status == 200 and any(note["text"] == text for note in json.loads(answer.text))


def _burn(sight: Sight) -> None:
    """All containers and networks of the lesson go; volumes that have a name stay."""
    remove_containers(sight.lab.docker, sight.lab.labels)
    remove_networks(sight.lab.docker, sight.lab.labels)


def _drill(claim: str, work: Callable[[Sight], str]) -> Condition:
    """A condition whose work may end early with a sentence."""

    def test(sight: Sight) -> str:
        try:
            return work(sight)
        except CourseError as problem:
            return str(problem)

    return Condition(claim, test)


def _call(name: str, step: Step) -> None:
    """Call a function of the learner's; whatever it raises becomes one sentence."""
    try:
        step()
    except ContainerError as problem:
        said = problem.stderr or b""
        said = said if isinstance(said, str) else said.decode(errors="replace")
        told = said.strip().splitlines() or ["it says nothing"]
        sentence = (
            f"In {name}() a container ended with exit code {problem.exit_status}: {told[0].rstrip('.')}."
        )
        raise CourseError(sentence) from problem
    except Exception as problem:
        told = str(problem).strip().splitlines() or ["it says no more"]
        raise CourseError(
            f"{name}() ended with {type(problem).__name__}: {told[0].rstrip('.')}."
        ) from problem


def _works_after(sight: Sight, name: str, step: Step, *, before: str = "") -> str:
    """Call a function of the learner's; what is wrong with the system then, if anything is."""
    _call(name, step)
    problem = _page(sight)
    return f"After {before}{name}(): {_small(problem)}" if problem else ""


def fire(build: Step) -> Check:
    """The check that all containers are replaceable: they are removed, `build` is called, and the notes are there.

    Args:
        build: Makes networks and containers, on a lab host that has none of them.
    """

    def work(sight: Sight) -> str:
        note = _write(sight)
        _burn(sight)
        if problem := _works_after(sight, "build", build):
            return problem
        if _reads(sight, note):
            return ""
        return "build() made a system that works, and the note that was written before the fire is not in it."

    return check(
        "4. A fire",
        *map(runs, TIERS),
        _drill("all containers and networks removed, build() brings system and notes back", work),
        hints=[
            "What does a container take with it, and what does it leave?",
            f"The notes must be in the volume {DATA}, and build() must not mind that it is there already.",
        ],
    )


def disaster(build: Step, backup: Step, restore: Step) -> Check:
    """The check that there is a backup: `backup` is called, all but its volume is removed, and the notes come back.

    Nothing is removed before `backup` has left a volume notes-backups with something in it.

    Args:
        build: Makes networks and containers, on a lab host that has none of them.
        backup: Leaves everything that is needed in the volume notes-backups, while the system runs.
        restore: Brings the notes back, into a system that `build` has just made.
    """

    def work(sight: Sight) -> str:
        note = _write(sight)
        _call("backup", backup)
        if not _backed_up(sight):
            return f"After backup() there is nothing in a volume {BACKUPS}, so nothing was destroyed."
        _burn(sight)
        for volume in sight.lab.docker.volumes.list():
            if volume.name != BACKUPS and sight.lab.labels.items() <= (volume.attrs["Labels"] or {}).items():
                volume.remove(force=True)
        if problem := _works_after(sight, "build", build, before="the disaster and "):
            return problem
        if _reads(sight, note):
            return f"The notes have survived without restore(), so they are not in the volume {DATA} alone."
        if problem := _works_after(sight, "restore", restore):
            return problem
        if _reads(sight, note):
            return ""
        return "restore() has ended, and the note that was written before the backup is not there."

    return check(
        "5. A disaster",
        *map(runs, TIERS),
        _drill(f"backup(); all but {BACKUPS} removed; build(), restore(): the notes are there", work),
        hints=[
            "Ask the server for a dump, as in lesson 13; a copy of the files of a running database is none.",
            "The dump needs what api has: the network of db, PGPASSFILE and its file. A container of dockernb/toolbox "
            f"that mounts {BACKUPS} and goes when it has done its work is enough.",
            "When restore() is called, api has made an empty table notes already: pg_restore --clean --if-exists.",
        ],
    )


def _backed_up(sight: Sight) -> bool:
    """Whether there is anything in the volume of the backups."""
    done = sight.lab.host.run(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", BACKUPS])
    path = done.stdout.decode().strip()
    if done.returncode or not path:
        return False
    return bool(sight.lab.host.run(["find", path, "-type", "f", "-size", "+0"]).stdout.strip())


def _small(sentence: str) -> str:
    """A sentence that goes on after a colon."""
    return sentence[:1].lower() + sentence[1:]
