"""A running lab host, as lessons and commands see it: start or join, run, call, reset, stop."""

import base64
import contextlib
import functools
import json
import operator
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dockernb.arguments import BYTES, ENGINE, NAME, PORT, PROVIDER, SECONDS, TEXT, checked, one_of, several
from dockernb.errors import BuildError, HostError, UnavailableError
from dockernb.labhost import control, store
from dockernb.labhost.channel import completed
from dockernb.labhost.machine import Plan
from dockernb.labhost.tls import client_context
from dockernb.waiting import until

if TYPE_CHECKING:
    import docker

Report = Callable[[str, float], None]  # what is being done, and the fraction done (0 to 1)

DEFAULT_NAME = "lab"
START_LIMIT = 400.0  # seconds; a cold boot under emulation on a busy machine
STOP_LIMIT = 10.0  # seconds for each way to end one
LONGEST_ANSWER = 1 << 28  # bytes


_PROTOCOL = one_of("tcp", "udp")
_ARGV = several(TEXT, 'a list of texts, such as ["ip", "route"]')


def _quiet(text: str, fraction: float) -> None:
    """A report that nobody reads."""


class LabHost:
    """A disposable Docker host that is running now.

    Attributes:
        name: Its name, `lab` unless there are several.
        provider: "vm" or "container".
        engine: Which suite its engine comes from, "testing" or "stable".
        directory: Private directory with the credentials of this start.
    """

    def __init__(self, name: str, state: dict[str, Any]) -> None:
        self.name = name
        self.provider: str = state["provider"]
        self.engine: str = state["engine"]
        self.directory = store.host_directory(name)
        self.started: float = state["started"]
        self.notes: list[str] = state["notes"]
        self._api_port: int = state["api_port"]
        self._emulation: str = state["emulation"]

    def __repr__(self) -> str:
        return f"<LabHost {self.name!r}: {self.provider}, {self.docker_host}>"

    # --- reaching it -------------------------------------------------------------------------------------------

    @property
    def docker_host(self) -> str:
        """What DOCKER_HOST has to be; DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH go with it."""
        return f"tcp://127.0.0.1:{self._api_port}"

    @property
    def cert_path(self) -> Path:
        """What DOCKER_CERT_PATH has to be (ca.pem, cert.pem, key.pem; mode 0600)."""
        return self.directory

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which any docker client talks to this host."""
        return {
            "DOCKER_HOST": self.docker_host,
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(self.cert_path),
        }

    @checked(HostError, timeout=SECONDS)
    def client(self, timeout: int = 60) -> "docker.DockerClient":
        """A plain SDK client for this host; an engine that does not answer is a HostError.

        Raises:
            HostError: The engine does not answer now.
        """
        from dockernb.labhost import api  # noqa: PLC0415  (the SDK takes 0.3 s that a start need not wait for)

        return api.client(api.LabHostAPI, self.docker_host, self.directory, timeout)

    def _ask_agent(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """One request to the agent, through the TLS front."""
        begun = time.monotonic()
        try:
            context = client_context(self.directory)
            with socket.create_connection(("127.0.0.1", self._api_port), timeout=10) as plain:
                plain.settimeout(timeout + 10)
                with context.wrap_socket(plain, server_hostname="agent") as line:
                    line.sendall(json.dumps(request, default=operator.index).encode() + b"\n")
                    data = control.read_line(line, begun + timeout + 10, LONGEST_ANSWER)
        except TimeoutError:
            otherwise = f"The lab host did not answer within {timeout:.0f} s."
            raise HostError(control.late(self.directory, otherwise)) from None
        except (OSError, ssl.SSLError) as problem:
            raise HostError(control.gone(self.directory)) from problem
        if not data:
            raise HostError(
                f"The lab host stopped the request after {time.monotonic() - begun:.0f} s: "
                f"its limit of {timeout:g} s was over, or it was killed."
            )
        reply = control.parsed(data)
        if "error" in reply:
            raise HostError(f"On the lab host: {reply['error']}")
        return reply

    @checked(HostError, argv=_ARGV, input=BYTES, timeout=SECONDS)
    def run(
        self, argv: list[str], *, input: bytes = b"", timeout: float = 30.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the Docker host itself, as its root.

        Args:
            argv: Program and arguments; no shell.
            input: Bytes for its standard input.
            timeout: Seconds after which it is killed.

        Raises:
            HostError: There is no such program, it took too long, or the host is gone.
        """
        request = {"op": "run", "argv": argv, "input": base64.b64encode(input).decode(), "timeout": timeout}
        return completed(argv, self._ask_agent(request, timeout))

    @checked(HostError, source=TEXT, timeout=SECONDS)
    def call(self, source: str, argument: Any, *, timeout: float = 30.0) -> Any:
        """Run main(argument) of a piece of stdlib-only Python source on the Docker host, in one call.

        Args:
            source: Source text that defines main(argument).
            argument: Anything that JSON can carry.
            timeout: Seconds after which it is killed.

        Returns:
            What main returned (through JSON).

        Raises:
            HostError: It raised, took too long, or the host is gone.
        """
        request = {"op": "call", "source": source, "argument": argument, "timeout": timeout}
        return self._ask_agent(request, timeout)["value"]

    # --- its ports ---------------------------------------------------------------------------------------------

    @checked(HostError, port=PORT, protocol=_PROTOCOL, timeout=SECONDS)
    def port(self, port: int, protocol: str = "tcp", timeout: float = 10.0) -> int:
        """The loopback port that leads to a port published on this host, waiting until it is open.

        It is the same number unless that was taken, or is below 1024 and not allowed to an ordinary user.

        Raises:
            HostError: No container publishes that port.
        """
        request = {"do": "port", "port": port, "protocol": protocol, "timeout": timeout}
        return int(control.ask(self.directory, request, timeout + 5)["port"])

    @checked(HostError, port=PORT, protocol=_PROTOCOL)
    def open(self, port: int, protocol: str = "tcp") -> int:
        """Open a port by name, for a server that publishes none (on the host network, or on the host itself)."""
        request = {"do": "open", "port": port, "protocol": protocol}
        return int(control.ask(self.directory, request, 30)["port"])

    @checked(HostError, scheme=NAME)
    def url(self, port: int, scheme: str = "http") -> str:
        """The URL of a published port for programs on the learner's machine."""
        return f"{scheme}://127.0.0.1:{self.port(port)}"

    def browser_url(self, port: int) -> str:
        """The URL of a published port for the learner's browser.

        Where JupyterHub (or Binder) serves the notebook, it leads through jupyter-server-proxy.
        """
        if prefix := os.environ.get("JUPYTERHUB_SERVICE_PREFIX"):
            return f"{prefix}proxy/{self.port(port)}/"
        return self.url(port) + "/"

    # --- its life ----------------------------------------------------------------------------------------------

    @functools.cached_property
    def conditions(self) -> dict[str, str | int]:
        """What a figure's caption has to say: provider, emulation, engine, kernel, cpus, memory_mib."""
        client = self.client()
        try:
            info = client.info()
        finally:
            client.close()
        return {
            "provider": self.provider,
            "emulation": self._emulation,
            "engine": info["ServerVersion"],
            "kernel": info["KernelVersion"],
            "cpus": info["NCPU"],
            "memory_mib": round(info["MemTotal"] / 2**20),
        }

    def status(self) -> dict[str, Any]:
        """What the keeper says: ports, owner, start, resets."""
        return control.ask(self.directory, {"do": "status"}, 10)

    def reset(self) -> None:
        """A pristine Docker host again, at the same address with the same credentials."""
        control.ask(self.directory, {"do": "reset"}, START_LIMIT)

    def stop(self) -> None:
        """End the lab host and everything in it; harmless when it has ended.

        Raises:
            HostError: It cannot be ended.
        """
        stop(self.name)


def join(name: str = DEFAULT_NAME) -> LabHost | None:
    """The lab host of that name if it runs, else None.

    Raises:
        HostError: There can be none of that name, or not in that state directory.
    """
    directory = store.host_directory(name)
    try:
        return LabHost(name, control.ask(directory, {"do": "status"}, 10))
    except HostError:
        return None


@checked(HostError, name=NAME)
@checked(UnavailableError, provider=PROVIDER, engine=ENGINE)
def start(
    name: str = DEFAULT_NAME,
    *,
    provider: str | None = None,
    engine: str | None = None,
    owner: int | None = None,
    report: Report = _quiet,
    hub: str | None = None,
    index: int = 0,
) -> LabHost:
    """Start a lab host, or join the one of that name that runs.

    Args:
        name: Its name.
        provider: "vm", "container" or "auto"; default: DOCKERNB_PROVIDER, else "auto".
        engine: "testing" or "stable", the suite that its engine comes from; default: DOCKERNB_ENGINE, else "testing".
        owner: Process id with which the lab host ends; default: the parent of this process, which is the shell for a
            command and JupyterLab for a notebook, so that a restarted kernel finds its lab host again.
        report: Told what is being done and the fraction that is done.
        hub: Name of the lab host whose segment this one joins.
        index: Its number on the segment, from 1; 0 for none.

    Raises:
        UnavailableError: No provider works here, or not the one that was asked for.
        BuildError: It had to be built first, and could not.
        HostError: It did not start, or the one that runs has another engine than the one asked for.
    """
    from dockernb.labhost import providers  # noqa: PLC0415  (joining needs none of it)

    directory = store.host_directory(name)
    with store.using(directory, "XDG_STATE_HOME"):
        (directory / "start.lock").touch()
    with store.locked(
        directory / "start.lock", START_LIMIT, lambda: report("Another start is under way", 0.0)
    ):
        if running := join(name):
            if engine and engine != running.engine:
                raise HostError(
                    f"The lab host {name!r} runs the engine of Debian {running.engine}: end it with "
                    f"`dockernb stop --name {name}`, then start it with the engine {engine}."
                )
            return running
        chosen = providers.choose(provider, engine)
        report(f"Provider {chosen.name}: {chosen.why}", 0.0)
        chosen.prepare(report)
        plan = Plan(
            name=name,
            provider=chosen.name,
            owner=owner or os.getppid(),
            directory=directory,
            engine=chosen.engine,
            hostname=name,
            index=index,
            hub=hub,
            outer=chosen.outer,
        )
        report("Starting the lab host", 0.5)
        host = LabHost(name, _launch(plan))
    report(f"The lab host {name!r} is up", 1.0)
    return host


def stop(name: str) -> bool:
    """End a lab host and everything in it, by force if it does not answer.

    Returns:
        Whether there was one.

    Raises:
        HostError: It cannot be ended.
    """
    directory = store.host_directory(name)
    keeper = store.holder(directory)
    if keeper is None:
        return False

    def gone() -> bool:
        return store.holder(directory) != keeper

    with contextlib.suppress(HostError):
        control.ask(directory, {"do": "stop"}, STOP_LIMIT)
    if not until(gone, STOP_LIMIT, pause=0.02):
        # What the keeper started ends with it: the kernel sees to QEMU, and the learner's engine to the container.
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGKILL)
        if not until(gone, STOP_LIMIT, pause=0.02):
            raise HostError(
                f"The lab host {name!r} cannot be ended: its keeper, process {keeper}, does not die."
            )
        store.leave(directory, "stopped by force")
    return True


def _launch(plan: Plan) -> dict[str, Any]:
    """Start the keeper and wait until it says ready."""
    with store.using(plan.directory, "XDG_STATE_HOME"):
        (plan.directory / "ended.json").unlink(missing_ok=True)
        log = (plan.directory / "keeper.log").open("wb")
    with log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "dockernb.labhost.keeper", plan.to_line()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            start_new_session=True,  # Ctrl-C in the terminal is for the learner's program
        )
    # Somebody has to wait for it when it ends, or it stays as a zombie of this process, which may be a long one.
    threading.Thread(target=keeper.wait, name="dockernb-keeper", daemon=True).start()
    assert keeper.stdout is not None
    try:
        # One line, within the keeper's own time limits; it closes the pipe when it ends without one.
        said: dict[str, Any] = json.loads(keeper.stdout.readline() or b"{}")
    except BaseException:
        keeper.terminate()  # the learner has interrupted: nothing is left half-made
        raise
    finally:
        keeper.stdout.close()
    if "ready" in said:
        state: dict[str, Any] = said["ready"]
        return state
    if "error" in said:
        raise HostError(said["error"])
    last = (plan.directory / "keeper.log").read_text(errors="replace").strip().splitlines()
    raise BuildError(f"The lab host did not start: {last[-1] if last else 'its keeper said nothing'}.")
