"""The exercise of lesson 14: another consumer of the uploads, with rights just enough, that never shows half a file."""

import secrets
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.course.storage import mounts, run_in

PATIENCE = 15.0  # seconds in which an upload has to be in the archive

# Run by the agent on the Docker host. While one upload has come half way, another is sent, and inotify(7) tells whether
# the archive's file was written to under its final name, or got the name when it was whole.
_SEND_AND_WATCH = r"""
import ctypes, os, socket, struct, time
from pathlib import Path

MODIFY = 0x02  # linux/inotify.h

def main(argument):
    archive, uploads, address, name, patience = argument
    archive, uploads = Path(archive), Path(uploads)
    content = os.urandom(150_000).hex().encode()
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if libc.inotify_add_watch(watch, bytes(archive), MODIFY) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    target = archive / name
    try:
        with send(address, "unfinished-" + name, content, len(content) // 2), send(address, name, content) as line:
            said = line.makefile("rb").readline().decode().strip()
            deadline = time.monotonic() + patience
            while not (whole := target.is_file() and target.read_bytes() == content):
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            return {
                "uploaded": " 201 " in said,
                "said": said,
                "there": target.is_file(),
                "whole": whole,
                "in_place": name in names(watch),
                "unfinished": [path.name for path in archive.iterdir() if "unfinished-" + name in path.name],
            }
    finally:
        for directory in (uploads, archive):
            for path in directory.glob("*" + name + "*"):
                path.unlink(missing_ok=True)

def send(address, name, content, length=None):
    line = socket.create_connection((address, 8000), timeout=10)
    line.sendall(f"PUT /files/{name} HTTP/1.1\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content[:length])
    return line

def names(watch):
    try:
        events = os.read(watch, 1 << 20)
    except BlockingIOError:
        return set()
    found, at = set(), 0
    while at < len(events):
        _, _, _, length = struct.unpack_from("iIII", events, at)
        found.add(events[at + 16 : at + 16 + length].rstrip(b"\0").decode())
        at += 16 + length
    return found
"""


@lru_cache(maxsize=1)  # one trial for the conditions of one check
def _trial(sight: Sight) -> dict[str, Any]:
    """What became of an upload, and of another that was still under way."""
    archive, upload = sight.container("archive"), sight.container("upload-service")
    assert archive
    assert upload  # both run
    [address, *_] = upload.endpoints[0].addresses
    argument = [
        f"/proc/{archive.pid}/root/archive",
        f"/proc/{upload.pid}/root/uploads",
        address,
        f"check-{secrets.token_hex(4)}.txt",
        PATIENCE,
    ]
    said: dict[str, Any] = sight.lab.host.call(_SEND_AND_WATCH, argument, timeout=PATIENCE + 30)
    return said


def _only_reads_the_uploads(sight: Sight) -> str:
    code, said = run_in(sight, "archive", "sh", "-c", "touch /uploads/.try && rm /uploads/.try")
    if code:
        return "" if "Read-only" in said else f"Whether archive may write to /uploads cannot be told: {said}"
    return "archive can write to /uploads: a fault in it could destroy what people have sent."


def _has_nothing_else(sight: Sight) -> str:
    archive = sight.container("archive")
    assert archive  # it runs
    more = [m for m in archive.mounts if m.kind != "tmpfs" and m.target not in ("/uploads", "/archive")]
    return f"archive also has {more[0].source} at {more[0].target}: what for?" if more else ""


def _comes_whole(sight: Sight) -> str:
    trial = _trial(sight)
    if not trial["uploaded"]:
        return f"upload-service did not take a file ({trial['said'] or 'it gave no answer'}): does it run?"
    if trial["whole"]:
        return ""
    if trial["there"]:
        return "A file that was uploaded came to /archive, and not as it was sent: the copy differs."
    return (
        f"A file that was uploaded did not come to /archive within {PATIENCE:.0f} s: "
        "look at `docker logs archive`."
    )


def _comes_by_rename(sight: Sight) -> str:
    if not _trial(sight)["in_place"]:
        return ""
    return (
        "archive writes under the final name, so whoever reads meanwhile finds half a file. "
        "(If you use mv: across two mounts it copies.)"
    )


def _takes_only_finished_ones(sight: Sight) -> str:
    unfinished = _trial(sight)["unfinished"]
    if not unfinished:
        return ""
    return (
        f"archive took {unfinished[0]}, an upload that was still under way: hidden names are not for readers."
    )


archived = check(
    "An archive of all uploads",
    runs("upload-service"),
    runs("archive"),
    mounts("archive", "/uploads", kind="volume", source="shared-uploads"),
    Condition("archive cannot write to the uploads", _only_reads_the_uploads),
    Condition("archive has nothing else mounted", _has_nothing_else),
    replace(mounts("archive", "/archive", kind="volume", source="archive", read_only=False), first=True),
    Condition("a new upload comes to the archive, as it was sent", _comes_whole, first=True),
    Condition("under its final name there is never half a file", _comes_by_rename),
    Condition("uploads that are under way stay out of the archive", _takes_only_finished_ones),
    hints=[
        "Two volumes: one to read, one to write. Which of them has to be mounted read-only?",
        "A loop in the shell is enough: every half second, for each file in /uploads that is not in /archive yet …",
        "Copy to a hidden name in /archive itself, and rename with mv. The shell's * leaves hidden names out.",
    ],
    solution='''
keep = """
cd /uploads
while sleep 0.5; do
    for name in *; do
        if [ "$name" -nt "/archive/$name" ]; then
            cp "$name" "/archive/.$name.part" && mv "/archive/.$name.part" "/archive/$name"
        fi
    done
done
"""
lab.docker.containers.run(
    "dockernb/toolbox",
    ["bash", "-c", keep],
    name="archive",
    mounts=[Mount("/uploads", "shared-uploads", read_only=True), Mount("/archive", "archive")],
    detach=True,
)
''',
)
"""Run a container "archive" that copies each upload to a volume "archive", reading only, and by temporary names."""
