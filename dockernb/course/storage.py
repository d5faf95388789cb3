"""What checks of the storage lessons share: who mounts what, and what a container finds there."""

from __future__ import annotations

from dockernb.course.checks import Condition, Sight, runs
from dockernb.errors import ProbeError

# Run by the agent, in a process of its own: a container's files as the container sees them, links included.
_READ = """
import os

def main(argument):
    pid, path, limit = argument
    os.chroot(f"/proc/{pid}/root")
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode(errors="replace")
    except OSError:
        return None
"""
_LIMIT = 1 << 20  # bytes of a file that a check looks at


def mounts(
    container: str,
    target: str,
    *,
    kind: str,
    source: str | None = None,
    read_only: bool | None = None,
) -> Condition:
    """Something of a kind is mounted at a path of a container.

    Args:
        container: Its name.
        target: Where in the container.
        kind: ``volume``, ``bind`` or ``tmpfs``.
        source: The volume's name or the host's path; None for any.
        read_only: How it has to be mounted; None for either way.
    """
    what = f"{kind} {source}" if source else f"a {kind} mount" if kind == "bind" else f"a {kind}"
    how = {None: "", True: ", read-only", False: ", writable"}[read_only]

    def test(sight: Sight) -> str:
        if missing := runs(container).test(sight):
            return missing
        found = sight.container(container)
        assert found is not None  # it runs
        here = [mount for mount in found.mounts if mount.target == target]
        if not here:
            elsewhere = ", ".join(mount.target for mount in found.mounts) or "nothing"
            return f"Nothing is mounted at {target} of {container}; what is mounted there: {elsewhere}."
        [mount] = here
        if mount.kind != kind:
            return f"{target} of {container} is a {mount.kind} mount, and a {kind} is wanted."
        if source is not None and mount.source != source:
            there = "a volume without a name" if mount.anonymous else mount.source
            return f"{target} of {container} is {there}, and {source} is wanted."
        if read_only is not None and mount.read_only != read_only:
            return f"{container} {'may not write' if mount.read_only else 'may write'} at {target}."
        return ""

    return Condition(f"{container} has {what} at {target}{how}", test)


def read(sight: Sight, container: str, path: str) -> str | None:
    """The text of a file as a running container sees it (at most 1 MiB of it).

    Returns:
        None when there is no such file.

    Raises:
        ProbeError: The container does not run.
        HostError: The lab host is gone.
    """
    found = sight.container(container)
    if found is None or not found.alive:
        raise ProbeError(f'"{container}" does not run: start it.')
    text: str | None = sight.lab.host.call(_READ, [found.pid, path, _LIMIT])
    return text


def run_in(sight: Sight, container: str, *argv: str, limit: float = 30.0) -> tuple[int, str]:
    """Run a command in a container with the lab host's own docker, so that the CLI twin does not tell of it.

    Returns:
        The exit code (125 when there is no such container), and standard output with what was complained.

    Raises:
        HostError: The lab host is gone, or the command did not end within `limit` seconds.
    """
    done = sight.lab.host.run(["docker", "exec", container, *argv], timeout=limit)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace").strip()
