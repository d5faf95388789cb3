"""A lesson's session on a lab host: its Docker client, its labels, its CLI twin, its clean-up."""

from dockernb.session.lab import LESSONS, Lab, Removed, open_lab

__all__ = ["LESSONS", "Lab", "Removed", "open_lab"]
