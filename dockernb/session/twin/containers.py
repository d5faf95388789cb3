"""docker run, create, exec and the other commands on a container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dockernb.session.twin import common, words
from dockernb.session.twin.calls import Call, Known, Unrenderable
from dockernb.session.twin.common import Handler
from dockernb.session.twin.script import Group, Line


def container(calls: Sequence[Call], index: int, known: Known) -> tuple[Line, list[int]]:
    """Create, with the start and the wait that docker-py's `run` adds folded in."""
    call = calls[index]
    body = words.Fields(call.request.body)
    attached = any([body.take("AttachStdout"), body.take("AttachStderr")])
    host = words.Fields(body.take("HostConfig"))
    name = known.name(call.created_id)
    own = [
        i
        for i in range(index + 1, len(calls))
        if calls[i].kind == "containers" and known.name(calls[i].target) == name
    ]
    # Only when nothing else happened in between: the order of the lines is the order of the calls.
    next_act = next((i for i in range(index + 1, len(calls)) if calls[i].acts), -1)
    starts = next_act in own and calls[next_act].action == "start"
    members = [index]
    verb: Group = ("docker", "create")
    if not attached and (starts or call.request.status >= 400):
        members, verb = [index, *([next_act] if starts else [])], ("docker", "run", "-d")
    elif starts:
        end = next((i for i in own if calls[i].action == "wait"), None)
        followed = [
            i for i in own if calls[i].action == "logs" and words.true(calls[i].request.query.get("follow"))
        ]
        if end is not None and followed and followed[0] < end:
            after = [i for i in own if i > end and (calls[i].action == "logs" or not calls[i].acts)]
            members, verb = [index, *[i for i in own if i <= end], *after], ("docker", "run")
            removal = next((i for i in own if i > end and calls[i].request.method == "DELETE"), None)
            if removal is not None:
                members.append(removal)
                host.data["AutoRemove"] = True
    return Line((verb, *_container_options(call, body, host, known))), members


def _container_options(call: Call, body: words.Fields, host: words.Fields, known: Known) -> list[Group]:
    """The options of `docker run` and `docker create`, the image and the command."""
    groups: list[Group] = []
    groups += words.option("--name", call.request.query.get("name"))
    groups += words.option("--platform", call.request.query.get("platform"))
    groups += _networks(host, body, known)
    groups += _ports(host, body)
    groups += words.each("-e", body.take("Env"))
    groups += _storage(host, body, known)
    groups += words.flag("--privileged", host.take("Privileged"))
    groups += words.each("--cap-add", host.take("CapAdd"))
    groups += words.each("--cap-drop", host.take("CapDrop"))
    groups += words.each("--security-opt", host.take("SecurityOpt"))
    groups += words.flag("--read-only", host.take("ReadonlyRootfs"))
    groups += _restart(host.take("RestartPolicy"))
    groups += words.flag("--rm", host.take("AutoRemove"))
    groups += words.flag("--init", host.take("Init"))
    groups += words.option("-h", body.take("Hostname"))
    groups += words.option("--domainname", body.take("Domainname"))
    groups += words.option("-u", body.take("User"))
    groups += words.option("-w", body.take("WorkingDir"))
    groups += words.each("--group-add", host.take("GroupAdd"))
    groups += words.flag("-t", body.take("Tty"))
    groups += words.flag("-i", body.take("OpenStdin"))
    for implied in ("StdinOnce", "AttachStdin"):
        body.take(implied)
    groups += _limits(host)
    groups += _names(host, known)
    groups += health(body.take("Healthcheck"))
    groups += words.option("--stop-signal", body.take("StopSignal"))
    groups += words.option("--stop-timeout", body.take("StopTimeout"))
    groups += words.option("--runtime", host.take("Runtime") or body.take("Runtime"))
    log = host.take("LogConfig") or {}
    groups += words.option("--log-driver", log.get("Type"))
    groups += words.pairs("--log-opt", log.get("Config"))
    groups += words.labels("--label", body.take("Labels"))

    image = known.name(str(body.take("Image") or ""))
    command = list(body.take("Cmd") or [])
    entrypoint = body.take("Entrypoint")
    if entrypoint:
        # The option takes one word; the others go in front of the command, which starts the same process.
        groups.append(("--entrypoint", entrypoint[0]))
        command = [*entrypoint[1:], *command]
    body.nothing_left()
    host.nothing_left()
    return [*groups, (image, *command)]


def _networks(host: words.Fields, body: words.Fields, known: Known) -> list[Group]:
    """--network and what belongs to the endpoint."""
    mode = host.take("NetworkMode") or "default"
    if mode.startswith("container:"):
        mode = "container:" + known.name(mode.removeprefix("container:"))
    config = body.take("NetworkingConfig") or {}
    endpoints = {known.name(k): v or {} for k, v in (config.get("EndpointsConfig") or {}).items()}
    mac = body.take("MacAddress")
    mode = known.name(mode)
    if len(endpoints) <= 1 and not any(
        e.get("DriverOpts") or e.get("GwPriority") for e in endpoints.values()
    ):
        first = next(iter(endpoints), mode)
        if mode != first:
            raise Unrenderable(f'the network mode "{mode}" and the endpoint on "{first}" do not agree')
        endpoint = words.Fields(endpoints.get(first))
        groups = words.option("--network", None if first == "default" else first)
        address = words.Fields(endpoint.take("IPAMConfig"))
        groups += words.option("--ip", address.take("IPv4Address"))
        groups += words.option("--ip6", address.take("IPv6Address"))
        groups += words.each("--link-local-ip", address.take("LinkLocalIPs"))
        groups += words.each("--network-alias", endpoint.take("Aliases"))
        groups += words.each(
            "--link", [words.first_named(link, known) for link in endpoint.take("Links") or ()]
        )
        groups += words.option("--mac-address", endpoint.take("MacAddress") or mac)
        address.nothing_left()
        endpoint.nothing_left()
        return groups
    if mac:
        raise Unrenderable("one MAC address for several networks")
    order = sorted(endpoints, key=lambda name: name != mode)  # the first one is the network mode
    return [("--network", words.csv_value(_endpoint_fields(name, endpoints[name]))) for name in order]


def _endpoint_fields(name: str, config: Mapping[str, Any]) -> list[str]:
    """The long form of --network: name=…,ip=…,alias=…."""
    endpoint = words.Fields(config)
    address = words.Fields(endpoint.take("IPAMConfig"))
    fields = [f"name={name}"]
    for key, value in (("ip", address.take("IPv4Address")), ("ip6", address.take("IPv6Address"))):
        fields += [f"{key}={value}"] if value else []
    fields += [f"link-local-ip={ip}" for ip in address.take("LinkLocalIPs") or ()]
    fields += [f"alias={alias}" for alias in endpoint.take("Aliases") or ()]
    mac = endpoint.take("MacAddress")
    fields += [f"mac-address={mac}"] if mac else []
    fields += [f"driver-opt={k}={v}" for k, v in (endpoint.take("DriverOpts") or {}).items()]
    priority = endpoint.take("GwPriority")
    fields += [f"gw-priority={priority}"] if priority else []
    address.nothing_left()
    endpoint.nothing_left()
    return fields


def _ports(host: words.Fields, body: words.Fields) -> list[Group]:
    """-p, -P and --expose."""
    groups: list[Group] = []
    bindings = host.take("PortBindings") or {}
    for port, places in bindings.items():
        inner = port.removesuffix("/tcp")
        for place in places or [{}]:
            address, outer = place.get("HostIp") or "", place.get("HostPort") or ""
            address = f"[{address}]" if ":" in address else address
            parts = [address, outer, inner] if address else [outer, inner] if outer else [inner]
            groups.append(("-p", ":".join(parts)))
    groups += words.flag("-P", host.take("PublishAllPorts"))
    exposed = [p for p in body.take("ExposedPorts") or {} if p not in bindings]
    return groups + words.each("--expose", [p.removesuffix("/tcp") for p in exposed])


def _storage(host: words.Fields, body: words.Fields, known: Known) -> list[Group]:
    """-v, --mount, --tmpfs and their relatives."""
    groups: list[Group] = []
    targets = set()
    for bind in host.take("Binds") or ():
        targets.add(bind.split(":")[1] if ":" in bind else bind)
        groups.append(("-v", bind.removesuffix(":rw")))
    # docker-py names the targets of its binds once more; the others are anonymous volumes.
    groups += [("-v", target) for target in body.take("Volumes") or () if target not in targets]
    groups += [("--mount", mount(m)) for m in host.take("Mounts") or ()]
    for path, options in (host.take("Tmpfs") or {}).items():
        groups.append(("--tmpfs", f"{path}:{options}" if options else path))
    groups += words.each(
        "--volumes-from", [words.first_named(v, known) for v in host.take("VolumesFrom") or ()]
    )
    groups += words.option("--volume-driver", host.take("VolumeDriver"))
    return groups + words.pairs("--storage-opt", host.take("StorageOpt"))


def mount(spec: Mapping[str, Any]) -> str:
    """The value of --mount."""
    left = words.Fields(spec)
    kind = left.take("Type") or "volume"
    source, target = left.take("Source"), left.take("Target")
    fields = [f"type={kind}", *([f"source={source}"] if source else []), f"target={target}"]
    fields += ["readonly"] if left.take("ReadOnly") else []
    consistency = left.take("Consistency")
    fields += [f"consistency={consistency}"] if consistency else []
    bind = words.Fields(left.take("BindOptions"))
    propagation = bind.take("Propagation")
    fields += [f"bind-propagation={propagation}"] if propagation else []
    volume = words.Fields(left.take("VolumeOptions"))
    fields += ["volume-nocopy"] if volume.take("NoCopy") else []
    fields += [f"volume-label={words.pair(k, v)}" for k, v in words.shown(volume.take("Labels")).items()]
    driver = words.Fields(volume.take("DriverConfig"))
    name = driver.take("Name")
    fields += [f"volume-driver={name}"] if name else []
    fields += [f"volume-opt={k}={v}" for k, v in (driver.take("Options") or {}).items()]
    subpath = volume.take("Subpath")
    fields += [f"volume-subpath={subpath}"] if subpath else []
    tmpfs = words.Fields(left.take("TmpfsOptions"))
    size, mode = tmpfs.take("SizeBytes"), tmpfs.take("Mode")
    fields += [f"tmpfs-size={words.size(size)}"] if size else []
    fields += [f"tmpfs-mode={mode:o}"] if mode else []
    for part in (left, bind, volume, driver, tmpfs):
        part.nothing_left()
    return words.csv_value(fields)


def _limits(host: words.Fields) -> list[Group]:
    """Memory, CPU, processes, devices, kernel settings."""
    groups: list[Group] = []
    for key, option in (
        ("Memory", "-m"),
        ("MemorySwap", "--memory-swap"),
        ("MemoryReservation", "--memory-reservation"),
        ("ShmSize", "--shm-size"),
    ):
        value = host.take(key)
        groups += words.option(option, words.size(value) if value else None)
    nano = host.take("NanoCpus")
    groups += words.option("--cpus", f"{nano / 1e9:.9f}".rstrip("0").rstrip(".") if nano else None)
    for key, option in (
        ("MemorySwappiness", "--memory-swappiness"),
        ("CpuShares", "--cpu-shares"),
        ("CpuPeriod", "--cpu-period"),
        ("CpuQuota", "--cpu-quota"),
        ("CpusetCpus", "--cpuset-cpus"),
        ("CpusetMems", "--cpuset-mems"),
        ("PidsLimit", "--pids-limit"),
        ("OomScoreAdj", "--oom-score-adj"),
        ("BlkioWeight", "--blkio-weight"),
        ("CgroupParent", "--cgroup-parent"),
    ):
        groups += words.option(option, host.take(key))
    groups += words.flag("--oom-kill-disable", host.take("OomKillDisable"))
    for key, option in (
        ("BlkioDeviceReadBps", "--device-read-bps"),
        ("BlkioDeviceWriteBps", "--device-write-bps"),
        ("BlkioDeviceReadIOps", "--device-read-iops"),
        ("BlkioDeviceWriteIOps", "--device-write-iops"),
    ):
        groups += words.each(option, [f"{d['Path']}:{d['Rate']}" for d in host.take(key) or ()])
    for limit in host.take("Ulimits") or ():
        if limit.get("Hard") is None:
            raise Unrenderable(f"the limit {limit['Name']} has no hard value, the option would set one")
        groups.append(("--ulimit", f"{limit['Name']}={limit.get('Soft') or 0}:{limit['Hard']}"))
    for device in host.take("Devices") or ():
        outer, inner = device["PathOnHost"], device["PathInContainer"]
        rights = device.get("CgroupPermissions") or "rwm"
        plain = outer == inner and rights == "rwm"
        groups.append(("--device", outer if plain else f"{outer}:{inner}:{rights}"))
    groups += words.each("--device-cgroup-rule", host.take("DeviceCgroupRules"))
    return groups + words.pairs("--sysctl", host.take("Sysctls"))


def _names(host: words.Fields, known: Known) -> list[Group]:
    """Name resolution, links and shared namespaces."""
    groups = words.each("--dns", host.take("Dns"))
    groups += words.each("--dns-search", host.take("DnsSearch"))
    groups += words.each("--dns-option", host.take("DnsOptions"))
    groups += words.each("--add-host", host.take("ExtraHosts"))
    groups += words.each("--link", [words.first_named(link, known) for link in host.take("Links") or ()])
    for key, option in (
        ("PidMode", "--pid"),
        ("IpcMode", "--ipc"),
        ("UTSMode", "--uts"),
        ("UsernsMode", "--userns"),
        ("CgroupnsMode", "--cgroupns"),
    ):
        mode = host.take(key)
        if isinstance(mode, str) and mode.startswith("container:"):
            mode = "container:" + known.name(mode.removeprefix("container:"))
        groups += words.option(option, mode)
    return groups


def _restart(policy: Mapping[str, Any] | None) -> list[Group]:
    """--restart."""
    name, count = (policy or {}).get("Name"), (policy or {}).get("MaximumRetryCount")
    if not name or name == "no":
        return []
    return [("--restart", f"{name}:{count}" if count else name)]


def health(check: Mapping[str, Any] | None) -> list[Group]:
    """--health-cmd and its relatives."""
    left = words.Fields(check)
    test = left.take("Test")
    groups: list[Group] = []
    if test == ["NONE"]:
        groups.append(("--no-healthcheck",))
    elif test and test[0] == "CMD-SHELL":
        groups.append(("--health-cmd", test[1]))
    elif test:
        raise Unrenderable("a health check without a shell has no option; CMD-SHELL has one")
    for key, option in (
        ("Interval", "--health-interval"),
        ("Timeout", "--health-timeout"),
        ("StartPeriod", "--health-start-period"),
    ):
        value = left.take(key)
        groups += words.option(option, words.duration(value) if value else None)
    groups += words.option("--health-retries", left.take("Retries"))
    left.nothing_left()
    return groups


def execute(calls: Sequence[Call], index: int, known: Known) -> tuple[Line, list[int]]:
    """Exec create and exec start are one line."""
    call = calls[index]
    start = next(
        (
            i
            for i in range(index + 1, len(calls))
            if calls[i].matches("POST", "exec", "start") and calls[i].target == call.created_id
        ),
        None,
    )
    if start is None and call.request.status < 400:
        raise Unrenderable("docker exec, but it was prepared and not started")
    detached = start is not None and calls[start].body.get("Detach")
    body = words.Fields(call.request.body)
    groups: list[Group] = [("docker", "exec", *(["-d"] if detached else []))]
    groups += words.flag("-i", body.take("AttachStdin"))
    groups += words.flag("-t", body.take("Tty"))
    groups += words.flag("--privileged", body.take("Privileged"))
    groups += words.option("-u", body.take("User"))
    groups += words.option("-w", body.take("WorkingDir"))
    groups += words.each("-e", body.take("Env"))
    groups.append((known.name(call.target), *body.take("Cmd")))
    for implied in ("Container", "AttachStdout", "AttachStderr"):
        body.take(implied)
    body.nothing_left()
    return Line(tuple(groups)), [index] if start is None else [index, start]


def _on_container(verb: str, **options: str) -> Handler:
    """A handler for calls on a container whose query parameters are options."""

    def handler(call: Call, known: Known) -> list[Group]:
        groups: list[Group] = [("docker", verb)]
        for parameter, option in options.items():
            groups += words.option(option, call.request.query.get(parameter))
        return [*groups, (known.name(call.target),)]

    return handler


def _container_rm(call: Call, known: Known) -> list[Group]:
    if words.true(call.request.query.get("link")):
        raise Unrenderable("removing a link needs the link's own name")
    return [
        ("docker", "rm"),
        *words.flag("-f", words.true(call.request.query.get("force"))),
        *words.flag("-v", words.true(call.request.query.get("v"))),
        (known.name(call.target),),
    ]


def _rename(call: Call, known: Known) -> list[Group]:
    before, after = known.name(call.target), call.request.query.get("name", "")
    for identity, name in known.names.items():
        if name == before and call.request.status < 400:
            known.names[identity] = after
    return [("docker", "rename"), (before, after)]


def _top(call: Call, known: Known) -> list[Group]:
    arguments = call.request.query.get("ps_args", "").split()
    return [("docker", "top"), (known.name(call.target), *arguments)]


def _put_archive(call: Call, known: Known) -> list[Group]:
    place = f"{known.name(call.target)}:{call.request.query.get('path', '')}"
    raise Unrenderable(f"docker cp FILES {place}, with the files that were sent")


def _stats(call: Call, known: Known) -> list[Group]:
    once = not words.true(call.request.query.get("stream", "1"))
    return [("docker", "stats"), *words.flag("--no-stream", once), (known.name(call.target),)]


def _get_archive(call: Call, known: Known) -> list[Group]:
    return [("docker", "cp"), (f"{known.name(call.target)}:{call.request.query.get('path', '')}", "-")]


def _ps(call: Call, known: Known) -> list[Group]:
    query = call.request.query
    groups: list[Group] = [("docker", "ps")]
    groups += words.flag("-a", words.true(query.get("all")))
    groups += words.flag("-s", words.true(query.get("size")))
    groups += words.option("-n", query.get("limit") if query.get("limit") not in {"-1", "0"} else None)
    for key in ("since", "before"):
        groups += words.option("--filter", f"{key}={known.name(query[key])}" if query.get(key) else None)
    return groups + words.filters(query)


HANDLERS: dict[tuple[str, str, str], Handler] = {
    ("POST", "containers", "start"): _on_container("start"),
    ("POST", "containers", "stop"): _on_container("stop", t="-t", signal="-s"),
    ("POST", "containers", "restart"): _on_container("restart", t="-t", signal="-s"),
    ("POST", "containers", "kill"): _on_container("kill", signal="-s"),
    ("POST", "containers", "pause"): _on_container("pause"),
    ("POST", "containers", "unpause"): _on_container("unpause"),
    ("POST", "containers", "wait"): _on_container("wait"),
    ("POST", "containers", "attach"): _on_container("attach"),
    ("POST", "containers", "rename"): _rename,
    ("POST", "containers", "prune"): common.prune("container"),
    ("DELETE", "containers", "*"): _container_rm,
    ("GET", "containers", "json"): lambda c, k: common.inspection("inspect")(c, k) if c.target else _ps(c, k),
    ("GET", "containers", "logs"): common.logs,
    ("GET", "containers", "top"): _top,
    ("GET", "containers", "stats"): _stats,
    ("GET", "containers", "changes"): _on_container("diff"),
    ("GET", "containers", "archive"): _get_archive,
    ("PUT", "containers", "archive"): _put_archive,
}
