"""Measure a lab's networks: iperf3 runs as tidy DataFrames, with every sample and the conditions."""

from dockernb.measure._parse import Reading, parse_iperf3
from dockernb.measure._run import Iperf3, Report, compare, iperf3

__all__ = ["Iperf3", "Reading", "Report", "compare", "iperf3", "parse_iperf3"]
