"""The nouns of a Docker host: networks, endpoints, containers, ports, mounts, volumes.

Each is made from the JSON of one ``inspect`` call (Docker Engine API, 1.41 to 1.50) and never changes
afterwards.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Json = Mapping[str, Any]

_BRIDGE = "com.docker.network.bridge."
_NAMELESS = re.compile(r"[0-9a-f]{64}")  # the name that the engine gives a volume for which nobody chose one
_ID_SHOWN = 12  # characters of an id which Docker shows, and which it uses as the container's first alias


@dataclass(frozen=True, slots=True)
class Subnet:
    """One address pool of a network. Empty strings stand for what was not given.

    ``reserved`` are the addresses that Docker was told to leave out (auxiliary addresses).
    """

    subnet: str
    gateway: str = ""
    ip_range: str = ""
    reserved: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """4 or 6."""
        return ipaddress.ip_network(self.subnet).version

    @property
    def first(self) -> str:
        """The first address that a host may have."""
        return str(ipaddress.ip_network(self.subnet)[1])

    def holds(self, address: str) -> bool:
        """Whether the address lies in this pool."""
        return ipaddress.ip_address(address) in ipaddress.ip_network(self.subnet)


@dataclass(frozen=True, slots=True)
class Network:
    """A network as the engine knows it."""

    id: str
    name: str
    driver: str
    scope: str
    internal: bool
    attachable: bool
    ipv6: bool
    subnets: tuple[Subnet, ...]
    options: Mapping[str, str] = field(hash=False)
    labels: Mapping[str, str] = field(hash=False)

    @classmethod
    def from_inspect(cls, data: Json) -> Network:
        """Read the JSON of ``docker network inspect``."""
        pools = (data.get("IPAM") or {}).get("Config") or []
        return cls(
            id=data["Id"],
            name=data["Name"],
            driver=data["Driver"],
            scope=data["Scope"],
            internal=bool(data["Internal"]),
            attachable=bool(data.get("Attachable")),
            ipv6=bool(data.get("EnableIPv6")),
            subnets=tuple(
                Subnet(
                    pool["Subnet"],
                    pool.get("Gateway", ""),
                    pool.get("IPRange", ""),
                    tuple((pool.get("AuxiliaryAddresses") or {}).values()),
                )
                for pool in pools
                if pool.get("Subnet")
            ),
            options=dict(data.get("Options") or {}),
            labels=dict(data.get("Labels") or {}),
        )

    @property
    def bridge(self) -> str:
        """The name of the Linux bridge on the Docker host; empty for other drivers."""
        if self.driver != "bridge":
            return ""
        return self.options.get(_BRIDGE + "name") or f"br-{self.id[:_ID_SHOWN]}"

    @property
    def parent(self) -> str:
        """The interface of the Docker host on which a macvlan or ipvlan network is; empty for other drivers.

        Without one Docker makes an interface that leads nowhere, which it names after the network.
        """
        if self.driver not in {"macvlan", "ipvlan"}:
            return ""
        return self.options.get("parent") or f"dm-{self.id[:_ID_SHOWN]}"

    @property
    def wired(self) -> bool:
        """Whether what it sends leaves the Docker host by the parent, past the host's routes and rules."""
        return bool(self.parent) and "parent" in self.options and not self.internal

    @property
    def icc(self) -> bool:
        """Whether containers of this network may talk to each other (inter-container communication)."""
        return self.options.get(_BRIDGE + "enable_icc", "true").lower() != "false"

    @property
    def masquerade(self) -> bool:
        """Whether packets that leave the Docker host carry the host's address."""
        return self.options.get(_BRIDGE + "enable_ip_masquerade", "true").lower() != "false"

    @property
    def mtu(self) -> int | None:
        """The largest packet in bytes, where the network sets one."""
        given = self.options.get("com.docker.network.driver.mtu")
        return int(given) if given else None

    @property
    def predefined(self) -> bool:
        """Whether the engine made it itself (bridge, host, none)."""
        return self.name in {"bridge", "host", "none"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's attachment to one network.

    ``address`` and ``address6`` are those in use, empty while the container does not run.
    ``configured_address`` and ``configured_address6`` are those that somebody asked for. ``aliases`` leaves
    out the container's short id, which the engine adds by itself. Of a container's networks the one with the
    highest ``gateway_priority`` gives the default route (engines from 28 on; 0 unless somebody asked for one).
    """

    network: str
    network_id: str
    address: str = ""
    address6: str = ""
    gateway: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    configured_address: str = ""
    configured_address6: str = ""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    gateway_priority: int = 0

    @classmethod
    def from_inspect(cls, network: str, data: Json, container_id: str) -> Endpoint:
        """Read one entry of ``NetworkSettings.Networks`` of ``docker inspect``."""
        asked = data.get("IPAMConfig") or {}
        return cls(
            network=network,
            network_id=data.get("NetworkID") or "",
            address=data.get("IPAddress") or "",
            address6=data.get("GlobalIPv6Address") or "",
            gateway=data.get("Gateway") or "",
            mac=data.get("MacAddress") or "",
            aliases=tuple(a for a in data.get("Aliases") or () if a != container_id[:_ID_SHOWN]),
            links=tuple(data.get("Links") or ()),
            configured_address=asked.get("IPv4Address") or "",
            configured_address6=asked.get("IPv6Address") or "",
            options=dict(data.get("DriverOpts") or {}),
            gateway_priority=int(data.get("GwPriority") or 0),
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses in use, IPv4 first."""
        return tuple(a for a in (self.address, self.address6) if a)


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """A port of the Docker host that leads to a container's port; ``host_port`` 0 means not in force."""

    container_port: int
    protocol: str
    host_ip: str
    host_port: int

    def __str__(self) -> str:
        where = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip
        return f"{where}:{self.host_port} → {self.container_port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Mount:
    """Something mounted in a container: a volume, a bind mount or a tmpfs.

    ``options`` are those that distinguish it: a tmpfs's as they were given ("size=64m"), and a bind mount's propagation
    unless it is the usual one, rprivate.
    """

    kind: str
    source: str
    target: str
    read_only: bool
    options: tuple[str, ...] = ()

    @classmethod
    def from_inspect(cls, data: Json) -> Mount:
        """Read one entry of ``Mounts`` of ``docker inspect``."""
        propagation = data.get("Propagation") or "rprivate"
        return cls(
            kind=data["Type"],
            source=data.get("Name") or data.get("Source") or "",
            target=data["Destination"],
            read_only=not data.get("RW", True),
            options=() if propagation == "rprivate" else (propagation,),
        )

    @property
    def anonymous(self) -> bool:
        """Whether it is a volume that nobody gave a name."""
        return self.kind == "volume" and bool(_NAMELESS.fullmatch(self.source))


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume as the engine knows it."""

    name: str
    driver: str
    mountpoint: str
    options: Mapping[str, str] = field(hash=False)
    labels: Mapping[str, str] = field(hash=False)

    @classmethod
    def from_inspect(cls, data: Json) -> Volume:
        """Read the JSON of ``docker volume inspect``."""
        return cls(
            name=data["Name"],
            driver=data["Driver"],
            mountpoint=data.get("Mountpoint") or "",
            options=dict(data.get("Options") or {}),
            labels=dict(data.get("Labels") or {}),
        )

    @property
    def anonymous(self) -> bool:
        """Whether nobody gave it a name."""
        return bool(_NAMELESS.fullmatch(self.name))


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the engine knows it.

    ``state`` is the engine's word: created, running, paused, restarting, exited, dead. ``pid`` is its first
    process on the Docker host, 0 when none runs. ``exposed`` holds (port, protocol), from the image and
    from the command line. ``wanted_ports`` is what was asked to be published, ``published`` what is.
    """

    id: str
    name: str
    image: str
    state: str
    exit_code: int
    pid: int
    network_mode: str
    endpoints: tuple[Endpoint, ...]
    exposed: tuple[tuple[int, str], ...]
    published: tuple[PublishedPort, ...]
    wanted_ports: tuple[PublishedPort, ...]
    mounts: tuple[Mount, ...]
    labels: Mapping[str, str] = field(hash=False)

    @classmethod
    def from_inspect(cls, data: Json) -> Container:
        """Read the JSON of ``docker inspect`` of a container."""
        state, config, settings = data["State"], data["Config"], data["NetworkSettings"]
        host_config = data.get("HostConfig") or {}
        published = _ports(settings.get("Ports"))
        wanted = _ports(host_config.get("PortBindings"))
        exposed = {_port(key) for key in config.get("ExposedPorts") or {}}
        exposed |= {(port.container_port, port.protocol) for port in published + wanted}
        return cls(
            id=data["Id"],
            name=data["Name"].removeprefix("/"),
            image=config.get("Image") or "",
            state=state["Status"],
            exit_code=int(state.get("ExitCode") or 0),
            pid=int(state.get("Pid") or 0),
            network_mode=host_config.get("NetworkMode") or "",
            endpoints=tuple(
                Endpoint.from_inspect(name, endpoint, data["Id"])
                for name, endpoint in sorted((settings.get("Networks") or {}).items())
            ),
            exposed=tuple(sorted(exposed)),
            published=published,
            wanted_ports=wanted,
            mounts=_mounts(data.get("Mounts") or (), host_config),
            labels=dict(config.get("Labels") or {}),
        )

    @property
    def running(self) -> bool:
        """Whether its processes run and may answer (a paused container does not)."""
        return self.state == "running"

    @property
    def paused(self) -> bool:
        """Whether its processes are frozen."""
        return self.state == "paused"

    @property
    def alive(self) -> bool:
        """Whether it has processes, frozen or not, and with them a network namespace."""
        return self.pid > 0

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of its networks, in alphabetical order."""
        return tuple(endpoint.network for endpoint in self.endpoints)

    @property
    def uses_host_network(self) -> bool:
        """Whether it lives in the Docker host's own network namespace."""
        return self.network_mode == "host"

    @property
    def network_owner(self) -> str:
        """The id or name of the container whose network namespace it shares; empty when it has its own."""
        return (
            self.network_mode.removeprefix("container:") if self.network_mode.startswith("container:") else ""
        )

    def endpoint(self, network: str) -> Endpoint | None:
        """Its endpoint on the named network, or None."""
        return next((e for e in self.endpoints if e.network == network), None)


def _mounts(listed: Iterable[Json], host_config: Json) -> tuple[Mount, ...]:
    """Read ``Mounts``, and what only ``HostConfig`` tells: a tmpfs by --tmpfs, and the options of one by --mount."""
    found = {mount.target: mount for mount in map(Mount.from_inspect, listed)}
    for spec in host_config.get("Mounts") or ():
        told = spec.get("TmpfsOptions") or {}
        size, mode = told.get("SizeBytes"), told.get("Mode")
        options = (*([f"size={_size(size)}"] if size else ()), *([f"mode={mode:o}"] if mode else ()))
        if options and spec["Target"] in found:
            found[spec["Target"]] = replace(found[spec["Target"]], options=options)
    for target, text in (host_config.get("Tmpfs") or {}).items():
        options = tuple(option for option in text.split(",") if option not in {"", "rw"})
        found[target] = Mount("tmpfs", "", target, "ro" in options, options)
    return tuple(found[target] for target in sorted(found))


def _size(count: int) -> str:
    """67108864 bytes as 64m, the way in which one writes it."""
    power = next((power for power in (3, 2, 1) if count % 1024**power == 0), 0)
    return f"{count // 1024**power}{' kmg'[power].strip()}"


def _port(key: str) -> tuple[int, str]:
    """Split "80/tcp"; a port without a protocol is TCP."""
    number, _, protocol = key.partition("/")
    return int(number), protocol or "tcp"


def _ports(bindings: Json | None) -> tuple[PublishedPort, ...]:
    """Read ``NetworkSettings.Ports`` or ``HostConfig.PortBindings``."""
    found = []
    for key, hosts in (bindings or {}).items():
        number, protocol = _port(key)
        found += [
            PublishedPort(number, protocol, host.get("HostIp") or "0.0.0.0", int(host.get("HostPort") or 0))
            for host in hosts or ()
        ]
    return tuple(sorted(found, key=lambda p: (p.container_port, p.protocol, p.host_ip, p.host_port)))
