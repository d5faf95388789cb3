"""docker swarm, node and service."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from dockernb.session.twin import common, words
from dockernb.session.twin.calls import Call, Known, Unrenderable
from dockernb.session.twin.common import Handler
from dockernb.session.twin.containers import health, mount
from dockernb.session.twin.script import Group


def _swarm_init(call: Call, known: Known) -> list[Group]:
    del known
    body = words.Fields(call.request.body)
    groups: list[Group] = [("docker", "swarm", "init")]
    groups += words.option("--advertise-addr", body.take("AdvertiseAddr"))
    groups += _listen(body)
    groups += words.option("--data-path-addr", body.take("DataPathAddr"))
    groups += words.option("--data-path-port", body.take("DataPathPort"))
    groups += words.each("--default-addr-pool", body.take("DefaultAddrPool"))
    groups += words.option("--default-addr-pool-mask-length", body.take("SubnetSize"))
    groups += words.flag("--force-new-cluster", body.take("ForceNewCluster"))
    spec = words.Fields(body.take("Spec"))
    groups += words.flag("--autolock", (spec.take("EncryptionConfig") or {}).get("AutoLockManagers"))
    orchestration = spec.take("Orchestration") or {}
    groups += words.option("--task-history-limit", orchestration.get("TaskHistoryRetentionLimit"))
    dispatcher = spec.take("Dispatcher") or {}
    beat = dispatcher.get("HeartbeatPeriod")
    groups += words.option("--dispatcher-heartbeat", words.duration(beat) if beat else None)
    spec.nothing_left()
    body.nothing_left()
    return groups


def _swarm_join(call: Call, known: Known) -> list[Group]:
    del known
    body = words.Fields(call.request.body)
    managers = body.take("RemoteAddrs") or []
    if len(managers) != 1:
        raise Unrenderable("docker swarm join takes the address of one manager")
    groups: list[Group] = [("docker", "swarm", "join")]
    groups += words.option("--token", body.take("JoinToken"))
    groups += words.option("--advertise-addr", body.take("AdvertiseAddr"))
    groups += _listen(body)
    groups += words.option("--data-path-addr", body.take("DataPathAddr"))
    body.nothing_left()
    return [*groups, (managers[0],)]


def _listen(body: words.Fields) -> list[Group]:
    """--listen-addr, unless it is the CLI's own default."""
    address = body.take("ListenAddr")
    return words.option("--listen-addr", None if address == "0.0.0.0:2377" else address)


def _swarm_leave(call: Call, known: Known) -> list[Group]:
    del known
    return [("docker", "swarm", "leave"), *words.flag("--force", words.true(call.request.query.get("force")))]


def _swarm_read(call: Call, known: Known) -> list[Group]:
    del call, known
    return [
        ("docker", "swarm", "join-token", "worker")
    ]  # which asks the same of the engine, and shows a part


def _node_update(call: Call, known: Known) -> list[Group]:
    body = words.Fields(call.request.body)
    before = known.specs.get(call.target)
    if before is None:
        raise Unrenderable("the node's labels before the change are not known")
    groups: list[Group] = [("docker", "node", "update")]
    for key, option in (("Availability", "--availability"), ("Role", "--role")):
        value = body.take(key)
        groups += words.option(option, value if value != before.get(key) else None)
    new, old = body.take("Labels") or {}, before.get("Labels") or {}
    groups += words.pairs("--label-add", {k: v for k, v in new.items() if old.get(k) != v})
    groups += words.each("--label-rm", [k for k in old if k not in new])
    body.take("Name")
    body.nothing_left()
    return [*groups, (known.name(call.target),)]


def _tasks(call: Call, known: Known) -> list[Group]:
    filters = dict(words.filter_items(call.request.query))
    for key, verb in (("service", ("docker", "service", "ps")), ("node", ("docker", "node", "ps"))):
        if names := filters.pop(key, []):
            rest = [("--filter", f"{k}={v}") for k, values in filters.items() for v in values]
            return [verb, *rest, tuple(known.name(n) for n in names)]
    raise Unrenderable("docker service ps NAME, for one service after the other")


def _service_create(call: Call, known: Known) -> list[Group]:
    # The SDK neither waits for the tasks nor asks a registry for the image's digest.
    groups: list[Group] = [("docker", "service", "create", "-d", "--no-resolve-image")]
    body = words.Fields(call.request.body)
    groups += words.option("--name", body.take("Name"))
    mode = {k.lower(): v or {} for k, v in (body.take("Mode") or {}).items()}
    kind, details = next(iter(mode.items()), ("replicated", {}))
    if kind == "replicated":
        groups += words.option("--replicas", details.get("Replicas"))
    elif kind == "global":
        groups.append(("--mode", "global"))
    else:
        raise Unrenderable("a job")
    task = words.Fields(body.take("TaskTemplate"))
    networks = [*(task.take("Networks") or []), *(body.take("Networks") or [])]
    for network in networks:
        left = words.Fields(network)
        target, aliases = known.name(left.take("Target")), left.take("Aliases") or []
        options = left.take("DriverOpts") or {}
        long = [f"name={target}", *[f"alias={a}" for a in aliases]]
        long += [f"driver-opt={k}={v}" for k, v in options.items()]
        groups.append(("--network", words.csv_value(long) if aliases or options else target))
        left.nothing_left()
    groups += _service_ports(body.take("EndpointSpec"))
    spec = words.Fields(task.take("ContainerSpec"))
    groups += _service_container(spec, known)
    placement = words.Fields(task.take("Placement"))
    groups += words.each("--constraint", placement.take("Constraints"))
    for preference in placement.take("Preferences") or ():
        groups.append(("--placement-pref", f"spread={preference['Spread']['SpreadDescriptor']}"))
    groups += words.option("--replicas-max-per-node", placement.take("MaxReplicas"))
    placement.nothing_left()
    groups += _service_resources(task.take("Resources"))
    groups += _service_restart(task.take("RestartPolicy"))
    for key, prefix in (("UpdateConfig", "--update"), ("RollbackConfig", "--rollback")):
        groups += _service_update_policy(prefix, body.take(key))
    log = task.take("LogDriver") or {}
    groups += words.option("--log-driver", log.get("Name"))
    groups += words.pairs("--log-opt", log.get("Options"))
    groups += words.labels("--label", body.take("Labels"))
    image, arguments = spec.take("Image"), spec.take("Args") or []
    for part in (spec, task, body):
        part.nothing_left()
    return [*groups, (image, *arguments)]


def _service_container(spec: words.Fields, known: Known) -> list[Group]:
    """What the service's containers are like, without the image and its arguments."""
    groups = words.each("-e", spec.take("Env"))
    groups += [("--mount", mount(m)) for m in spec.take("Mounts") or ()]
    groups += words.option("--hostname", spec.take("Hostname"))
    groups += words.option("-u", spec.take("User"))
    groups += words.option("-w", spec.take("Dir"))
    groups += words.each("--group", spec.take("Groups"))
    command = spec.take("Command")
    groups += words.option("--entrypoint", shlex.join(command) if command else None)
    groups += words.each("--cap-add", spec.take("CapabilityAdd"))
    groups += words.each("--cap-drop", spec.take("CapabilityDrop"))
    groups += words.flag("--read-only", spec.take("ReadOnly"))
    groups += words.flag("--init", spec.take("Init"))
    groups += words.flag("-t", spec.take("TTY"))
    groups += words.pairs("--sysctl", spec.take("Sysctls"))
    groups += health(spec.take("Healthcheck"))
    dns = words.Fields(spec.take("DNSConfig"))
    groups += words.each("--dns", dns.take("Nameservers"))
    groups += words.each("--dns-search", dns.take("Search"))
    groups += words.each("--dns-option", dns.take("Options"))
    dns.nothing_left()
    groups += [("--host", ":".join(reversed(h.split(" ", 1)))) for h in spec.take("Hosts") or ()]
    groups += words.option("--stop-signal", spec.take("StopSignal"))
    grace = spec.take("StopGracePeriod")
    groups += words.option("--stop-grace-period", words.duration(grace) if grace else None)
    del known
    return groups + words.labels("--container-label", spec.take("Labels"))


def _service_ports(endpoint: Mapping[str, Any] | None) -> list[Group]:
    """--publish and --endpoint-mode."""
    left = words.Fields(endpoint)
    groups: list[Group] = []
    mode = left.take("Mode")
    groups += words.option("--endpoint-mode", None if mode == "vip" else mode)
    for port in left.take("Ports") or ():
        fields = [f"published={port['PublishedPort']}"] if port.get("PublishedPort") else []
        fields.append(f"target={port['TargetPort']}")
        fields += [f"protocol={port['Protocol']}"] if port.get("Protocol", "tcp") != "tcp" else []
        fields += [f"mode={port['PublishMode']}"] if port.get("PublishMode", "ingress") != "ingress" else []
        groups.append(("--publish", ",".join(fields)))
    left.nothing_left()
    return groups


def _service_resources(resources: Mapping[str, Any] | None) -> list[Group]:
    """--limit-cpu and its relatives."""
    left = words.Fields(resources)
    groups: list[Group] = []
    for key, prefix in (("Limits", "--limit"), ("Reservations", "--reserve")):
        part = words.Fields(left.take(key))
        nano, memory = part.take("NanoCPUs"), part.take("MemoryBytes")
        groups += words.option(f"{prefix}-cpu", f"{nano / 1e9:g}" if nano else None)
        groups += words.option(f"{prefix}-memory", words.size(memory) if memory else None)
        part.nothing_left()
    left.nothing_left()
    return groups


def _service_restart(policy: Mapping[str, Any] | None) -> list[Group]:
    """--restart-condition and its relatives."""
    left = words.Fields(policy)
    groups = words.option("--restart-condition", left.take("Condition"))
    delay, window = left.take("Delay"), left.take("Window")
    groups += words.option("--restart-delay", words.duration(delay) if delay else None)
    groups += words.option("--restart-max-attempts", left.take("MaxAttempts") or None)
    groups += words.option("--restart-window", words.duration(window) if window else None)
    left.nothing_left()
    return groups


def _service_update_policy(prefix: str, policy: Mapping[str, Any] | None) -> list[Group]:
    """--update-delay, --rollback-delay and their relatives."""
    left = words.Fields(policy)
    groups = words.option(f"{prefix}-parallelism", left.take("Parallelism"))
    for key, suffix in (("Delay", "delay"), ("Monitor", "monitor")):
        value = left.take(key)
        groups += words.option(f"{prefix}-{suffix}", words.duration(value) if value else None)
    groups += words.option(f"{prefix}-failure-action", left.take("FailureAction"))
    groups += words.option(f"{prefix}-max-failure-ratio", left.take("MaxFailureRatio") or None)
    groups += words.option(f"{prefix}-order", left.take("Order"))
    left.nothing_left()
    return groups


def _service_update(call: Call, known: Known) -> list[Group]:
    """Scaling and the commonest updates: the difference to the specification that was read before."""
    before, after = known.specs.get(call.target), call.request.body
    name = known.name(call.target)
    if before is None or not isinstance(after, dict):
        raise Unrenderable("the service as it was before is not known")
    changed = dict(_differences(before, after))
    replicas = ("mode", "replicated", "replicas")
    if set(changed) == {replicas}:
        return [("docker", "service", "scale", "-d"), (f"{name}={changed[replicas]}",)]
    groups: list[Group] = [("docker", "service", "update", "-d", "--no-resolve-image")]
    groups += words.option("--replicas", changed.pop(replicas, None))
    groups += words.option("--image", changed.pop(("tasktemplate", "containerspec", "image"), None))
    groups += words.flag("--force", changed.pop(("tasktemplate", "forceupdate"), None))
    if changed:
        raise Unrenderable("docker service update, for " + ", ".join(".".join(path) for path in changed))
    return [*groups, (name,)]


def _differences(
    before: Any, after: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What is another value now, by its path in small letters: the engine ignores case."""
    if isinstance(before, dict) and isinstance(after, dict):
        old = {k.lower(): v for k, v in before.items()}
        new = {k.lower(): v for k, v in after.items()}
        for key in {**old, **new}:
            yield from _differences(old.get(key), new.get(key), (*path, key))
    elif before != after and not (words.empty(before) and words.empty(after)):
        yield path, after


HANDLERS: dict[tuple[str, str, str], Handler] = {
    ("POST", "swarm", "init"): _swarm_init,
    ("POST", "swarm", "join"): _swarm_join,
    ("POST", "swarm", "leave"): _swarm_leave,
    ("GET", "swarm", ""): _swarm_read,
    ("GET", "nodes", ""): common.listing("node", "ls"),
    ("GET", "nodes", "*"): common.inspection("node", "inspect"),
    ("POST", "nodes", "update"): _node_update,
    ("DELETE", "nodes", "*"): common.removal("node", "rm"),
    ("GET", "services", ""): common.listing("service", "ls"),
    ("GET", "services", "*"): common.inspection("service", "inspect"),
    ("GET", "services", "logs"): common.logs,
    ("POST", "services", "create"): _service_create,
    ("POST", "services", "update"): _service_update,
    ("DELETE", "services", "*"): common.removal("service", "rm"),
    ("GET", "tasks", ""): _tasks,
}
