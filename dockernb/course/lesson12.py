"""The exercise of lesson 12: a store for logs with a limit, which one container fills and another only reads."""

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.course.storage import mounts, run_in

VOLUME, TARGET = "logs", "/logs"
DRIVER = "depot"
LIMIT_MB, LEAST_MB, WRITTEN_MB = 32, 16, 48  # what is allowed, what must fit, what is written to see
_FILE = f"{TARGET}/.written-by-the-check"
_MIB = 1 << 20


def _made_by_the_driver(sight: Sight) -> str:
    found = next((volume for volume in sight.state.volumes if volume.name == VOLUME), None)
    if found is None:
        return f'There is no volume called "{VOLUME}" yet.'
    if found.driver.removesuffix(":latest") != DRIVER:
        return (
            f"{VOLUME} is a volume of the driver {found.driver}, which sets no limit: remove it, and make it with "
            f"the driver {DRIVER}."
        )
    return ""


def _producer_writes(sight: Sight) -> str:
    code, said = run_in(sight, "producer", "sh", "-c", f"echo seen > {_FILE}")
    return f"producer cannot write at {TARGET}: {said}." if code else ""


def _viewer_sees(sight: Sight) -> str:
    """What the condition before has written."""
    code, said = run_in(sight, "viewer", "cat", _FILE)
    return f"viewer does not see what producer writes: {said}." if code or said != "seen" else ""


def _viewer_only_reads(sight: Sight) -> str:
    code, _said = run_in(sight, "viewer", "touch", f"{_FILE}-2")
    if code:
        return ""
    run_in(sight, "viewer", "rm", "-f", f"{_FILE}-2")
    return f"viewer can write at {TARGET}: mount {VOLUME} read-only there."


def _has_a_limit(sight: Sight) -> str:
    """Write until it stops, and clear it away again."""
    fill = f"head -c {WRITTEN_MB}M /dev/zero > {_FILE}; stat -c %s {_FILE}; rm -f {_FILE}"
    _code, said = run_in(sight, "producer", "sh", "-c", fill)
    sizes = [int(line) for line in said.splitlines() if line.isdigit()]
    if not sizes:
        return f"The check could not write at {TARGET} of producer: {said}."
    fitted = sizes[-1] // _MIB
    if fitted > LIMIT_MB:
        more = "and nothing stopped it" if fitted == WRITTEN_MB else "before it was stopped"
        return f"producer wrote {fitted} MB into {VOLUME}, {more}: its size is to be {LIMIT_MB}M."
    if fitted < LEAST_MB:
        return f"Only {fitted} MB fit into {VOLUME}: make it larger, or clear away what lies there."
    return ""


log_store = check(
    "A store for logs that stays within its limit",
    Condition(f"{VOLUME} is a volume of the driver {DRIVER}", _made_by_the_driver, first=True),
    runs("producer"),
    runs("viewer"),
    mounts("producer", TARGET, kind="volume", source=VOLUME),
    mounts("viewer", TARGET, kind="volume", source=VOLUME),
    Condition(f"producer writes at {TARGET}", _producer_writes, first=True),
    Condition("viewer sees it", _viewer_sees),
    Condition("viewer cannot write", _viewer_only_reads),
    Condition(f"producer cannot write more than {LIMIT_MB} MB", _has_a_limit),
    hints=[
        f"First the volume, with the driver {DRIVER} and its option size. Without --driver it is the driver local, "
        "and a volume keeps its driver: remove a wrong one with docker volume rm.",
        f"Both containers mount {VOLUME} at {TARGET}; for viewer the mount is read-only (readonly with --mount, "
        ":ro with -v, read_only=True in the SDK).",
    ],
    solution="""
lab.docker.volumes.create("logs", driver="depot", driver_opts={"size": "32M"})
for name, read_only in (("producer", False), ("viewer", True)):
    lab.docker.containers.run(
        "dockernb/toolbox",
        "sleep infinity",
        name=name,
        mounts=[Mount("/logs", "logs", read_only=read_only)],
        detach=True,
    )
""",
)
"""A volume logs of the driver depot, 32M at most; producer writes into it at /logs, and viewer only reads there."""
