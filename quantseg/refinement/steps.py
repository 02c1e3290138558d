"""Steps: functions from a candidate and a context to a new candidate. An effort level is composed of steps."""

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
"""Makes a new candidate and leaves the old one unchanged; the same inputs give the same result."""


def chained(*steps: Step) -> Step:
    """A step that applies these steps one after the other."""

    def step(candidate: Candidate, context: Context) -> Candidate:
        for one in steps:
            candidate = one(candidate, context)
        return candidate

    return step


def order_channels(candidate: Candidate, context: Context) -> Candidate:
    """Reorders input channels, so that weights lose fewer bits to the bound on pair sums (see quantization/pairs.py).

    The candidate stays as it is where nothing can be gained (weights that are not int8, not per channel, or whose pair
    sums are not bounded) and where some weights are rounded already.
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
    """A step of bias correction. method: see `correct_biases`. exact: its float graph gives the target means."""
    reference: ir.Model = exact.prepared.model
    return lambda candidate, context: correct_biases(candidate, context, method=method, reference=reference)


def fold_in(wanted: Fold) -> Step:
    """A step that folds preprocessing or argmax into the graph; it raises PlanError where that is not possible."""
    return lambda candidate, context: fold(candidate, wanted)


def on_images(step: Step, indices: tuple[int, ...]) -> Step:
    """The step, run on some of the context's images alone."""
    from quantseg.data import Subset

    return lambda candidate, context: step(candidate, replace(context, data=Subset(context.data, indices)))
