"""`make bench`: what `dockernb.measure` says against the same iperf3 and fio commands typed by hand, in paired runs.

Both of a pair run directly after one another, in random order, so that a drift of the machine falls on both. The
ratio of a pair is what counts; the median of all is wanted within 3 % of 1. And what a run costs beyond its seconds.
"""

import os
import random
import statistics
import tempfile
from collections.abc import Callable

import docker.types

from dockernb import measure
from dockernb.labhost import LabHost
from dockernb.measure import fio, iperf3
from dockernb.session import Lab
from tests.benchmarks.host import TOOLBOX, fresh

PAIRS, SECONDS, OMIT = 15, 2, 1


def by_hand(host: LabHost, container: str, *words: str) -> str:
    """What a command in a container prints, run by the docker CLI on the lab host."""
    done = host.run(["docker", "exec", container, *words], timeout=60)
    return (done.stdout + done.stderr).decode()


def paired(title: str, ours: Callable[[], tuple[float, float]], theirs: Callable[[], float]) -> None:
    """Print the median ratio of the pairs, and what ours cost beyond the measured seconds."""
    ratios, overheads = [], []
    for _ in range(PAIRS):
        if random.random() < 0.5:
            (figure, overhead), other = ours(), theirs()
        else:
            other, (figure, overhead) = theirs(), ours()
        ratios.append(figure / other)
        overheads.append(overhead)
    low, high = sorted(ratios)[PAIRS // 4], sorted(ratios)[-PAIRS // 4]
    print(
        f"{title:34} measured / by hand: median {statistics.median(ratios):.3f}, half of them {low:.3f} to "
        f"{high:.3f}, n={PAIRS}   (wanted: 0.97 to 1.03)\n"
        f"{'':34} a run costs {statistics.median(overheads):.2f} s beyond its seconds   (wanted: at most 0.6)",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="dockernb-")
    host = fresh()
    try:
        print("\n" + ", ".join(f"{name} {value}" for name, value in host.conditions.items()))
        lab = Lab("09-troubleshoot-and-measure", host)
        lab.docker.networks.create("bench")
        data = [docker.types.Mount("/data", "bench", "volume")]
        for name in ("server", "client"):
            lab.docker.containers.run(
                TOOLBOX, "sleep inf", name=name, network="bench", mounts=data, detach=True
            )
        arrangement = measure.Iperf3("server", "client")
        address = lab.docker.containers.get("server").attrs["NetworkSettings"]["Networks"]["bench"][
            "IPAddress"
        ]

        def network() -> tuple[float, float]:
            frame = measure.compare(lab, {"bridge": arrangement}, runs=1, seconds=SECONDS, omit=OMIT)
            return frame.loc[0, "throughput_gbit_s"], frame.loc[0, "elapsed_s"] - SECONDS - OMIT

        def network_by_hand() -> float:
            by_hand(host, "server", "iperf3", "--server", "--one-off", "--daemon")
            told = by_hand(host, "client", "iperf3", *arrangement.command(address, SECONDS, OMIT))
            figure = iperf3.parse(told).throughput_gbit_s
            assert figure, told
            return figure

        disk = measure.Fio("client", "/data", "randread", size_mib=16)

        def storage() -> tuple[float, float]:
            frame = measure.compare(lab, {"volume": disk}, runs=1, seconds=SECONDS, omit=OMIT)
            return frame.loc[0, "throughput_mb_s"], frame.loc[0, "elapsed_s"] - SECONDS - OMIT

        def storage_by_hand() -> float:
            told = by_hand(host, "client", "fio", *disk.command("/data/by-hand", SECONDS, OMIT))
            by_hand(host, "client", "rm", "/data/by-hand")
            figure = fio.parse(told).throughput_mb_s
            assert figure, told
            return figure

        paired("iperf3 over a bridge", network, network_by_hand)
        paired("fio, random reads of a volume", storage, storage_by_hand)
    finally:
        host.stop()


if __name__ == "__main__":
    main()
