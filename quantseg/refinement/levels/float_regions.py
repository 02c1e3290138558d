"""Which region stays float for the masks' sake: proposed by rule, then measured as a whole."""

from collections.abc import Iterable, Iterator
from statistics import fmean

from quantseg.mixed_precision.risk import float_objective, price_of, regions
from quantseg.quantization.candidate import Candidate
from quantseg.refinement.levels.starts import Start, Work

FLOAT_WORK, FLOAT_TIME = 0.15, 0.5
"""Most that may stay float for the masks' sake, as a share of the multiply-accumulates, and most that this may add to
the time, by the rule of islands.price."""
HARMLESS = 0.005
"""The risk (see islands.margins) below which nothing more is left float: few pixels change their class."""
FRAGILE = "int8 would change the masks here, by measurement"
"""Why a node stays float."""


def steadied(starts: Iterable[Start], work: Work, *, proposals: int) -> Candidate:
    """Of all starts with one or another region float the one most worth its time.

    proposals: regions that are measured as a whole, of each start: those that promise most.
    """
    ways = (way for start in starts for way in _proposed(start, work, proposals))
    return min(ways, key=lambda way: float_objective(max(fmean(work.risks(way[0], weights=())), HARMLESS), way[1]))[0]


def _proposed(start: Start, work: Work, count: int) -> Iterator[tuple[Candidate, float]]:
    """With one or another region float, and what that adds to the time."""
    candidate = start.candidate
    shapes = {name: array.shape for name, array in work.reference.feeds[0].items()}
    price = price_of(candidate.prepared, candidate.plan, shapes)

    def allowed(nodes: frozenset[str]) -> bool:
        return price.of_work(nodes) <= FLOAT_WORK and price.of_time(nodes) <= FLOAT_TIME

    for region in regions(start.sources, price, allowed, harmless=HARMLESS)[:count]:
        share = 100 * price.of_work(region.nodes)
        note = f"{len(region.nodes)} nodes stay float for the masks, {share:.1f} % of multiply-accumulates"
        steady = candidate.left_float(region.nodes, FRAGILE).noted(note) if region.nodes else candidate
        yield steady, region.price
