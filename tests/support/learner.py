"""A learner's own Docker engine with the lab host's image in it, for the `container` provider."""

import contextlib
import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockernb.labhost import container, debian, rootfs, template
from tests.support import engine as native
from tests.support.engine import Engine


def built(cache: Path) -> Path:
    """labhost.tar of this recipe and its file system as a tree, in a directory that is kept between runs."""
    place = cache / rootfs.recipe_digest()[:12]
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests may run in several processes
        if not (place / "complete").exists():
            for old in cache.iterdir():
                if old.is_dir():
                    shutil.rmtree(old)
            place.mkdir()
            template.build_rootfs(place, "container", debian.DEFAULT_ENGINE, lambda text, fraction: None)
            (place / "tree").mkdir()
            unpack = [
                "tar",
                "-C",
                str(place / "tree"),
                "--numeric-owner",
                "--exclude=var/lib/dockernb/images.tar",
            ]
            subprocess.run([*unpack, "-xf", str(place / "labhost.tar")], check=True, timeout=120)
            (place / "complete").touch()
    return place


@contextlib.contextmanager
def learner(place: Path, root: Path | None, home: Path) -> Iterator[Engine]:
    """The learner's engine with the lab host in it; this thread, and what it starts, is in its network namespace.

    Args:
        place: What `built` returned.
        root: The engine's file system tree, or None for the engine of this machine.
        home: An empty directory for the learner's state and cache.
    """
    with prepared(place, root, home) as outer, at(outer, place, home):
        yield outer


@contextlib.contextmanager
def prepared(place: Path, root: Path | None, home: Path) -> Iterator[Engine]:
    """The learner's engine with the lab host in it, which takes ten seconds and more. Arguments as for `learner`."""
    with native.engine(root) as outer:
        with at(outer, place, home):
            container.prepare(outer.docker_host, lambda text, fraction: None)
        yield outer


@contextlib.contextmanager
def at(outer: Engine, place: Path, home: Path) -> Iterator[None]:
    """This thread is in the network namespace of a learner's engine, and has that learner's directories."""

    def already_built(work: Path, kind: str, engine: str, report: object) -> None:
        for name in ("labhost.tar", "packages.json"):
            (work / name).symlink_to(place / name)

    with outer.network(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", outer.docker_host)
        patch.setenv("XDG_STATE_HOME", str(home / "s"))
        patch.setenv("XDG_CACHE_HOME", str(home / "c"))
        patch.setattr(template, "build_rootfs", already_built)
        yield
