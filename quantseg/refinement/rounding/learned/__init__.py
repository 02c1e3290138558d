"""Learned rounding: the integer that each weight is rounded to is learned on the calibration images, without labels.

The nearest integer is best for a weight alone, but not for the sum that it is part of. First each part of the network
is trained to reproduce its float output (reconstruction); then the whole network is trained to reproduce the float
model's outputs, with more weight on pixels near a class boundary (distillation).
torch is an extra (`pip install "quantseg[learn]"`), imported when it is needed. Source: BRECQ, Li et al.,
arXiv:2102.05426.
"""

from dataclasses import dataclass

from quantseg.calibration.context import Context
from quantseg.errors import MissingExtraError
from quantseg.quantization.candidate import Candidate

ITERATIONS = 150
"""Optimiser steps for each part; one image a step."""
NETWORK_SHARE = 3
"""Steps for the whole network, as a multiple of those for a part."""
LARGEST_PART = 4
"""Most weight tensors in a part that does not end where the network is one tensor wide: 1 is layer by layer, more is
block by block. By reconstruction alone `linknet` reaches 28.7 dB after 30 steps layer by layer, and 29.5 dB after 50
steps with four weight tensors at a time."""
BOUNDARY_WEIGHT = 4.0
"""The extra weight of a pixel on a class boundary, over the weight 1 of a pixel far from any; see objective.py."""


@dataclass(frozen=True)
class Learning:
    """Settings of learned rounding.

    largest_part: most weight tensors in a part, see LARGEST_PART. iterations: steps for each part; the whole network
    gets NETWORK_SHARE times as many. boundary_weight: see BOUNDARY_WEIGHT.
    """

    largest_part: int = LARGEST_PART
    iterations: int = ITERATIONS
    boundary_weight: float = BOUNDARY_WEIGHT


def learn(candidate: Candidate, context: Context, how: Learning | None = None) -> Candidate:
    """The candidate with learned weights and biases; the weights lie exactly on the grids in its overrides.

    The network is trained with its activations rounded. No masks are needed. torch runs on the context's threads; the
    same number of threads and the same seed give the same bytes.
    Raises MissingExtraError without torch, ModelError for an operator without a differentiable form, RecipeError
    where the model outputs class ids, CalibrationError without images, PlanError, DataError.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError('learned rounding needs torch; pip install "quantseg[learn]"') from error
    from quantseg.refinement.rounding.learned.learner import learned

    return learned(candidate, context, how or Learning())
