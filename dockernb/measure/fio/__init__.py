"""fio in a directory of a container: the file is made, measured and removed for you."""

from __future__ import annotations

import dataclasses
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import docker

from dockernb.arguments import check_fields
from dockernb.errors import MeasureError
from dockernb.measure.containers import running
from dockernb.measure.fio._parse import Storage, parse
from dockernb.measure.series import Plan

__all__ = ["Fio", "Storage", "parse"]

Pattern = Literal["read", "write", "randread", "randwrite"]
How = Literal["buffered", "direct", "fdatasync"]

_GRACE_S = 30  # what laying the file out, the last sync and its removal may take beyond the measured seconds


@dataclass(frozen=True, slots=True)
class Fio:
    """One arrangement to measure: where, which pattern, and what counts as done.

    Attributes:
        container: Name of a running container of a ``dockernb`` image.
        directory: A directory in the container; the file that is read or written lies in it for as long as a run.
        pattern: fio's word: "read" and "write" go through the file in order, "randread" and "randwrite" do not.
        how: "buffered" is what programs do that do nothing special: a write is done when it is in the kernel's memory.
            "direct" goes past that memory (O_DIRECT). "fdatasync" is what databases do: after every write they wait
            until the disk has it.
        block_kib: Size of one read or write, in KiB.
        size_mib: Size of the file, in MiB.
        parallel: How many threads do it, each on its own.
    """

    container: str
    directory: str
    pattern: Pattern
    how: How = "buffered"
    block_kib: int = 4
    size_mib: int = 64
    parallel: int = 1

    def __post_init__(self) -> None:
        check_fields(MeasureError, self)

    def command(self, file: str, seconds: float, omit: float) -> list[str]:
        """The arguments, as one would type them after ``fio``."""
        words = ["--name=run", f"--filename={file}", f"--rw={self.pattern}", f"--bs={self.block_kib}k"]
        words += [f"--size={self.size_mib}M", "--ioengine=psync", "--time_based"]
        words += [f"--runtime={1000 * seconds:.0f}ms"]
        words += [f"--ramp_time={1000 * omit:.0f}ms"] if omit else []
        words += [f"--numjobs={self.parallel}", "--thread", "--group_reporting"]
        words += {"buffered": [], "direct": ["--direct=1"], "fdatasync": ["--fdatasync=1"]}[self.how]
        # Another order of blocks in each run: nothing may have learned the one before.
        return [*words, "--randrepeat=0", "--percentile_list=50:99", "--output-format=json"]

    def plan(self, engine: docker.APIClient, name: str, seconds: float, omit: float) -> Plan:
        """Look the container up.

        Raises:
            MeasureError: It does not exist or does not run, or a field makes no sense.
        """
        self._check(name)
        container = running(engine, self.container)
        file = f"{self.directory.rstrip('/')}/.dockernb-fio"
        argument = {
            "pid": container.pid,
            "directory": self.directory,
            "file": file,
            "arguments": self.command(file, seconds, omit),
            "limit": seconds + omit + _GRACE_S,
        }
        columns = {
            "container": container.name,
            "directory": self.directory,
            "pattern": self.pattern,
            "how": self.how,
            "block_kib": self.block_kib,
            "size_mib": self.size_mib,
            "parallel": self.parallel,
        }
        source = importlib.resources.files(__package__).joinpath("_inside.py").read_text()
        return Plan("fio", source, argument, columns, Storage, _read)

    def _check(self, name: str) -> None:
        if self.pattern not in get_args(Pattern) or self.how not in get_args(How):
            patterns, ways = ", ".join(get_args(Pattern)), ", ".join(get_args(How))
            raise MeasureError(f'"{name}": pattern is one of {patterns}, and how one of {ways}.')
        if self.how == "fdatasync" and self.pattern in ("read", "randread"):
            raise MeasureError(f'"{name}": fdatasync waits for writes, and a {self.pattern} has none.')
        if min(self.block_kib, self.size_mib, self.parallel) < 1 or self.block_kib > self.size_mib * 1024:
            raise MeasureError(
                f'"{name}": block_kib, size_mib and parallel are at least 1, and a block fits the file.'
            )
        if not self.directory.startswith("/"):
            raise MeasureError(f'"{name}": directory is a whole path in the container, such as /data.')


def _read(answer: Mapping[str, Any]) -> Storage:
    """A run that could not be made, or what fio printed."""
    reading = Storage(error=answer["error"]) if answer["error"] else parse(answer["output"])
    return dataclasses.replace(reading, file_system=answer["file_system"])
