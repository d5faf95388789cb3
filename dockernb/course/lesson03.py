"""The exercise of lesson 03: a service on the host's network that is for the host alone."""

import functools

from dockernb import probe
from dockernb.course.checks import Condition, Sight, check, runs
from dockernb.model import Container
from dockernb.probe import HOST, OUTSIDE, Matrix, Outcome
from dockernb.waiting import until

PORT = 9100
PATIENCE = 8.0  # seconds in which a program that has just been started may open its port


def _metrics(sight: Sight) -> Container:
    found = sight.container("metrics")
    assert found is not None  # nothing else is looked at while the first condition fails
    return found


def _running(sight: Sight) -> str:
    """As `runs`, with a word about the log: that is where a taken port is told."""
    found = sight.container("metrics")
    if found is not None and found.state == "exited":
        return (
            f'"metrics" has ended with exit code {found.exit_code}: its log tells why '
            '(lab.docker.containers.get("metrics").logs()).'
        )
    return runs("metrics").test(sight)


def _on_host_network(sight: Sight) -> str:
    found = _metrics(sight)
    if found.uses_host_network:
        return ""
    on = ", ".join(found.networks) or "no network"
    return f'"metrics" is on {on}, and the host\'s network is wanted: network="host".'


@functools.lru_cache(maxsize=1)
def _doors(sight: Sight) -> Matrix:
    """Who reaches the port; asked again while the program may still be starting. One measurement for all conditions."""
    there = [name for name in ("monitor", "bridged") if not runs(name).test(sight)]

    def look() -> Matrix:
        return probe.reach(
            sight.lab,
            [HOST, *there, OUTSIDE],
            ["metrics"],
            ports=[PORT],
            by=["address"],
            snapshot=sight.state,
        )

    return until(look, PATIENCE, lambda doors: doors.reaches(HOST, "metrics"))


def _lets_in(source: str) -> Condition:
    def test(sight: Sight) -> str:
        if source != HOST and (missing := runs(source).test(sight)):
            return missing
        outcome = _doors(sight).outcome(source, "metrics")
        if outcome is Outcome.REACHABLE:
            return ""
        return f"Nothing answers {_words(source)} on 127.0.0.1:{PORT} ({outcome.value})."

    return Condition(f"{_words(source)} reaches port {PORT}", test)


def _keeps_out(source: str) -> Condition:
    def test(sight: Sight) -> str:
        if source != OUTSIDE and (missing := runs(source).test(sight)):
            return missing
        for verdict in _doors(sight):
            if verdict.source == source and verdict.outcome is Outcome.REACHABLE:
                return f"{source} reaches it at {verdict.asked}:{PORT}: make the program listen on 127.0.0.1 only."
        return ""

    return Condition(f"{_words(source)} does not", test)


def _words(source: str) -> str:
    return {HOST: "the Docker host", OUTSIDE: "a machine outside"}.get(source, source)


def _web_answers(sight: Sight) -> str:
    if missing := runs("web").test(sight):
        return missing
    doors = probe.reach(sight.lab, [HOST], ["web"], ports=[80], by=["address"], snapshot=sight.state)
    return "" if doors.reaches(HOST, "web") else "web does not answer on port 80 any more."


metrics = check(
    "Metrics for the host alone",
    Condition("metrics runs", _running, first=True),
    Condition("metrics is on the host's network", _on_host_network, first=True),
    _lets_in(HOST),
    _lets_in("monitor"),
    _keeps_out("bridged"),
    _keeps_out(OUTSIDE),
    Condition("web answers on port 80", _web_answers),
    hints=[
        "The admin page of step 3 was reached by the Docker host and by monitor, and by nobody else. What was its "
        "address?",
        "Docker publishes and hides nothing here. The program itself has to listen on 127.0.0.1, port 9100.",
        "python3 -m http.server takes the port, and the address as --bind.",
    ],
    solution="""
lab.docker.containers.run(
    "dockernb/toolbox", "python3 -m http.server 9100 --bind 127.0.0.1", name="metrics", network="host", detach=True
)
""",
)
