"""API requests as they went out, taken apart, and the names that their answers told."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One API request and its answer.

    Attributes:
        method: "POST".
        path: "/v1.45/containers/create", with or without the version.
        query: The query parameters as strings.
        body: The JSON body, or None.
        status: HTTP status of the answer.
        response: The JSON of the answer where it is needed (names, the error's message), else None.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    status: int = 200
    response: Any = None


class Unrenderable(Exception):  # noqa: N818  # not an error: it turns into a comment
    """The request has no command line; the text says why."""


@dataclass
class Known:
    """What earlier answers told: names by id, and specifications that an update is compared with."""

    names: dict[str, str] = field(default_factory=dict)
    specs: dict[str, Any] = field(default_factory=dict)

    def name(self, identity: str) -> str:
        """The name that belongs to an id or to its first digits; anything else as it is."""
        if identity in self.names:
            return self.names[identity]
        if not re.fullmatch(r"[0-9a-f]{12,64}", identity):
            return identity
        return next((n for known, n in self.names.items() if known.startswith(identity)), identity[:12])

    def learn(self, call: Call) -> None:
        """Take names from an answer. The first name stays: a change of name is a request of its own."""
        answer = call.request.response
        if call.request.status >= 400:
            return
        if call.request.method == "POST" and call.action == "create" and isinstance(answer, dict):
            name = call.request.query.get("name") or call.body.get("Name")
            identity = answer.get("Id") or answer.get("ID")
            if name and identity:
                self.names.setdefault(identity, name)
        if call.request.method == "GET":
            for item in answer if isinstance(answer, list) else [answer]:
                if isinstance(item, dict):
                    self._learn_object(item)

    def _learn_object(self, item: Mapping[str, Any]) -> None:
        identity = item.get("Id") or item.get("ID")
        names = [*(item.get("Names") or []), *(item.get("RepoTags") or [])]
        for part, key in (("Spec", "Name"), ("Description", "Hostname")):
            names.append((item.get(part) or {}).get(key))
        name = item.get("Name") or next((n for n in names if n), None)
        if isinstance(identity, str) and isinstance(name, str):
            self.names.setdefault(identity, name.removeprefix("/"))

    def remember_spec(self, call: Call) -> None:
        """Keep the specification of services and nodes as it was when last seen."""
        answer = call.request.response
        if call.request.method == "GET" and call.kind in {"services", "nodes"}:
            for item in answer if isinstance(answer, list) else [answer]:
                if isinstance(item, dict) and isinstance(item.get("Spec"), dict) and item.get("ID"):
                    self.specs[item["ID"]] = item["Spec"]


_OF_ALL = {
    "containers": {"create", "json", "prune"},
    "images": {"create", "json", "prune", "load", "get", "search"},
    "networks": {"create", "prune"},
    "volumes": {"create", "prune"},
    "services": {"create"},
    "secrets": {"create"},
    "configs": {"create"},
    "swarm": {"init", "join", "leave", "update", "unlock", "unlockkey"},
}
"""What follows the noun in a path when no single object is meant."""
_OF_AN_IMAGE = {"json", "history", "tag", "push", "get"}


@dataclass(frozen=True)
class Call:
    """A request with its path taken apart: /containers/web/start is containers, web, start."""

    request: Request
    kind: str
    target: str
    action: str

    @classmethod
    def of(cls, request: Request) -> Call:
        """Take a request apart."""
        path = urllib.parse.unquote(re.sub(r"^/v\d+\.\d+(?=/)", "", request.path)).strip("/")
        kind, _, rest = path.partition("/")
        target, _, action = rest.partition("/")
        if kind == "images" and "/" in rest:  # an image's name may hold slashes
            target, _, action = rest.rpartition("/")
            if action not in _OF_AN_IMAGE:
                target, action = rest, ""
        elif not action and target in _OF_ALL.get(kind, ()):
            target, action = "", target
        return cls(request, kind, target, action)

    @property
    def body(self) -> Mapping[str, Any]:
        """The JSON body, empty where there is none."""
        return self.request.body if isinstance(self.request.body, dict) else {}

    @property
    def answer(self) -> Mapping[str, Any]:
        """The JSON object of the answer, empty where there is none."""
        return self.request.response if isinstance(self.request.response, dict) else {}

    @property
    def created_id(self) -> str:
        """The id in the answer to a create call."""
        return str(self.answer.get("Id") or self.answer.get("ID") or "")

    @property
    def acts(self) -> bool:
        """Whether it changes something."""
        return self.request.method != "GET"

    @property
    def inspects(self) -> bool:
        """Whether it asks for one object."""
        wanted = "json" if self.kind in {"containers", "images", "exec"} else ""
        return not self.acts and bool(self.target) and self.action == wanted

    def matches(self, method: str, kind: str, action: str) -> bool:
        """Whether it is this call."""
        return (self.request.method, self.kind, self.action) == (method, kind, action)

    def where(self, name: str) -> str:
        """The call as one writes it, "POST /containers/web/start", with a name for the id."""
        return f"{self.request.method} /" + "/".join(p for p in (self.kind, name, self.action) if p)
