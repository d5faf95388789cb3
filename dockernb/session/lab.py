"""A lesson's session on a lab host."""

import difflib
import functools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import docker
from docker.errors import APIError, NotFound

from dockernb.arguments import SECONDS, TEXT, checked
from dockernb.errors import LabError
from dockernb.labhost import LabHost, api
from dockernb.labhost import host as hosts
from dockernb.session import ruleset
from dockernb.session.client import LAB, SESSION, LessonAPI, explain, waiting
from dockernb.session.twin import Recorder, Script
from dockernb.waiting import until

LESSONS = (
    "00-start-here",
    "01-network-model",
    "02-bridge",
    "03-host-and-none",
    "04-overlay-swarm",
    "05-macvlan",
    "06-three-tier-lab",
    "07-segmentation-and-policy",
    "08-discovery-and-balancing",
    "09-troubleshoot-and-measure",
    "10-volumes",
    "11-bind-and-tmpfs",
    "12-network-storage",
    "13-database-with-backups",
    "14-shared-storage",
    "15-backup-restore-migrate",
    "16-storage-performance",
    "17-capstone",
)

TASKS_LIMIT = 45.0  # seconds for the tasks of a removed service to end

Seen = TypeVar("Seen")
_RAISE: Any = object()


@dataclass(frozen=True)
class Removed:
    """What a clean-up removed: names by kind, and how many rules of the firewall."""

    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    swarm: tuple[str, ...] = ()  # nodes that were made to leave
    rules: int = 0

    def __str__(self) -> str:
        kinds = ("services", "containers", "networks", "volumes", "swarm")
        lines = [f"{kind}: {', '.join(names)}" for kind in kinds if (names := getattr(self, kind))]
        lines += [f"firewall rules: {self.rules}"] if self.rules else []
        return "Removed " + "; ".join(lines) + "." if lines else "There was nothing to remove."

    __repr__ = __str__


@checked(LabError, name=TEXT)
def need_lesson(name: str) -> None:
    """Whether there is such a lesson; asked before a lab host is started for it.

    Raises:
        LabError: There is none.
    """
    if name not in LESSONS:
        near = difflib.get_close_matches(name, LESSONS, 1, 0.3)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(LESSONS)}."
        raise LabError(f"There is no lesson {name!r}: {hint}")


class Lab:
    """A lesson's session: a lab host, a Docker client, and the memory of what the lesson made.

    Attributes:
        name: The lesson.
        host: The lab host it runs on.
        docker: An ordinary docker.DockerClient for that host.
        labels: What everything that the lesson creates is labelled with.
    """

    def __init__(self, name: str, host: LabHost) -> None:
        need_lesson(name)
        self.name, self.host = name, host
        # The same for every kernel that joins the lesson on this start of the host.
        self.labels = {LAB: name, SESSION: f"{int(host.started * 1000):x}"}
        self._recorder = Recorder()
        self.docker: docker.DockerClient = self.connect(host)
        self._recorder.take()
        show_errors_in_one_sentence(self.docker)

    def __repr__(self) -> str:
        return f"<Lab {self.name!r} on {self.host!r}>"

    def connect(self, host: LabHost) -> docker.DockerClient:
        """A client of this lesson for a lab host."""
        return lesson_client(LessonAPI, host, self.labels, self._recorder)

    def twin(self) -> Script:
        """The `docker …` lines that do what the SDK calls did since the last look."""
        return self._recorder.take()

    def left_over(self) -> dict[str, int]:
        """Other lessons that have containers on this host, and how many."""
        with self._unrecorded():
            labelled = self.docker.api.containers(all=True, filters={"label": LAB})
        return dict(Counter(lesson for one in labelled if (lesson := one["Labels"][LAB]) != self.name))

    @checked(LabError, limit=SECONDS)
    def until(self, condition: Callable[[], Seen], limit: float = 60.0, *, otherwise: Seen = _RAISE) -> Seen:
        """Wait until a condition of your own is met: it is looked at again and again.

        For the tasks of a swarm's service `lab.wait` does it, and `dn.fetch` for the first answer of a server.

        Args:
            condition: A function without arguments, which returns something true when there is no more to wait for.
            limit: Seconds.
            otherwise: What to return when the limit is over, instead of an error.

        Returns:
            What the condition returned in the end.

        Raises:
            LabError: The limit is over, or this is no function.

        Example:
            lab.until(lambda: b"ready" in database.logs())
        """
        if not callable(condition):
            raise LabError(
                "lab.until looks again and again, and needs a function for it: write lab.until(lambda: …)."
            )
        with waiting(f"Waiting, {limit:.0f} s at most"):
            seen = until(condition, limit)
        if seen:
            return seen
        if otherwise is _RAISE:
            raise LabError(
                f"What this cell waits for has not come about within {limit:.0f} s: does its container run? "
                "(lab.docker.containers.list(all=True) and container.logs() tell.)"
            )
        return otherwise

    def clean(self) -> Removed:
        """Remove exactly what this lesson made, and say what that was.

        Raises:
            LabError: Something cannot be removed; the sentence names it.
        """
        with self._unrecorded():
            try:
                return self._clean()
            except NotFound:
                return self._clean()  # somebody else removed something meanwhile
            except APIError as problem:
                raise LabError(f"The clean-up stopped: {explain(problem, self.docker)}") from problem

    def _clean(self) -> Removed:
        services = remove_services(self.docker, self.labels)  # first, or they would start containers again
        return Removed(
            services=services,
            containers=remove_containers(self.docker, self.labels),
            networks=remove_networks(self.docker, self.labels),
            volumes=remove_volumes(self.docker, self.labels),
            rules=ruleset.withdraw(self.host),
        )

    def _unrecorded(self) -> AbstractContextManager[None]:
        """The library's own requests do not appear in the CLI twin."""
        client: LessonAPI = self.docker.api  # type: ignore[assignment]
        return client.unrecorded()

    def reset(self) -> None:
        """A pristine Docker host again, in a second or two; everything that was in it is gone."""
        self.host.reset()


def lesson_client(
    kind: type[LessonAPI], host: LabHost, labels: Mapping[str, str], recorder: Recorder
) -> docker.DockerClient:
    """A client for a lab host that labels what is created, and records what is asked."""
    return api.client(
        kind,
        host.docker_host,
        host.directory,
        60,
        labels=labels,
        recorder=recorder,
    )


def made_by(labels: Mapping[str, str]) -> dict[str, Any]:
    """The filters for what carries these labels."""
    return {"label": [f"{key}={value}" for key, value in labels.items()]}


def remove_services(client: docker.DockerClient, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Remove a swarm's services that carry the labels, where this engine is a manager; return their names."""
    if not client.info()["Swarm"]["ControlAvailable"]:
        return ()
    services: list[Any] = client.services.list(filters=made_by(labels))
    for service in services:
        service.remove()
    return tuple(sorted(service.name for service in services))


def remove_containers(client: docker.DockerClient, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Remove the containers that carry the labels, with their anonymous volumes; return their names."""
    containers = client.containers.list(all=True, filters=made_by(labels), ignore_removed=True)
    with ThreadPoolExecutor(4) as several:  # each takes a second or more on an emulated processor
        list(several.map(lambda container: container.remove(force=True, v=True), containers))
    return tuple(sorted(str(container.name) for container in containers))


def remove_networks(client: docker.DockerClient, labels: Mapping[str, str], **also: str) -> tuple[str, ...]:
    """Remove the networks that carry the labels, whoever is on them; return their names.

    A swarm's network goes when the tasks of its services, which end in their own time, have gone.

    Args:
        client: The engine's.
        labels: All of these.
        also: More of the engine's filters, such as scope="local".
    """
    networks = client.networks.list(filters={**made_by(labels), **also}, greedy=True)
    for network in networks:
        if network.attrs["Scope"] != "swarm":
            for endpoint in (network.attrs["Containers"] or {}).values():
                network.disconnect(endpoint["Name"], force=True)
            network.remove()
            continue
        # "in use by task", "has active endpoints"
        if not until(functools.partial(_gone, network), TASKS_LIMIT, despite=APIError):
            raise LabError(
                f"The network {network.name!r} is removed, and Docker still lists it: run this cell again in a minute."
            )
    return tuple(sorted(str(network.name) for network in networks))


def _gone(network: Any) -> bool:
    """Remove a swarm's network; whether it has gone from the swarm, and from this engine, too."""
    try:
        network.remove()
        network.reload()
    except NotFound:
        return True
    return False


def remove_volumes(client: docker.DockerClient, labels: Mapping[str, str]) -> tuple[str, ...]:
    """Remove the volumes that carry the labels; return their names."""
    volumes = client.volumes.list(filters=made_by(labels))
    for volume in volumes:
        volume.remove(force=True)
    return tuple(sorted(str(volume.name) for volume in volumes))


def open_lab(
    name: str, *, provider: str | None = None, engine: str | None = None, report: hosts.Report
) -> Lab:
    """Open a lesson's session, on the running lab host or on a new one.

    Args:
        name: The lesson, which is the name of its notebook.
        provider: "vm", "container" or "auto", for a host that has to be started.
        engine: "testing" (the default) or "stable", the Debian suite that its engine comes from.
        report: Told what is being done and the fraction that is done.

    Raises:
        LabError: There is no such lesson.
        HostError: There is no lab host to be had.
    """
    need_lesson(name)
    wanted = os.environ.get("DOCKERNB_HOST", hosts.DEFAULT_NAME)
    host = hosts.start(wanted, provider=provider, engine=engine, report=report)
    return Lab(name, host)


def show_errors_in_one_sentence(client: docker.DockerClient | None) -> None:
    """In a notebook, what the engine refuses and an interrupt are error outputs of one sentence, without a traceback.

    Our own errors are so by themselves (`dockernb.errors`).

    Args:
        client: The lesson's, which knows what the engine's answers mean; None while there is no lab host.
    """
    try:
        from IPython import get_ipython  # noqa: PLC0415  (only a notebook has it)
    except ImportError:
        return
    shell = get_ipython()
    if shell is None:
        return

    def show(shell: Any, kind: type, problem: Any, trace: Any, tb_offset: int | None = None) -> list[str]:
        if isinstance(problem, KeyboardInterrupt):
            sentence = "Interrupted. The lab can be used as before, and this cell can be run again."
        elif client is not None:
            sentence = explain(problem, client)
        else:
            sentence = str(problem)
        problem._render_traceback_ = lambda: [sentence]
        shell.showtraceback((kind, problem, trace))
        return [sentence]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shell.set_custom_exc((APIError, KeyboardInterrupt), show)
