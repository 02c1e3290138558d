"""Chooses the float region: regions are proposed by the fixed rates of risk/price.py, then measured as a whole."""

from collections.abc import Iterable, Iterator
from statistics import fmean

from quantseg.mixed_precision.risk import Limits, float_objective, price_of, regions
from quantseg.quantization.candidate import Candidate
from quantseg.refinement.levels.passes import FLOAT_NODES
from quantseg.refinement.levels.starts import Start, Work

HARMLESS = 0.005
"""The risk (mixed_precision/risk/margins.py) below which less is no gain: few pixels change their class."""
FRAGILE = "int8 would change the masks here, by measurement"
"""The reason of a node in the float region."""


def steadied(starts: Iterable[Start], work: Work, limits: Limits, *, proposals: int) -> Candidate:
    """The best pair of start and float region (or none), by measured risk and estimated time; see `float_objective`.

    proposals: how many regions of each start are measured as a whole, the most promising first.
    """
    ways = [way for start in starts for way in _proposed(start, work, limits, proposals)]
    tried = work.context.track(ways, total=len(ways), what=FLOAT_NODES)

    def worth(way: tuple[Candidate, float]) -> float:
        return float_objective(max(fmean(work.risks(way[0], weights=())), HARMLESS), way[1], limits.exchange)

    return min(tried, key=worth)[0]


def _proposed(start: Start, work: Work, limits: Limits, count: int) -> Iterator[tuple[Candidate, float]]:
    """The start with each of its `count` best float regions, and the time that the region adds, as a share."""
    candidate = start.candidate
    price = price_of(candidate.prepared, candidate.plan, work.reference.feeds[0])
    for region in regions(start.sources, price, limits, harmless=HARMLESS)[:count]:
        share = 100 * price.of_macs(region.nodes)
        note = f"{len(region.nodes)} nodes stay float for the masks, {share:.1f} % of multiply-accumulates"
        steady = candidate.left_float(region.nodes, FRAGILE).noted(note) if region.nodes else candidate
        yield steady, region.price
