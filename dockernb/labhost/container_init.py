"""The first program of a lab host that is a container: what its engine's settings cannot do.

It runs inside (standard library only, the lab host's Python 3.13), is passed as text by
:mod:`dockernb.labhost.container`, and becomes recipe/host/usr/lib/dockernb/init. In order: make the kernel's
file systems writable, take a cgroup of its own, make device nodes, close the way out, put the prepared images
in the engine's store. A failure is one JSON line {"error": sentence} on standard output, and the container
ends: a lab host whose way out is open never starts.

`seed` instead loads the images into the store, once for each recipe.
"""

import contextlib
import ctypes
import ipaddress
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import time

API_PORT = 2376
TUNNEL_PORT = 4790  # beside VXLAN's own 4789, which is for the lessons
IMAGES = pathlib.Path("/var/lib/dockernb/images.tar")
STORE = pathlib.Path("/var/lib/dockernb/store")  # the prepared one, mounted read-only
DATA = pathlib.Path("/var/lib/docker")
SOCKET = pathlib.Path("/run/docker.sock")
CGROUPS = pathlib.Path("/sys/fs/cgroup")
DEVICES = {
    "loop-control": (stat.S_IFCHR | 0o600, 10, 237),
    "fuse": (stat.S_IFCHR | 0o666, 10, 229),
    "net/tun": (stat.S_IFCHR | 0o666, 10, 200),
    **{
        f"loop{number}": (stat.S_IFBLK | 0o600, 7, number) for number in range(64)
    },  # many are taken where there are snaps
}

MOUNT_FLAGS = {"nosuid": 2, "nodev": 4, "noexec": 8, "relatime": 1 << 21}  # linux/mount.h
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, flags: int) -> None:
    """Mount or remount what needs neither a type nor data."""
    if libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None):
        raise OSError(ctypes.get_errno(), f"mount {target}: {os.strerror(ctypes.get_errno())}")


def make_writable() -> None:
    """Remount what the engine mounts read-only although the dockerd inside has to write it.

    /sys belongs to this network namespace and is remounted as a whole. A cgroup file system is shared with
    the rest of the machine, where a remount of the whole is refused: only this mount of it is.
    """
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        _, target, kind, options, *_ = line.split()
        flags = sum(bit for name, bit in MOUNT_FLAGS.items() if name in options.split(","))
        if kind == "sysfs" and target == "/sys":
            mount("", target, MS_REMOUNT | flags)
        elif kind in ("cgroup", "cgroup2") or target == "/proc/sys":
            mount("", target, MS_REMOUNT | MS_BIND | flags)


def leave_the_root_cgroup() -> None:
    """Cgroup v2: a group with processes of its own cannot hand controllers down: move into a leaf first."""
    if not (CGROUPS / "cgroup.controllers").exists():
        return
    leaf = CGROUPS / "lab"
    leaf.mkdir(exist_ok=True)
    (leaf / "cgroup.procs").write_text(str(os.getpid()))
    for controller in (CGROUPS / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):  # each by itself: one that cannot be had must not cost the others
            (CGROUPS / "cgroup.subtree_control").write_text(f"+{controller}")


def make_devices() -> None:
    """Make the nodes that an engine gives no container; its device rules decide about opening them."""
    for name, (mode, major, minor) in DEVICES.items():
        path = pathlib.Path("/dev") / name
        path.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mknod(path, mode, os.makedev(major, minor))
            path.chmod(stat.S_IMODE(mode))  # whatever the umask


# --- The way out ---
#
# A filter on the egress of each outer interface, in classic BPF on tc's clsact hook. It sees every frame,
# whatever made it: dockerd rewrites iptables, and a macvlan's frames never pass there, but all of them pass
# here. tc takes it on every kernel from 4.5 on; nft's egress hook needs 5.16.

# linux/pkt_cls.h. Stolen and not shot: whoever sent it is not told, as on any network; dockerd gives a container up
# whose first ARP announcement cannot be sent ("no buffer space available").
TC_ACT_OK, TC_ACT_STOLEN = 0, 4
LD_W, LD_H, LD_B, LD_LENGTH = 0x20, 0x28, 0x30, 0x80  # linux/bpf_common.h; from a fixed place in the frame
AND, JEQ, JGE, RET = 0x54, 0x15, 0x35, 0x06
ARP, IPV4, TCP, UDP = 0x0806, 0x0800, 6, 17


def filter_code(own: str, network: str) -> str:
    """The filter for one interface, as `tc ... bpf bytecode` takes it.

    What may leave: ARP for a neighbour, from our own address; answers (TCP with ACK) from the API's port; the
    segment's tunnel to neighbours. Everything else, IPv6 included, is dropped.

    Args:
        own: Address of the interface.
        network: Its network, as "198.18.0.0/24".
    """
    subnet = ipaddress.ip_network(network)
    here, mask, base = int(ipaddress.ip_address(own)), int(subnet.netmask), int(subnet.network_address)
    plain = [(LD_B, 14, 0xFF, 0x45), (LD_H, 20, 0x3FFF, 0)]  # IPv4 without options, and not a fragment
    # For each kind of frame its least length, and checks: how to load, from where, mask, what it has to be.
    allowed = [
        (42, [(LD_H, 12, 0xFFFF, ARP), (LD_W, 28, 0xFFFFFFFF, here), (LD_W, 38, mask, base)]),
        (54, [(LD_H, 12, 0xFFFF, IPV4), *plain, (LD_B, 23, 0xFF, TCP),
              (LD_H, 34, 0xFFFF, API_PORT), (LD_B, 47, 0x10, 0x10)]),
        (42, [(LD_H, 12, 0xFFFF, IPV4), *plain, (LD_B, 23, 0xFF, UDP),
              (LD_H, 36, 0xFFFF, TUNNEL_PORT), (LD_W, 30, mask, base)]),
    ]  # fmt: skip
    code: list[tuple[int, int, int, int]] = []
    for length, checks in allowed:
        # A load from behind the frame's end would end the program with 0, which lets the frame pass: so the
        # length comes first. A check is three instructions; the return after the last one is jumped over,
        # too.
        code += [(LD_LENGTH, 0, 0, 0), (JGE, 0, 3 * len(checks) + 1, length)]
        for left, (load, place, bits, value) in zip(reversed(range(len(checks))), checks, strict=True):
            code += [(load, 0, 0, place), (AND, 0, 0, bits), (JEQ, 0, 3 * left + 1, value)]
        code.append((RET, 0, 0, TC_ACT_OK))
    code.append((RET, 0, 0, TC_ACT_STOLEN))
    return f"{len(code)}," + ",".join(" ".join(map(str, instruction)) for instruction in code)


def close_the_way_out() -> None:
    """Put the filter on every interface but the loopback.

    A user-defined network also brings the outer engine's resolver at 127.0.0.11, which would ask the
    learner's resolver for us: that address is made to lead nowhere.
    """
    for interface in json.loads(output("ip", "-json", "-4", "address", "show")):
        if interface["ifname"] == "lo":
            continue
        [address] = interface["addr_info"]
        network = ipaddress.ip_interface(f"{address['local']}/{address['prefixlen']}").network
        code = filter_code(address["local"], str(network))
        output("tc", "qdisc", "add", "dev", interface["ifname"], "clsact")
        rule = (
            "tc",
            "filter",
            "add",
            "dev",
            interface["ifname"],
            "egress",
            "bpf",
            "direct-action",
            "bytecode",
            code,
        )
        output(*rule)
    output("ip", "route", "add", "blackhole", "127.0.0.11/32", "table", "local")


def allow_ipv6() -> None:
    """Give the lab host IPv6 again, which engines before 26 switch off in a container on a network without it."""
    for scope in ("all", "default"):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            pathlib.Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("0")


def output(*command: str, limit: float = 20) -> str:
    """Run a command that has to succeed within some seconds, and return what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command[:3])}: {done.stderr.strip() or done.returncode}")
    return done.stdout


# --- The images ---


def borrow_images() -> None:
    """Make the prepared images part of this engine's store, without copying their files.

    A layer is only ever read (it becomes a lower directory of a container's overlay), so its files may stay
    where they are: the layer's directory is a read-only bind mount. `docker rmi` unmounts it and forgets it.
    """
    shutil.copytree(STORE / "image", DATA / "image")
    (DATA / "overlay2").mkdir(mode=0o710)
    shutil.copytree(STORE / "overlay2" / "l", DATA / "overlay2" / "l", symlinks=True)
    for layer in (STORE / "overlay2").iterdir():
        if not (layer / "diff").is_dir():
            continue
        mine = DATA / "overlay2" / layer.name
        mine.mkdir(mode=0o710)
        for part in layer.iterdir():
            if part.is_file():
                shutil.copy2(part, mine)
        (mine / "diff").mkdir()
        mount(str(layer / "diff"), str(mine / "diff"), MS_BIND)
        mount("", str(mine / "diff"), MS_REMOUNT | MS_BIND | MS_RDONLY)


def load_images() -> None:
    """Load the images into the store with an engine that has no network, and end it properly."""
    command = ["dockerd", f"--host=unix://{SOCKET}", "--bridge=none", "--iptables=false"]
    log = pathlib.Path("/var/log/dockerd.log")
    with log.open("wb") as out:
        dockerd = subprocess.Popen(command, stdout=out, stderr=out)
    deadline = time.monotonic() + 60
    while not SOCKET.exists():
        if dockerd.poll() is not None or time.monotonic() > deadline:
            raise OSError(
                f"dockerd did not start: {' '.join(log.read_text(errors='replace').splitlines()[-1:])}"
            )
        time.sleep(0.02)
    output("docker", f"--host=unix://{SOCKET}", "load", "--quiet", "--input", str(IMAGES), limit=500)
    dockerd.terminate()
    dockerd.wait(60)


def main(what: str) -> None:
    """`host`: prepare and become the lab host's init. `seed`: load the images and end."""
    try:
        make_writable()
        leave_the_root_cgroup()
        if what == "seed":
            load_images()
            return
        make_devices()
        close_the_way_out()
        allow_ipv6()
        borrow_images()
    except (OSError, ValueError, subprocess.SubprocessError) as problem:
        print(json.dumps({"error": str(problem)}), flush=True)
        sys.exit(1)
    os.execv("/usr/lib/dockernb/init", ["init", "container"])


if __name__ == "__main__":
    main(sys.argv[1])
