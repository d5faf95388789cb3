"""Change who is on which network, and what a network allows, without leaving anything half made."""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import docker
import requests
from docker.errors import APIError, DockerException, NotFound, create_api_error_from_http_exception

from dockernb.errors import LabError
from dockernb.model import Endpoint
from dockernb.session.client import LessonAPI
from dockernb.session.twin import Line, Recorder, Script

if TYPE_CHECKING:
    from dockernb.labhost import LabHost

Report = Callable[[str, float], None]

_ICC = "com.docker.network.bridge.enable_icc"
_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
_POLICY = "DOCKER-USER"  # Docker makes this chain for rules of one's own, and asks it first
_PLAIN = "FORWARD"  # where it makes none, as with the nftables backend of 29
_COMMENT = "dockernb denies"  # then the source and the target
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_KEPT = ("Driver", "Internal", "EnableIPv6", "Attachable", "Options", "IPAM", "Labels")


@contextlib.contextmanager
def told_apart(client: docker.DockerClient) -> Iterator[Recorder]:
    """Record what is asked of the engine here, and not in the lesson's own CLI twin."""
    recorder = Recorder()

    def note(response: requests.Response, **_options: Any) -> None:
        request = response.request
        url = urlsplit(request.url or "")
        if url.path.endswith("/containers/json") or not response.ok:
            return  # a look of ours would be a line of its own, and what was refused did nothing
        query = dict(parse_qsl(url.query))
        said = response.content  # none of these requests streams
        recorder.record(request.method or "GET", url.path, query, request.body, response.status_code, said)

    hooks = client.api.hooks["response"]
    hooks.append(note)
    try:
        with client.api.unrecorded() if isinstance(client.api, LessonAPI) else contextlib.nullcontext():
            yield recorder
    finally:
        hooks.remove(note)


def connect(
    client: docker.DockerClient, network: str, container: str, endpoint: Endpoint | None = None
) -> None:
    """Connect a container to a network.

    Args:
        client: the lesson's client.
        network: name of the network.
        container: name of the container.
        endpoint: an endpoint that the container had there before: its addresses, aliases, links and options
            are given to the new one.

    Raises:
        LabError: the engine refused.
    """
    with _sentences(f"connect {container} to {network}"):
        _attach(client.api, network, container, endpoint or Endpoint(network, ""))


def disconnect(client: docker.DockerClient, network: str, container: str) -> None:
    """Disconnect a container from a network.

    Raises:
        LabError: the engine refused.
    """
    with _sentences(f"disconnect {container} from {network}"):
        client.api.disconnect_container_from_network(container, network)


def alias(client: docker.DockerClient, network: str, container: str, name: str, value: bool) -> None:
    """Give a container a further name on a network, or take it away.

    Docker hears of aliases only when a container is connected, so it is disconnected and connected again, with
    its addresses and other aliases kept; connections that were open break.

    Args:
        client: the lesson's client.
        network: name of the network.
        container: name of a container that is on it.
        name: the alias.
        value: whether it is to answer to it.

    Raises:
        LabError: the container is not on that network, the alias is no host name, or the engine refused.
    """
    if not _HOST_NAME.fullmatch(name):
        raise LabError(f"{name!r} is no host name: use letters, digits, hyphens, underscores and dots.")
    with _sentences(f"change the aliases of {container} on {network}"):
        api = client.api
        data = api.inspect_container(container)
        settings = data["NetworkSettings"]["Networks"].get(network)
        if settings is None:
            raise LabError(f"{container} is not on {network}: connect it first.")
        before = Endpoint.from_inspect(network, settings, data["Id"])
        others = tuple(one for one in before.aliases if one != name)
        after = replace(before, aliases=(*others, name) if value else others)
        api.disconnect_container_from_network(container, network)
        try:
            _attach(api, network, container, after)
        except BaseException:
            _attach(api, network, container, before)
            raise


def recreate(
    client: docker.DockerClient,
    network: str,
    *,
    internal: bool | None = None,
    icc: bool | None = None,
    masquerade: bool | None = None,
    report: Report = lambda text, fraction: None,
) -> None:
    """Change what Docker cannot change in place: make the network anew, with its endpoints.

    Name, subnets, options, labels, addresses and aliases stay; the network's id, and with it the name of a
    bridge that Docker named, are new, and connections that were open break. When a step fails the old
    network is put back.

    Args:
        client: the lesson's client.
        network: name of the network.
        internal: whether it has no way out.
        icc: whether its containers may talk to each other.
        masquerade: whether what leaves the host carries the host's address.
        report: told what is being done and how far it is (0 to 1).

    Raises:
        LabError: the engine refused, or the network is one of Docker's own.
    """
    api = client.api
    with _sentences(f"make {network} anew"):
        old = api.inspect_network(network)
        if old["Name"] in {"bridge", "host", "none"} or old["Scope"] != "local":
            raise LabError(f"{network} cannot be made anew: it is Docker's own, or belongs to a swarm.")
        endpoints = _endpoints(api, old)
    new = {key: old[key] for key in _KEPT}
    new["Options"] = dict(old["Options"] or {})
    if internal is not None:
        new["Internal"] = internal
    for option, value in ((_ICC, icc), (_MASQUERADE, masquerade)):
        if value is not None:
            new["Options"][option] = str(value).lower()
    try:
        with _sentences(f"make {network} anew"):
            _put(api, network, new, endpoints, report)
    except BaseException as failure:
        report("Putting the old network back", 0.0)
        try:
            _put(api, network, old, endpoints, report)
        except DockerException as second:
            raise LabError(
                f"{network} could not be made anew ({failure}) nor put back ({second}): reset the lab host."
            ) from failure
        raise


def denied(host: LabHost) -> frozenset[tuple[str, str]]:
    """Who may not send to whom by `deny`: pairs of container names.

    Raises:
        LabError: iptables does not work there.
    """
    return frozenset(pair for pair, _ in _denials(_iptables(host, ["-S"]).splitlines()))


def deny(
    host: LabHost, source: tuple[str, Iterable[str]], target: tuple[str, Iterable[str]], value: bool
) -> Script:
    """Drop what one container sends to another, or undo exactly that.

    The rules stand in the chain DOCKER-USER (FORWARD, where the engine has none) and carry a comment by which
    they are found again; they are for the IPv4 addresses that the containers have now.

    Args:
        host: the lab host.
        source: name and addresses of the container that sends.
        target: name and addresses of the container that is not reached.
        value: whether to deny.

    Returns:
        The commands that did it, for a shell on the Docker host.

    Raises:
        LabError: a container has no IPv4 address, or iptables refused.
    """
    pair = source[0], target[0]
    there = _iptables(host, ["-S"]).splitlines()
    rules = [["-D", *rule] for known, rule in _denials(there) if known == pair]
    if value:
        both = [[one for one in addresses if ":" not in one] for _, addresses in (source, target)]
        for (name, _), addresses in zip((source, target), both, strict=True):
            if not addresses:
                raise LabError(f"{name} has no IPv4 address, so there is nothing to deny.")
        note = ["-m", "comment", "--comment", " ".join([_COMMENT, *pair]), "-j", "DROP"]
        chain = _POLICY if f"-N {_POLICY}" in there else _PLAIN
        rules += [
            ["-I", chain, "-s", f"{one}/32", "-d", f"{other}/32", *note]
            for one, other in itertools.product(*both)
        ]
    for rule in rules:
        _iptables(host, rule)
    return Script([Line((("iptables", *rule),)) for rule in rules])


def _denials(rules: Iterable[str]) -> list[tuple[tuple[str, str], list[str]]]:
    """The pair and the words, from the chain on, of each rule that `deny` made."""
    found = []
    for line in rules:
        words = shlex.split(line)
        said = words[words.index("--comment") + 1] if "--comment" in words else ""
        if said.startswith(_COMMENT):
            source, target = said.removeprefix(_COMMENT).split()
            found.append(((source, target), words[1:]))
    return found


def _iptables(host: LabHost, words: list[str]) -> str:
    done = host.run(["iptables", "--wait", "5", *words])
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise LabError(f"iptables refused: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")


def _put(
    api: docker.APIClient,
    name: str,
    wanted: Mapping[str, Any],
    endpoints: dict[str, Endpoint],
    report: Report,
) -> None:
    """Bring the network to what is wanted from whatever is there: as it was, half made, or gone."""
    steps = 2 * len(endpoints) + 2
    done = 0

    def step(text: str) -> None:
        nonlocal done
        report(text, done / steps)
        done += 1

    try:
        found = api.inspect_network(name)
    except NotFound:
        found = None
    if found is not None and any((found[key] or {}) != (wanted[key] or {}) for key in _KEPT):
        for container in _endpoints(api, found):
            step(f"Disconnecting {container}")
            api.disconnect_container_from_network(container, found["Id"])
        step(f"Removing {name}")
        api.remove_network(found["Id"])
        found = None
    if found is None:
        step(f"Creating {name}")
        api.create_network(
            name,
            driver=wanted["Driver"],
            options=wanted["Options"],
            ipam=wanted["IPAM"],
            internal=wanted["Internal"],
            labels=wanted["Labels"],
            enable_ipv6=wanted["EnableIPv6"],
            attachable=wanted["Attachable"],
        )
        there = set()
    else:
        there = set(_endpoints(api, found))
    for container, endpoint in endpoints.items():
        if container not in there:
            step(f"Connecting {container}")
            _attach(api, name, container, endpoint)
    report("Done", 1.0)


def _endpoints(api: docker.APIClient, network: Mapping[str, Any]) -> dict[str, Endpoint]:
    """The network's endpoints by container name, those of stopped containers among them."""
    found = {}
    for row in api.containers(all=True, filters={"network": network["Id"]}):
        data = api.inspect_container(row["Id"])
        settings = data["NetworkSettings"]["Networks"].get(network["Name"])
        if settings is not None:
            found[data["Name"].removeprefix("/")] = Endpoint.from_inspect(
                network["Name"], settings, data["Id"]
            )
    return found


def _attach(api: docker.APIClient, network: str, container: str, endpoint: Endpoint) -> None:
    links = [(link.split(":", 1)[0], link.split(":", 1)[-1]) for link in endpoint.links]
    addresses: dict[str, Any] = {
        "ipv4_address": endpoint.address or endpoint.configured_address or None,
        "ipv6_address": endpoint.address6 or endpoint.configured_address6 or None,
    }
    others: dict[str, Any] = {
        "aliases": list(endpoint.aliases) or None,
        "links": links or None,
        "driver_opt": dict(endpoint.options) or None,
    }

    def connect(**settings: Any) -> None:
        if not endpoint.gateway_priority:
            api.connect_container_to_network(container, network, **settings)
            return
        # The SDK has no word for the priority of the gateway, which engines from 28 on know.
        config = api.create_endpoint_config(**settings) | {"GwPriority": endpoint.gateway_priority}
        body = {"Container": container, "EndpointConfig": config}
        url = f"{api.base_url}/v{api.api_version}/networks/{network}/connect"
        try:
            api.post(url, json=body, timeout=api.timeout).raise_for_status()
        except requests.HTTPError as problem:
            create_api_error_from_http_exception(problem)

    try:
        connect(**addresses, **others)
    except APIError as error:
        if "user configured subnets" not in str(error.explanation) or not any(addresses.values()):
            raise
        # Where Docker chose the subnet it chooses the address, too, and only now does it say so.
        connect(**others)


@contextlib.contextmanager
def _sentences(what: str) -> Iterator[None]:
    """Tell an engine's refusal in one sentence."""
    try:
        yield
    except APIError as error:
        raise LabError(f"Docker did not {what}: {error.explanation or error}.") from error
    except DockerException as error:
        raise LabError(f"Docker could not be asked to {what}: {error}.") from error
