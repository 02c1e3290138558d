"""Steps: each makes a new candidate from one, with what the context passes in. An effort level composes them."""

from collections.abc import Callable
from dataclasses import replace

import onnx_ir as ir

from quantseg.calibration.context import Context
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.folding import Fold, fold
from quantseg.quantization.qtypes import INT8
from quantseg.refinement.bias import correct_biases
from quantseg.refinement.channel_order import reorder

Step = Callable[[Candidate, Context], Candidate]
"""From a candidate to the next one. None is changed, and equal ones give equal ones."""


def chained(*steps: Step) -> Step:
    """The steps one after the other."""

    def step(candidate: Candidate, context: Context) -> Candidate:
        for one in steps:
            candidate = one(candidate, context)
        return candidate

    return step


def order_channels(candidate: Candidate, context: Context) -> Candidate:
    """Input channels in an order in which fewer bits are lost for sums that are exact on every processor.

    As it is where the settings leave nothing to gain: weights that are not int8, of one scale for all channels, or not
    bound; and where some are rounded already.
    """
    settings, overrides = candidate.settings, candidate.overrides
    if overrides.weights or not (settings.bounds_pairs and settings.per_channel and settings.weight is INT8):
        return candidate
    done = reorder(candidate.prepared, overrides.kept_float)
    if done is None:
        return candidate
    what = f"{done.before.mean:.2f} → {done.after.mean:.2f} bits lost per channel in the mean"
    return candidate.with_prepared(done.prepared).noted(f"input channels reordered: {what}")


def correct(method: str, exact: Candidate) -> Step:
    """Biases that make up for what rounding has changed in the channels' means, which are those of `exact`."""
    reference: ir.Model = exact.prepared.model
    return lambda candidate, context: correct_biases(candidate, context, method=method, reference=reference)


def fold_in(wanted: Fold) -> Step:
    """Preprocessing or head as part of the graph. Raises PlanError where it cannot be."""
    return lambda candidate, context: fold(candidate, wanted)


def on_images(step: Step, indices: tuple[int, ...]) -> Step:
    """The step on some of the context's images alone."""
    from quantseg.data import Subset

    return lambda candidate, context: step(candidate, replace(context, data=Subset(context.data, indices)))
