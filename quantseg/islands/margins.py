"""How near an error comes to changing the class of a pixel, each class counting alike.

A pixel changes its class where the error of the lead, of its best class before the next, is larger than the lead. What
matters is therefore e²/(m² + τ²), m the float model's lead, e its error: large at the boundary, small inside. A mean
over the pixels of each class, then over the classes, weighs a rare class as mean IoU does.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.metrics.heads import channels_first
from quantseg.recipe import OutputRecipe

SOFTNESS = 0.1
"""τ over the root mean square of the lead: nearer to the boundary than that, all pixels count alike."""


@dataclass(frozen=True, eq=False)
class Judge:
    """The float model's output of one batch, as the leads of one class before another.

    first, second: indices into the flat output; lead: their difference, or the distance from the threshold;
    weights: of each lead, Σ weights·lead² about 1.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64] | None
    lead: NDArray[np.float32]
    weights: NDArray[np.float64]

    @staticmethod
    def of(output: NDArray[Any], recipe: OutputRecipe) -> "Judge":
        """From a float output, for any head; class ids (head labels) have no lead: there any change counts as one."""
        places = channels_first(np.arange(output.size).reshape(output.shape), recipe)
        values = channels_first(output, recipe).astype(np.float32)
        if recipe.head == "argmax" and values.shape[1] > 1:
            order = np.argpartition(-values, 1, axis=1)[:, :2]
            pair = np.take_along_axis(values, order, axis=1)
            order = np.where(pair[:, :1] >= pair[:, 1:], order, order[:, ::-1])
            chosen = np.take_along_axis(places, order, axis=1)
            first, second = chosen[:, 0].reshape(-1), chosen[:, 1].reshape(-1)
            classes = order[:, 0].reshape(-1)
            flat = output.reshape(-1)
            lead = (flat[first] - flat[second]).astype(np.float32)
        else:
            first, second = places.reshape(-1), None
            level = 0.0 if recipe.head == "labels" else recipe.threshold
            lead = output.reshape(-1)[first].astype(np.float32) - np.float32(level)
            classes = (lead > 0).astype(np.int64)
        counts = np.bincount(classes)
        share = 1.0 / (counts[classes] * np.count_nonzero(counts))
        square = np.square(lead.astype(np.float64))
        softness = SOFTNESS**2 * float(square.mean()) or 1.0
        return Judge(first, second, lead, share / (square + softness))

    def risk(self, output: NDArray[Any], level: float = 0.0) -> float:
        """What the errors of another model's output weigh. 0: none."""
        flat = output.reshape(-1)
        lead = flat[self.first] - (level if self.second is None else flat[self.second])
        error = np.square((lead - self.lead).astype(np.float64))
        return float((error * self.weights).sum())
