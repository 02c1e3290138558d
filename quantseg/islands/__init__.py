"""Float islands: the small regions whose rounding changes the masks most, and that stay float for it."""

from quantseg.islands.choice import Region, Source, regions
from quantseg.islands.margins import Judge
from quantseg.islands.risks import judges_of, risks_of, sources

__all__ = ["Judge", "Region", "Source", "judges_of", "regions", "risks_of", "sources"]
