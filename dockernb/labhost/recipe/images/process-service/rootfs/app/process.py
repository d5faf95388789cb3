"""Makes a small PNG of every picture (*.ppm) that lies in one directory, and puts it into another.

What is done is told by the results alone: each has the date of the upload that it was made of. So the service may be
stopped, killed and started again at any time. Several share the work: who works on an upload holds its lock.
"""

import errno
import fcntl
import math
import os
import re
import shutil
import signal
import struct
import tempfile
import threading
import time
import zlib
from pathlib import Path

UPLOADS = Path(os.environ["UPLOADS"])
RESULTS = Path(os.environ["RESULTS"])
SCRATCH = Path(os.environ["SCRATCH"])
INTERVAL = 0.25  # seconds between two looks at the uploads
RETRY = 60  # seconds until an upload that could not be done is tried again
HEADER = re.compile(rb"P6\s+(?:#.*\s+)*(\d{1,4})\s+(\d{1,4})\s+255\s")  # width, height and the largest value
EDGE = 160  # pixels of the longer edge of a small picture
GREY = b"\x80"


class NotDoneError(Exception):
    """Why an upload has no result."""


def work(upload, result):
    """Make the result of an upload; return whether there was anything to do."""
    with upload.open("rb") as source:
        try:
            fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)  # asks for no right to write
        except BlockingIOError:
            return False  # another process-service has it
        version = os.fstat(source.fileno()).st_mtime_ns
        if date_of(result) == version:
            return False
        with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
            picture, small = Path(scratch, "picture.ppm"), Path(scratch, "small.png")
            try:
                with picture.open("wb") as copy:  # which nobody changes while it is read
                    shutil.copyfileobj(source, copy)
                shrink(picture, small)
            except OSError as problem:
                if problem.errno != errno.ENOSPC:
                    raise
                room, size = shutil.disk_usage(SCRATCH).total, os.fstat(source.fileno()).st_size
                raise NotDoneError(
                    f"{SCRATCH} is full: it holds {room} bytes, and the picture has {size}"
                ) from None
            put(small, result, version)
    return True


def put(file, result, version):
    """Copy a file to the results under a temporary name, and rename it when it is whole."""
    part = result.with_name(f".{result.name}.{version}.part")
    try:
        with part.open("wb") as copy, file.open("rb") as source:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.utime(part, ns=(version, version))
            os.fsync(copy.fileno())
        part.replace(result)
    except OSError as problem:
        raise NotDoneError(f"cannot write to {result.parent}: {problem.strerror}") from None


def date_of(path):
    """When a file was last written to, in nanoseconds; None when there is no such file."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def shrink(picture, small):
    """Write a small PNG of a PPM picture. What is missing of the picture stays grey, as in a web browser."""
    with picture.open("rb") as file:
        if not (header := HEADER.match(file.read(1024))):
            raise NotDoneError("it is no PPM picture (P6, 8 bits, at most 9999 pixels wide and high)")
        width, height = map(int, header.groups())
        step = max(1, math.ceil(max(width, height) / EDGE))
        if min(width, height) < step:
            raise NotDoneError(f"{width} x {height} pixels leave nothing when made small")
        file.seek(header.end())
        rows = []
        for _ in range(height // step):
            lines = [file.read(3 * width).ljust(3 * width, GREY) for _ in range(step)]
            row = bytearray(3 * (width // step))
            for colour in range(3):  # each pixel is the mean of a square of step by step
                columns = [line[3 * x + colour :: 3 * step] for line in lines for x in range(step)]
                row[colour::3] = bytes(sum(square) // step**2 for square in zip(*columns, strict=False))
            rows.append(bytes(row))
    small.write_bytes(png(width // step, rows))


def png(width, rows):
    """A PNG file of rows of red, green and blue bytes (https://www.w3.org/TR/png-3/)."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    about = struct.pack(">IIBBBBB", width, len(rows), 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def main():
    """Work until SIGTERM; the upload under way is still finished."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    failed = {}  # name of an upload to its date when it failed, and when to try that one again
    print(f"looking for pictures in {UPLOADS}; results go to {RESULTS}")
    while not stop.wait(INTERVAL):
        for upload in sorted(UPLOADS.glob("[!.]*.ppm")):
            result, date = RESULTS / f"{upload.stem}.png", date_of(upload)
            then, again = failed.get(upload.name, (None, 0))
            if stop.is_set() or date_of(result) == date or (then == date and time.monotonic() < again):
                continue
            try:
                if work(upload, result):
                    print(f"{upload.name}: done, {result.name}")
            except (NotDoneError, OSError) as problem:
                print(f"{upload.name}: not done: {problem}")
                failed[upload.name] = (date, time.monotonic() + RETRY)


if __name__ == "__main__":
    main()
