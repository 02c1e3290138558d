"""What each part of a model costs on this machine, in float and in integers, and the placement that follows.

A part is cut out of the prepared graph (units, cutting) and timed on both sides as a model of its own (candidates,
stopwatch); its times are kept on disk (cache). Of all splits into float and integer parts the cheapest is found (cut).
Parts do not tell all of a whole, so it is compared with the placement by rule as a whole (comparison).
"""

from quantseg.mixed_precision.latency_model.cache import folder
from quantseg.mixed_precision.latency_model.comparison import compare_latency
from quantseg.mixed_precision.latency_model.estimate import Estimate, estimate
from quantseg.mixed_precision.latency_model.target import PREFERRED, Bench, Fitted, Objective, fit

__all__ = [
    "PREFERRED",
    "Bench",
    "Estimate",
    "Fitted",
    "Objective",
    "compare_latency",
    "estimate",
    "fit",
    "folder",
]
