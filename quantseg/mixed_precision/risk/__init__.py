"""The risk that rounding a tensor changes the masks, measured tensor by tensor, and the float regions that avoid it."""

from quantseg.mixed_precision.risk.choice import Limits, Region, Source, float_objective, regions
from quantseg.mixed_precision.risk.margins import MarginWeightedError
from quantseg.mixed_precision.risk.price import Price, price_of
from quantseg.mixed_precision.risk.reference_outputs import ReferenceOutputs
from quantseg.mixed_precision.risk.sources import sources

__all__ = [
    "Limits",
    "MarginWeightedError",
    "Price",
    "ReferenceOutputs",
    "Region",
    "Source",
    "float_objective",
    "price_of",
    "regions",
    "sources",
]
