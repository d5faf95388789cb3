"""Where things lie on the learner's disk: built templates in the cache, running hosts in the state directory.

Both follow the platform's rules (on Linux XDG_CACHE_HOME and XDG_STATE_HOME, else ~/.cache and ~/.local/state). All
users of a machine may share one template, read-only, from the system's cache (notebooks/CLASSROOM.md).
"""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import platformdirs

from dockernb.errors import BuildError, HostError
from dockernb.waiting import until

CLAIM = "keeper.lock"  # in the directory of a lab host
CLAIM_LIMIT = 10.0  # seconds; a keeper that ends may have to wait for its machine, twice 2 seconds and more
SOCKET_PATH_LIMIT = 107  # bytes; sun_path in unix(7) is 108 with its closing zero


def cache() -> Path:
    """The directory of built templates; other programs may delete it, at the price of a new build.

    Raises:
        BuildError: There is no home directory.
    """
    return _at_home(platformdirs.user_cache_path, "XDG_CACHE_HOME", BuildError)


def _hosts() -> Path:
    """The directory with one directory for each lab host."""
    return _at_home(platformdirs.user_state_path, "XDG_STATE_HOME", HostError) / "hosts"


def _at_home(find: Callable[[str], Path], variable: str, kind: type[HostError]) -> Path:
    """The directory of ours that the platform has such a function for, if it knows where."""
    with contextlib.suppress(
        RuntimeError
    ):  # newer releases of platformdirs; older ones leave the tilde where it is
        path = find("dockernb")
        if not path.parts[0].startswith("~"):
            return path
    raise kind(f"This user has no home directory: set {variable} to a directory that you can write to.")


@contextlib.contextmanager
def using(path: Path, variable: str, kind: type[HostError] = HostError) -> Iterator[None]:
    """Around what needs a place on the disk: a refusal of the file system is one sentence that names the place.

    Args:
        path: The place.
        variable: What of the environment chooses it.
        kind: What is raised.

    Raises:
        HostError: The file system refused, as an exception of that kind.
    """
    try:
        yield
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise kind(
            f"{problem.filename or path} cannot be used ({why}): see to it that {path} is a directory that you can "
            f"write to, on a disk with room, or set {variable} to another."
        ) from problem


def shared_cache() -> Path:
    """Where an administrator keeps built templates for all users of the machine (on Linux /var/cache/dockernb)."""
    return platformdirs.site_cache_path("dockernb")


def host_directory(name: str) -> Path:
    """The private directory of one running lab host (mode 0700), made when missing.

    Raises:
        HostError: The name cannot be a directory, the path is too long for a Unix socket, or the directory cannot be
            made or written to.
    """
    if not name or "/" in name or name.startswith("."):
        raise HostError(f"{name!r} cannot name a lab host: use letters, digits and dashes.")
    directory = _hosts() / name
    if len(os.fsencode(directory / "control.sock")) > SOCKET_PATH_LIMIT:
        raise HostError(
            f"{directory} is too long a path for a Unix socket: set XDG_STATE_HOME to a shorter one."
        )
    with using(directory, "XDG_STATE_HOME"):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    return directory


def host_names() -> list[str]:
    """The names of all lab hosts that have a directory, running or not.

    Raises:
        HostError: The state directory cannot be read.
    """
    hosts = _hosts()
    with using(hosts, "XDG_STATE_HOME"):
        try:
            return sorted(path.name for path in hosts.iterdir() if path.is_dir())
        except FileNotFoundError:
            return []


def size(path: Path) -> int:
    """Bytes on disk below the path; holes in sparse files do not count."""
    total = 0
    for folder, _, files in os.walk(path):
        for file in files:
            with contextlib.suppress(FileNotFoundError, PermissionError):
                total += (Path(folder) / file).lstat().st_blocks * 512
    return total


def need_space(path: Path, needed: int, what: str, variable: str = "XDG_CACHE_HOME") -> None:
    """Check that the file system of the path has the needed bytes left.

    Raises:
        BuildError: It has not; the sentence says how much is missing.
    """
    with using(path, variable, BuildError):
        path.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path).free
    if free < needed:
        raise BuildError(
            f"{what} needs {needed / 1e9:.2g} GB of disk space and {path} has {free / 1e9:.2g} GB left: "
            f"free some, or set {variable} to a directory on a larger disk."
        )


@contextlib.contextmanager
def locked(path: Path, timeout: float, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file while the block runs; its holder's death releases it.

    Args:
        path: The lock file, made when missing.
        timeout: Seconds to wait for another holder.
        waiting: Called once when somebody else holds it.

    Raises:
        HostError: Somebody else held it all the time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:

        def held() -> bool:  # flock has no wait with a limit
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as problem:
                if problem.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                return False
            return True

        if not held():
            waiting()
            if not until(held, timeout):
                raise HostError(
                    f"Another dockernb has held {path} for {timeout:.0f} s: wait for it, or end it."
                )
        yield


def claim(directory: Path) -> TextIO:
    """Make a lab host's directory this process's own, until the file that is returned is closed or the process ends.

    Raises:
        HostError: Another process has it.
    """
    file = (directory / CLAIM).open("a+")

    def held() -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    if not until(held, CLAIM_LIMIT):
        file.close()
        raise HostError(
            f"The lab host {directory.name!r} does not answer, and its keeper (process {holder(directory)}) is still "
            f"there: run `dockernb stop --name {directory.name}`, then start it again."
        )
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def holder(directory: Path) -> int | None:
    """The number of the process that has claimed a lab host's directory, None if there is none."""
    try:
        with (directory / CLAIM).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0) or None
    except FileNotFoundError:
        pass
    return None


def leave(directory: Path, why: str) -> None:
    """Remove what only a running lab host needs; the reason and the logs stay for whoever asks why it ended."""
    for pattern in ("*.sock", "*.pem"):
        for path in directory.glob(pattern):
            path.unlink(missing_ok=True)
    (directory / "ended.json").write_text(json.dumps({"why": why, "at": time.time()}) + "\n")
