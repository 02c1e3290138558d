"""The roofline: what convolutions reach of this machine's best matrix product, measured in the same run.

roofs.py measures and divides; wording.py says it in a line and in a table.
"""

from quantseg.roofline.roofs import Roof, Roofs, beside_roofs, convolutions, fraction_of_roof, measure_roofs
from quantseg.roofline.wording import HEADERS, figures, label, plain_name, rate, sentence, slowest

__all__ = [
    "HEADERS",
    "Roof",
    "Roofs",
    "beside_roofs",
    "convolutions",
    "figures",
    "fraction_of_roof",
    "label",
    "measure_roofs",
    "plain_name",
    "rate",
    "sentence",
    "slowest",
]
