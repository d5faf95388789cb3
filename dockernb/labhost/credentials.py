"""TLS credentials of one start of a lab host: made fresh each time, never part of a template."""

import base64
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme


@dataclass(frozen=True)
class Credentials:
    """A certificate authority of one start, with one server and one client certificate (all PEM text)."""

    ca: str
    server: str
    client_certificate: str
    client_key: str

    @classmethod
    def make(cls) -> "Credentials":
        """Make a new authority and its two certificates (ECDSA P-256, by trustme)."""
        authority = trustme.CA()
        server = authority.issue_cert("127.0.0.1", "localhost", "agent")
        client = authority.issue_cert("learner@dockernb.invalid")
        return cls(
            ca=authority.cert_pem.bytes().decode(),
            server=server.private_key_and_cert_chain_pem.bytes().decode(),
            client_certificate="".join(blob.bytes().decode() for blob in client.cert_chain_pems),
            client_key=client.private_key_pem.bytes().decode(),
        )

    def write(self, directory: Path) -> None:
        """Write what a docker client needs, under the names that it expects in DOCKER_CERT_PATH, mode 0600."""
        for name, text in (
            ("ca.pem", self.ca),
            ("cert.pem", self.client_certificate),
            ("key.pem", self.client_key),
        ):
            path = directory / name
            path.unlink(missing_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)

    def welcome(self, hostname: str, segment: dict[str, str] | None) -> dict[str, Any]:
        """The first request to a lab host's agent, which makes it this learner's (see recipe/host/.../agent.py)."""
        return {
            "op": "welcome",
            "time": time.time(),
            "random": base64.b64encode(os.urandom(64)).decode(),
            "hostname": hostname,
            "files": {"/run/dockernb/ca.pem": self.ca, "/run/dockernb/server.pem": self.server},
            "segment": segment,
        }
