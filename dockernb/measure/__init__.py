"""Measure a lab's networks and storage: runs of iperf3, sockperf, fio and pgbench as tidy DataFrames."""

from dockernb.measure.fio import Fio
from dockernb.measure.iperf3 import Iperf3
from dockernb.measure.pgbench import Pgbench
from dockernb.measure.series import Arrangement, Report, compare, sweep
from dockernb.measure.sockperf import Sockperf

__all__ = ["Arrangement", "Fio", "Iperf3", "Pgbench", "Report", "Sockperf", "compare", "sweep"]
