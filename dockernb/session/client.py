"""The lesson's Docker client: the plain SDK, whose requests are labelled, recorded and safe to repeat.

The learner writes ordinary Docker SDK code. Between the SDK and the engine each request passes here once:

- what a lesson creates gets the lesson's labels, so that clean-up removes exactly that;
- a cell that is run again replaces the container it made and keeps the network it made, where Docker by itself
  would answer 409 Conflict;
- the request is recorded for the CLI twin;
- a lab host that is gone is one sentence, not a stack of three libraries (labhost/api.py).
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import docker
import requests

from dockernb.errors import LabError
from dockernb.labhost.api import LabHostAPI
from dockernb.session.twin import Recorder

LAB = "org.dockernb.lab"
SESSION = "org.dockernb.session"
SPEC = "org.dockernb.spec"
_ID = re.compile(r"[0-9a-f]{64}")
CREATED = re.compile(r"/(containers|networks|volumes|services|secrets|configs)/create$")


Waiting = Callable[[str], AbstractContextManager[Any]]
_waiting: Waiting = contextlib.nullcontext


def show_waiting(show: Waiting) -> None:
    """Have whatever takes long shown, from now on, by a context manager that is given its title."""
    global _waiting  # noqa: PLW0603  (one screen for all clients of a process)
    _waiting = show


def waiting(title: str) -> AbstractContextManager[Any]:
    """Around what may take long."""
    return _waiting(title)


class LessonAPI(LabHostAPI):
    """The SDK's low-level client for one lesson."""

    def __init__(self, *args: Any, labels: Mapping[str, str], recorder: Recorder, **kwargs: Any) -> None:
        self._labels, self._recorder = dict(labels), recorder
        self._recording = True
        super().__init__(*args, **kwargs)

    @contextlib.contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Requests of the library's own, which the CLI twin does not show."""
        before, self._recording = self._recording, False
        try:
            yield
        finally:
            self._recording = before

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Pass one request on. See the module's text for what happens on the way.

        Raises:
            HostError: The lab host is gone, or its engine does not answer.
            LabError: A network of that name is there with other settings and containers on it.
        """
        url = urlsplit(request.url or "")
        path = re.sub(r"^/v[0-9.]+", "", url.path)
        query = dict(parse_qsl(url.query))
        body = _json(request.body)
        original = json.loads(json.dumps(body))
        kept = None
        with waiting(f"Docker: {request.method} {_ID.sub(lambda found: found[0][:12], path)}"):
            if request.method == "POST" and isinstance(body, dict):
                kept = self._before(path, query, body)
                if body != original:
                    request.prepare_body(None, None, json=body)
            response = kept or self._pass_on(request, **kwargs)
        if not self._recording:
            return response
        streamed = kwargs.get("stream") or "upgrade" in {name.lower() for name in request.headers}
        self._recorder.record(
            request.method or "GET",
            path,
            query,
            original,
            response.status_code,
            None if streamed and kept is None else _json(response.content),
        )
        return response

    def _pass_on(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request to the engine; what comes of it is recorded once, however often that takes."""
        return super().send(request, **kwargs)

    def _before(self, path: str, query: dict[str, str], body: dict[str, Any]) -> requests.Response | None:
        """Label what is created and make room for what is made again; a response means that nothing is to be sent."""
        if created := CREATED.search(path):
            body["Labels"] = {**(body.get("Labels") or {}), **self._labels}
            if created[1] == "containers":
                self._replace_container(query.get("name", ""))
                self._label_volumes(body.get("HostConfig") or {})
            elif created[1] == "networks":
                return self._keep_network(body)
        elif connected := re.fullmatch(r"/networks/([^/]+)/connect", path):
            self._leave_first(connected[1], body)
        return None

    # These use the plain way, which is neither recorded nor labelled.

    def _plain(self, method: str, path: str, body: Any = None, **query: str) -> requests.Response:
        """A request of our own to the engine."""
        request = self.prepare_request(
            requests.Request(method, f"{self.base_url}/v{self.api_version}{path}", params=query, json=body)
        )
        return super().send(request, timeout=self.timeout, verify=self.verify, cert=self.cert)

    def _tell(self, method: str, path: str, query: dict[str, str], body: Any = None) -> None:
        """A request of our own that the CLI twin shows: the command line does not make room by itself."""
        if self._recording:
            self._recorder.record(method, path, query, body, 204, None)

    def _find(self, kind: str, name: str) -> dict[str, Any] | None:
        """Inspect a container or network, or None when there is none of that name."""
        answer = self._plain("GET", f"/{kind}/{quote(name)}" + ("/json" if kind == "containers" else ""))
        return answer.json() if answer.ok else None

    def _ours(self, labels: Mapping[str, str] | None) -> bool:
        """Whether this lesson made it."""
        return (labels or {}).get(LAB) == self._labels[LAB]

    def _replace_container(self, name: str) -> None:
        """Remove the container that an earlier run of the cell made."""
        if name and (old := self._find("containers", name)) and self._ours(old["Config"]["Labels"]):
            self._plain("DELETE", f"/containers/{old['Id']}", force="true", v="true")
            self._tell("DELETE", f"/containers/{name}", {"force": "true", "v": "true"})

    def _label_volumes(self, host_config: dict[str, Any]) -> None:
        """Create named volumes before the engine does it without our labels."""
        names = [bind.split(":")[0] for bind in host_config.get("Binds") or ()]
        names = [name for name in names if name and not name.startswith("/")]
        names += [
            mount["Source"]
            for mount in host_config.get("Mounts") or ()
            # With a driver or labels of its own the mount says how its volume is to be made.
            if mount.get("Type") == "volume"
            and mount.get("Source")
            and not {"DriverConfig", "Labels"} & (mount.get("VolumeOptions") or {}).keys()
        ]
        for name in names:
            if not self._plain("GET", f"/volumes/{quote(name)}").ok:
                self._plain("POST", "/volumes/create", {"Name": name, "Labels": self._labels})

    def _keep_network(self, body: dict[str, Any]) -> requests.Response | None:
        """An earlier run of the cell made this very network: keep it. With other settings: make room for it."""
        wanted = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
        body["Labels"].setdefault(SPEC, wanted)  # a network that is made anew by the panel keeps its own
        old = self._find("networks", body.get("Name", ""))
        if old is None or old["Name"] != body.get("Name") or not self._ours(old["Labels"]):
            return None
        if old["Labels"].get(SPEC) == wanted:
            answer = requests.Response()
            answer.status_code = 201
            answer._content = json.dumps({"Id": old["Id"], "Warning": ""}).encode()
            return answer
        if old["Containers"]:
            names = ", ".join(sorted(entry["Name"] for entry in old["Containers"].values()))
            raise LabError(
                f"The network {old['Name']!r} is there with other settings, and {names} still on it: "
                f"remove these first, or run lab.clean()."
            )
        self._plain("DELETE", f"/networks/{old['Id']}")
        self._tell("DELETE", f"/networks/{old['Name']}", {})
        return None

    def _leave_first(self, network: str, body: dict[str, Any]) -> None:
        """A container that an earlier run connected leaves, so that it can be connected again with these settings."""
        container = self._find("containers", body.get("Container", ""))
        there = self._find("networks", network)
        if container and there and self._ours(there["Labels"]) and self._ours(container["Config"]["Labels"]):
            attached = (container["NetworkSettings"].get("Networks") or {}).get(there["Name"])
            if attached:
                body = {"Container": container["Id"]}
                self._plain("POST", f"/networks/{there['Id']}/disconnect", body)
                name = container["Name"].removeprefix("/")
                self._tell("POST", f"/networks/{there['Name']}/disconnect", {}, {"Container": name})


def _json(data: Any) -> Any:
    """JSON of a body, or None where it is none (an archive, nothing)."""
    if not isinstance(data, (bytes, str)) or not data:
        return None
    try:
        return json.loads(data)
    except ValueError:
        return None


def explain(problem: docker.errors.APIError, client: docker.DockerClient) -> str:
    """An engine's refusal in one sentence, with what to do where the live engine shows it.

    The SDK's exception itself is not touched: this is only how a notebook prints it.
    """
    said = str(problem.explanation or problem).strip().rstrip(".")
    if "overlaps with other one" in said:
        pools = [
            f"{network.name} ({config['Subnet']})"
            for network in client.networks.list()
            for config in (network.attrs["IPAM"].get("Config") or ())
            if "Subnet" in config
        ]
        return f"Docker says: {said}. In use are {', '.join(pools)}: choose another subnet, or remove that network."
    if "port is already allocated" in said:
        return f"Docker says: {said}. Another container publishes it: stop that one, or publish another port."
    if problem.status_code == requests.codes.conflict and "already in use" in said:
        return (
            f"Docker says: {said}. Another lesson made it: run lab.host.reset() for a pristine Docker host."
        )
    if "No such image" in said or "lookup registry" in said:
        # The SDK answers a missing image by a pull, and the lab host knows no registry.
        names = sorted(tag for image in client.images.list() for tag in image.tags)
        return f"There is no such image here, and nothing is pulled. The lab host has {', '.join(names)}."
    return f"Docker says: {said}."
