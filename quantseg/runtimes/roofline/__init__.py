"""The roofline: the convolutions' speed as a share of this machine's fastest matrix product, measured in the same run.

As text: quantseg.report.roofline.
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
