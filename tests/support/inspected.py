"""What `inspect` says of two objects that are meant to be alike, made comparable."""

import re
from typing import Any

UNIQUE = {
    *(
        "Id",
        "ID",
        "Created",
        "CreatedAt",
        "UpdatedAt",
        "StartedAt",
        "FinishedAt",
        "Pid",
        "SandboxID",
        "SandboxKey",
    ),
    *("EndpointID", "NetworkID", "MacAddress", "LogPath", "ResolvConfPath", "HostnamePath", "HostsPath"),
    *("GraphDriver", "ContainerID", "Version", "PreviousSpec", "Index", "UpdateStatus", "VirtualIPs"),
    "com.docker.network.driver.overlay.vxlanid_list",
}
"""Fields that differ between any two objects."""
THE_CLI_SENDS = {
    "ConsoleSize",
    "MaskedPaths",
    "ReadonlyPaths",
    "OnBuild",
    "Isolation",
    "OpenStdout",
    "OpenStderr",
}
"""Fields about the terminal, or that the CLI spells out as the engine's own defaults."""


def plain(value: Any) -> Any:
    """The value without what is unique, and without what says nothing."""
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            if key in UNIQUE | THE_CLI_SENDS:
                continue
            by_id = re.fullmatch("[0-9a-f]{64}", key)  # a network's containers
            kept[item["Name"] if by_id else key] = plain(item)
        if kept.get("Env"):
            kept["Env"] = sorted(kept["Env"])  # the engine shuffles it
        if kept.get("Binds"):
            # docker-py writes ":rw" where the CLI writes nothing.
            kept["Binds"] = sorted(
                bind.removesuffix(":rw") for bind in kept["Binds"]
            )  # the CLI shuffles them
        if kept.get("Mounts") and "Destination" in kept["Mounts"][0]:
            kept["Mounts"] = sorted(kept["Mounts"], key=lambda mount: mount["Destination"])
        if kept.get("Mode") == "vip":
            del kept["Mode"]  # a service's default
        if {"Destination", "Mode"} <= set(kept):
            kept["Mode"] = kept["Mode"].replace("rw", "").replace("z", "")
        if {"HostConfig", "Config"} <= set(kept):
            # docker-py lists the targets of its binds as volumes once more.
            targets = {bind.split(":")[1] for bind in kept["HostConfig"].get("Binds", ())}
            kept["Config"]["Volumes"] = {
                k: v for k, v in kept["Config"].get("Volumes", {}).items() if k not in targets
            }
            # an entry point of several words: the same process, said in another way
            kept["Config"].pop("Entrypoint", None)
            kept["Config"].pop("Cmd", None)
            restart = kept["HostConfig"].get("RestartPolicy", {})
            for key in {"CapAdd", "CapDrop"} & set(kept["HostConfig"]):  # the CLI writes CAP_NET_ADMIN
                kept["HostConfig"][key] = [cap.removeprefix("CAP_") for cap in kept["HostConfig"][key]]
            kept["HostConfig"]["RestartPolicy"] = restart if restart.get("Name") != "no" else {}
        return {k: v for k, v in kept.items() if v not in ({}, [], "", None, False, 0)}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str):
        value = re.sub(r"^tiny:latest$", "tiny", value)
        value = re.sub(r"^(172\.[123]\d\.0|10\.0\.\d+)\.(1|0/16|0/24)$", "the next default pool", value)
        return re.sub(r"^[0-9a-z]{25}$|[0-9a-f]{64}|(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])", "ID", value)
    return value


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Nested data as one path a value, which pytest can show the difference of."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, item in items for k, v in flat(item, f"{path}/{key}").items()}
    return {path: value}
