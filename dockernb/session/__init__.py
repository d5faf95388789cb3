"""A lesson's session on a lab host: its Docker client, its labels, its CLI twin, its clean-up."""

from dockernb.session.client import show_waiting
from dockernb.session.cluster import Cluster, open_cluster
from dockernb.session.lab import LESSONS, Lab, Removed, open_lab, show_errors_in_one_sentence
from dockernb.session.web import Answer, fetch

__all__ = [
    "LESSONS",
    "Answer",
    "Cluster",
    "Lab",
    "Removed",
    "fetch",
    "open_cluster",
    "open_lab",
    "show_errors_in_one_sentence",
    "show_waiting",
]
