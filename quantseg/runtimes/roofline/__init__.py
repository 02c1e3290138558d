"""The roofline: what convolutions reach of this machine's best matrix product, measured in the same run.

In words: quantseg.report.roofline.
"""

from quantseg.runtimes.roofline.roofs import Roof, Roofs, beside_roofs, convolutions, fraction_of_roof, measure_roofs

__all__ = [
    "Roof",
    "Roofs",
    "beside_roofs",
    "convolutions",
    "fraction_of_roof",
    "measure_roofs",
]
