"""Learned rounding: which of its integers each weight becomes, learned on the calibration images without a label.

The nearest integer is the best for a weight alone and not for the sum that it is in. First each part of the network is
learned to make what it makes in float, then the whole network at once to give the float model's answer, the pixels that
are about to change their class most of all. torch is an extra (`pip install "quantseg[learn]"`), imported when it is
asked for. Sources: AdaRound, Nagel et al., arXiv:2004.10568; BRECQ, Li et al., arXiv:2102.05426.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from quantseg.data import Dataset
from quantseg.data.recipe import Recipe
from quantseg.errors import MissingExtraError
from quantseg.graph.preparation import Prepared
from quantseg.progress import Track, quiet
from quantseg.quantization.affine import Range
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import QType

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


def learn(
    prepared: Prepared,
    ranges: Mapping[str, Range],
    settings: QuantSettings,
    recipe: Recipe,
    input_name: str,
    data: Dataset,
    *,
    weight: QType | None = None,
    rounding: str = ROUNDING,
    largest_part: int = LARGEST_PART,
    iterations: int = ITERATIONS,
    seed: int = 0,
    boundary_weight: float = BOUNDARY_WEIGHT,
    threads: int = 1,
    checkpoint: Path | None = None,
    track: Track = quiet,
) -> Prepared:
    """The prepared model with learned weights and biases: `Prepared.weights` has the grids that they lie on exactly.

    ranges: of the activations, whose rounding is in the network while it learns. recipe: completed. data: the
    calibration images, which need no masks. weight: the type of the weights, where it is not that of the settings: plan
    with the same one. rounding: one of rounding.ROUNDINGS. largest_part: most weights that are learned together before
    all are. iterations: steps of each part; NETWORK_SHARE times as many of all. threads: torch's; for the same number
    of them the result is the same to the byte. checkpoint: a file in which unfinished work is kept and from which it
    goes on; the caller removes it once the result is safe.
    Raises MissingExtraError without torch, ModelError for an operator that nothing can be learned through, RecipeError
    where the model gives class ids, CalibrationError without images or for a checkpoint of other work, PlanError,
    DataError.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError('learned rounding needs torch; pip install "quantseg[learn]"') from error
    from quantseg.refinement.rounding.learned.learner import learned

    return learned(
        prepared,
        ranges,
        settings if weight is None else replace(settings, weight=weight),
        recipe,
        input_name,
        data,
        rounding=rounding,
        largest_part=largest_part,
        part_steps=iterations,
        steps=NETWORK_SHARE * iterations,
        seed=seed,
        boundary_weight=boundary_weight,
        threads=threads,
        checkpoint=checkpoint,
        track=track,
    )
