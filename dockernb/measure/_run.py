"""iperf3 runs between containers as a tidy DataFrame: every run a row, failed ones too."""

from __future__ import annotations

import dataclasses
import importlib.resources
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import docker
import docker.errors
import pandas as pd

from dockernb.errors import HostError, MeasureError
from dockernb.measure._parse import Reading, parse_iperf3
from dockernb.model import Container

if TYPE_CHECKING:
    from dockernb.session import Lab

Report = Callable[[str, float], None]
"""Told what is being done, and the fraction of the whole that is done (0 to 1)."""

_CONNECT_LIMIT_S = 3
_GRACE_S = 7  # what start and stop of the two processes may take beyond the measured seconds


@dataclass(frozen=True, slots=True)
class Iperf3:
    """One arrangement to measure: which container serves, which connects, and how.

    Attributes:
        server: Name of the container that receives (that sends, with ``reverse``).
        client: Name of the container that connects.
        to: Address or name which the client connects to. Without it: the server's address on a network that
            both share, else its first address; for a server on the host network the gateway of the client's
            network, or 127.0.0.1 if the client is on the host network too.
        protocol: "tcp" or "udp".
        reverse: The server sends and the client receives.
        parallel: Number of streams.
        bitrate_mbit_s: Target of the sender over all streams in 10^6 bits a second; None sends as fast as
            it can.
        port: Port on which the server listens.
    """

    server: str
    client: str
    to: str | None = None
    protocol: Literal["tcp", "udp"] = "tcp"
    reverse: bool = False
    parallel: int = 1
    bitrate_mbit_s: float | None = None
    port: int = 5201

    def command(self, address: str, seconds: int, omit: int) -> list[str]:
        """The client's arguments, as one would type them after ``iperf3``."""
        words = ["--client", address, "--port", str(self.port), "--time", str(seconds), "--omit", str(omit)]
        words += ["--json", "--interval", "0", "--connect-timeout", str(_CONNECT_LIMIT_S * 1000)]
        if self.protocol == "udp":
            words.append("--udp")
        if self.protocol == "udp" or self.bitrate_mbit_s is not None:
            # iperf3 sends UDP at 1 Mbit/s unless told otherwise; its target is for each stream.
            words += ["--bitrate", f"{(self.bitrate_mbit_s or 0) / self.parallel:g}M"]
        if self.reverse:
            words.append("--reverse")
        if self.parallel > 1:
            words += ["--parallel", str(self.parallel)]
        return words


def iperf3(
    lab: Lab,
    server: str,
    client: str,
    *,
    runs: int = 5,
    seconds: int = 1,
    omit: int = 1,
    label: str | None = None,
    report: Report | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Measure the throughput between two running containers.

    The server is started, waited for and stopped for you, in the containers' own network namespaces; any
    container of a ``dockernb`` image will do, and of two containers one is enough that has iperf3.

    Args:
        lab: The lesson's session.
        server: Name of the container that receives.
        client: Name of the container that connects.
        runs: How many runs; a comparison needs five or more.
        seconds: Measured length of a run, in whole seconds (iperf3 knows no others).
        omit: Seconds of warm-up before that, left out of the result.
        label: Name of the arrangement in the frame; default "client → server".
        report: Told the run that is being made and the fraction done, for a progress bar.
        **options: More fields of `Iperf3`: ``to``, ``protocol``, ``reverse``, ``parallel``,
            ``bitrate_mbit_s``, ``port``.

    Returns:
        A frame as `compare` returns it.

    Raises:
        MeasureError: A container does not exist, does not run or has no address; or the first run found no
            lab host.
    """
    arrangement = Iperf3(server, client, **options)
    name = label or f"{client} → {server}"
    return compare(lab, {name: arrangement}, runs=runs, seconds=seconds, omit=omit, report=report)


def compare(
    lab: Lab,
    arrangements: Mapping[str, Iperf3],
    *,
    runs: int = 5,
    seconds: int = 1,
    omit: int = 1,
    seed: int | None = None,
    report: Report | None = None,
) -> pd.DataFrame:
    """Measure several arrangements, each ``runs`` times, in rounds of random order.

    Each round measures every arrangement once, so that a slow drift of the machine (heat, other work) falls
    on all alike. An interrupt (the stop button) or a lost lab host ends the series and keeps the samples so
    far; ``attrs["complete"]`` is then False.

    Args:
        lab: The lesson's session.
        arrangements: What to measure, by the name that the frame and the plot show.
        runs: Runs of each arrangement.
        seconds: Measured length of a run, in whole seconds.
        omit: Seconds of warm-up before that, left out of the result.
        seed: Makes the order repeatable.
        report: Told the run that is being made and the fraction done, for a progress bar.

    Returns:
        One row a run, in the order in which they ran: arrangement, run (1 to ``runs``), server, client,
        address, protocol, direction, parallel, throughput_gbit_s, retransmits, rtt_mean_ms, jitter_ms,
        lost_percent, cpu_sender_percent, cpu_receiver_percent, elapsed_s (with start and stop) and error. A
        failed run has its reason in ``error``, which is empty otherwise, and no figures. ``attrs`` holds
        the conditions: those of ``lab.host.conditions`` and iperf3's version, seconds, omit_s, runs,
        complete.

    Raises:
        MeasureError: A container does not exist, does not run or has no address; or the first run found no
            lab host.
    """
    if runs < 1 or seconds < 1 or omit < 0 or not arrangements:
        raise MeasureError("Ask for at least one arrangement, one run and one second; omit may be 0.")
    engine = lab.host.client().api
    plans = {name: _plan(engine, name, each, seconds, omit) for name, each in arrangements.items()}
    dice = random.Random(seed)
    order = [(name, run) for run in range(1, runs + 1) for name in dice.sample(list(plans), len(plans))]
    rows: list[dict[str, Any]] = []
    version, complete = "", False
    try:
        for name, run in order:
            if report:
                report(f"{name}, run {run} of {runs}", len(rows) / len(order))
            before = time.monotonic()
            reading = plans[name].measure(lab)
            elapsed = time.monotonic() - before
            version = version or reading.version
            row = {"arrangement": name, "run": run, **plans[name].columns, **dataclasses.asdict(reading)}
            del row["version"]
            rows.append({**row, "elapsed_s": elapsed, "error": reading.error})
        complete = True
    except HostError as gone:
        if not rows:
            raise MeasureError(f"Nothing could be measured: {gone}") from gone
        rows.append({"arrangement": name, "run": run, **plans[name].columns, "error": str(gone)})
    except KeyboardInterrupt:
        if not rows:
            raise
    columns = ["arrangement", "run", *plans[order[0][0]].columns]
    columns += [f.name for f in dataclasses.fields(Reading) if f.name not in {"version", "error"}]
    frame = pd.DataFrame(rows, columns=[*columns, "elapsed_s", "error"])
    measured = [c for c in frame.columns if c.endswith(("_s", "_ms", "_percent"))]
    frame = frame.astype(dict.fromkeys(measured, float)).astype({"retransmits": "Int64", "error": "string"})
    conditions: dict[Any, Any] = {**lab.host.conditions}
    frame.attrs = conditions | {
        "iperf3": version,
        "seconds": seconds,
        "omit_s": omit,
        "runs": runs,
        "complete": complete,
    }
    return frame


@dataclass(frozen=True, slots=True)
class _Plan:
    """A resolved arrangement: processes, address and arguments are known; nothing has run yet."""

    argument: Mapping[str, Any]
    columns: Mapping[str, Any]

    def measure(self, lab: Lab) -> Reading:
        """One run: one helper call on the lab host."""
        source = importlib.resources.files("dockernb.measure").joinpath("_inside.py").read_text()
        answer = lab.host.call(source, dict(self.argument), timeout=self.argument["limit"] + 10)
        return Reading(error=answer["error"]) if answer["error"] else parse_iperf3(answer["output"])


def _plan(engine: docker.APIClient, name: str, each: Iperf3, seconds: int, omit: int) -> _Plan:
    """Look both containers up and settle the address."""
    if each.parallel < 1 or each.protocol not in {"tcp", "udp"}:
        raise MeasureError(f'"{name}": protocol is "tcp" or "udp", and parallel at least 1.')
    server, client = _container(engine, each.server), _container(engine, each.client)
    address = each.to or _address(engine, server, client)
    argument = {
        "server_pid": server.pid,
        "client_pid": client.pid,
        "port": each.port,
        "server": ["--server", "--one-off", "--port", str(each.port), "--interval", "0"],
        "client": each.command(address, seconds, omit),
        "limit": seconds + omit + _CONNECT_LIMIT_S + _GRACE_S,
    }
    columns = {
        "server": server.name,
        "client": client.name,
        "address": address,
        "protocol": each.protocol,
        "direction": "to client" if each.reverse else "to server",
        "parallel": each.parallel,
    }
    return _Plan(argument, columns)


def _container(engine: docker.APIClient, name: str) -> Container:
    """A running container by its name."""
    try:
        container = Container.from_inspect(engine.inspect_container(name))
    except docker.errors.NotFound:
        raise MeasureError(f'There is no container "{name}": create it, or check the spelling.') from None
    if not container.running:
        raise MeasureError(f'Container "{name}" is {container.state}, not running: start it first.')
    return container


def _address(engine: docker.APIClient, server: Container, client: Container) -> str:
    """Where the client finds the server, unless the caller says so."""
    home = _container(engine, server.network_owner) if server.network_owner else server
    visitor = _container(engine, client.network_owner) if client.network_owner else client
    if home.uses_host_network:
        if visitor.uses_host_network:
            return "127.0.0.1"
        gateway = next((e.gateway for e in visitor.endpoints if e.gateway), None)
        if gateway is None:
            raise MeasureError(
                f'"{client.name}" has no gateway to the Docker host: name an address with to="…".'
            )
        return gateway
    if home.id == visitor.id:
        return "127.0.0.1"
    shared = [e for e in home.endpoints if e.addresses and visitor.endpoint(e.network)]
    reachable = shared or [e for e in home.endpoints if e.addresses]
    if not reachable:
        raise MeasureError(f'"{server.name}" has no address: connect it to a network of "{client.name}".')
    return reachable[0].addresses[0]
