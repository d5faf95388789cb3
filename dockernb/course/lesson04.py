"""The exercise of lesson 04: a service on an encrypted overlay network, on the workers alone."""

from collections.abc import Callable
from functools import lru_cache
from typing import cast

from dockernb.course.checks import Condition, Sight, check
from dockernb.model import Swarm
from dockernb.session import Cluster

PORT = 8090
NETWORK, SERVICE = "private", "board"


@lru_cache(maxsize=1)
def _seen(sight: Sight) -> Swarm:
    """The swarm, asked for once for all conditions."""
    return cast("Cluster", sight.lab).swarm()


def _network_is_there(sight: Sight) -> str:
    if _seen(sight).overlay(NETWORK):
        return ""
    return f'There is no overlay network called "{NETWORK}" yet.'


def _of_the_network(claim: str, holds: Callable[[Swarm], bool], problem: str) -> Condition:
    """A property of the network, which is there."""
    return Condition(claim, lambda sight: "" if holds(_seen(sight)) else problem)


def _service_is_there(sight: Sight) -> str:
    return "" if _seen(sight).service(SERVICE) else f'There is no service called "{SERVICE}" yet.'


def _on_the_network(sight: Sight) -> str:
    service = _seen(sight).service(SERVICE)
    on = service.networks if service else ()
    if on == (NETWORK,):
        return ""
    return f"{SERVICE} is on {' and '.join(on) or 'no network of yours'}, and only {NETWORK} is wanted."


def _round_robin(sight: Sight) -> str:
    service = _seen(sight).service(SERVICE)
    if service and service.endpoint_mode == "dnsrr":
        return ""
    return f'{SERVICE} has a virtual address: its endpoint mode is to be "dnsrr".'


def _on_workers(sight: Sight) -> str:
    """One task on each worker that is there, none on the manager, and not by luck."""
    swarm = _seen(sight)
    tasks = swarm.tasks_of(SERVICE)
    for task in tasks:
        if not task.running:
            return f"{task.name} is {task.state}{f' ({task.error})' if task.error else ''}: lab.wait waits for it."
    there = {task.node for task in tasks}
    for node in swarm.nodes:
        if node.manager and node.name in there:
            return f"A task of {SERVICE} runs on {node.name}, which is the manager."
    for node in swarm.nodes:
        if not node.manager and node.state == "ready" and node.name not in there:
            return f"No task of {SERVICE} runs on {node.name}."
    service = swarm.service(SERVICE)
    managers = [node for node in swarm.nodes if node.manager and node.availability == "active"]
    if service and managers and not service.constraints:
        return (
            f"Nothing keeps {SERVICE} away from {managers[0].name}: that it does not run there now is luck."
        )
    return ""


def _answers(sight: Sight) -> str:
    """Each worker, asked from the machine next to it on the wire."""
    lab, swarm = cast("Cluster", sight.lab), _seen(sight)
    for node in swarm.nodes:
        if node.manager or node.state != "ready":
            continue
        ask = ["curl", "-sS", "-o", "/dev/null", "-m", "5", f"http://{node.address}:{PORT}/"]
        said = lab.host.run(ask)
        if said.returncode:
            reason = said.stderr.decode().strip().partition(") ")[2]
            return f"{node.name} does not answer on port {PORT}: {reason[:1].lower()}{reason[1:]}."
    return ""


board = check(
    "A board on every worker",
    Condition(f"there is an overlay network {NETWORK}", _network_is_there, first=True),
    _of_the_network(
        "it is attachable",
        lambda swarm: bool((one := swarm.overlay(NETWORK)) and one.attachable),
        f"{NETWORK} takes services only: containers of your own may join an attachable network.",
    ),
    _of_the_network(
        "it is encrypted",
        lambda swarm: bool((one := swarm.overlay(NETWORK)) and one.encrypted),
        f"What goes over {NETWORK} can be read on the wire: it is not encrypted.",
    ),
    Condition(f"there is a service {SERVICE}", _service_is_there, first=True),
    Condition(f"it is on {NETWORK}", _on_the_network),
    Condition("it has no virtual address", _round_robin),
    Condition("it runs on every worker, and on no manager", _on_workers, first=True),
    Condition(f"every worker answers on port {PORT}", _answers),
    hints=[
        'The network is made as in step 6; that a service runs once on each machine is a mode of its own, "global".',
        'A constraint says where tasks may run: constraints=["node.role == worker"].',
        "The routing mesh needs a virtual address, so without one a port is published by the machines that run a task: "
        f'ports={{{PORT}: (80, "tcp", "host")}}.',
    ],
    solution=f"""
from docker.types import EndpointSpec

lab.docker.networks.create("{NETWORK}", driver="overlay", attachable=True, options={{"encrypted": ""}})
lab.docker.services.create(
    "dockernb/nginx",
    name="{SERVICE}",
    mode="global",
    constraints=["node.role == worker"],
    networks=["{NETWORK}"],
    endpoint_spec=EndpointSpec(mode="dnsrr", ports={{{PORT}: (80, "tcp", "host")}}),
)
lab.wait("{SERVICE}")
""",
)
"""Run a web server called "board" once on every worker, on an encrypted attachable overlay network "private", with DNS
round robin instead of a virtual address, and port 8090 published by each worker."""
