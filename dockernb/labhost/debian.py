"""Debian packages: which ones, fetched and unpacked, but never configured.

apt chooses, downloads and verifies; the packages are then only unpacked. No maintainer script runs, so the
result is the same for root, for an ordinary user under fakeroot and inside a container build without any
capability, and it does not matter how old the C library of the learner's machine is. What the scripts would
have done is done by :mod:`dockernb.labhost.rootfs`.
"""

from __future__ import annotations

import fnmatch
import os
import platform
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from dockernb.errors import BuildError

SUITE = "trixie"
# Where the engine comes from, by the name that a learner gives: readers have a newer one than Debian stable.
ENGINES = {"testing": "forky", "stable": SUITE}
DEFAULT_ENGINE = "testing"
# What the engine's suite may bring; everything else, the C library above all, stays stable's.
ENGINE_PACKAGES = "docker.io docker-cli docker-compose containerd runc crun"
DEFAULT_MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# A version that satisfies every "at least" in a dependency.
_WITHHELD_VERSION = "99:9999"


@dataclass(frozen=True)
class Architecture:
    """One kind of computer that a lab host can be built for.

    Attributes:
        debian: Debian's name, as in package files.
        oci: Docker's name, as in image configurations.
        kernel: the package whose dependency is the current kernel for virtual machines.
        triplet: the directory below ``/usr/lib`` that holds shared libraries.
        loader: the C library's program loader, from the root of the file system.
    """

    debian: str
    oci: str
    kernel: str
    triplet: str
    loader: str


# Another kind of computer (arm64) is added here and nowhere else.
ARCHITECTURES = {
    "x86_64": Architecture(
        "amd64", "amd64", "linux-image-cloud-amd64", "x86_64-linux-gnu", "usr/lib64/ld-linux-x86-64.so.2"
    ),
}


def architecture() -> Architecture:
    """The architecture of this computer.

    Raises:
        BuildError: the lab host cannot be built for it.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise BuildError(f"The lab host cannot be built on a {machine} computer: use one of {known}.")
    return ARCHITECTURES[machine]


def mirror() -> str:
    """The Debian mirror to fetch from: ``DOCKERNB_MIRROR``, or Debian's own address."""
    return os.environ.get("DOCKERNB_MIRROR", "").strip().rstrip("/") or DEFAULT_MIRROR


def read_words(text: str) -> list[str]:
    """The words of a recipe file: everything but comments, which start with ``#``."""
    return [word for line in text.splitlines() for word in line.partition("#")[0].split()]


class LeftOut:
    """The patterns of ``left-out.txt``: which paths of packages are not unpacked."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules = [(not pattern.startswith("!"), _at_or_below(pattern)) for pattern in patterns]
        self._rules.reverse()

    def __contains__(self, path: str) -> bool:
        """Whether a path (relative to the root, no leading slash) is left out."""
        return next((leaves_out for leaves_out, rule in self._rules if rule.match(path)), False)


def _at_or_below(pattern: str) -> re.Pattern[str]:
    pattern = pattern.removeprefix("!")
    return re.compile(f"{fnmatch.translate(pattern)}|{fnmatch.translate(pattern + '/*')}")


@dataclass(frozen=True)
class Package:
    """A downloaded package: its name, its version and its file."""

    name: str
    version: str
    file: Path

    @classmethod
    def of(cls, file: Path) -> Package:
        """Read name and version from apt's name for the file, ``name_version_architecture.deb``."""
        name, version, _ = file.stem.split("_")
        return cls(name, unquote(version), file)


def fetch(
    workdir: Path,
    names: Sequence[str],
    withheld: Sequence[str],
    *,
    engine: str,
    progress: Callable[[float], None],
) -> list[Package]:
    """Download packages and what they depend on, verified against Debian's archive keys.

    Args:
        workdir: a directory for apt's indexes and downloads; made when missing.
        names: the packages wanted.
        withheld: packages that apt takes for installed, so that it fetches neither them nor what they need.
        engine: which suite the engine comes from, a key of :data:`ENGINES`.
        progress: called with the fraction downloaded, 0 to 1.

    Returns:
        The packages, sorted by name.

    Raises:
        BuildError: apt or the keyring is missing, the mirror does not answer, it has no such suite, the suite's
            engine does not fit the rest, or there is no space.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise BuildError(
            "Building the lab host needs apt-get and dpkg-deb, which this system lacks: "
            "use Debian or Ubuntu, or a machine where the lab host is built already."
        )
    if not KEYRING.exists():
        raise BuildError(f"{KEYRING} is missing: run 'apt-get install debian-archive-keyring' as root.")
    config = _configure_apt(workdir, withheld, ENGINES[engine])
    _apt(config, ["update"], progress=lambda fraction: None)
    _apt(config, ["install", "--download-only", *names], progress=progress)
    return sorted((Package.of(file) for file in (workdir / "archives").glob("*.deb")), key=lambda p: p.name)


def _configure_apt(workdir: Path, withheld: Sequence[str], engine_suite: str) -> Path:
    """Write an apt configuration that neither reads nor touches the learner's own apt.

    But for its proxy, and whether it minds that an index is out of date: a mirror that was frozen on a day has to be
    allowed by whoever froze it.
    """
    debian = architecture().debian
    for directory in ("lists/partial", "archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
        (workdir / directory).mkdir(parents=True, exist_ok=True)
    (workdir / "status").write_text(
        "".join(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: {debian}\nMulti-Arch: allowed\n"
            f"Version: {_WITHHELD_VERSION}\nMaintainer: dockernb\nDescription: withheld\n\n"
            for name in withheld
        )
    )
    (workdir / "etc/sources.list").write_text(
        "".join(
            f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n" for suite in sorted({SUITE, engine_suite})
        )
    )
    if engine_suite != SUITE:
        # Below 100 nothing is taken of itself, and above 500 it wins over stable: apt_preferences(5). What only the
        # other suite has is taken where a dependency asks for it.
        (workdir / "etc/preferences.d/engine").write_text(
            f"Package: *\nPin: release n={engine_suite}\nPin-Priority: 100\n\n"
            f"Package: {ENGINE_PACKAGES}\nPin: release n={engine_suite}\nPin-Priority: 990\n"
        )
    settings = {
        "Dir::Etc": workdir / "etc",
        "Dir::State": workdir,
        "Dir::State::status": workdir / "status",
        "Dir::Cache": workdir,
        "APT::Architecture": debian,
        "APT::Install-Recommends": "false",
        "APT::Get::Assume-Yes": "true",
        # A user of its own for downloads could not write here.
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "20",
        "Acquire::https::Timeout": "20",
    }
    lines = [f'{name} "{value}";' for name, value in settings.items()]
    lines.append(f'APT::Architectures {{ "{debian}"; }};')
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, timeout=30, check=False)
    is_theirs = re.compile(r"Acquire::(https?::(\S+::)?Proxy|Check-Valid-Until|Max-ValidTime)\b")
    lines += [line for line in dump.stdout.splitlines() if is_theirs.match(line)]
    config = workdir / "apt.conf"
    config.write_text("\n".join(lines) + "\n")
    return config


def _apt(config: Path, arguments: Sequence[str], *, progress: Callable[[float], None]) -> None:
    """Run apt-get and follow its machine-readable progress.

    Raises:
        BuildError: it failed; the sentence says why.
    """
    environment = without_fakeroot() | {"APT_CONFIG": str(config), "LC_ALL": "C"}
    command = ["apt-get", "-o", "APT::Status-Fd=1", *arguments]
    with subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        complaints = []
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if match := re.match(r"dlstatus:[^:]*:([\d.]+):", line):
                    progress(float(match[1]) / 100)
                elif line.startswith("E:"):
                    complaints.append(line[2:].strip())
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise _apt_error(complaints)


def _apt_error(complaints: Sequence[str]) -> BuildError:
    """The one sentence for what apt complained about."""
    text = "\n".join(complaints)
    first = complaints[0] if complaints else "apt-get gave no reason"
    if "No space left" in text or "enough free space" in text:
        return BuildError(f"The disk became full while packages were downloaded ({first}): free some space.")
    if re.search(r"NO_PUBKEY|not signed|signature|EXPKEYSIG", text):
        return BuildError(
            f"The packages of {mirror()} are not signed by Debian's keys ({first}): "
            "update debian-archive-keyring, or set DOCKERNB_MIRROR to another mirror."
        )
    if re.search(r"Failed to fetch|resolv|onnect|Release file", text):
        return BuildError(
            f"The Debian mirror {mirror()} cannot be used ({first}): "
            "check the network, or set DOCKERNB_MIRROR to a mirror that answers."
        )
    if "broken packages" in text or "no installation candidate" in text or "Unable to locate" in text:
        return BuildError(
            f"The packages of {mirror()} do not fit one another today ({first}): try again tomorrow."
        )
    return BuildError(f"apt-get failed: {first}.")


def unpack(
    packages: Sequence[Package], tree: Path, left_out: LeftOut, *, progress: Callable[[float], None]
) -> dict[str, str]:
    """Unpack packages into a directory, with their owners and modes (as fakeroot sees them).

    Args:
        packages: what to unpack.
        tree: where to; made when missing.
        left_out: the paths to leave out.
        progress: called with the fraction unpacked (by size), 0 to 1.

    Returns:
        Which package each file and link is of, by its path from the root without a leading slash.

    Raises:
        BuildError: a package is damaged.
        OSError: a file could not be written.
    """
    sizes = {package: package.file.stat().st_size for package in packages}
    done = 0
    owners: dict[str, str] = {}
    # Most of the time goes into uncompressing: one package a processor, the largest first.
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        jobs = {
            pool.submit(_unpack_one, package, tree, left_out): package
            for package, size in sorted(sizes.items(), key=lambda item: -item[1])
        }
        for job in as_completed(jobs):
            owners |= dict.fromkeys(job.result(), jobs[job].name)
            done += sizes[jobs[job]]
            progress(done / sum(sizes.values()))
    finally:
        pool.shutdown(cancel_futures=True)
    return owners


def _unpack_one(package: Package, tree: Path, left_out: LeftOut) -> list[str]:
    files = []
    for member, archive in _members(package):
        if member.name and member.name not in left_out:
            (tree / member.name).parent.mkdir(parents=True, exist_ok=True)
            archive.extract(member, tree, numeric_owner=True)
            if not member.isdir():
                files.append(member.name)
    return files


def _members(package: Package) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """The files of a package, with names relative to the root; dpkg-deb uncompresses meanwhile."""
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(package.file)],
        env=without_fakeroot(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                # apt has checked who made these archives: owners and set-user-id bits are wanted.
                archive.extraction_filter = lambda member, path: member
                for member in archive:
                    member.name = member.name.removeprefix(".").strip("/")
                    if member.islnk():
                        member.linkname = member.linkname.removeprefix("./")
                    yield member, archive
        except tarfile.TarError as error:
            raise BuildError(f"The package {package.file.name} is damaged ({error}): build again.") from error
    if process.returncode:
        raise BuildError(f"The package {package.file.name} is damaged: build again.")


def without_fakeroot() -> dict[str, str]:
    """The environment for a program that has no business with owners; fakeroot's library may not fit it."""
    return {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "FAKEROOTKEY")}
