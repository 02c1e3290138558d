"""How widely an effort level searches, and what a balanced one leaves out where it would be too much work.

The reductions are ordered by the harm that they do, the least first: fewer images in the searches (evenly spread), then
fewer candidates (those with the least risk go first), then whole steps. Some images are always left to compare rounded
weights on that these were not rounded on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

FAST, BALANCED, BEST = EFFORTS = ("fast", "balanced", "best")


@dataclass(frozen=True)
class Breadth:
    """How widely a level searches.

    starts: most starts that are pursued. proposals: float regions of each start that are measured as a whole. judged:
    most images on which candidates are compared. rounded_on: most of these on which weights are rounded; where there
    are enough, rounded weights are compared on the others. looked_at: of the images with the largest risk, how many
    tensors are rounded alone on. tensors: the share of the tensors that are rounded alone, the noisiest first. groups:
    most quantization groups for which narrower ranges are tried. equalising: whether channels are equalised. absorbing:
    see `starts_of`. learning: whether learned rounding is tried too.
    """

    starts: int
    proposals: int
    judged: int = 24
    rounded_on: int = 12
    looked_at: int = 3
    tensors: float = 1.0
    groups: int = 24
    equalising: bool = True
    absorbing: bool = False
    learning: bool = False


BREADTHS: Mapping[str, Breadth] = {
    BALANCED: Breadth(1, 6),
    BEST: Breadth(4, 12, absorbing=True, learning=True),
}

REDUCTIONS: tuple[Mapping[str, float], ...] = (
    {"judged": 16},
    {"looked_at": 2},
    {"judged": 12, "rounded_on": 8},
    {"looked_at": 1},
    {"groups": 12},
    {"proposals": 4},
    {"groups": 6},
    {"judged": 8, "rounded_on": 6},
    {"proposals": 2},
    {"judged": 6, "rounded_on": 4},
    {"groups": 0},
    {"judged": 4, "rounded_on": 2},
    {"tensors": 0.5},
    {"tensors": 0.25},
    {"proposals": 1, "tensors": 0.0},
    {"equalising": False},
)
"""What changes from one breadth to the next. One proposal is the empty region: no node stays float. Tensors
come late: a float region is found only where all tensors around it were measured (with half of them, and all else as
narrow as after six reductions, the masks of a selfie model agreed to 85 instead of 95 %)."""


def full(effort: str, *, leave_float: bool = True) -> Breadth:
    """The breadth of an effort level that refines. leave_float: whether a float region may be kept."""
    return BREADTHS[effort] if leave_float else replace(BREADTHS[effort], proposals=1)


def narrowing(breadth: Breadth) -> Iterator[Breadth]:
    """The breadth, then ever narrower ones, each with one reduction more; no field ever grows."""
    yield breadth
    for change in REDUCTIONS:
        breadth = replace(breadth, **{name: min(value, getattr(breadth, name)) for name, value in change.items()})
        yield breadth
