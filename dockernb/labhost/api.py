"""The Docker SDK's client, pointed at a lab host."""

from pathlib import Path
from typing import Any

import docker
from docker.tls import TLSConfig


class LabHostAPI(docker.APIClient):
    """The SDK's low-level client, deaf to the environment.

    requests lets REQUESTS_CA_BUNDLE and the proxy variables, which many networks need, win over the certificates that
    the client was given. A lab host is on loopback and its authority is its own.
    """

    trust_env = property(lambda self: False, lambda self, value: None)


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
