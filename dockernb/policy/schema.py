"""Read a network policy: Calico's schema, and of it what can be enforced on a Docker host.

The schema is that of https://docs.tigera.io/calico/latest/reference/resources/networkpolicy and
globalnetworkpolicy (projectcalico.org/v3). What is read has the meaning that it has there; what cannot be
enforced here is refused with the place where it stands, never left out in silence.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from dockernb.arguments import NUMBER
from dockernb.errors import LabError
from dockernb.policy.selector import Selector, read_selector

API_VERSION = "projectcalico.org/v3"
KINDS = ("NetworkPolicy", "GlobalNetworkPolicy")
INGRESS, EGRESS = "Ingress", "Egress"
PROTOCOLS = ("TCP", "UDP", "ICMP")

_TOO_DEEP = "A policy is not so deep: this has too many mappings or lists within each other."
_NO_NAMESPACES = "Docker has no namespaces"
_BY_LABEL = "select containers by their labels, whose addresses are then looked up"
_REFUSED = {
    "metadata": {
        "namespace": _NO_NAMESPACES,
        "labels": "nothing here selects policies",
        "annotations": "nothing here reads them",
    },
    "spec": {
        "tier": "there is one tier here",
        "namespaceSelector": _NO_NAMESPACES,
        "serviceAccountSelector": "Docker has no service accounts",
        "applyOnForward": "a policy here is for containers, not for the host",
        "preDNAT": "a policy here is for containers, not for the host",
        "doNotTrack": "a policy here is for containers, not for the host",
        "performanceHints": "nothing here reads them",
    },
    "rule": {
        "notProtocol": "name the protocols that are meant, a rule for each",
        "icmp": "ICMP is allowed or denied as a whole",
        "notICMP": "ICMP is allowed or denied as a whole",
        "ipVersion": "the rules here are for IPv4",
        "http": "a packet filter does not read HTTP",
        "metadata": "nothing here reads it",
    },
    "peer": {
        "nets": _BY_LABEL,
        "notNets": _BY_LABEL,
        "notSelector": "write selector: '!(...)'",
        "notPorts": "name the ports that are meant",
        "namespaceSelector": _NO_NAMESPACES,
        "serviceAccounts": "Docker has no service accounts",
        "services": "select the containers of the service by their labels",
    },
}
_ALLOWED = {
    "policy": ("apiVersion", "kind", "metadata", "spec"),
    "metadata": ("name",),
    "spec": ("order", "selector", "types", "ingress", "egress"),
    "rule": ("action", "protocol", "source", "destination"),
    "peer": ("selector", "ports"),
}


@dataclass(frozen=True)
class Peer:
    """One end of a rule: containers by their labels (None: anybody), and ports (none: any) from a first to a last."""

    selector: Selector | None = None
    ports: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Rule:
    """One rule: `allow` or deny; an empty protocol is any."""

    allow: bool
    protocol: str
    source: Peer
    destination: Peer


@dataclass(frozen=True)
class Policy:
    """A policy.

    Attributes:
        name: Its name; one of the same name takes its place.
        kind: NetworkPolicy or GlobalNetworkPolicy, which mean the same where there are no namespaces.
        order: Those with a lower number are asked first; without one, last.
        selector: The containers that it is for.
        types: Ingress, Egress or both: the directions that it is for.
        ingress: The rules for what comes to those containers.
        egress: The rules for what they send.
        text: The document as it was written.
    """

    name: str
    kind: str
    order: float
    selector: Selector
    types: tuple[str, ...]
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]
    text: str

    def rules(self, direction: str) -> tuple[Rule, ...]:
        """Those of one direction."""
        return self.ingress if direction == INGRESS else self.egress


def read_policies(text: str) -> tuple[Policy, ...]:
    """Read the policies of a YAML text, one or several documents.

    Raises:
        LabError: It is no YAML, or holds something that is no policy of the supported subset. The sentence
            begins with the place: "spec.ingress[0].source.nets is not supported: ...".
    """
    try:
        documents = [one for one in yaml.load_all(text, _Loader) if one is not None]
    except yaml.MarkedYAMLError as problem:
        line = f", line {problem.problem_mark.line + 1}" if problem.problem_mark else ""
        raise LabError(f"This is not YAML{line}: {problem.problem or problem.context}.") from problem
    except yaml.YAMLError as problem:
        raise LabError(f"This is not YAML: {' '.join(str(problem).split())}.") from problem
    except RecursionError:
        raise LabError(_TOO_DEEP) from None
    except (ValueError, TypeError, AttributeError, KeyError) as problem:
        # What PyYAML lets out for a value that is not what its tag or its look says: !!int abc, 2024-13-01.
        raise LabError(f"This YAML has a value that is none ({problem}): put texts in quotes.") from problem
    if not documents:
        raise LabError("There is no policy in this text: it begins with apiVersion: projectcalico.org/v3.")
    found = []
    for number, document in enumerate(documents, 1):
        before = f"document {number}, " if len(documents) > 1 else ""
        try:
            found.append(_policy(document))
        except LabError as problem:
            raise LabError(f"{before}{problem}") from None
        except RecursionError:
            raise LabError(f"{before}{_TOO_DEEP}") from None
    names = [policy.name for policy in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise LabError(f"metadata.name {twice[0]} stands there twice: give each policy a name of its own.")
    return tuple(found)


class _Loader(yaml.SafeLoader):
    """YAML, but a key that stands in a mapping twice is a mistake and not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} stands there twice", key.start_mark
                )
        return super().construct_mapping(node, deep)


def _policy(data: Any) -> Policy:
    _fields(data, "policy", "")
    for key, known in (("apiVersion", (API_VERSION,)), ("kind", KINDS)):
        if data.get(key) not in known:
            raise LabError(f"{key} has to be {' or '.join(known)}, and it is {_told(data.get(key))}.")
    metadata, spec = ({} if data.get(key) is None else data[key] for key in ("metadata", "spec"))
    _fields(metadata, "metadata", "metadata")
    _fields(spec, "spec", "spec")
    name = metadata.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", name):
        raise LabError(
            f"metadata.name has to be a name of letters, digits, '.', '_' and '-', and it is {_told(name)}."
        )
    order = spec.get("order")
    if order is not None and not NUMBER.fits(order):
        raise LabError(f"spec.order has to be a number, and it is {_told(order)}.")
    rules = {key: _rules(spec.get(key), f"spec.{key}") for key in ("ingress", "egress")}
    return Policy(
        name=name,
        kind=data["kind"],
        order=float("inf") if order is None else float(order),
        selector=_selector(spec.get("selector", ""), "spec.selector"),
        types=_types(spec.get("types"), rules),
        ingress=rules["ingress"],
        egress=rules["egress"],
        text=yaml.safe_dump(data, sort_keys=False),
    )


def _types(given: Any, rules: Mapping[str, Sequence[Rule]]) -> tuple[str, ...]:
    """The directions. Left out, they are those that there are rules for, and without any rule Ingress."""
    if not given and given not in (None, []):
        raise LabError(f"spec.types has to be a list of Ingress and Egress, and it is {_told(given)}.")
    if not given:
        ruled = [direction for direction in (INGRESS, EGRESS) if rules[direction.lower()]]
        return tuple(ruled) or (INGRESS,)
    if not isinstance(given, list):
        raise LabError(f"spec.types has to be a list of Ingress and Egress, and it is {_told(given)}.")
    for number, one in enumerate(given):
        if one not in (INGRESS, EGRESS):
            raise LabError(f"spec.types[{number}] has to be Ingress or Egress, and it is {_told(one)}.")
    for direction in (INGRESS, EGRESS):
        if rules[direction.lower()] and direction not in given:
            raise LabError(
                f"spec.{direction.lower()} has rules that would not count: add {direction} to spec.types."
            )
    return tuple(direction for direction in (INGRESS, EGRESS) if direction in given)


def _rules(given: Any, path: str) -> tuple[Rule, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise LabError(f"{path} has to be a list of rules, and it is {_told(given)}.")
    return tuple(_rule(one, f"{path}[{number}]") for number, one in enumerate(given))


def _rule(data: Any, path: str) -> Rule:
    _fields(data, "rule", path)
    action, protocol = data.get("action"), data.get("protocol")
    if action in ("Log", "Pass"):
        raise LabError(f"{path}.action is {action}, which is not supported: Allow and Deny are.")
    if action not in ("Allow", "Deny"):
        raise LabError(f"{path}.action has to be Allow or Deny, and it is {_told(action)}.")
    if protocol is not None and protocol not in PROTOCOLS:
        raise LabError(
            f"{path}.protocol is {_told(protocol)}, which is not supported: {', '.join(PROTOCOLS)} are."
        )
    ends = [_peer(data.get(key), f"{path}.{key}") for key in ("source", "destination")]
    for key, end in zip(("source", "destination"), ends, strict=True):
        if end.ports and protocol not in ("TCP", "UDP"):
            raise LabError(f"{path}.{key}.ports needs protocol: TCP or protocol: UDP in the same rule.")
    return Rule(action == "Allow", (protocol or "").lower(), *ends)


def _peer(data: Any, path: str) -> Peer:
    if data is None:
        return Peer()
    _fields(data, "peer", path)
    ports = data.get("ports")
    if ports is not None and not isinstance(ports, list):
        raise LabError(f"{path}.ports has to be a list, and it is {_told(ports)}.")
    return Peer(
        _selector(data["selector"], f"{path}.selector") if "selector" in data else None,
        tuple(_port(port, f"{path}.ports[{number}]") for number, port in enumerate(ports or ())),
    )


def _port(given: Any, path: str) -> tuple[int, int]:
    """80, "80" or "8000:8100"."""
    text = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else ""
    if found := re.fullmatch(r"(\d{1,5})(?::(\d{1,5}))?", text):
        first, last = int(found[1]), int(found[2] or found[1])
        if 1 <= first <= last <= 65535:
            return first, last
    raise LabError(
        f"{path} has to be a port from 1 to 65535, or a range such as 8000:8100, and it is {_told(given)}."
    )


def _selector(given: Any, path: str) -> Selector:
    if not isinstance(given, str):
        raise LabError(f"{path} has to be a text such as role == 'web', and it is {_told(given)}.")
    try:
        return read_selector(given)
    except LabError as problem:
        raise LabError(f"{path}: {problem}.") from None


def _fields(data: Any, kind: str, path: str) -> None:
    """Whether a mapping has fields of the subset only."""
    if not isinstance(data, dict):
        raise LabError(f"{path or 'A policy'} has to be a mapping of fields, and it is {_told(data)}.")
    dot = f"{path}." if path else ""
    for key in data:
        if key in _ALLOWED[kind]:
            continue
        if reason := _REFUSED.get(kind, {}).get(key):
            raise LabError(f"{dot}{key} is not supported: {reason}.")
        near = difflib.get_close_matches(str(key), _ALLOWED[kind], 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_ALLOWED[kind])}."
        raise LabError(f"{dot}{key} is unknown: {hint}")


def _told(value: Any) -> str:
    if value is None:
        return "missing"
    if value == "":
        return "empty"
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else str(value)
