"""The measurement: every graph that differs is opened once, sees every image, and is closed.

Graphs are measured side by side, each on one thread of its own, so the figures do not depend on how many there are.
"""

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import onnx_ir as ir

from quantseg import graph
from quantseg.data import Dataset
from quantseg.data.heads import head_of, judged_outputs
from quantseg.data.recipe import Recipe
from quantseg.evaluation.metrics.sqnr import Sqnr
from quantseg.graph.preparation import Prepared
from quantseg.mixed_precision.sensitivity.parts import parts_of
from quantseg.mixed_precision.sensitivity.reference import Reference, fed, float_answers, noise_and_flips
from quantseg.mixed_precision.sensitivity.values import NOTHING_LOST, Loss, NodeSensitivity, Sensitivity
from quantseg.mixed_precision.sensitivity.variants import Variant, build, variants_of, whole_of
from quantseg.progress import Track, quiet
from quantseg.quantization.affine import Range
from quantseg.quantization.plan import QuantSettings, plan
from quantseg.runtimes import WEIGHTS_AS_WRITTEN
from quantseg.runtimes.macs import multiply_accumulates


def measure(
    prepared: Prepared,
    ranges: Mapping[str, Range],
    settings: QuantSettings,
    recipe: Recipe,
    input_name: str,
    data: Dataset,
    *,
    threads: int,
    left_float: bool = True,
    track: Track = quiet,
) -> Sensitivity:
    """The losses of the plan, and of each of its nodes, over all images of `data`.

    ranges: tensor name → calibrated range. recipe: completed. threads: how many graphs are measured at a time.
    left_float: whether the plan without each node is measured too, which is a good third of the work.
    Raises PlanError where nothing is quantised, DataError for no images, ModelError for a float output that is not
    finite, OutputError where the disk has no room for the float outputs.
    """
    decided = plan(prepared, ranges, settings)
    whole = whole_of(prepared, decided)
    parts = parts_of(prepared.model, decided)
    wanted = [variants_of(part, prepared, settings, left_float=left_float) for part in parts]
    distinct = [v for v in dict.fromkeys((whole, *(v for one in wanted for v in one.all))) if not v.is_float]
    with float_answers(prepared, input_name, data, recipe, track=track) as references:
        macs = multiply_accumulates(prepared, {input_name: fed(references[0]).shape})

        def lost(variant: Variant) -> Loss:
            return _loss(build(variant, prepared, ranges, settings, decided), references, recipe, input_name)

        with ThreadPoolExecutor(threads) as pool:
            try:
                found = track(pool.map(lost, distinct), total=len(distinct), what="quantised graphs")
                losses = dict(zip(distinct, found, strict=True))
            finally:
                pool.shutdown(cancel_futures=True)  # of an error or Ctrl-C, do not measure the rest first

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
    seen = judged_outputs(recipe, graph.signature(prepared.model)[1])
    return Sensitivity(of(whole), len(references), tuple(nodes), sum(macs.values()), seen)


def _loss(model: ir.Model, references: Sequence[Reference], recipe: Recipe, input_name: str) -> Loss:
    """The loss of one graph over all images. Sums are exact, so the order of the images does not matter."""
    names = head_of(recipe.output).outputs(recipe.output, graph.signature(model)[1])
    noises, flipped, pixels = list[float](), 0, 0
    with (
        graph.as_session_source(model) as source,
        closing(WEIGHTS_AS_WRITTEN.open(source, threads=1, spinning=False)) as session,
    ):
        for reference in references:
            outputs = session.run({input_name: fed(reference)}, names)
            noise, changed, size = noise_and_flips(outputs, reference, recipe.output)
            noises.append(noise)
            flipped += changed
            pixels += size
    total = Sqnr(math.fsum(reference.signal for reference in references), math.fsum(noises))
    return Loss(total.decibels() if math.isfinite(total.noise) else -math.inf, flipped / pixels)
