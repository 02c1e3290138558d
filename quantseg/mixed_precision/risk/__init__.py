"""What rounding does to the masks, tensor by tensor, and what helps: narrower ranges, and regions that stay float."""

from quantseg.mixed_precision.risk.choice import Region, Source, regions, worth
from quantseg.mixed_precision.risk.margins import Judge
from quantseg.mixed_precision.risk.price import Price, price_of
from quantseg.mixed_precision.risk.reference import Jury
from quantseg.mixed_precision.risk.sources import sources

__all__ = [
    "Judge",
    "Jury",
    "Price",
    "Region",
    "Source",
    "price_of",
    "regions",
    "sources",
    "worth",
]
