"""The vm provider's template: a lab host that was booted once, settled, and frozen to disk.

A template is a directory of the cache: kernel, disk, the machine's memory in a file (read-only from now on, mapped
copy-on-write by every start) and the device state. It carries no credentials. Its manifest is written last and the
directory gets its name last, so an interrupted build is never taken for a template.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockernb.errors import BuildError, HostError, TemplateError
from dockernb.labhost import debian, qemu, rootfs, store
from dockernb.labhost.channel import Channel

Report = Callable[[str, float], None]  # what is being done, and the fraction done (0 to 1)

SPACE_NEEDED = 4_000_000_000  # bytes while building; the result is about a third
BOOT_LIMIT = 300.0  # seconds; a slow machine under emulation takes one or two minutes
PAGE = 4096


@dataclass(frozen=True)
class Template:
    """A complete template and what its manifest says."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def disk(self) -> Path:
        """The disk image with the images loaded."""
        return self.directory / "disk.raw"

    @property
    def ram(self) -> Path:
        """The machine's memory."""
        return self.directory / "ram"

    @property
    def state(self) -> Path:
        """The device state, a migration stream without RAM."""
        return self.directory / "state"

    def check(self) -> None:
        """Check what a start depends on, cheaply.

        Raises:
            TemplateError: A file is missing or has another size than when it was made, or the manifest is none.
        """
        if not _is_manifest(self.manifest):
            raise TemplateError(
                f"The template is damaged ({self.directory / 'template.json'} is no manifest): "
                "run `dockernb build --force`."
            )
        for name, size in self.manifest["files"].items():
            path = self.directory / name
            if not path.is_file() or path.stat().st_size != size:
                raise TemplateError(
                    f"The template is damaged ({path} is not what was built): run `dockernb build --force`."
                )
        if hashlib.sha256(self.state.read_bytes()).hexdigest() != self.manifest["state_sha256"]:
            raise TemplateError(
                f"The template is damaged ({self.state} has changed): run `dockernb build --force`."
            )

    def misfit(self) -> str | None:
        """Why the saved memory cannot be resumed here (the disk still boots), or None when it can."""
        made, here = self.manifest["qemu"], qemu.version()
        if made != here:
            return f"the template was saved by QEMU {made} and this is {here}"
        return None


def directory(engine: str = debian.DEFAULT_ENGINE) -> Path:
    """Where the template of this recipe, this engine and this kind of machine belongs."""
    made_of = f"{rootfs.recipe_digest(engine)}{qemu.machine_digest()}{SHARE}{SETTLE}"
    digest = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    return store.cache() / f"template-{engine}-{digest}-{qemu.accelerator().name}"


def find(engine: str = debian.DEFAULT_ENGINE) -> Template | None:
    """The template that fits this recipe, one's own or the one that all users share; None when there is none.

    Raises:
        TemplateError: One's own is there and cannot be read.
    """
    own = directory(engine)
    found = _read(own) or _read(store.shared_cache() / own.name)
    if found is None and os.access(own, os.F_OK) and not os.access(own, os.R_OK | os.X_OK):
        raise TemplateError(
            f"The template in {own} cannot be read: run `chmod u+rwx {shlex.quote(str(own))}`, or remove it."
        )
    return found


def _is_manifest(data: Any) -> bool:
    """Whether it has all that _finish writes."""
    texts = ("recipe", "engine", "docker", "note", "qemu", "built", "state_sha256")
    return (
        isinstance(data, dict)
        and all(isinstance(data.get(key), str) for key in texts)
        and isinstance(data.get("files"), dict)
    )


def _read(place: Path) -> Template | None:
    """The template in a directory, or None when there is no complete one that this user may read."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
        return Template(place, json.loads((place / "template.json").read_text()))
    return None


def missing() -> list[str]:
    """What a build of the template lacks here, one sentence each."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # Debian keeps mke2fs where a user does not look
    needed = {"apt-get": "apt", "dpkg-deb": "dpkg", "mke2fs": "e2fsprogs"}
    if os.geteuid() != 0:
        needed |= {"fakeroot": "fakeroot"}
    lacks = [
        f"{program} is needed to build the lab host: `sudo apt-get install {package}` on Debian or Ubuntu."
        for program, package in needed.items()
        if not shutil.which(program, path=path)
    ]
    if not debian.KEYRING.exists():
        lacks.append(f"{debian.KEYRING} is missing: `sudo apt-get install debian-archive-keyring`.")
    return lacks


def build(report: Report, *, engine: str = debian.DEFAULT_ENGINE, force: bool = False) -> Template:
    """Build the template, unless it is there.

    Args:
        engine: Which suite the engine comes from, a key of `debian.ENGINES`.
        report: Told what is being done and the fraction that is done.
        force: Build again even if a complete one is there.

    Raises:
        BuildError: A program is missing, the mirror cannot be reached, the disk is full, or the machine did not boot.
    """
    target = directory(engine)
    with store.using(store.cache(), "XDG_CACHE_HOME", BuildError):
        store.cache().mkdir(parents=True, exist_ok=True)
        (store.cache() / "build.lock").touch()
    with store.locked(
        store.cache() / "build.lock",
        1800,
        lambda: report("Another dockernb is building; waiting for it", 0.0),
    ):
        if not force and (found := _read(target)):
            return found
        qemu.version()
        store.need_space(store.cache(), SPACE_NEEDED, "Building the lab host")
        for left in store.cache().glob("unfinished-*"):
            shutil.rmtree(left, ignore_errors=True)
        with store.using(store.cache(), "XDG_CACHE_HOME", BuildError):
            work = Path(tempfile.mkdtemp(prefix="unfinished-", dir=store.cache()))
        try:
            started = time.time()
            build_rootfs(work, "vm", engine, lambda text, part: report(text, 0.4 * part))
            asyncio.run(_freeze(work, lambda text, part: report(text, 0.4 + 0.6 * part)))
            _finish(work, time.time() - started)
            # A machine that still runs on an older template keeps its files; nobody else will want them.
            others = tuple(f"template-{name}-" for name in debian.ENGINES if name != engine)
            for old in {target, *store.cache().glob(f"template-*-{qemu.accelerator().name}")}:
                if not old.name.startswith(others):
                    shutil.rmtree(old, ignore_errors=True)
            work.rename(target)
        except OSError as problem:
            raise BuildError(f"The lab host could not be built: {problem.strerror or problem}.") from problem
        finally:
            shutil.rmtree(work, ignore_errors=True)
    report("The template is ready", 1.0)
    built = _read(target)
    if built is None:
        raise BuildError(f"The new template in {target} cannot be read: is the disk in order?")
    return built


def _finish(work: Path, seconds: float) -> None:
    """Write the manifest and make everything read-only."""
    kept = ("vmlinuz", "initrd.img", "disk.raw", "ram", "state", "packages.json")
    for path in work.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    made = json.loads((work / "packages.json").read_text())
    manifest = {
        "recipe": made["recipe"],
        "engine": made["engine"],
        "docker": made["packages"]["docker.io"].partition("+")[0],
        "note": made["note"],
        "qemu": qemu.version(),
        "accelerator": qemu.accelerator().name,
        "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(seconds, 1),
        "state_sha256": hashlib.sha256((work / "state").read_bytes()).hexdigest(),
        "files": {name: (work / name).stat().st_size for name in kept},
    }
    (work / "template.json").write_text(json.dumps(manifest, indent=2) + "\n")
    for path in work.iterdir():
        # QEMU before 8.2 opens the memory's file for writing even where it maps it copy-on-write.
        path.chmod(0o644 if path.name == "ram" else 0o444)
    work.chmod(0o755)  # mkdtemp is private; a template may be shared read-only


async def _freeze(work: Path, report: Report) -> None:
    """Boot once, load the images, settle, and save memory and device state."""
    report(f"Booting the machine once ({qemu.accelerator().name.upper()})", 0.0)
    boot = qemu.Boot(
        files=work,
        disk=work / "disk.raw",
        keep_disk=True,
        ram=work / "ram.all",
        keep_ram=True,
        resume=False,
        api_port=None,
        accelerator=qemu.accelerator(),
    )
    machine = await qemu.Qemu.launch(boot, work)
    try:
        await wait_until_up(machine.channel, work)
        report("Loading the images", 0.3)
        await _must(
            machine.channel,
            "docker",
            "load",
            "--quiet",
            "--input",
            "/var/lib/dockernb/images.tar",
            timeout=300,
        )
        report("Sharing what the machine and its images both have", 0.55)
        await _must(machine.channel, "sh", "-ec", SHARE, timeout=300)
        report("Settling", 0.7)
        await _must(machine.channel, "sh", "-ec", SETTLE, timeout=120)
        report("Saving the machine", 0.85)
        await machine.monitor("stop")
        await _set_capability(machine)
        await machine.monitor("migrate", uri=f"exec:cat > {shlex.quote(str(work / 'state'))}")
        await machine.migrated(60)
    except HostError as problem:
        raise BuildError(f"The lab host did not come up while it was built: {problem}") from problem
    finally:
        await machine.quit()
    report("Packing its memory", 0.9)
    _copy_without_holes(work / "ram.all", work / "ram")


# The toolbox image holds the same programs as the machine itself: under /usr, where nothing is ever written in place,
# both get the same inodes. That spares a quarter of the template, and half of the memory that caches them. The layer
# was written from this very tree, so what looks alike is alike; to compare every byte took a minute under emulation.
SHARE = """
rm /var/lib/dockernb/images.tar
layer=$(docker image inspect --format '{{.GraphDriver.Data.UpperDir}}' dockernb/toolbox)
mount --bind / /mnt  # dockerd has mounted its directory onto itself, and no link leads from one mount to another
python3 - /mnt "$layer" <<'PYTHON'
import os, stat, sys

root, layer = sys.argv[1:]
for folder, _, names in os.walk(f"{root}{layer}/usr"):
    for name in names:
        copy = f"{folder}/{name}"
        own = copy.replace(layer, "", 1)
        if not os.path.lexists(own):
            continue
        one, other = os.lstat(own), os.lstat(copy)
        alike = all(getattr(one, key) == getattr(other, key) for key in ("st_mode", "st_uid", "st_gid", "st_size"))
        if stat.S_ISREG(one.st_mode) and alike:
            os.link(own, f"{copy}.shared")
            os.replace(f"{copy}.shared", copy)
PYTHON
umount /mnt
"""

SETTLE = """
sync
fstrim /
echo 3 > /proc/sys/vm/drop_caches
# The first use of a container, a network and a database client costs most: pay it now, and leave nothing of it.
docker network create warm >/dev/null
docker run --name warm --network warm -d dockernb/toolbox sleep 60 >/dev/null
docker exec warm python3 -c 'import socket, json'
docker rm -f warm >/dev/null
docker network rm warm >/dev/null
# Free memory keeps old content; zeros make holes in the file.
free=$(awk '/^MemFree/ {print int($2 / 1024) - 48}' /proc/meminfo)
mkdir /run/zeros
mount -t tmpfs -o size=${free}m tmpfs /run/zeros
dd if=/dev/zero of=/run/zeros/file bs=1M count=$free 2>/dev/null || true
umount /run/zeros
rmdir /run/zeros
"""


async def wait_until_up(channel: Channel, work: Path) -> None:
    """Wait until a machine that boots has its agent and its Docker engine."""
    try:
        await channel.receive(BOOT_LIMIT)
    except HostError as problem:
        console = (work / "console.log").read_text(errors="replace")[-300:].strip()
        raise HostError(f"{problem} Its console ends with: {console or 'nothing'}") from problem
    await _must(
        channel, "sh", "-c", "until docker version >/dev/null 2>&1; do sleep 0.2; done", timeout=BOOT_LIMIT
    )


async def _must(channel: Channel, *argv: str, timeout: float) -> None:
    """Run a command on the machine that has to succeed."""
    done = await channel.run(*argv, timeout=timeout)
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise HostError(f"{argv[0]} failed ({done.returncode}): {words[-1] if words else 'it said nothing'}")


async def _set_capability(machine: qemu.Qemu) -> None:
    """Leave RAM out of the migration stream: it lies in its own file."""
    await machine.monitor(
        "migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}]
    )


def _copy_without_holes(source: Path, target: Path) -> None:
    """Copy a memory file; pages of zeros become holes."""
    zero_page, block = bytes(PAGE), 256 * PAGE
    with source.open("rb") as old, target.open("wb") as new:
        new.truncate(source.stat().st_size)
        offset = 0
        while data := old.read(block):
            if data.count(0) != len(data):
                for at in range(0, len(data), PAGE):
                    if data[at : at + PAGE] != zero_page:
                        new.seek(offset + at)
                        new.write(data[at : at + PAGE])
            offset += len(data)
    source.unlink()


async def resume(machine: qemu.Qemu, template: Template) -> None:
    """Load the template's device state into a machine that was started for it, and let it run."""
    await _set_capability(machine)
    await machine.monitor("migrate-incoming", uri=f"exec:cat {shlex.quote(str(template.state))}")
    await machine.migrated(60)
    await machine.monitor("cont")


def build_rootfs(work: Path, kind: str, engine: str, report: Report) -> None:
    """Build the root file system in a process of its own, so that one who is not root has fakeroot around it.

    Args:
        work: Empty directory for the results.
        kind: "vm" (kernel, initrd, disk) or "container" (one tar).
        engine: Which suite the engine comes from, a key of `debian.ENGINES`.
        report: Told what is being done and the fraction that is done.

    Raises:
        BuildError: In one sentence.
    """
    command = [sys.executable, "-m", "dockernb.labhost.rootfs", kind, str(work), engine]
    if os.geteuid() != 0:
        if not shutil.which("fakeroot"):
            raise BuildError(
                "Building as an ordinary user needs fakeroot: run `sudo apt-get install fakeroot`."
            )
        command = ["fakeroot", *command]
    last: dict[str, Any] = {}
    with (
        tempfile.TemporaryFile("w+", errors="replace") as words,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=words,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # a group that can be ended as a whole, fakeroot and all
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                with contextlib.suppress(json.JSONDecodeError):
                    last = json.loads(line)
                    if "report" in last:
                        report(last["report"], last["fraction"])
        except BaseException:  # the learner has interrupted
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.stdout.read()  # until all of them have ended: whoever follows removes what they write
            raise
        process.wait()
        words.seek(0)
        said = words.read().strip()
    if process.returncode:
        problem = f"{' '.join(command)} failed with exit code {process.returncode}."
        raise BuildError(last.get("error", f"{problem} {said.splitlines()[-1] if said else ''}".strip()))
    if said:
        print(said, file=sys.stderr)
