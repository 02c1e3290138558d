"""On which processors the integer sums of a written model are exact: decided here, and everybody asks here.

A file is read as it stands, whatever tool wrote it: each product of activations with a constant int8 weight is held
against the pairs that kernels add in 16 bits (quantization/pairs.py). What this processor does is found by trying.
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
