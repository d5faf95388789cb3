"""The initial RAM disk of the lab host as a virtual machine: find the disk, and go on from there.

The format is "newc" cpio (https://docs.kernel.org/driver-api/early-userspace/buffer-format.html).
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path

# What the kernel needs to mount the root file system, when it is not built in.
MODULES = ("virtio_pci", "virtio_blk", "ext4")

_INIT = """#!/bin/busybox sh
# The first program of the lab host: load the drivers of the disk, mount it, hand over to its init.
busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do
    busybox insmod "$module"
done
until [ -b /dev/vda ]; do
    busybox usleep 20000
done
busybox mount -o noatime -t ext4 /dev/vda /root
busybox umount /dev
exec busybox switch_root /root /usr/lib/dockernb/init
"""


def write(tree: Path, target: Path) -> None:
    """Write the RAM disk.

    Args:
        tree: the root file system; its busybox and kernel modules are used.
        target: the file to write (uncompressed: it is small, and unpacking it under emulation is not free).
    """
    entries: list[tuple[str, int, bytes]] = []
    entries += [(name, 0o040755, b"") for name in ("bin", "dev", "modules", "root")]
    entries.append(("bin/busybox", 0o100755, (tree / "usr/bin/busybox").read_bytes()))
    entries.append(("init", 0o100755, _INIT.encode()))
    for number, module in enumerate(_modules_in_order(tree)):
        name = f"modules/{number:02}-{module.name.removesuffix('.xz')}"
        content = module.read_bytes()
        entries.append((name, 0o100644, lzma.decompress(content) if module.suffix == ".xz" else content))
    with target.open("wb") as out:
        for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
            out.write(_cpio_entry(number, name, mode, content))


def _modules_in_order(tree: Path) -> Iterator[Path]:
    """The files of :data:`MODULES`, each after what it needs; those built into the kernel have none."""
    [directory] = (tree / "usr/lib/modules").iterdir()
    needs: dict[str, list[str]] = {}
    for line in (directory / "modules.dep").read_text().splitlines():
        module, _, needed = line.partition(":")
        needs[module] = needed.split()
    by_name = {Path(module).name.partition(".")[0].replace("-", "_"): module for module in needs}
    loaded: set[str] = set()
    for name in MODULES:
        if name in by_name:
            # depmod writes what a module needs in the reverse order of loading.
            for module in [*reversed(needs[by_name[name]]), by_name[name]]:
                if module not in loaded:
                    loaded.add(module)
                    yield directory / module


def _cpio_entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    """One entry: header, name and content, each padded to four bytes."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(f"{field:08X}".encode() for field in fields)
    return _padded(header + path) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
