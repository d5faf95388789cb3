"""The Docker SDK's client, pointed at a lab host."""

from pathlib import Path
from typing import Any

import docker
import requests
import requests.adapters
import urllib3
from docker.tls import TLSConfig

from dockernb.errors import HostError
from dockernb.labhost import control

CONNECT_LIMIT = 20  # seconds for the first answer; a machine that rests is awake by then

# A machine with too little processor time may hang up while TLS is still being agreed on: nothing has been asked yet,
# so asking again is safe. An answer that does not come, or breaks off, is not asked for twice.
HANDSHAKES = urllib3.Retry(connect=0, read=0, redirect=0, status=0, other=2, backoff_factor=0.5)


class LabHostAPI(docker.APIClient):
    """The SDK's low-level client, deaf to the environment.

    requests lets REQUESTS_CA_BUNDLE and the proxy variables, which many networks need, win over the certificates that
    the client was given. A lab host is on loopback and its authority is its own.
    """

    trust_env = property(lambda self: False, lambda self, value: None)

    def __init__(self, *args: Any, directory: Path, **kwargs: Any) -> None:
        self._directory = directory
        super().__init__(*args, **kwargs)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """As in requests, whose exceptions become one sentence.

        Raises:
            HostError: The engine did not answer, or cannot be reached.
        """
        try:
            return super().send(request, **kwargs)
        except requests.exceptions.ReadTimeout as problem:
            limit = kwargs.get("timeout")
            otherwise = f"The lab host did not answer {request.path_url} within {limit} s."
            raise HostError(control.late(self._directory, otherwise)) from problem
        except OSError as problem:
            # No connection, or the credentials of a host that ended; what the engine answers is never an OSError here.
            raise HostError(control.gone(self._directory)) from problem

    def mount(self, prefix: str | bytes, adapter: requests.adapters.BaseAdapter) -> None:
        """As in requests; its session mounts the adapters that make connections when it is made."""
        if isinstance(adapter, requests.adapters.HTTPAdapter):
            adapter.max_retries = HANDSHAKES
        super().mount(prefix, adapter)


def client(
    kind: type[LabHostAPI], docker_host: str, directory: Path, timeout: int, **more: Any
) -> docker.DockerClient:
    """A DockerClient on a low-level client of that kind.

    Args:
        kind: LabHostAPI, or a class of it.
        docker_host: tcp://127.0.0.1:PORT.
        directory: Where ca.pem, cert.pem and key.pem lie.
        timeout: Seconds for each request.
        more: Further arguments of the kind.

    Raises:
        HostError: The engine does not answer.
    """
    whole = docker.DockerClient.__new__(docker.DockerClient)
    try:
        tls = TLSConfig(
            client_cert=(str(directory / "cert.pem"), str(directory / "key.pem")),
            ca_cert=str(directory / "ca.pem"),
            verify=True,
        )
        whole.api = kind(
            base_url=docker_host,
            tls=tls,
            timeout=min(timeout, CONNECT_LIMIT),
            version="auto",  # which asks the engine
            directory=directory,
            **more,
        )
    except docker.errors.DockerException as problem:
        raise HostError(control.gone(directory)) from problem
    whole.api.timeout = timeout
    return whole
