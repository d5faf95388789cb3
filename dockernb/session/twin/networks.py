"""docker network, volume and image, and the handlers that several nouns share."""

from __future__ import annotations

from dockernb.session.twin import common, words
from dockernb.session.twin.calls import Call, Known, Unrenderable
from dockernb.session.twin.common import Handler
from dockernb.session.twin.script import Group


def _network_create(call: Call, known: Known) -> list[Group]:
    del known
    body = words.Fields(call.request.body)
    body.take("CheckDuplicate")
    name = body.take("Name")
    groups: list[Group] = [("docker", "network", "create")]
    groups += words.option("-d", body.take("Driver"))
    ipam = words.Fields(body.take("IPAM"))
    driver = ipam.take("Driver")
    groups += words.option("--ipam-driver", None if driver == "default" else driver)
    for pool in ipam.take("Config") or ():
        left = words.Fields(pool)
        groups += words.option("--subnet", left.take("Subnet"))
        groups += words.option("--ip-range", left.take("IPRange"))
        groups += words.option("--gateway", left.take("Gateway"))
        groups += words.pairs("--aux-address", left.take("AuxiliaryAddresses"))
        left.nothing_left()
    groups += words.pairs("--ipam-opt", ipam.take("Options"))
    ipam.nothing_left()
    groups += words.flag("--internal", body.take("Internal"))
    groups += words.flag("--attachable", body.take("Attachable"))
    groups += words.flag("--ingress", body.take("Ingress"))
    groups += words.flag("--ipv6", body.take("EnableIPv6"))
    groups += words.option("--scope", body.take("Scope"))
    groups += words.pairs("-o", body.take("Options"))
    groups += words.labels("--label", body.take("Labels"))
    body.nothing_left()
    return [*groups, (name,)]


def _network_connect(call: Call, known: Known) -> list[Group]:
    body = words.Fields(call.request.body)
    container = known.name(body.take("Container"))
    endpoint = words.Fields(body.take("EndpointConfig"))
    address = words.Fields(endpoint.take("IPAMConfig"))
    groups: list[Group] = [("docker", "network", "connect")]
    groups += words.option("--ip", address.take("IPv4Address"))
    groups += words.option("--ip6", address.take("IPv6Address"))
    groups += words.each("--link-local-ip", address.take("LinkLocalIPs"))
    groups += words.each("--alias", endpoint.take("Aliases"))
    groups += words.each("--link", [words.first_named(link, known) for link in endpoint.take("Links") or ()])
    groups += words.pairs("--driver-opt", endpoint.take("DriverOpts"))
    groups += words.option("--gw-priority", endpoint.take("GwPriority") or None)
    for part in (body, endpoint, address):
        part.nothing_left()
    return [*groups, (known.name(call.target), container)]


def _network_disconnect(call: Call, known: Known) -> list[Group]:
    flag = words.flag("-f", call.body.get("Force"))
    return [
        ("docker", "network", "disconnect"),
        *flag,
        (known.name(call.target), known.name(str(call.body.get("Container", "")))),
    ]


def _events(call: Call, known: Known) -> list[Group]:
    del known
    query = call.request.query
    times = [g for key in ("since", "until") for g in words.option(f"--{key}", query.get(key))]
    return [("docker", "events"), *times, *words.filters(query)]


def _system(call: Call, known: Known) -> list[Group]:
    del known
    if call.target != "df":
        raise Unrenderable("no line for this call here")
    return [("docker", "system", "df")]


def _elsewhere(text: str) -> Handler:
    """A handler for a call whose command line needs what the request does not tell."""

    def handler(call: Call, known: Known) -> list[Group]:
        del call, known
        raise Unrenderable(text)

    return handler


def _images(call: Call, known: Known) -> list[Group]:
    del known
    query = call.request.query
    filters = dict(words.filter_items(query))
    names = filters.pop("reference", [])
    if len(names) > 1:
        raise Unrenderable("docker image ls takes one name")
    rest = [("--filter", f"{k}={v}") for k, values in filters.items() for v in values]
    groups: list[Group] = [("docker", "image", "ls"), *words.flag("-a", words.true(query.get("all"))), *rest]
    return groups + [(name,) for name in names]


def _pull(call: Call, known: Known) -> list[Group]:
    del known
    query = call.request.query
    if "fromImage" not in query:
        raise Unrenderable("docker import FILE, with the archive that was sent")
    tag = query.get("tag")
    name = f"{query['fromImage']}{'@' if tag and ':' in tag else ':'}{tag}" if tag else query["fromImage"]
    return [("docker", "pull"), *words.option("--platform", query.get("platform")), (name,)]


def _image_rm(call: Call, known: Known) -> list[Group]:
    query = call.request.query
    flags = [
        *words.flag("-f", words.true(query.get("force"))),
        *words.flag("--no-prune", words.true(query.get("noprune"))),
    ]
    return [("docker", "image", "rm"), *flags, (known.name(call.target),)]


def _tag(call: Call, known: Known) -> list[Group]:
    query = call.request.query
    tag = f":{query['tag']}" if query.get("tag") else ""
    return [("docker", "tag"), (known.name(call.target), f"{query.get('repo', '')}{tag}")]


def _volume_create(call: Call, known: Known) -> list[Group]:
    del known
    body = words.Fields(call.request.body)
    name = body.take("Name")
    groups: list[Group] = [("docker", "volume", "create")]
    groups += words.option("-d", body.take("Driver"))
    groups += words.pairs("-o", body.take("DriverOpts"))
    groups += words.labels("--label", body.take("Labels"))
    body.nothing_left()
    return [*groups, *([(name,)] if name else [])]


HANDLERS: dict[tuple[str, str, str], Handler] = {
    ("POST", "networks", "create"): _network_create,
    ("POST", "networks", "connect"): _network_connect,
    ("POST", "networks", "disconnect"): _network_disconnect,
    ("POST", "networks", "prune"): common.prune("network"),
    ("DELETE", "networks", "*"): common.removal("network", "rm"),
    ("GET", "networks", "*"): common.inspection("network", "inspect"),
    ("GET", "networks", ""): common.listing("network", "ls"),
    ("POST", "volumes", "create"): _volume_create,
    ("POST", "volumes", "prune"): common.prune("volume"),
    ("DELETE", "volumes", "*"): common.removal("volume", "rm"),
    ("GET", "volumes", "*"): common.inspection("volume", "inspect"),
    ("GET", "volumes", ""): common.listing("volume", "ls"),
    ("GET", "images", "json"): lambda c, k: (
        common.inspection("image", "inspect")(c, k) if c.target else _images(c, k)
    ),
    ("GET", "images", "history"): common.inspection("history"),
    ("POST", "images", "create"): _pull,
    ("POST", "images", "tag"): _tag,
    ("POST", "images", "prune"): common.prune("image"),
    ("DELETE", "images", "*"): _image_rm,
    ("GET", "version", ""): common.plain("docker", "version"),
    ("GET", "info", ""): common.plain("docker", "info"),
    ("GET", "events", ""): _events,
    ("GET", "system", "*"): _system,
    ("POST", "images", "load"): _elsewhere("docker load -i FILE, with the archive that was sent"),
    ("POST", "build", ""): _elsewhere("docker build DIRECTORY, with the files that were sent"),
    ("POST", "commit", ""): _elsewhere("docker commit CONTAINER IMAGE, with the same options"),
}
