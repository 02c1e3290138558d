"""The measurement: every distinct graph is opened once and run on every image.

Graphs are measured in parallel, each on one thread, so the figures do not depend on the number of threads.
"""

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from quantseg.calibration.context import Context
from quantseg.calibration.engines import in_order
from quantseg.data import Dataset
from quantseg.data.heads import judged_outputs
from quantseg.data.recipe import Recipe
from quantseg.evaluation.metrics.sqnr import Sqnr
from quantseg.graph import signature, to_bytes
from quantseg.mixed_precision.sensitivity.parts import parts_of
from quantseg.mixed_precision.sensitivity.reference import Reference, feeds_of, noise_and_flips, reference_outputs
from quantseg.mixed_precision.sensitivity.values import NOTHING_LOST, Loss, NodeSensitivity, Sensitivity
from quantseg.mixed_precision.sensitivity.variants import Variant, build, variants_of, whole_of
from quantseg.quantization.candidate import Candidate
from quantseg.runtimes import Runtime, as_written
from quantseg.runtimes.macs import multiply_accumulates


def measure(candidate: Candidate, data: Dataset, context: Context, *, left_float: bool = True) -> Sensitivity:
    """The losses of the candidate's whole plan and of each of its nodes, over all images of `data`.

    context: its engine (else its threads) measures graphs in parallel. left_float: whether the plan with each node left
    float is measured too, which is a good third of the measurements.
    Raises PlanError where nothing is quantised, DataError for no images, ModelError for a float output that is not
    finite, OutputError where the disk has no room for the float outputs.
    """
    prepared, recipe, input_name = candidate.prepared, candidate.model.recipe, candidate.model.input.name
    track, seen = context.track, judged_outputs(recipe, signature(prepared.model)[1])
    whole = whole_of(candidate)
    parts = parts_of(prepared.model, candidate.plan)
    wanted = [variants_of(part, candidate, left_float=left_float) for part in parts]
    distinct = [v for v in dict.fromkeys((whole, *(v for one in wanted for v in one.all))) if not v.is_float]
    with reference_outputs(prepared, input_name, data, recipe, context=context) as references:
        macs = multiply_accumulates(prepared, feeds_of(references[0]))

        graphs = ((number, to_bytes(build(variant, candidate))) for number, variant in enumerate(distinct))
        losing = _Losing(references, recipe, seen.outputs, as_written(context.runtime))
        found = in_order(context.beside(losing, graphs))
        losses = dict(zip(distinct, track(found, total=len(distinct), what="quantise nodes alone"), strict=True))

    def of(variant: Variant) -> Loss:
        return losses.get(variant, NOTHING_LOST)

    nodes = (
        NodeSensitivity(
            node=one.part.node,
            op_type=one.part.op_type,
            macs=macs[one.part.node],
            alone=of(one.alone),
            weights=None if one.weights is None else of(one.weights),
            activations=of(one.activations),
            left_float=None if one.left_float is None else of(one.left_float),
        )
        for one in wanted
    )
    return Sensitivity(of(whole), len(references), tuple(nodes), sum(macs.values()), seen)


@dataclass(frozen=True)
class _Losing:
    """Measures serialised graphs, each opened on one thread. Picklable."""

    references: tuple[Reference, ...]
    recipe: Recipe
    names: tuple[str, ...]
    runtime: Runtime

    def __call__(self) -> Callable[[tuple[int, bytes]], tuple[int, Loss]]:
        return lambda numbered: (numbered[0], self._loss(numbered[1]))

    def _loss(self, model: bytes) -> Loss:
        """The loss of one graph over all images. Sums are exact (fsum), so the order of the images does not matter."""
        noises, flipped, pixels = list[float](), 0, 0
        with closing(self.runtime.open(model, threads=1, spinning=False)) as session:
            for reference in self.references:
                outputs = session.run(feeds_of(reference), self.names)
                noise, changed, size = noise_and_flips(outputs, reference, self.recipe.output)
                noises.append(noise)
                flipped += changed
                pixels += size
        total = Sqnr(math.fsum(reference.signal for reference in self.references), math.fsum(noises))
        return Loss(total.decibels() if math.isfinite(total.noise) else -math.inf, flipped / pixels)
