"""`make bench`: how long a lab host takes, in seconds, on this machine as it is now.

Every figure is the median of n runs with the smallest and the largest. An idle machine gives other figures than a busy
one, so the load is part of the conditions. Needs the template (`dockernb build`).
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable

import psutil

import dockernb as dn
from dockernb.labhost import LabHost, start
from dockernb.session import Lab
from dockernb.view.isolation import INTERNAL, MEMBER, Change, IsolationModel, LabHands

TOOLBOX = "dockernb/toolbox"


def timed(title: str, runs: int, work: Callable[[], object], limit: float | None = None) -> None:
    """Print the median of the runs."""
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    wanted = f"   (wanted: at most {limit:g})" if limit else ""
    middle = statistics.median(seconds)
    print(
        f"{title:58} {middle:6.2f}  {min(seconds):6.2f} to {max(seconds):6.2f}  n={runs}{wanted}", flush=True
    )


def fresh() -> LabHost:
    """A lab host of the provider that DOCKERNB_PROVIDER says, default vm."""
    return start("bench", provider=os.environ.get("DOCKERNB_PROVIDER", "vm"), owner=os.getpid())


def three_tiers(lab: Lab) -> IsolationModel:
    """The containers and networks of lesson 06, and the state of a panel over them."""
    for name, internal in (("frontend", False), ("backend", True), ("database", True)):
        lab.docker.networks.create(name, internal=internal)
    for image, name, networks, ports in (
        ("postgres", "db", ["database"], {}),
        ("api", "api", ["backend", "database"], {}),
        ("web", "web", ["frontend", "backend"], {"80/tcp": 8080}),
        ("lb", "lb", ["frontend"], {"80/tcp": 80}),
    ):
        made = lab.docker.containers.create(
            f"dockernb/{image}",
            name=name,
            network=networks[0],
            ports=ports,
            environment={"POSTGRES_PASSWORD": "secret"},
        )
        for further in networks[1:]:
            lab.docker.networks.get(further).connect(made)
        made.start()
    return IsolationModel(LabHands(lab))


def main() -> None:
    """Measure and print."""
    os.environ["XDG_STATE_HOME"] = state = tempfile.mkdtemp(prefix="dockernb-")
    host = fresh()
    print(", ".join(f"{name} {value}" for name, value in host.conditions.items()))
    print(f"this machine: {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    host.stop()

    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        host = fresh()
        client = host.client()
        client.ping()
        seconds.append(time.perf_counter() - began)
        host.stop()
    print(
        f"{'start to the first API answer':58} {statistics.median(seconds):6.2f}  {min(seconds):6.2f} to "
        f"{max(seconds):6.2f}  n=10   (wanted: at most 1.5)"
    )

    host = fresh()
    client = host.client()
    timed("reset", 5, host.reset, 2.0)
    client.containers.run(TOOLBOX, "true", remove=True)
    client.networks.create("bench")
    timed(
        "docker run of a toolbox container on a bridge",
        5,
        lambda: client.containers.run(TOOLBOX, "sleep inf", network="bench", detach=True),
        2.5,
    )
    timed("docker exec", 5, lambda: client.containers.list()[0].exec_run("true"))

    host.reset()
    lab = Lab("06-three-tier-lab", host)
    for network in range(4):
        lab.docker.networks.create(f"net{network}")
        for number in range(5):
            lab.docker.containers.run(
                "dockernb/nginx", name=f"c{network}{number}", network=f"net{network}", detach=True
            )
    timed("matrix, 20 containers on 4 networks, names and addresses", 5, lambda: dn.reach(lab), 3.0)

    host.reset()
    panel = three_tiers(Lab("06-three-tier-lab", host))

    def toggle(what: str, on: str, container: str = "") -> None:
        panel.change(Change(what, on, not panel.value(what, on, container), container))
        assert not panel.error, panel.error

    title = "panel: {}, to the new matrix of the three tiers"
    timed(title.format("internal"), 4, lambda: toggle(INTERNAL, "backend"), 4.0)
    timed(title.format("a membership"), 4, lambda: toggle(MEMBER, "database", "web"), 4.0)

    if host.provider == "vm":
        host.reset()
        machine = next(
            child for child in psutil.Process(host.status()["keeper"]).children() if "qemu" in child.name()
        )
        for thread in machine.threads():
            os.sched_setaffinity(thread.id, {0})
        client.containers.run(TOOLBOX, "true", remove=True)
        timed(
            "docker run, the machine pinned to one core",
            5,
            lambda: client.containers.run(TOOLBOX, "sleep inf", detach=True),
            7.0,
        )
    host.stop()
    shutil.rmtree(state)


if __name__ == "__main__":
    main()
