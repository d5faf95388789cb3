"""A lesson's session on a lab host: its Docker client, its labels, its CLI twin, its clean-up."""

from dockernb.session.lab import LESSONS, Lab, Removed, open_lab
from dockernb.session.web import Answer, fetch

__all__ = ["LESSONS", "Answer", "Lab", "Removed", "fetch", "open_lab"]
