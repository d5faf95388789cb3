"""fio in real containers on a lab host."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from dockernb import measure
from dockernb.labhost import LabHost


@pytest.fixture
def lab(host: LabHost) -> Any:
    """A container with a volume, a tmpfs of 8 MiB and a read-only volume."""
    client = host.client()
    client.containers.run(
        "dockernb/toolbox",
        ["sleep", "infinity"],
        name="disks",
        volumes={"data": {"bind": "/data"}, "locked": {"bind": "/locked", "mode": "ro"}},
        tmpfs={"/small": "size=8m"},
        detach=True,
    )
    return SimpleNamespace(host=host, docker=client)


def once(lab: Any, directory: str, pattern: str, **fields: Any) -> pd.Series:
    """One run without a warm-up, as a row."""
    disk = measure.Fio("disks", directory, pattern, size_mib=4, **fields)  # type: ignore[arg-type]
    return measure.compare(lab, {"run": disk}, runs=1, omit=0).loc[0]


def test_every_place_is_measured_on_its_own_file_system(lab: Any) -> None:
    frame = measure.compare(
        lab,
        {
            "volume": measure.Fio("disks", "/data", "randwrite", how="fdatasync", size_mib=4),
            "writable layer": measure.Fio("disks", "/var/tmp", "randread", size_mib=4),
            "tmpfs": measure.Fio("disks", "/small", "write", block_kib=64, size_mib=4),
        },
        runs=1,
        omit=0,
    ).set_index("arrangement")
    assert list(frame["error"]) == [""] * 3
    assert dict(frame["file_system"]) == {"volume": "ext4", "writable layer": "overlay", "tmpfs": "tmpfs"}
    assert (frame["iops"] > 10).all()
    assert (frame["latency_p99_ms"] >= frame["latency_p50_ms"]).all()
    assert frame["sync_p50_ms"].notna().to_dict() == {"volume": True, "writable layer": False, "tmpfs": False}
    assert frame.attrs["fio"].startswith("3.")
    left = lab.docker.containers.get("disks").exec_run("find /data /small /var/tmp -name '.dockernb*'").output
    assert left == b""


def test_what_cannot_be_written_is_a_failed_run(lab: Any) -> None:
    full = once(lab, "/small", "write", block_kib=1024)
    assert full["error"] == ""
    full = measure.compare(lab, {"run": measure.Fio("disks", "/small", "write")}, runs=1, omit=0).loc[0]
    assert "No space left on device" in full["error"]
    assert "Read-only file system" in once(lab, "/locked", "write")["error"]
    assert once(lab, "/nowhere", "write")["error"] == "there is no directory /nowhere"
    assert (
        lab.docker.containers.get("disks").exec_run("ls -A /small /nowhere").output.count(b".dockernb") == 0
    )
