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
    from dockernb.front import compare, fetch, hosts, lab, load, panel, reach, why
    from dockernb.measure import Fio, Iperf3, Pgbench, Sockperf, sweep
    from dockernb.measure.capture import capture, pcap
    from dockernb.measure.load import Requests
    from dockernb.measure.traffic import traffic
    from dockernb.policy import apply_policy, policies, remove_policy
    from dockernb.probe import snapshot
    from dockernb.view import look, path
    from dockernb.view.engines import your_engine
    from dockernb.view.load import shares, timeline
    from dockernb.view.plots import latency, throughput
    from dockernb.view.sequence import sequence
    from dockernb.view.traffic import rates

_WHERE = {
    "Check": "course",
    "DockernbError": "errors",
    "Fio": "measure",
    "Iperf3": "measure",
    "Pgbench": "measure",
    "Requests": "measure.load",
    "Sockperf": "measure",
    "apply_policy": "policy",
    "capture": "measure.capture",
    "check": "course",
    "compare": "front",
    "fetch": "front",
    "hosts": "front",
    "lab": "front",
    "latency": "view.plots",
    "load": "front",
    "look": "view",
    "panel": "front",
    "path": "view",
    "pcap": "measure.capture",
    "policies": "policy",
    "predict": "course",
    "rates": "view.traffic",
    "reach": "front",
    "remove_policy": "policy",
    "sequence": "view.sequence",
    "shares": "view.load",
    "snapshot": "probe",
    "sweep": "measure",
    "throughput": "view.plots",
    "timeline": "view.load",
    "traffic": "measure.traffic",
    "why": "front",
    "your_engine": "view.engines",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'dockernb' has no attribute {name!r}")
    return getattr(import_module(f"dockernb.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
