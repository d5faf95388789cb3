"""What is different on a learner's own Docker Engine: the rows, and which of them matter for a version.

The lessons are run on the lab host's engine, from Debian testing. What 26.1 does was measured on Debian stable's, what
28.5 does on the lab host's (tests/engine/test_engines.py looks again); what 29 does is from its release notes, since it
cannot be had here, and each such row has its source. A lesson's box "On your own engine" is made from its rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dockernb.errors import CourseError

HERE = "28.5"  # what the lessons show
KNOWN = (26, 29)  # the oldest and the newest major version that the rows speak of
NOTES = "https://docs.docker.com/engine/release-notes/29/"
API = "https://docs.docker.com/reference/api/engine/version-history/"
MOBY = "https://github.com/moby/moby/pull/"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that a lesson shows and another engine does differently.

    Attributes:
        lesson: The lesson's number, for example "05".
        subject: What it is about.
        here: What the lesson shows, on 28.5.
        older: What engines before `until` do, measured on 26.1; empty if they do the same.
        until: The first version that does what the lesson shows.
        newer: What engines from `since` on do, from the release notes; empty if they do the same.
        since: The first version that does that.
        source: Where `newer`, or an `until` other than 28.0, is written.
    """

    lesson: str
    subject: str
    here: str
    older: str = ""
    until: str = ""
    newer: str = ""
    since: str = ""
    source: str = ""


DIFFERENCES = (
    Difference(
        "00",
        "ports in `docker ps`",
        "IPv6 as `[::]:8080->80/tcp`",
        older="IPv6 as `:::8080->80/tcp`",
        until="28.0",
    ),
    Difference(
        "01",
        "hardware addresses",
        "drawn by lot",
        older="`02:42:` and the IPv4 address in hexadecimal",
        until="28.0",
    ),
    Difference(
        "01",
        "the chain `FORWARD`",
        "jumps to `DOCKER-USER` and `DOCKER-FORWARD`; the rules of each bridge are in the chains behind",
        older="has the rules of each bridge itself, after `DOCKER-USER` and the `DOCKER-ISOLATION` chains",
        until="28.0.1",
        newer="`DOCKER-ISOLATION-STAGE-1` and `-2` are gone; `DOCKER-INTERNAL` closes internal networks, and the last "
        "rule of `DOCKER` keeps bridges apart. With `firewall-backend=nftables` (experimental) the rules "
        "are in nftables, without `DOCKER-USER`",
        since="29.0",
        source=f"{MOBY}49981",
    ),
    Difference(
        "01",
        "rules of a published port",
        "three, with the `DROP` in the table `raw` that each container has",
        older="three, and none in `raw`: the third is a `MASQUERADE`, for a container that calls itself",
        until="28.0",
    ),
    Difference(
        "01",
        "a driver of your own",
        "works",
        newer="29.0.0 to 29.0.2 crash on such a driver; 29.0.3 does not",
        since="29.0",
        source=f"{MOBY}51558",
    ),
    Difference(
        "02",
        "`docker exec` of a program that is not there",
        "ends with exit code 127",
        older="ends with exit code 126",
        until="28.0",
    ),
    Difference(
        "02",
        "`.NetworkSettings.IPAddress`",
        "many a script asks for it; it is there, beside `.NetworkSettings.Networks.bridge.IPAddress`",
        newer="gone; the longer one, which this lesson uses, is there in every version",
        since="29.0",
        source=API,
    ),
    Difference(
        "02",
        "the rule between two bridges",
        "the line of `web1` in the table `raw`",
        older="stands in the chain `DOCKER-ISOLATION-STAGE-2`; nothing is in `raw`",
        until="28.0",
    ),
    Difference(
        "02",
        "a subnet that overlaps",
        "refused with `invalid pool request: Pool overlaps …`",
        older="refused with `Pool overlaps …`",
        until="28.0",
    ),
    Difference(
        "02",
        "the size of a subnet",
        "chosen by Docker, unless you name the subnet",
        newer="`--subnet 0.0.0.0/24` asks for any free `/24`",
        since="29.0",
        source=f"{MOBY}50114",
    ),
    Difference(
        "02",
        "variables of a link (`BACKEND_PORT_…`)",
        "set",
        newer="not set, unless dockerd has `DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS=1`",
        since="29.0",
        source=f"{MOBY}50719",
    ),
    Difference(
        "03",
        "a port that a program of the host has",
        "`failed to bind host port …: address already in use`",
        older="`Error starting userland proxy: … bind: address already in use`",
        until="28.0",
    ),
    Difference(
        "05",
        "hardware addresses of macvlan",
        "drawn by lot; the container announces itself when it starts",
        older="`02:42:` and the IPv4 address in hexadecimal, and no announcement",
        until="28.0",
    ),
    Difference(
        "05",
        "a second macvlan network on the same parent",
        "made",
        older="refused: `… is already using parent interface lan0`",
        until="27.0",
        source=f"{MOBY}47318",
    ),
    Difference(
        "05",
        "the default gateway on macvlan and ipvlan L2",
        "the subnet's first address, unless `--gateway` says another",
        newer="none, unless `--gateway` names it",
        since="29.0",
        source=f"{MOBY}50929",
    ),
    Difference(
        "06",
        "the rule that closes an internal network",
        "stands in the chain `DOCKER-ISOLATION-STAGE-1`",
        newer="stands in `DOCKER-INTERNAL`",
        since="29.0",
        source=f"{MOBY}49981",
    ),
    Difference(
        "06",
        "an internal network that the Docker host does not reach either",
        "`-o com.docker.network.bridge.gateway_mode_ipv4=isolated` makes one",
        older="that option is taken and does nothing",
        until="28.0",
    ),
    Difference(
        "06",
        "which of several networks gives the default route",
        "`--network name=…,gw-priority=1` decides",
        older="no `gw-priority`: the network whose name comes first decides",
        until="28.0",
    ),
    Difference(
        "07",
        "an answer to a container without masquerade",
        "dropped in the table `raw`, unless the network trusts the interface (`trusted_host_interfaces`)",
        older="arrives, if the far side has a route; the option is taken and does nothing",
        until="28.0",
    ),
    Difference(
        "07",
        "a published port, asked at the container's own address by a neighbour with a route",
        "dropped in the table `raw`",
        older="answered, even a port that was published for `127.0.0.1` alone",
        until="28.0",
    ),
    Difference(
        "07",
        "an unpublished port, asked by a neighbour with a route",
        "dropped by Docker's own rule, whatever the policy of `FORWARD`",
        older="dropped by the policy of `FORWARD` only: open on a host that was a router before Docker came",
        until="28.0",
    ),
    Difference(
        "07",
        "the policy's rules",
        "stand behind `DOCKER-USER`",
        newer="the same with iptables, which is the default; with `firewall-backend=nftables` (experimental) "
        "there is no `DOCKER-USER`",
        since="29.0",
        source="https://docs.docker.com/engine/network/firewall-nftables/",
    ),
    Difference(
        "08",
        "after a restart of dockerd itself",
        "program and sidecar are started in any order",
        newer="the program is started first, the sidecar that shares its namespace second. `docker restart` is as in "
        "this lesson",
        since="29.0",
        source=f"{MOBY}50327",
    ),
    Difference(
        "09",
        "`docker inspect … | grep -A 10 NetworkSettings`",
        "shows fields of old times, most of them empty",
        newer="those fields are gone, so the ten lines show others",
        since="29.0",
        source=API,
    ),
    Difference(
        "09",
        "the default gateway on macvlan and ipvlan",
        "the subnet's first address",
        newer="none, unless `--gateway` names it. The measurements do not need one",
        since="29.0",
        source=f"{MOBY}50929",
    ),
    Difference(
        "16",
        "where a container's writable layer is",
        "with `overlay2`, in `GraphDriver` of `docker inspect`",
        newer="a fresh installation keeps its images with containerd, and `docker inspect` has `Storage` in place of "
        "`GraphDriver`: the cell that measures the layer has to be told another place",
        since="29.0",
        source=NOTES,
    ),
)


def version_of(text: str) -> tuple[int, int, int]:
    """Read a version, as learners and engines write it.

    Args:
        text: For example "29.1", "v28.0.4", "28.5.2+dfsg4"; of "29" alone the newest is meant.

    Raises:
        CourseError: It is no version, or one that the rows do not speak of.
    """
    oldest, newest = KNOWN
    numbers = re.match(r"v?(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?(?![\d.])", text.strip())
    if not numbers:
        raise CourseError(
            f'"{text}" is no version of Docker Engine: `docker version` says yours, such as 29.1.'
        )
    major, minor, patch = (int(part or 999) for part in numbers.groups())
    if not oldest <= major <= newest:
        raise CourseError(
            f"This course knows what differs on Docker Engine {oldest} to {newest}, and nothing of {major}."
        )
    return major, minor, patch


def theirs(difference: Difference, version: tuple[int, int, int]) -> str:
    """What that version does in place of what the lesson shows; empty if it does the same."""
    if difference.until and version < _numbers(difference.until):
        return difference.older
    if difference.since and version >= _numbers(difference.since):
        return f"{difference.newer} (from the release notes)"
    return ""


def of_lesson(lesson: str) -> list[Difference]:
    """The rows of a lesson, by its number, or a name that begins with it.

    Raises:
        CourseError: No lesson begins so.
    """
    number = re.match(r"\d\d(?!\d)", lesson)
    if not number:
        raise CourseError(f'"{lesson}" is no lesson: a number such as "07" is meant.')
    return [one for one in DIFFERENCES if one.lesson == number[0]]


def box(lesson: str) -> str:
    """The markdown of a lesson's box, empty if nothing differs there."""
    rows = of_lesson(lesson)
    if not rows:
        return ""
    lines = [f"**On your own engine** (this lesson was run on Docker {HERE})", ""]
    for one in rows:
        others = []
        if one.older:
            others.append(f"Before {one.until}: {one.older}.")
        if one.newer:
            others.append(f"From {one.since} on: {one.newer} (from the release notes).")
        lines.append(f"- *{one.subject[0].upper()}{one.subject[1:]}*: here {one.here}. {' '.join(others)}")
    return "\n".join(lines)


def _numbers(text: str) -> tuple[int, int, int]:
    major, minor, *patch = (int(part) for part in text.split("."))
    return major, minor, patch[0] if patch else 0
