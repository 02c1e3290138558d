"""The work of a level, in passes over images; and the widest balanced search within a budget of work.

Work is counted, not timed, so that all machines write the same model: the multiply-accumulates of a pass, and its other
operators by the fixed rates of mixed_precision/risk/price.py. Passes that only calibrate are not part of the budget:
there are as many as the user gives images.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from quantseg.graph.preparation import Prepared
from quantseg.mixed_precision.risk.price import forward_time
from quantseg.progress import Stage
from quantseg.refinement.levels.breadth import BALANCED, BEST, Breadth, narrowing
from quantseg.runtimes.macs import numbers_of

CALIBRATE = "calibrate"
REFERENCE, EQUALISE, TENSORS, RANGES = "float outputs", "equalise channels", "risk of each tensor", "narrower ranges"
FLOAT_NODES, INPUTS, ROUND, BIASES = "float nodes", "inputs of weights", "round weights", "correct biases"
LEARN = ("learn parts", "learn the network")
_BALANCED = (REFERENCE, EQUALISE, TENSORS, RANGES, FLOAT_NODES, INPUTS, ROUND, BIASES)
STAGES: Mapping[str, tuple[str, ...]] = {BALANCED: _BALANCED, BEST: (*_BALANCED, *LEARN)}
"""Effort level → its stages, by the names that loops give to the Track; a level that does not refine has none."""

SECOND = 60_000_000_000
MINUTE = 60 * SECOND
"""Work of a second and a minute on two cores, in multiply-accumulates: a processor with AVX2 or better does as many in
onnxruntime, session set-up and the reading of outputs counted with it."""
BUDGET = 2 * MINUTE
"""The work budget of balanced, which `budget` multiplies."""

_NARROWER = 3
"""Ranges that are tried for a quantization group."""
_FAKE = 60
"""Work to round one element of an activation in float."""
_OBSERVED, _SAMPLED = 60, 250_000_000
"""Work to take the extrema of one element, and to count the sample of one tensor."""


@dataclass(frozen=True)
class Passes:
    """What the work depends on. forward, rounded, observed: work of a pass over one image in float, with all tensors
    rounded, and with all tensors observed. images: that there are. tensors: that are rounded.
    """

    forward: int
    rounded: int
    observed: int
    images: int
    tensors: int

    @staticmethod
    def of(prepared: Prepared, given: Mapping[str, NDArray[Any]], *, images: int, tensors: int) -> "Passes":
        """Of a graph. given: its inputs for one image. Raises ModelError where they do not fit the model."""
        forward, numbers = forward_time(prepared, given), sum(numbers_of(prepared, given).values())
        observed = forward + _OBSERVED * numbers + _SAMPLED * tensors
        return Passes(forward, forward + _FAKE * numbers, observed, images, tensors)

    def stages(self, breadth: Breadth) -> tuple[Stage, ...]:
        """The stages of `balanced` with that breadth, and their work but for what is calibrated."""
        judged, few = min(self.images, breadth.judged), min(self.images, breadth.judged, breadth.rounded_on)
        looked_at, f, r = min(self.images, breadth.looked_at), self.forward, self.rounded
        groups = min(breadth.groups, self.tensors)
        works = {
            REFERENCE: judged * (f + r),
            EQUALISE: judged * (2 * f + r) * breadth.equalising,
            TENSORS: math.ceil(breadth.tensors * self.tensors) * looked_at * f,
            RANGES: groups * _NARROWER * looked_at * f + judged * r * (groups > 0),
            FLOAT_NODES: breadth.proposals * judged * r * (breadth.proposals > 1),
            INPUTS: few * f + judged * r,
            ROUND: judged * r,
            BIASES: few * (2 * f + r) + 2 * judged * r,
        }
        return tuple(Stage(what, float(work)) for what, work in works.items())

    def work(self, breadth: Breadth) -> float:
        """The work of `balanced` with that breadth; a narrower one is never more work."""
        return math.fsum(stage.work for stage in self.stages(breadth))

    def forecast(self, effort: str, breadth: Breadth | None) -> tuple[Stage, ...]:
        """All stages of an effort level with their work, for a display. breadth: None where it does not refine."""
        calibrating = Stage(CALIBRATE, float(self.images * self.observed))
        if breadth is None:
            return (calibrating,)
        again = self.images * self.observed * breadth.equalising
        found = (Stage(s.what, s.work + again * (s.what == EQUALISE)) for s in self.stages(breadth))
        more = [Stage(what, 20.0 * self.images * self.forward) for what in LEARN] if effort == BEST else []
        return (calibrating, *found, *more)


def within(passes: Passes, breadth: Breadth, budget: float | None) -> Breadth:
    """The widest of the narrowing breadths whose work is within the budget; the narrowest where none is.

    budget: in multiples of BUDGET; None: any amount of work.
    """
    if budget is None:
        return breadth
    narrower = list(narrowing(breadth))
    return next((one for one in narrower if passes.work(one) <= budget * BUDGET), narrower[-1])


def left_out(passes: Passes, full: Breadth, taken: Breadth) -> str | None:
    """A note that says what `taken` leaves out of the full breadth, as far as it matters here; None for nothing."""
    found = [words for words in _told(passes, full, taken) if words]
    if not found:
        return None
    enough = math.ceil(passes.work(full) / BUDGET)
    return f"a narrower search, to keep to the work budget: {', '.join(found)}; budget={enough} leaves nothing out"


def _told(passes: Passes, full: Breadth, taken: Breadth) -> Iterator[str]:
    """Words for what is left out; empty ones where a narrower field makes no difference here."""

    def fewer(words: str, before: int, now: int, most: int) -> str:
        before, now = min(before, most), min(now, most)
        return words.format(f"{now} of {before}") if now < before else ""

    images, tensors = passes.images, passes.tensors
    yield fewer("compared on {} images", full.judged, taken.judged, images)
    yield fewer("weights rounded on {}", full.rounded_on, taken.rounded_on, images)
    if not taken.tensors:
        yield "no float nodes"
    else:
        yield fewer("single tensors on {}", full.looked_at, taken.looked_at, images)
        before, now = (math.ceil(one.tensors * tensors) for one in (full, taken))
        yield fewer("risk of {} tensors", before, now, tensors)
        yield fewer("{} float regions", full.proposals, taken.proposals, full.proposals)
    if taken.groups:
        yield fewer("narrower ranges for {} tensors", full.groups, taken.groups, tensors)
    else:
        yield "no narrower ranges" if full.groups else ""
    yield "channels not equalised" if full.equalising > taken.equalising else ""
