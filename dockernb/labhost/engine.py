"""The learner's own Docker Engine: where it is, whether it can hold a lab host, and what its errors mean."""

import contextlib
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from dockernb.errors import DockernbError, UnavailableError
from dockernb.labhost import debian

if TYPE_CHECKING:
    import docker

OLDEST_API = (1, 41)  # Engine 20.10: the first with private cgroup namespaces
SPACE_NEEDED = 1_000_000_000  # bytes in the engine: file system and images


def find_engine() -> tuple[str | None, str]:
    """The learner's engine, where the docker CLI would find it.

    Returns:
        Its URL and "", or None and why it cannot be used, in a sentence.
    """
    try:
        url = _engine_url()
        with connected(url) as client:
            _check(client, url)
    except UnavailableError as problem:
        return None, str(problem)
    return url, ""


def _engine_url() -> str:
    """DOCKER_HOST, else the current context's endpoint (on Linux without any: /var/run/docker.sock).

    After `eval "$(dockernb env)"` DOCKER_HOST is a lab host, which is not the learner's engine.
    """
    ours = Path(os.environ.get("DOCKER_CERT_PATH", "/")).is_relative_to(
        platformdirs.user_state_path("dockernb")
    )
    if (url := os.environ.get("DOCKER_HOST")) and not ours:
        return url
    from docker.context import ContextAPI  # noqa: PLC0415  (the SDK takes 0.3 s to import)
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    except DockerException as problem:
        raise UnavailableError(
            f"Docker's context cannot be read ({problem}): choose one with `docker context use`."
        ) from None
    return str(context.Host) if context and context.Host else "unix:///var/run/docker.sock"


@contextlib.contextmanager
def connected(url: str) -> Iterator["docker.DockerClient"]:
    """A client of the engine, closed at the end.

    Raises:
        UnavailableError: The engine does not answer, or may not be used.
    """
    client = connect(url)
    try:
        yield client
    finally:
        client.close()


def connect(url: str) -> "docker.DockerClient":
    """A client of the engine.

    Raises:
        UnavailableError: The engine does not answer, or may not be used.
    """
    import docker  # noqa: PLC0415
    from docker.errors import DockerException  # noqa: PLC0415

    path = Path(url.removeprefix("unix://"))
    if url.startswith("unix://") and not path.exists():
        raise UnavailableError(f"No Docker Engine listens at {url}: start it, or use the vm provider.")
    try:
        return docker.DockerClient.from_env(environment={**os.environ, "DOCKER_HOST": url}, timeout=120)
    except (DockerException, OSError) as problem:
        if url.startswith("unix://") and not os.access(path, os.R_OK | os.W_OK):
            raise UnavailableError(
                f"The Docker Engine at {url} may not be used by this user: join the group docker "
                "(`sudo usermod -aG docker $USER`, then log in again), or use the vm provider."
            ) from problem
        raise UnavailableError(
            f"The Docker Engine at {url} does not answer: start it, or use the vm provider."
        ) from problem


def _check(client: "docker.DockerClient", url: str) -> None:
    """Check that the engine can hold a lab host.

    Raises:
        UnavailableError: It cannot; the sentence says why.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "ssh" or (parts.hostname and parts.hostname not in ("localhost", "127.0.0.1", "::1")):
        raise UnavailableError(f"The Docker Engine at {url} is on another computer: use the vm provider.")
    info, version = client.info(), client.version()
    api = tuple(int(number) for number in version["ApiVersion"].split("."))
    if api < OLDEST_API:
        raise UnavailableError(
            f"Docker Engine {version['Version']} is too old: install 20.10 or later, or use the vm provider."
        )
    if info["OSType"] != "linux" or info["Architecture"] not in debian.ARCHITECTURES:
        raise UnavailableError(
            f"Your engine runs {info['OSType']} containers on {info['Architecture']}, and a lab host needs "
            f"Linux on {' or '.join(debian.ARCHITECTURES)}: use the vm provider."
        )
    if any("name=rootless" in option for option in info.get("SecurityOptions") or ()):
        raise UnavailableError(
            "Your Docker Engine is rootless and cannot hold another engine: use the vm provider."
        )


@contextlib.contextmanager
def sentences(kind: type[DockernbError]) -> Iterator[None]:
    """Turn the SDK's errors into ours."""
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        yield
    except (DockerException, OSError) as problem:
        raise kind(sentence(str(getattr(problem, "explanation", None) or problem))) from problem


def sentence(error: str) -> str:
    """What an engine's error means for the learner."""
    lower = error.lower()
    if "no space left" in lower:
        return (
            f"Your engine's disk became full: a lab host needs {SPACE_NEEDED / 1e9:.1f} GB there; free some "
            "(`docker system df` shows what takes it), or use the vm provider."
        )
    if "unable to apply caps" in lower or "operation not permitted" in lower or "permission denied" in lower:
        return (
            f"Your engine refuses what a lab host needs ({error}), perhaps by AppArmor or SELinux: "
            "use the vm provider."
        )
    return f"Your engine says: {error.rstrip('.')}."
