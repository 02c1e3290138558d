"""Learned rounding: which of its integers each weight becomes, learned on the calibration images without a label.

The nearest integer is the best for a weight alone and not for the sum that it is in. First each part of the network is
learned to make what it makes in float, then the whole network at once to give the float model's answer, the pixels that
are about to change their class most of all. torch is an extra (`pip install "quantseg[learn]"`), imported when it is
asked for. Sources: AdaRound, Nagel et al., arXiv:2004.10568; BRECQ, Li et al., arXiv:2102.05426.
"""

from dataclasses import dataclass

from quantseg.calibration.context import Context
from quantseg.errors import MissingExtraError
from quantseg.quantization.candidate import Candidate

ITERATIONS = 150
"""Steps of each part, one image each."""
NETWORK_SHARE = 3
"""How many times as many the whole network gets."""
ROUNDING = "straight-through"
"""How integers are chosen; or "adaround". On the reference model `linknet` at 4 bits, 20 steps layer by layer bring the
answer from 20.2 to 27.8 dB with the one and to 25.6 dB with the other."""
LARGEST_PART = 4
"""Most weights in a part, where no single tensor carries everything: 1 is layer by layer, more is block by block. Of
parts alone `linknet` has 28.7 dB after 30 steps layer by layer, and after 50 steps of four weights at a time 29.5."""
BOUNDARY_WEIGHT = 4.0
"""How much more than others a pixel weighs whose two best classes are level."""


@dataclass(frozen=True)
class Learning:
    """How rounding is learned.

    rounding: one of rounding.ROUNDINGS. largest_part: most weights that are learned together before all are.
    iterations: steps of each part; NETWORK_SHARE times as many of all. boundary_weight: see BOUNDARY_WEIGHT.
    """

    rounding: str = ROUNDING
    largest_part: int = LARGEST_PART
    iterations: int = ITERATIONS
    boundary_weight: float = BOUNDARY_WEIGHT


def learn(candidate: Candidate, context: Context, how: Learning | None = None) -> Candidate:
    """The candidate with learned weights and biases: its overrides have the grids that they lie on exactly.

    The rounding of activations is in the network while it learns. The context's data need no masks, its threads are
    torch's; for the same number of them and the same seed the result is the same to the byte.
    Raises MissingExtraError without torch, ModelError for an operator that nothing can be learned through, RecipeError
    where the model gives class ids, CalibrationError without images, PlanError, DataError.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError('learned rounding needs torch; pip install "quantseg[learn]"') from error
    from quantseg.refinement.rounding.learned.learner import learned

    return learned(candidate, context, how or Learning())
