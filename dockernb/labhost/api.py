"""The Docker SDK's client, pointed at a lab host."""

from pathlib import Path
from typing import Any

import docker
import requests.adapters
import urllib3
from docker.tls import TLSConfig

# A machine with too little processor time may hang up while TLS is still being agreed on: nothing has been asked yet,
# so asking again is safe. An answer that does not come, or breaks off, is not asked for twice.
HANDSHAKES = urllib3.Retry(connect=0, read=0, redirect=0, status=0, other=2, backoff_factor=0.5)


class LabHostAPI(docker.APIClient):
    """The SDK's low-level client, deaf to the environment.

    requests lets REQUESTS_CA_BUNDLE and the proxy variables, which many networks need, win over the certificates that
    the client was given. A lab host is on loopback and its authority is its own.
    """

    trust_env = property(lambda self: False, lambda self, value: None)

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
    """
    tls = TLSConfig(
        client_cert=(str(directory / "cert.pem"), str(directory / "key.pem")),
        ca_cert=str(directory / "ca.pem"),
        verify=True,
    )
    whole = docker.DockerClient.__new__(docker.DockerClient)
    whole.api = kind(base_url=docker_host, tls=tls, timeout=timeout, version="auto", **more)
    return whole
