"""Float islands: the small regions whose rounding changes the masks most, and that stay float for it."""

from quantseg.islands.choice import Region, Source, regions, worth
from quantseg.islands.margins import Judge
from quantseg.islands.price import Price, price_of
from quantseg.islands.risks import judges_of, risks_of, sources

__all__ = [
    "Judge",
    "Price",
    "Region",
    "Source",
    "judges_of",
    "price_of",
    "regions",
    "risks_of",
    "sources",
    "worth",
]
