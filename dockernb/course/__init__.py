"""Predictions before the cell that shows, and checks of what the learner built."""

from dockernb.course.checks import Check, Condition, Finding, Result, Sight, check, keeps_out, reaches, runs
from dockernb.course.predictions import Prediction, Reveal, predict

__all__ = [
    "Check",
    "Condition",
    "Finding",
    "Prediction",
    "Result",
    "Reveal",
    "Sight",
    "check",
    "keeps_out",
    "predict",
    "reaches",
    "runs",
]
