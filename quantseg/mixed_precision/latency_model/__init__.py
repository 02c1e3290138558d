"""The latency of each part of a model on this machine, in float and in integers, and the node placement that follows.

A part is cut out of the prepared graph (units, cutting) and timed in float and in integers as a model of its own
(trials, stopwatch); its times are kept on disk (cache). The fastest split into float and integer parts is a minimum
cut (pricing, placing). The sum of parts is only an estimate, so the latency of the whole model is compared with that
of the placement by rule (comparison).
"""

from quantseg.mixed_precision.latency_model.comparison import compare_latency
from quantseg.mixed_precision.latency_model.estimate import Estimate, estimate
from quantseg.mixed_precision.latency_model.table import KernelTable, read_table
from quantseg.mixed_precision.latency_model.target import PREFERRED, Bench, Fitted, NothingFasterError, Objective, fit

__all__ = [
    "PREFERRED",
    "Bench",
    "Estimate",
    "Fitted",
    "KernelTable",
    "NothingFasterError",
    "Objective",
    "compare_latency",
    "estimate",
    "fit",
    "read_table",
]
