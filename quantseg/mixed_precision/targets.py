"""Targets of `quantize`, with their options: a model for any runtime, or for one, by rule or by measured latency."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from quantseg.calibration.context import Context
from quantseg.data.recipe import concrete
from quantseg.errors import MissingExtraError, PlanError
from quantseg.files import caches
from quantseg.graph.preparation import Fusing
from quantseg.mixed_precision import latency_model as costs
from quantseg.mixed_precision.latency_model import Bench, Objective
from quantseg.mixed_precision.target_facts import ORT_CPU, ORT_WEB, PORTABLE, TARGETS, Target, names
from quantseg.quantization import formats
from quantseg.quantization.float_model import FloatModel
from quantseg.runtimes import RUNTIMES

log = logging.getLogger(__name__)

MOVES_PIXELS = frozenset({"lower_unpooling"})
"""Rewrites after which integers put pixels elsewhere: 8-bit values of a MaxPool's window tie where floats do not. With
them `segnet` is 2.3 instead of 1.8 times as fast as float, at an agreement of 90.1 instead of 90.8 %."""


@dataclass(frozen=True)
class TargetOptions:
    """The target and its options. All fields but `target` apply to targets that are placed by latency alone.

    latency_first: the fastest placement, even where that costs accuracy. int8_everywhere: every node that can compute
    in integers does, even where float is faster. cache: whether timings are read from and written to disk. timing:
    whether the finished model gets a speed-up check against the float model. Raises PlanError for an unknown target and
    for options that contradict each other.
    """

    target: str = PORTABLE
    latency_first: bool = False
    int8_everywhere: bool = False
    cache: bool = True
    timing: bool = True

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise PlanError(f"{self.target!r} is no target; choose {names()}")
        if self.latency_first and self.int8_everywhere:
            raise PlanError("latency_first=True and int8_everywhere=True contradict each other; give one of them")
        choices = {
            "latency_first=True": self.latency_first,
            "int8_everywhere=True": self.int8_everywhere,
            "cache=False": not self.cache,
            "timing=False": not self.timing,
        }
        for flag, given in choices.items():
            if given and not self.is_placed:
                raise PlanError(f"{flag} belongs to target={ORT_CPU} or {ORT_WEB}; give one of them, or leave it out")

    @property
    def facts(self) -> Target:
        """What the target is."""
        return TARGETS[self.target]

    @property
    def is_placed(self) -> bool:
        """Whether measured latencies decide where nodes compute."""
        return self.facts.runtime is not None

    @property
    def is_timed(self) -> bool:
        """Whether the finished model gets a speed-up check against the float model."""
        return self.is_placed and self.timing

    @property
    def objective(self) -> Objective:
        """The objective of the node placement; see `Objective`."""
        if self.int8_everywhere:
            return "int8-everywhere"
        return "latency-first" if self.latency_first else "measured"

    @property
    def fusing(self) -> Fusing | None:
        """What the target's runtime fuses or has kernels for, kept when the float model is read; None: nothing more."""
        return self.facts.fusing

    @property
    def without(self) -> frozenset[str]:
        """The rewrites of the float graph that are left out: the target's; for accuracy, unless speed comes first."""
        speed_first = self.latency_first or self.int8_everywhere
        return (self.facts.without | (frozenset() if speed_first else MOVES_PIXELS)) - self.facts.needs

    @property
    def observes_others(self) -> bool:
        """Whether other tensors are observed than for the portable target: its calibration files do not serve."""
        return self.fusing is not None or bool(self.facts.without)

    def qformat(self, wanted: str | None) -> str:
        """The output format: `wanted`, or if None that of the target. Raises PlanError where the two contradict."""
        own = self.facts.formats[0]
        if wanted is not None:
            formats.check(wanted)
        if self.target != PORTABLE and wanted not in (None, own):
            raise PlanError(f"target={self.target} writes {own}, format={wanted} contradicts it; leave one of them out")
        return wanted or own


def bench(options: TargetOptions, context: Context) -> Bench | None:
    """The Bench on which the parts of a model are timed for the target; None where the target times nothing.

    Where the target's runtime is not installed, and there is a table of its kernels, that stands in.
    """
    facts, runtime = options.facts, context.runtime
    if facts.runtime is None:
        return None
    table = None
    if facts.runtime != runtime.name:
        runtime = RUNTIMES[facts.runtime]
        try:
            _ = runtime.version
        except MissingExtraError as error:
            if not facts.has_table:
                raise
            log.warning("%s; until then nodes are placed by a table of measured kernels", error)
            table = costs.read_table()
    return Bench(
        runtime,
        context.threads,
        caches.folder() if options.cache else None,
        context.track,
        facts.formats,
        table,
        facts.never_slower,
    )


def input_shapes(model: FloatModel) -> Mapping[str, tuple[int, ...]]:
    """Name of each of the model's inputs → its shape, with batch size 1 where the model leaves that open."""
    (image,) = concrete([model.input], model.recipe.input)
    return model.inputs.shapes([size or 1 for size in image.shape])
