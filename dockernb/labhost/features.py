"""Which features of the kernel a lab host has: tried, not guessed from a version.

In the container provider the kernel is that of the learner's engine. The trials run on the Docker host
itself, by one `LabHost.call` of this file's text (so the standard library only, and `main` as its entry).
What they make lives in a scratch network namespace that goes with the process, and nothing is sent to
anybody.
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dockernb.labhost.host import LabHost

# A network feature is there if this works, with a bridge `p` as a parent for what needs one.
_TRIALS = {
    "bridge": "true",
    "vxlan": "ip link add x type vxlan id 1 dev p dstport 4789",
    "macvlan": "ip link add x link p type macvlan",
    "ipvlan": "ip link add x link p type ipvlan",
    "dummy": "ip link add x type dummy",
    "netem": "tc qdisc add dev lo root netem delay 1ms",
}
_FILE_SYSTEMS = ("overlay", "nfs", "cifs")

_LOOP_CTL_GET_FREE = 0x4C82  # linux/loop.h
_DM_GET_TARGET_VERSION = 0xC138FD11  # linux/dm-ioctl.h
_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY, _CTRL_ATTR_FAMILY_NAME, _NLMSG_ERROR = 16, 3, 2, 2  # linux/genetlink.h


def features(host: "LabHost") -> dict[str, bool]:
    """Ask a lab host.

    Returns:
        For each of bridge, vxlan, macvlan, ipvlan, dummy, netem, overlay, nfs, cifs, ip_vs, loop and dm_crypt
        whether it can be used there.

    Raises:
        HostError: The host is gone.
    """
    found: dict[str, bool] = host.call(Path(__file__).read_text(), None)
    return found


def main(argument: None) -> dict[str, bool]:
    """Try everything; runs on the lab host."""
    found = {name: _works(trial) for name, trial in _TRIALS.items()}
    found |= {name: _is_file_system(name) for name in _FILE_SYSTEMS}
    for name, trial in (("ip_vs", _try_ip_vs), ("loop", _try_loop), ("dm_crypt", _try_dm_crypt)):
        try:
            trial()
        except OSError:
            found[name] = False
        else:
            found[name] = True
    return found


def _works(trial: str) -> bool:
    """Whether a shell command succeeds in a scratch network namespace."""
    command = ["unshare", "--net", "sh", "-ec", f"ip link add p type bridge; {trial}"]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


def _is_file_system(kind: str) -> bool:
    """Whether the kernel knows a file system, which it says before it looks at what is to be mounted."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory() as place:
        if libc.mount(b"none", place.encode(), kind.encode(), ctypes.c_ulong(0), b"") == 0:
            libc.umount2(place.encode(), 0)
            return True
    return ctypes.get_errno() != errno.ENODEV


def _try_ip_vs() -> None:
    """Ask for IPVS's netlink family; the kernel loads the module to answer."""
    name = b"IPVS\0"
    attribute = struct.pack("=HH", 4 + len(name), _CTRL_ATTR_FAMILY_NAME) + name.ljust(8, b"\0")
    body = struct.pack("=BBH", _CTRL_CMD_GETFAMILY, 1, 0) + attribute
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as line:
        line.settimeout(10)
        line.send(struct.pack("=IHHII", 16 + len(body), _GENL_ID_CTRL, 1, 1, 0) + body)
        answer = line.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
        raise OSError(-struct.unpack_from("=i", answer, 16)[0], "no IPVS")


def _try_loop() -> None:
    """Ask for a free loop device, without taking it."""
    with Path("/dev/loop-control").open("rb") as control:
        fcntl.ioctl(control, _LOOP_CTL_GET_FREE)


def _try_dm_crypt() -> None:
    """Ask the device mapper for its crypt target; the kernel loads the module to answer."""
    control = Path("/dev/mapper/control")
    if not control.exists():
        control.parent.mkdir(exist_ok=True)
        os.mknod(control, 0o020600, os.makedev(10, 236))
    size = 312
    head = struct.pack("=3I7IQ", 4, 0, 0, size, size, *(0,) * 6)
    with control.open("rb") as device:
        fcntl.ioctl(device, _DM_GET_TARGET_VERSION, bytearray(head + b"crypt".ljust(size - len(head), b"\0")))
