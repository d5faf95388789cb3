"""What fio printed, as numbers with units. Pure: text in, a `Storage` out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dockernb.measure.series import Reading


@dataclass(frozen=True, slots=True)
class Storage(Reading):
    """The result of one fio run. Times are those of one read or write; a percentile is None where there was none.

    Attributes:
        file_system: What the directory lies on: "ext4", "overlay", "tmpfs", "nfs4".
        throughput_mb_s: 10^6 bytes a second, without the warm-up; with fdatasync the waiting counts.
        iops: Reads or writes a second.
        latency_p50_ms: Half of the reads or writes took no longer, in milliseconds. With fdatasync the write itself,
            without what it then waits.
        latency_p99_ms: 99 of 100 took no longer.
        sync_p50_ms: Half of the fdatasync calls took no longer.
        sync_p99_ms: 99 of 100 took no longer.
        cpu_percent: CPU time of fio; 100 is one CPU.
    """

    file_system: str | None = None
    throughput_mb_s: float | None = None
    iops: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    sync_p50_ms: float | None = None
    sync_p99_ms: float | None = None
    cpu_percent: float | None = None


def parse(text: str) -> Storage:
    """Read the output of ``fio --output-format=json`` for one job (or one group of the same jobs).

    fio writes what it complains about in front of the report, and reports figures of what it did before it failed:
    a job with an error is a failed run whatever else it says.

    Args:
        text: Standard output, followed by standard error or not.
    """
    if not text.strip():
        return Storage(error="fio printed nothing")
    lines = text.splitlines()
    begin = next((number for number, line in enumerate(lines) if line == "{"), None)
    end = next((number for number, line in enumerate(lines) if line == "}"), None)
    complaints = [line.removeprefix("fio: ") for line in lines if line.startswith("fio: ")]
    if begin is None or end is None:
        return Storage(error=_plain(complaints) or "fio's output is not complete: the run was cut short")
    try:
        report = json.loads("\n".join(lines[begin : end + 1]))
    except ValueError:
        return Storage(error="fio's output is not complete JSON: the run was cut short")
    version = str(report.get("fio version", "")).removeprefix("fio-")
    jobs = report.get("jobs")
    if not isinstance(jobs, list) or len(jobs) != 1 or not isinstance(jobs[0], dict):
        return Storage(version=version, error="fio's output is not the report of one job")
    [job] = jobs
    if code := job.get("error"):
        return Storage(version=version, error=_plain(complaints) or os.strerror(int(code)))
    side = next((part for name in ("read", "write") if (part := _section(job, name)).get("total_ios")), None)
    if side is None:
        return Storage(version=version, error="fio read and wrote nothing in the measured time")
    latency, sync = _percentiles(side, "clat_ns"), _percentiles(_section(job, "sync"), "lat_ns")
    return Storage(
        version=version,
        throughput_mb_s=side["bw_bytes"] / 1e6,
        iops=side["iops"],
        latency_p50_ms=latency[0],
        latency_p99_ms=latency[1],
        sync_p50_ms=sync[0],
        sync_p99_ms=sync[1],
        cpu_percent=job.get("usr_cpu", 0.0) + job.get("sys_cpu", 0.0),
    )


def _percentiles(part: Mapping[str, Any], name: str) -> tuple[float | None, float | None]:
    """The 50th and 99th, from nanoseconds to milliseconds."""
    found = _section(_section(part, name), "percentile")
    p50, p99 = found.get("50.000000"), found.get("99.000000")
    return (p50 / 1e6 if p50 is not None else None), (p99 / 1e6 if p99 is not None else None)


def _plain(complaints: list[str]) -> str:
    """The reason in fio's complaints: what stands behind the last "error=" or ": ", as in "No space left on device"."""
    if not complaints:
        return ""
    _, marker, reason = complaints[-1].rpartition("error=")
    return reason.strip() if marker else complaints[-1].strip()


def _section(data: Any, key: str) -> Mapping[str, Any]:
    """A part of the report, empty where it is missing or of another kind."""
    part = data.get(key) if isinstance(data, dict) else None
    return part if isinstance(part, dict) else {}
