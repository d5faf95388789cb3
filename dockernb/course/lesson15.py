"""The exercise of lesson 15: the last clean state, out of an encrypted repository, whole and in a volume of its own."""

from __future__ import annotations

import functools

from dockernb.course.checks import Condition, Sight, check
from dockernb.course.storage import mounts
from dockernb.errors import CourseError

VOLUME, PORT = "app-clean", 8080
CLEAN = "tuesday"  # the tag of the last snapshot from before the break-in
PAGE = "./pay.html"  # what the burglar left behind
REPOSITORY, PASSWORD = "/host/repository", "/host/secrets/restic"
_MANIFEST = "/tmp/manifest"

Entry = tuple[str, str, str, str, str]  # mode, owner, names, checksum, extended attributes

# As the lesson's own /host/tools/manifest, which the learner may have changed. Run on the Docker host.
_WALK = """
import hashlib
import os
import stat

def entry(path):
    info = os.lstat(path)
    names, content = 1, b""
    if stat.S_ISREG(info.st_mode):
        names = info.st_nlink
        with open(path, "rb") as file:
            content = file.read()
    elif stat.S_ISLNK(info.st_mode):
        content = os.fsencode(os.readlink(path))
    extra = [
        f"{key}={os.getxattr(path, key, follow_symlinks=False).hex()}"
        for key in sorted(os.listxattr(path, follow_symlinks=False))
    ]
    digest = hashlib.sha256(content).hexdigest()
    owner = f"{info.st_uid}:{info.st_gid}"
    return [stat.filemode(info.st_mode), owner, str(names), digest, ",".join(extra) or "-"]

def main(directory):
    os.chdir(directory)
    paths = [os.path.join(where, name) for where, *both in os.walk(".") for names in both for name in names]
    return {path: entry(path) for path in [".", *paths]}
"""


def _restic(sight: Sight, *argv: str) -> str:
    """What restic says of the repository, which is only read."""
    command = ["restic", "--repo", REPOSITORY, "--password-file", PASSWORD, "--no-lock", "--no-cache", *argv]
    done = sight.lab.host.run(command)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise CourseError(f"restic finds no snapshot of {CLEAN} in {REPOSITORY} ({said[-1]}).")
    return done.stdout.decode(errors="replace")


@functools.lru_cache(maxsize=1)
def _wanted(sight: Sight) -> dict[str, Entry]:
    """The manifest in the last clean snapshot."""
    lines = _restic(sight, "dump", "--tag", CLEAN, "latest", _MANIFEST).splitlines()
    parts = [line.split(" ", 5) for line in lines]
    return {path: (mode, owner, names, digest, extra) for mode, owner, names, digest, extra, path in parts}


@functools.lru_cache(maxsize=1)
def _found(sight: Sight) -> dict[str, Entry]:
    """The manifest of the learner's volume."""
    [volume] = [one for one in sight.state.volumes if one.name == VOLUME]
    told: dict[str, list[str]] = sight.lab.host.call(_WALK, volume.mountpoint)
    return {
        path: (mode, owner, names, digest, extra)
        for path, (mode, owner, names, digest, extra) in told.items()
    }


def _is_there(sight: Sight) -> str:
    if VOLUME not in {one.name for one in sight.state.volumes}:
        return f'There is no volume called "{VOLUME}" on this machine yet.'
    return ""


def _is_clean(sight: Sight) -> str:
    if PAGE in _found(sight):
        return f"The burglar's page is in {VOLUME}: this snapshot was taken after the break-in."
    return ""


def _is_all(sight: Sight) -> str:
    missing = sorted(_wanted(sight).keys() - _found(sight).keys())
    if not missing:
        return ""
    if len(_found(sight)) == 1:
        return f"{VOLUME} is empty."
    if any(path.endswith("/data/index.html") for path in _found(sight)):
        return f"What was the volume is now in a directory of {VOLUME}: restore ID:/data, which is what was in /data."
    return f"{_told(missing[0])} is not in {VOLUME}, and {len(missing)} of {len(_wanted(sight))} paths are missing."


def _is_no_more(sight: Sight) -> str:
    more = sorted(_found(sight).keys() - _wanted(sight).keys())
    if not more:
        return ""
    return f"{_told(more[0])} is in {VOLUME} and was not in the snapshot: was the volume new and empty?"


def _is_the_same(sight: Sight) -> str:
    """What is in both, as it was."""
    for path, wanted in _wanted(sight).items():
        found = _found(sight).get(path, wanted)
        for number, what in enumerate(("mode", "owner", "number of names", "content", "extended attribute")):
            if found[number] == wanted[number]:
                continue
            if what == "content":
                return f"{_told(path)} has another content than in the snapshot of that day."
            return (
                f"The {what} of {_told(path)} is {_value(found[number])} and was {_value(wanted[number])}: "
                "let restic itself write the volume, as root."
            )
    return ""


def _told(path: str) -> str:
    return path.removeprefix("./") if path != "." else "the volume's own directory"


def _value(text: str) -> str:
    return "none" if text == "-" else text


def _answers(sight: Sight) -> str:
    """A container that has just been started may need a moment."""
    url = f"http://127.0.0.1:{PORT}/"
    patient = ["--retry", "3", "--retry-all-errors", "--retry-delay", "1", "--max-time", "10"]
    asked = sight.lab.host.run(["curl", "--silent", "--fail", "--output", "/dev/null", *patient, url])
    return "" if asked.returncode == 0 else f"app does not answer on port {PORT} of this machine."


clean_state = check(
    "The last clean state",
    Condition(f"there is a volume {VOLUME}", _is_there, first=True),
    Condition("nothing of the burglar is in it", _is_clean, first=True),
    Condition(f"all of {CLEAN.title()} is in it", _is_all, first=True),
    Condition("and nothing else", _is_no_more),
    Condition("with the owners, modes, attributes and contents of that day", _is_the_same),
    mounts("app", "/usr/share/nginx/html", kind="volume", source=VOLUME),
    Condition(f"app answers on port {PORT}", _answers),
    hints=[
        "Which snapshots have pay.html? `restic --no-lock find pay.html` asks all of them at once.",
        "In a snapshot the volume lies under /data. `ID:/data` means what is in there, without the directory itself: "
        "restic --no-lock restore ID:/data --target /data. Or latest:/data, with --tag and a day.",
        f'Make the volume {VOLUME} first, restore with data="{VOLUME}", then start app again with it; a container of '
        "the same name is replaced.",
    ],
    solution=f"""
lab.docker.volumes.create("{VOLUME}")
restic("restic --no-lock restore --sparse --tag {CLEAN} latest:/data --target /data", data="{VOLUME}")
lab.docker.containers.run(
    "dockernb/nginx", name="app", ports={{80: {PORT}}}, mounts=[Mount("/usr/share/nginx/html", "{VOLUME}")], detach=True
)
""",
)
"""Restore the volume as it was before the break-in into the new volume "app-clean", and let "app" serve it."""
