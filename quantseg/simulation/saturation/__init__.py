"""On which processors the integer sums of a quantised model are exact: the one place where this is decided.

The model may come from any tool: the constant int8 weight of each convolution or matrix product is checked for 16-bit
pair sums that can saturate (quantization/pairs.py). Whether this machine saturates is found by running a small model.
"""

from quantseg.simulation.saturation.machine import saturates, this_processor
from quantseg.simulation.saturation.processors import PROCESSORS, Processor
from quantseg.simulation.saturation.verdict import ExactnessVerdict, verdict, verdict_of

__all__ = [
    "PROCESSORS",
    "ExactnessVerdict",
    "Processor",
    "saturates",
    "this_processor",
    "verdict",
    "verdict_of",
]
