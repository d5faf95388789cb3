"""dockernb: learn Docker networking and storage on a real, disposable Docker host.

    import dockernb as dn

    lab = dn.lab("06-three-tier-lab")     # a lab host in about a second
    lab.docker                            # an ordinary docker.DockerClient for it
    dn.look(dn.reach(lab))                # who reaches whom, and why not

Everything a lesson needs is a name of this module; what it costs is paid when it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockernb.course import Check, check, predict
    from dockernb.errors import DockernbError
    from dockernb.front import compare, hosts, lab, panel
    from dockernb.measure import Iperf3
    from dockernb.probe import reach, snapshot, why
    from dockernb.session import fetch
    from dockernb.view import look, path
    from dockernb.view.plots import throughput

_WHERE = {
    "Check": "course",
    "DockernbError": "errors",
    "Iperf3": "measure",
    "check": "course",
    "compare": "front",
    "fetch": "session",
    "hosts": "front",
    "lab": "front",
    "look": "view",
    "panel": "front",
    "path": "view",
    "predict": "course",
    "reach": "probe",
    "snapshot": "probe",
    "throughput": "view.plots",
    "why": "probe",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'dockernb' has no attribute {name!r}")
    return getattr(import_module(f"dockernb.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
