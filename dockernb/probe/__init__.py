"""Who reaches whom, and why not: measured from inside each container's own network namespace."""

from dockernb.probe.explanation import Explanation, Step
from dockernb.probe.matrix import Answer, Matrix
from dockernb.probe.reach import reach
from dockernb.probe.snapshot import snapshot
from dockernb.probe.verdict import HOST, OUTSIDE, Outcome, Verdict
from dockernb.probe.why import why

__all__ = [
    "HOST",
    "OUTSIDE",
    "Answer",
    "Explanation",
    "Matrix",
    "Outcome",
    "Step",
    "Verdict",
    "reach",
    "snapshot",
    "why",
]
