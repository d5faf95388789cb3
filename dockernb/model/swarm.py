"""The nouns of a swarm: nodes, overlay networks, services, tasks; and containers beside the services.

Made from the JSON of the engine's lists (Docker Engine API, 1.41 to 1.50: /nodes, /networks, /services, /tasks,
/containers/json).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dockernb.model.entities import Json, Subnet

_OVERLAY = "com.docker.network.driver.overlay."
INGRESS = "ingress"


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the swarm.

    Attributes:
        id: Its id in the swarm; a machine that joins anew gets another one.
        name: Its host name.
        address: The address that the others reach it by.
        manager: Whether it is a manager; else it is a worker.
        state: "ready", "down" or "unknown".
        availability: "active", "pause" or "drain".
    """

    id: str
    name: str
    address: str
    manager: bool
    state: str
    availability: str

    @classmethod
    def from_inspect(cls, data: Json) -> Node:
        """Read one of /nodes."""
        return cls(
            id=data["ID"],
            name=data["Description"]["Hostname"],
            address=data["Status"].get("Addr", ""),
            manager=data["Spec"]["Role"] == "manager",
            state=data["Status"]["State"],
            availability=data["Spec"]["Availability"],
        )

    @property
    def role(self) -> str:
        """Manager or worker."""
        return "manager" if self.manager else "worker"


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay network.

    Attributes:
        id: Its id, the same on all nodes.
        name: Its name.
        subnets: Its address pools.
        vni: The number that its packets carry on the wire (VXLAN network identifier), 0 before there is one.
        attachable: Whether containers that belong to no service may join it.
        encrypted: Whether its packets are encrypted between the nodes.
    """

    id: str
    name: str
    subnets: tuple[Subnet, ...]
    vni: int
    attachable: bool
    encrypted: bool

    @classmethod
    def from_inspect(cls, data: Json) -> Overlay:
        """Read one of /networks."""
        options = data.get("Options") or {}
        pools = (data.get("IPAM") or {}).get("Config") or []
        number = options.get(_OVERLAY + "vxlanid_list", "").split(",")[0]
        return cls(
            id=data["Id"],
            name=data["Name"],
            subnets=tuple(
                Subnet(pool["Subnet"], pool.get("Gateway", "")) for pool in pools if pool.get("Subnet")
            ),
            vni=int(number or 0),
            attachable=bool(data.get("Attachable")),
            encrypted=options.get("encrypted", "false").lower() != "false",
        )


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port that a service publishes: by every node (`ingress`), or by the nodes that run a task (`host`)."""

    published: int
    target: int
    protocol: str
    mode: str

    def __str__(self) -> str:
        word = "" if self.protocol == "tcp" else f"/{self.protocol}"
        return f"{self.published}→{self.target}{word} ({self.mode})"


@dataclass(frozen=True, slots=True)
class Service:
    """A service as it is wanted.

    Attributes:
        id: Its id.
        name: Its name.
        replicas: How many tasks are wanted; None for one on each node.
        endpoint_mode: "vip" or "dnsrr".
        ports: What it publishes.
        networks: Names of its networks, without the ingress network.
        constraints: Where its tasks may run, as given.
        vips: Its virtual addresses by network.
        labels: Its labels.
    """

    id: str
    name: str
    replicas: int | None
    endpoint_mode: str
    ports: tuple[ServicePort, ...]
    networks: tuple[str, ...]
    constraints: tuple[str, ...]
    vips: Mapping[str, str] = field(hash=False)
    labels: Mapping[str, str] = field(hash=False)

    @classmethod
    def from_inspect(cls, data: Json, names: Mapping[str, str]) -> Service:
        """Read one of /services; `names` has the networks' names by id."""
        spec, endpoint = data["Spec"], data.get("Endpoint") or {}
        task = spec["TaskTemplate"]
        mode = spec.get("Mode") or {}
        wanted = None if "Global" in mode else (mode.get("Replicated") or {}).get("Replicas", 1)
        asked = spec.get("EndpointSpec") or {}
        targets = [*(task.get("Networks") or ()), *(spec.get("Networks") or ())]
        return cls(
            id=data["ID"],
            name=spec["Name"],
            replicas=wanted,
            endpoint_mode=(endpoint.get("Spec") or asked).get("Mode") or "vip",
            ports=tuple(
                ServicePort(
                    port.get("PublishedPort", 0),
                    port["TargetPort"],
                    port.get("Protocol", "tcp"),
                    port.get("PublishMode", "ingress"),
                )
                for port in endpoint.get("Ports") or asked.get("Ports") or ()
            ),
            networks=tuple(names.get(one["Target"], one["Target"]) for one in targets),
            constraints=tuple((task.get("Placement") or {}).get("Constraints") or ()),
            vips={
                names.get(one["NetworkID"], one["NetworkID"]): one["Addr"].partition("/")[0]
                for one in endpoint.get("VirtualIPs") or ()
                if one.get("Addr")
            },
            labels=dict(spec.get("Labels") or {}),
        )


@dataclass(frozen=True, slots=True)
class Task:
    """One container that a service wants, on the node that got it.

    Attributes:
        id: Its id.
        service: Name of the service.
        slot: Its number among the replicas; 0 for a service that has one task on each node.
        node: Name of the node, empty before one is chosen.
        node_id: Id of the node.
        state: What it does: "running", "preparing", "failed", ...
        wanted: What it should do: "running", "shutdown", ...
        error: Why it failed.
        addresses: Its addresses by network.
    """

    id: str
    service: str
    slot: int
    node: str
    node_id: str
    state: str
    wanted: str
    error: str
    addresses: Mapping[str, str] = field(hash=False)

    @classmethod
    def from_inspect(cls, data: Json, services: Mapping[str, str], nodes: Mapping[str, str]) -> Task:
        """Read one of /tasks; names of services and nodes by id."""
        status, node = data.get("Status") or {}, data.get("NodeID", "")
        return cls(
            id=data["ID"],
            service=services[data["ServiceID"]],
            slot=data.get("Slot", 0),
            node=nodes.get(node, node),
            node_id=node,
            state=status.get("State", "new"),
            wanted=data["DesiredState"],
            error=status.get("Err", ""),
            addresses={
                one["Network"]["Spec"]["Name"]: one["Addresses"][0].partition("/")[0]
                for one in data.get("NetworksAttachments") or ()
                if one.get("Addresses")
            },
        )

    @property
    def name(self) -> str:
        """web.2, or the service and the node where there are no numbers."""
        return f"{self.service}.{self.slot or self.node}"

    @property
    def running(self) -> bool:
        """Whether it runs and shall run."""
        return self.state == "running" == self.wanted


@dataclass(frozen=True, slots=True)
class Loose:
    """A container that somebody started on a node, which no service keeps alive."""

    name: str
    node: str
    state: str
    addresses: Mapping[str, str] = field(hash=False)

    @classmethod
    def from_listing(cls, data: Json, node: str) -> Loose:
        """Read one of a node's /containers/json."""
        attached = (data.get("NetworkSettings") or {}).get("Networks") or {}
        return cls(
            name=data["Names"][0].lstrip("/"),
            node=node,
            state=data["State"],
            addresses={name: one.get("IPAddress", "") for name, one in attached.items()},
        )


@dataclass(frozen=True, slots=True)
class Swarm:
    """The state of a swarm, as its manager and its nodes say it.

    Attributes:
        nodes: By name, the lost ones among them.
        overlays: Overlay networks by name, the ingress network among them.
        services: By name.
        tasks: Those that shall run, by name.
        loose: Containers of the lesson that belong to no service.
    """

    nodes: tuple[Node, ...]
    overlays: tuple[Overlay, ...]
    services: tuple[Service, ...]
    tasks: tuple[Task, ...]
    loose: tuple[Loose, ...] = ()

    @classmethod
    def from_inspect(
        cls,
        *,
        nodes: Iterable[Json],
        networks: Iterable[Json],
        services: Iterable[Json],
        tasks: Iterable[Json],
        containers: Mapping[str, Iterable[Json]],
    ) -> Swarm:
        """Read the engine's lists.

        Args:
            nodes: /nodes of a manager.
            networks: /networks of a manager; those of other drivers are left out.
            services: /services of a manager.
            tasks: /tasks of a manager.
            containers: /containers/json of each node, by its name; tasks among them are left out.
        """
        overlays = [Overlay.from_inspect(one) for one in networks if one["Driver"] == "overlay"]
        names = {one.id: one.name for one in overlays}
        made = [Service.from_inspect(one, names) for one in services]
        machines = [Node.from_inspect(one) for one in nodes]
        service_names = {one.id: one.name for one in made}
        node_names = {one.id: one.name for one in machines}
        wanted = [
            Task.from_inspect(one, service_names, node_names)
            for one in tasks
            # A container that joins an overlay network by itself has a task, too, without a service.
            if one.get("ServiceID") in service_names and one["DesiredState"] in {"running", "ready"}
        ]
        loose = [
            Loose.from_listing(one, node)
            for node, listed in containers.items()
            for one in listed
            if "com.docker.swarm.task.id" not in (one.get("Labels") or {})
        ]
        return cls(
            nodes=tuple(sorted(machines, key=lambda one: (one.name, one.state))),
            overlays=tuple(sorted(overlays, key=lambda one: one.name)),
            services=tuple(sorted(made, key=lambda one: one.name)),
            tasks=tuple(sorted(wanted, key=lambda one: (one.service, one.slot, one.node))),
            loose=tuple(sorted(loose, key=lambda one: (one.node, one.name))),
        )

    def node(self, name: str) -> Node | None:
        """The node of that name, one that is ready before one that is lost."""
        found = [one for one in self.nodes if one.name == name]
        return next((one for one in found if one.state == "ready"), found[0] if found else None)

    def service(self, name: str) -> Service | None:
        """The service of that name."""
        return next((one for one in self.services if one.name == name), None)

    def overlay(self, name: str) -> Overlay | None:
        """The overlay network of that name."""
        return next((one for one in self.overlays if one.name == name), None)

    def tasks_of(self, service: str) -> tuple[Task, ...]:
        """The tasks of a service that shall run."""
        return tuple(one for one in self.tasks if one.service == service)
