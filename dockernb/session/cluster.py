"""A lesson's session on several lab hosts that may form a swarm."""

from __future__ import annotations

import contextlib
import functools
import json
import operator
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import docker
import requests
from docker.errors import APIError

from dockernb.arguments import NAME, SECONDS, TEXT, checked, several
from dockernb.errors import HostError, LabError
from dockernb.labhost import LabHost
from dockernb.labhost import host as hosts
from dockernb.labhost.several import Hosts, start_several
from dockernb.model import Swarm
from dockernb.session import ruleset
from dockernb.session.client import LessonAPI, waiting
from dockernb.session.lab import (
    TASKS_LIMIT,
    Lab,
    Removed,
    lesson_client,
    made_by,
    need_lesson,
    remove_containers,
    remove_networks,
    remove_services,
    remove_volumes,
)
from dockernb.session.twin import Script
from dockernb.session.twin.journal import Journal
from dockernb.waiting import until

MANY = "node{}"  # as dockernb.labhost.several names them
JOIN_LIMIT = 60.0  # seconds: for a swarm beyond the engine's own 20, for a network until the last try begins
WAIT_LIMIT = 110.0  # seconds; three machines may share two processors, and emulate them
FIND_LIMIT = 10.0  # seconds for a machine to learn of a network that was made again at once
TOO_SLOW = "attaching to network failed"
NOT_YET = "failed to set up container networking: network "
JOINS_LATER = "Timeout was reached before node joined"


class NodeAPI(LessonAPI):
    """The lesson's low-level client for a machine of a swarm: what makes a swarm may be run again, too.

    Attributes:
        until_forgotten: Waits until no machine keeps a removed network of that name.
    """

    until_forgotten: Callable[[str], None]

    def _pass_on(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """As for one machine, but again where the engine's own patience with its swarm was too short.

        A container that joins an overlay network waits for the manager, 20 seconds at most (moby's
        daemon/cluster/networks.go); machines that are emulated on a busy computer may take longer.
        """
        send = functools.partial(super()._pass_on, request, **kwargs)
        response = until(
            send, JOIN_LIMIT, lambda response: response.status_code < 400 or TOO_SLOW not in response.text
        )
        if response.status_code == 404 and NOT_YET in response.text:
            response = until(send, FIND_LIMIT, lambda response: response.status_code < 400)
        if response.status_code >= 400 and JOINS_LATER in response.text:
            response = self._until_joined() or response  # the engine goes on trying, and so it is not lost
        return response

    def _swarm(self) -> dict[str, Any]:
        """What the engine says of its swarm."""
        swarm: dict[str, Any] = self._plain("GET", "/info").json()["Swarm"]
        return swarm

    def _until_joined(self) -> requests.Response | None:
        """Wait until this machine is in its swarm; None when that takes too long."""
        swarm = until(self._swarm, JOIN_LIMIT, _active)
        return _well(swarm["NodeID"]) if _active(swarm) else None

    def _before(self, path: str, query: dict[str, str], body: dict[str, Any]) -> requests.Response | None:
        if path in {"/swarm/init", "/swarm/join"}:
            return self._keep_swarm(path, body)
        if path == "/services/create":
            self._replace_service(body.get("Name", ""))
        return super()._before(path, query, body)

    def _keep_swarm(self, path: str, body: dict[str, Any]) -> requests.Response | None:
        """An earlier run of the cell has put this machine into that very swarm."""
        swarm = self._swarm()
        if not _active(swarm):
            return None
        managers = {one["Addr"] for one in swarm["RemoteManagers"] or ()}
        if path == "/swarm/join":
            same = bool(managers.intersection(body.get("RemoteAddrs") or ()))
        else:
            same = swarm["ControlAvailable"] and body.get("AdvertiseAddr") == swarm["NodeAddr"]
        if not same:
            return None  # the engine will say what is wrong
        return _well(swarm["NodeID"])

    def _keep_network(self, body: dict[str, Any]) -> requests.Response | None:
        kept = super()._keep_network(body)
        name = body.get("Name", "")
        if kept is None and body.get("Driver") == "overlay" and self._find("networks", name) is None:
            self.until_forgotten(name)
        return kept

    def _replace_service(self, name: str) -> None:
        """Remove the service that an earlier run of the cell made."""
        old = self._find("services", name) if name else None
        if old and self._ours(old["Spec"].get("Labels")):
            self._plain("DELETE", f"/services/{old['ID']}")


def _active(swarm: dict[str, Any]) -> bool:
    """Whether a machine is in its swarm, by what its engine says."""
    return bool(swarm["LocalNodeState"] == "active")


def _well(content: str) -> requests.Response:
    """An answer that says that all is well."""
    answer = requests.Response()
    answer.status_code = 200
    answer._content = json.dumps(content).encode()
    return answer


class Machine:
    """One lab host of several.

    Attributes:
        name: Its host name: node1, node2, ...
        address: Its address on the segment that joins them.
        host: Its LabHost.
        docker: An ordinary docker.DockerClient for it.
    """

    def __init__(self, cluster: Cluster, number: int) -> None:
        self._cluster, self._number = cluster, number
        self.name = MANY.format(number + 1)
        self.address: str = cluster.members.address(number)
        self.host: LabHost = cluster.members[number]
        self.docker: docker.DockerClient = cluster.docker if number == 0 else cluster.connect(self.host)

    def __repr__(self) -> str:
        return f"<{self.name} at {self.address}>"

    @property
    def runs(self) -> bool:
        """Whether the machine is there."""
        return hosts.join(self.name) is not None

    @checked(HostError, argv=several(TEXT, 'texts, such as "ip", "route"'), timeout=SECONDS)
    def run(self, *argv: str, timeout: float = 30.0) -> str:
        """What a command says that runs on the machine itself, standard error included.

        Raises:
            HostError: There is no such program, it took too long, or the machine is gone.
        """
        done = self.host.run(list(argv), timeout=timeout)
        return (done.stdout + done.stderr).decode(errors="replace").strip()

    def stop(self) -> None:
        """Switch the machine off, as a power cut would; what was in it is gone."""
        self.host.stop()

    def start(self) -> None:
        """Put a new machine in its place, with the same name and address; one that runs stays.

        Raises:
            HostError: It did not start, or it is the first one, to which the others are plugged in.
        """
        if self.runs:
            return
        if self._number == 0:
            raise HostError(f"{self.name} carries the others' segment: run the lesson's first cell again.")
        self.host = self._cluster.start_missing()[self._number]
        self.docker = self._cluster.connect(self.host)


class Cluster(Lab):
    """A lesson's session on several lab hosts. The first is the one that `host` and `docker` mean.

    Attributes:
        nodes: The machines.
        members: The lab hosts, as `dn.hosts` gives them.
    """

    def __init__(
        self,
        name: str,
        members: Hosts,
        *,
        provider: str | None = None,
        engine: str | None = None,
        owner: int | None = None,
    ) -> None:
        self.members = members
        self._options: dict[str, Any] = {"provider": provider, "engine": engine, "owner": owner}
        self._journal = Journal()
        super().__init__(name, members[0])
        self.nodes = tuple(Machine(self, number) for number in range(len(members)))

    def __repr__(self) -> str:
        return f"<Cluster {self.name!r}: {', '.join(node.name for node in self.nodes)}>"

    def connect(self, host: LabHost) -> docker.DockerClient:
        """A client of this lesson for one of the machines."""
        with self._journal.silent():  # a new client asks for the engine's version
            client = lesson_client(NodeAPI, host, self.labels, self._journal.of(host.name))
        api: Any = client.api
        api.until_forgotten = self._until_forgotten
        return client

    def start_missing(self) -> Hosts:
        """Start the lab hosts that do not run."""
        self.members = start_several(len(self.members), **self._options)
        return self.members

    def twin(self) -> Script:
        """The `docker …` lines that do what the SDK calls did since the last look, and where to type them."""
        return self._journal.take()

    # --- looking -----------------------------------------------------------------------------------------------

    def swarm(self) -> Swarm:
        """The swarm's nodes, networks, services and tasks now, and the lesson's own containers on the machines.

        Raises:
            LabError: The first machine is not the manager of a swarm.
        """
        with self._unrecorded():
            api: Any = self.docker.api
            try:
                nodes, services, tasks = api.nodes(), api.services(), api.tasks()
            except APIError as problem:
                raise LabError(
                    f"{self.nodes[0].name} is not the manager of a swarm yet: {problem}"
                ) from problem
            there = [node for node in self.nodes if node.runs]
            with ThreadPoolExecutor(len(self.nodes)) as several:
                listed = list(several.map(self._containers_of, there))
            return Swarm.from_inspect(
                nodes=nodes,
                networks=api.networks(),
                services=services,
                tasks=tasks,
                containers={node.name: found for node, found in zip(there, listed, strict=True)},
            )

    def _containers_of(self, node: Machine) -> list[dict[str, Any]]:
        """The lesson's own containers on a machine."""
        listed: list[dict[str, Any]] = node.docker.api.containers(all=True, filters=made_by(self.labels))
        return listed

    def broken(self) -> bool:
        """Whether the machines are in a swarm that is not whole any more."""
        with self._unrecorded():
            swarm = self.docker.info()["Swarm"]
            if not swarm["ControlAvailable"]:
                return bool(swarm["LocalNodeState"] != "inactive")
            return any(node.attrs["Status"]["State"] != "ready" for node in self.docker.nodes.list())

    @checked(LabError, service=NAME, limit=SECONDS)
    def wait(self, service: str, limit: float = WAIT_LIMIT) -> Swarm:
        """Wait until a service runs as many tasks as it shall, on machines that are there.

        The command line's `docker service create` waits by itself; the SDK's call does not.

        Args:
            service: Its name.
            limit: Seconds.

        Returns:
            The swarm as it is then.

        Raises:
            LabError: There is no such service, or it does not run in time; the sentence says why.
        """
        with waiting(f"Waiting for the tasks of {service}"):
            seen, lacking = until(lambda: self._look_for(service), limit, lambda found: not found[1])
        if lacking:
            raise LabError(
                f"The service {service!r} does not run after {limit:.0f} s: {lacking}{self._failure(service)}."
            )
        return seen

    def _look_for(self, service: str) -> tuple[Swarm, str]:
        """The swarm now, and what its service's tasks do when it does not run as it shall; else an empty string."""
        seen = self.swarm()
        wanted = seen.service(service)
        if wanted is None:
            raise LabError(f"There is no service {service!r}: run the cell that creates it first.")
        there = {node.name for node in self.nodes if node.runs}
        tasks = seen.tasks_of(service)
        well = [task for task in tasks if task.running and task.node in there]
        if len(well) == (len(tasks) or 1 if wanted.replicas is None else wanted.replicas):
            return seen, ""
        return seen, ", ".join(f"{task.name} is {task.state}" for task in tasks) or "it has no tasks"

    def _failure(self, service: str) -> str:
        """Why the last of a service's tasks that failed did so."""
        with self._unrecorded():
            api: Any = self.docker.api
            tasks = api.tasks({"service": service})
        failed = [task["Status"] for task in tasks if task["Status"].get("Err")]
        return f" ({max(failed, key=lambda one: one['Timestamp'])['Err']})" if failed else ""

    def _until_forgotten(self, name: str) -> None:
        """Wait until no machine keeps a removed overlay network of that name.

        A worker keeps it until its last task there has ended, and looks for networks by name: a container that
        joins a new network of that name is put on the old one, which fails, and what the manager has noted for
        it keeps the new network for ever ("in use by task"; moby issues 41841 and 31068).
        """

        def keepers() -> list[str]:
            return [node.name for node in self.nodes if node.runs and _keeps(node, name)]

        with self._unrecorded():
            keep = until(keepers, TASKS_LIMIT, operator.not_)
        if keep:
            raise LabError(
                f"The removed network {name!r} is still on {' and '.join(keep)}, because a task on it has "
                "not ended: give the new network another name, or run this cell again in a minute."
            )

    # --- its end -----------------------------------------------------------------------------------------------

    def _clean(self) -> Removed:
        """Services, then what is on the machines, then the swarm, with which its networks go.

        To remove these one by one would be to wait for the tasks of machines that are lost, and in vain for a
        network that a container has failed to join.
        """
        there = [node for node in self.nodes if node.runs]
        joined = self.docker.networks.list(filters={**made_by(self.labels), "scope": "swarm"})
        services = remove_services(self.docker, self.labels)
        with ThreadPoolExecutor(len(self.nodes)) as several:
            by_node = several.map(lambda node: remove_containers(node.docker, self.labels), there)
            containers = sorted(name for names in by_node for name in names)
            rules = sum(several.map(lambda node: ruleset.withdraw(node.host), there))
            networks = {str(network.name) for network in joined}
            for node in there:
                networks.update(remove_networks(node.docker, self.labels, scope="local"))
            volumes = sorted(name for node in there for name in remove_volumes(node.docker, self.labels))
            # Workers first: without a manager they would wait for it.
            left = list(several.map(_leave, there[1:]))
        swarm = sorted(name for name in [*left, *map(_leave, there[:1])] if name)
        return Removed(
            tuple(containers), tuple(sorted(networks)), tuple(volumes), services, tuple(swarm), rules
        )

    def _unrecorded(self) -> AbstractContextManager[None]:
        return _quiet([self.docker.api, *(node.docker.api for node in self.nodes[1:])])

    def reset(self) -> None:
        """All machines pristine again; everything that was in them is gone."""
        self.members = self.start_missing()
        self.members.reset()

    def stop(self) -> None:
        """Switch all machines off."""
        self.members.stop()


@contextlib.contextmanager
def _quiet(clients: list[Any]) -> Iterator[None]:
    """Requests of the library's own, to several engines."""
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.enter_context(client.unrecorded())
        yield


def _keeps(node: Machine, name: str) -> bool:
    """Whether a machine has an overlay network of that name."""
    listed: list[dict[str, Any]] = node.docker.api.networks(names=[name], filters={"scope": "swarm"})
    return any(network["Name"] == name for network in listed)


def _leave(node: Machine) -> str:
    """Make a machine leave its swarm, when its tasks have ended; its name if it was in one."""
    if node.docker.info()["Swarm"]["LocalNodeState"] == "inactive":
        return ""

    def tasks() -> list[Any]:
        found: list[Any] = node.docker.api.containers(
            all=True, quiet=True, filters={"label": "com.docker.swarm.task.id"}
        )
        return found

    # Those of somebody else's service stay: the engine itself removes them when it leaves.
    until(tasks, TASKS_LIMIT, operator.not_)
    node.docker.swarm.leave(force=True)
    return node.name


def open_cluster(
    name: str,
    count: int,
    *,
    provider: str | None = None,
    engine: str | None = None,
    owner: int | None = None,
    report: hosts.Report,
) -> Cluster:
    """Open a lesson's session on several lab hosts, those that run or new ones.

    A group that an earlier run has left broken (a machine is missing, a swarm has lost one) is made anew.

    Args:
        name: The lesson.
        count: How many machines, 2 to 8.
        provider: "vm", "container" or "auto".
        engine: "testing" (the default) or "stable", the Debian suite that its engine comes from.
        owner: Process id with which they end; default: the parent of this process.
        report: Told what is being done and the fraction that is done.

    Raises:
        LabError: There is no such lesson.
        HostError: The lab hosts cannot be had.
    """
    need_lesson(name)
    found = [hosts.join(MANY.format(number)) for number in range(1, count + 1)]
    if None in found:
        for left in found[::-1]:
            if left is not None:
                left.stop()
    members = start_several(count, provider=provider, engine=engine, owner=owner, report=report)
    cluster = Cluster(name, members, provider=provider, engine=engine, owner=owner)
    if cluster.broken():
        report("Making the machines pristine, because their swarm has lost one", 0.5)
        cluster.reset()
    return cluster
