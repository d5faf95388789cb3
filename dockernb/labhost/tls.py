"""The learner's side of the TLS front. Apart from credentials.py, whose trustme a client need not load."""

import ssl
from pathlib import Path


def client_context(directory: Path) -> ssl.SSLContext:
    """A context with the credentials of a running host, which lie in its directory."""
    context = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return context
