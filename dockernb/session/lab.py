"""A lesson's session on a lab host."""

import difflib
import os
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, NotFound

from dockernb.errors import LabError
from dockernb.labhost import LabHost, api
from dockernb.labhost import host as hosts
from dockernb.session.client import LAB, SESSION, LessonAPI, explain
from dockernb.session.twin import Recorder, Script

LESSONS = ("00-start-here", "06-three-tier-lab")


@dataclass(frozen=True)
class Removed:
    """What a clean-up removed: names by kind."""

    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()

    def __str__(self) -> str:
        kinds = (("containers", self.containers), ("networks", self.networks), ("volumes", self.volumes))
        lines = [f"{kind}: {', '.join(names)}" for kind, names in kinds if names]
        return "Removed " + "; ".join(lines) + "." if lines else "There was nothing to remove."

    __repr__ = __str__


class Lab:
    """A lesson's session: a lab host, a Docker client, and the memory of what the lesson made.

    Attributes:
        name: The lesson.
        host: The lab host it runs on.
        docker: An ordinary docker.DockerClient for that host.
        labels: What everything that the lesson creates is labelled with.
    """

    def __init__(self, name: str, host: LabHost) -> None:
        if name not in LESSONS:
            near = difflib.get_close_matches(name, LESSONS, 1, 0.3)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(LESSONS)}."
            raise LabError(f"There is no lesson {name!r}: {hint}")
        self.name, self.host = name, host
        # The same for every kernel that joins the lesson on this start of the host.
        self.labels = {LAB: name, SESSION: f"{int(host.started * 1000):x}"}
        self._recorder = Recorder()
        self.docker: docker.DockerClient = api.client(
            LessonAPI,
            host.docker_host,
            host.directory,
            60,
            labels=self.labels,
            recorder=self._recorder,
            gone=f"The lab host {host.name!r} does not answer any more: "
            "run the lesson's first cell again for a fresh one.",
        )
        self._recorder.take()
        _print_errors_in_one_sentence(self)

    def __repr__(self) -> str:
        return f"<Lab {self.name!r} on {self.host!r}>"

    def twin(self) -> Script:
        """The `docker …` lines that do what the SDK calls did since the last look."""
        return self._recorder.take()

    def left_over(self) -> dict[str, int]:
        """Other lessons that have containers on this host, and how many."""
        with self._unrecorded():
            labelled = self.docker.api.containers(all=True, filters={"label": LAB})
        return dict(Counter(lesson for one in labelled if (lesson := one["Labels"][LAB]) != self.name))

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
        mine: dict[str, str | list[str] | bool] = {
            "label": [f"{key}={value}" for key, value in self.labels.items()]
        }
        containers = self.docker.containers.list(all=True, filters=mine, ignore_removed=True)
        with ThreadPoolExecutor(4) as several:  # each takes a second or more on an emulated processor
            list(several.map(lambda container: container.remove(force=True, v=True), containers))
        networks = self.docker.networks.list(filters=mine, greedy=True)
        for network in networks:
            for endpoint in (network.attrs["Containers"] or {}).values():
                network.disconnect(endpoint["Name"], force=True)
            network.remove()
        volumes = self.docker.volumes.list(filters=mine)
        for volume in volumes:
            volume.remove(force=True)
        return Removed(
            *(tuple(sorted(str(each.name) for each in kind)) for kind in (containers, networks, volumes))
        )

    def _unrecorded(self) -> AbstractContextManager[None]:
        """The library's own requests do not appear in the CLI twin."""
        client: LessonAPI = self.docker.api  # type: ignore[assignment]
        return client.unrecorded()

    def reset(self) -> None:
        """A pristine Docker host again, in a second or two; everything that was in it is gone."""
        self.host.reset()


def open_lab(name: str, *, provider: str | None = None, report: hosts.Report) -> Lab:
    """Open a lesson's session, on the running lab host or on a new one.

    Args:
        name: The lesson, which is the name of its notebook.
        provider: "vm", "container" or "auto", for a host that has to be started.
        report: Told what is being done and the fraction that is done.

    Raises:
        LabError: There is no such lesson.
        HostError: There is no lab host to be had.
    """
    wanted = os.environ.get("DOCKERNB_HOST", hosts.DEFAULT_NAME)
    host = hosts.start(wanted, provider=provider, report=report)
    return Lab(name, host)


def _print_errors_in_one_sentence(lab: Lab) -> None:
    """In a notebook a learner's mistake is one sentence, without a traceback of ours or of the SDK."""
    try:
        from IPython import get_ipython  # noqa: PLC0415  (only a notebook has it)
    except ImportError:
        return
    shell = get_ipython()
    if shell is None:
        return

    def show(
        shell: Any, kind: type, problem: BaseException, trace: Any, tb_offset: int | None = None
    ) -> list[str]:
        sentence = explain(problem, lab.docker) if isinstance(problem, APIError) else str(problem)
        print(sentence)
        return [f"{kind.__name__}: {sentence}"]

    from dockernb.errors import DockernbError  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shell.set_custom_exc((DockernbError, APIError), show)
