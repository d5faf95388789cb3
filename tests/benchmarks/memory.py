"""Memory of 1, 2, 4 and 8 lab hosts that share one template: `python -m tests.benchmarks.memory [NUMBER ...]`.

A host's memory is the proportional set size (PSS) of its QEMU and its keeper, as the kernel accounts it in
/proc/PID/smaps_rollup (proc(5)): what a host has alone counts in full, a page that n processes map counts 1/n to each.
So the sum over all hosts is what they take of the machine's memory together. Pages of the template's disk in the page
cache are not mapped and not counted: they are there once, and the kernel gives them back when memory is short.

Two states: resumed (idle for a while), and under a lesson's load (a network and five containers: PostgreSQL, two nginx,
two that sleep; some commands run in them). Needs the template (`dockernb build`) and provider vm.
"""

import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator

import psutil

from dockernb.labhost import LabHost, qemu, start

NUMBERS = (1, 2, 4, 8)
CALM = 0.05  # of one CPU: a host that uses less is idle
CALM_LIMIT = 120.0  # seconds to wait for that
MIB = 2**20


def processes(host: LabHost) -> Iterator[psutil.Process]:
    """The keeper of a host and its QEMU."""
    keeper = psutil.Process(host.status()["keeper"])
    yield from (keeper, *keeper.children())


def pss(host: LabHost) -> dict[str, float]:
    """MiB of a host: all of its PSS, and the part that only it has ("own")."""
    found = [process.memory_full_info() for process in processes(host)]
    return {"pss": sum(one.pss for one in found) / MIB, "own": sum(one.uss for one in found) / MIB}


def calm(hosts: list[LabHost]) -> None:
    """Wait until no host has anything to do, but not for ever: the machine may be busy."""
    deadline = time.monotonic() + CALM_LIMIT
    watched = [process for host in hosts for process in processes(host)]
    while time.monotonic() < deadline:
        before = sum(sum(process.cpu_times()[:2]) for process in watched)
        time.sleep(2)  # the span over which the processors' use is taken
        if sum(sum(process.cpu_times()[:2]) for process in watched) - before < 2 * CALM * len(hosts):
            return


def load(host: LabHost) -> None:
    """What a lesson in the middle has running."""
    client = host.client(timeout=600)
    try:
        client.networks.create("app")
        for name, image, command in (
            ("db", "dockernb/postgres", None),
            ("web1", "dockernb/nginx", None),
            ("web2", "dockernb/nginx", None),
            ("one", "dockernb/toolbox", "sleep infinity"),
            ("two", "dockernb/toolbox", "sleep infinity"),
        ):
            client.containers.run(
                image,
                command,
                name=name,
                network="app",
                environment={"POSTGRES_PASSWORD": "secret"},
                detach=True,
            )
    finally:
        client.close()
    work = "for name in web1 web2 db; do docker exec one ping -c1 $name; done; docker exec two python3 -c 'import json'"
    host.run(["sh", "-c", work], timeout=300)


def row(state: str, hosts: list[LabHost]) -> float:
    """Print one line of the table; returns the sum of the PSS in MiB."""
    each = [pss(host) for host in hosts]
    total, own = sum(one["pss"] for one in each), max(one["own"] for one in each)
    print(f"{len(hosts):5}  {state:8}  {total:7.0f}  {total / len(hosts):8.0f}  {own:8.0f}", flush=True)
    return total


def main() -> None:
    """Measure and print."""
    numbers = sorted({int(word) for word in sys.argv[1:]}) or list(NUMBERS)
    os.environ["XDG_STATE_HOME"] = state = tempfile.mkdtemp(prefix="dockernb-")
    hosts: list[LabHost] = []
    totals: dict[int, tuple[float, float]] = {}
    print(
        f"QEMU {qemu.version()}, {qemu.accelerator().name.upper()}, {qemu.MEMORY_MIB} MiB a host, "
        f"{os.cpu_count()} CPUs, {psutil.virtual_memory().total / 2**30:.0f} GiB, load {os.getloadavg()[0]:.1f}; "
        "figures in MiB\n"
    )
    print("hosts  state     PSS all  PSS each  own most")
    try:
        for number in numbers:
            for host in hosts:
                host.reset()
            while len(hosts) < number:
                hosts.append(start(f"m{len(hosts)}", provider="vm", owner=os.getpid()))
            calm(hosts)
            idle = row("resumed", hosts)
            for host in hosts:
                load(host)
            calm(hosts)
            totals[number] = (idle, row("loaded", hosts))
    finally:
        for host in hosts:
            host.stop()
        shutil.rmtree(state, ignore_errors=True)
    print()
    for fewer, more in itertools.pairwise(numbers):
        rest, busy = ((totals[more][at] - totals[fewer][at]) / (more - fewer) for at in (0, 1))
        print(f"each further host, from {fewer} to {more}: {rest:.0f} resumed, {busy:.0f} loaded")


if __name__ == "__main__":
    main()
