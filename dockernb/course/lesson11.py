"""The exercise of lesson 11: a container that can change nothing but its reports."""

import functools
import json
import secrets

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.course.storage import mounts, read, run_in
from dockernb.errors import ProbeError

NAME = "report"
ON_THE_HOST = "/srv/report/config"
CONFIGURATION, REPORTS, SCRATCH = "/etc/report/report.conf", "/var/reports", "/tmp"
FITS, TOO_MUCH = 4, 17  # MiB
ELSEWHERE = ("/", "/etc", "/home", "/root", "/run", "/srv", "/usr/local", "/var", "/var/cache", "/var/tmp")
FULL = "No space left on device"

# Run in the container by whoever it runs as. Says for each trial what went wrong, "" for nothing; leaves nothing.
_TRIALS = """
import json, os, subprocess, sys

configuration, reports, scratch, elsewhere, amounts = json.loads(sys.argv[1])

def tell(trial, *arguments):
    try:
        trial(*arguments)
    except OSError as problem:
        return os.strerror(problem.errno)
    return ""

def change(path):
    os.close(os.open(path, os.O_WRONLY))

def make(directory, content=(), start=False):
    path = f"{directory}/.check-{os.getpid()}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o700)
    try:
        for piece in content:
            while piece:
                piece = piece[os.write(handle, piece):]
        os.close(handle)
        if start:
            subprocess.run([path], timeout=10)
    finally:
        os.remove(path)

print(json.dumps({
    "configuration": tell(change, configuration),
    "reports": tell(make, reports),
    "start": tell(make, scratch, [b"#!/bin/sh\\n"], True),
    **{f"{count} MiB": tell(make, scratch, [bytes(1 << 20)] * count) for count in amounts},
    "elsewhere": [place for place in elsewhere if not tell(make, place)],
}))
"""


@functools.lru_cache(maxsize=1)
def _tried(sight: Sight) -> dict[str, str]:
    """What the container may do: one run for all conditions.

    Raises:
        ProbeError: The trials did not run to their end.
    """
    orders = json.dumps([CONFIGURATION, REPORTS, SCRATCH, ELSEWHERE, [FITS, TOO_MUCH]])
    code, said = run_in(sight, NAME, "python3", "-I", "-c", _TRIALS, orders)
    if code:
        reason = said.splitlines()[-1] if said else "killed, perhaps by a memory limit"
        raise ProbeError(f"what it tried in {NAME} ended with exit code {code} ({reason}).")
    told: dict[str, str] = json.loads(said)
    return told


def _has_configuration(sight: Sight) -> str:
    host = sight.lab.host.run(["cat", f"{ON_THE_HOST}/report.conf"])
    if host.returncode:
        return f"There is no {ON_THE_HOST}/report.conf on the Docker host: run the cell above that writes it."
    seen = read(sight, NAME, CONFIGURATION)
    if seen is None:
        return f"There is no {CONFIGURATION} in {NAME}."
    return "" if seen == host.stdout.decode() else f"{CONFIGURATION} is not what the Docker host has now."


def _sees_new_files(sight: Sight) -> str:
    """A file that replaces another is a new one: so a new one has to be seen."""
    name, word = f".check-{secrets.token_hex(4)}", secrets.token_hex(4)
    path = f"{ON_THE_HOST}/{name}"
    try:
        sight.lab.host.run(["tee", path], input=word.encode())
        seen = read(sight, NAME, f"{CONFIGURATION.rpartition('/')[0]}/{name}")
    finally:
        sight.lab.host.run(["rm", "-f", path])
    if seen == word:
        return ""
    return f"A new file in {ON_THE_HOST} is not seen in {NAME}, so a replaced one is not, either: mount the directory."


def _keeps_configuration(sight: Sight) -> str:
    return "" if _tried(sight)["configuration"] else f"{NAME} may write to {CONFIGURATION}."


def _writes_reports(sight: Sight) -> str:
    problem = _tried(sight)["reports"]
    return f"{NAME} cannot write in {REPORTS}: {problem}." if problem else ""


def _scratch_fits(sight: Sight) -> str:
    problem = _tried(sight)[f"{FITS} MiB"]
    return f"{NAME} cannot write {FITS} MiB in {SCRATCH}: {problem}." if problem else ""


def _scratch_is_limited(sight: Sight) -> str:
    problem = _tried(sight)[f"{TOO_MUCH} MiB"]
    return f"{NAME} writes {TOO_MUCH} MiB in {SCRATCH}, and more than 16 must not fit." if not problem else ""


def _nothing_starts(sight: Sight) -> str:
    if _tried(sight)["start"]:
        return ""
    return f"A program in {SCRATCH} of {NAME} could be started: who has asked for exec, or is it no tmpfs?"


def _nowhere_else(sight: Sight) -> str:
    places = _tried(sight)["elsewhere"]
    return f"{NAME} can also write in {', '.join(places)}." if places else ""


report = check(
    "A container that can change nothing but its reports",
    runs(NAME),
    Condition("the configuration is there", _has_configuration),
    Condition("a replaced configuration is seen", _sees_new_files),
    Condition("the configuration cannot be written", _keeps_configuration),
    mounts(NAME, REPORTS, kind="volume", source="reports"),
    Condition("reports can be written", _writes_reports),
    mounts(NAME, SCRATCH, kind="tmpfs"),
    Condition(f"{FITS} MiB of scratch fit", _scratch_fits),
    Condition("more than 16 MiB of scratch do not", _scratch_is_limited),
    Condition("nothing can be started from the scratch space", _nothing_starts),
    Condition("nothing else can be written", _nowhere_else),
    hints=[
        "Three mounts of three kinds. Which of the two ways in step 4 saw the replaced file?",
        'A Mount has read_only=True, and for type="tmpfs" it has tmpfs_size="16m".',
        "What is left are the files of the image and the container's own layer: read_only=True of "
        "containers.run, or docker run --read-only.",
    ],
    solution="""
lab.docker.containers.run(
    "dockernb/toolbox",
    "sleep infinity",
    name="report",
    read_only=True,
    mounts=[
        Mount("/etc/report", "/srv/report/config", type="bind", read_only=True),
        Mount("/var/reports", "reports"),
        Mount("/tmp", None, type="tmpfs", tmpfs_size="16m"),
    ],
    detach=True,
)
""",
)
"""Start report with a read-only configuration, a volume for its reports, a small tmpfs, and nothing else to write."""
