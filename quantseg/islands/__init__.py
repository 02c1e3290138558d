"""What rounding does to the masks, tensor by tensor, and what helps: narrower ranges, and regions that stay float."""

from quantseg.islands.choice import Region, Source, regions, worth
from quantseg.islands.jury import Jury
from quantseg.islands.margins import Judge
from quantseg.islands.narrowing import narrowed, speaking
from quantseg.islands.price import Price, price_of
from quantseg.islands.sources import sources

__all__ = [
    "Judge",
    "Jury",
    "Price",
    "Region",
    "Source",
    "narrowed",
    "price_of",
    "regions",
    "sources",
    "speaking",
    "worth",
]
