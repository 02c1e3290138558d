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

    first, second: indices into the flat output; lead: their difference, or without a second the distance from `level`;
    weights: of each lead, so that Σ weights·lead² is about 1. labels: the leads are class ids, and any error changes
    the class.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64] | None
    level: float
    lead: NDArray[np.float32]
    weights: NDArray[np.float64]
    labels: bool = False

    @staticmethod
    def of(output: NDArray[Any], recipe: OutputRecipe) -> "Judge":
        """From a float output, of the shape that the recipe's layout tells, for any head. Raises RecipeError."""
        places = channels_first(np.arange(output.size).reshape(output.shape), recipe)
        flat = output.reshape(-1).astype(np.float32)
        level = recipe.threshold if recipe.head in ("threshold", "multilabel") else 0.0
        if recipe.head == "argmax" and places.shape[1] > 1:
            values = flat[places]
            order = np.argsort(-values, axis=1, kind="stable")[:, :2]
            first, second = np.take_along_axis(places, order, axis=1).transpose(1, 0, 2, 3).reshape(2, -1)
            lead, classes = flat[first] - flat[second], order[:, 0].reshape(-1)
        else:
            first, second = places.reshape(-1), None
            lead = flat[first] - np.float32(level)
            channel = np.broadcast_to(np.arange(places.shape[1])[:, None, None], places.shape).reshape(-1)
            classes = 2 * channel + (lead > 0)
        labels = recipe.head == "labels"
        _, classes = np.unique(lead if labels else classes, return_inverse=True)
        counts = np.bincount(classes)
        share = 1.0 / (counts[classes] * len(counts))
        if labels:
            return Judge(first, second, level, lead, share, labels=True)
        square = np.square(lead.astype(np.float64))
        softness = SOFTNESS**2 * float(square.mean()) or 1.0
        return Judge(first, second, level, lead, share / (square + softness))

    def risk(self, output: NDArray[Any]) -> float:
        """What the errors of another model's output, of the same shape, weigh; 0 where there are none."""
        flat = output.reshape(-1).astype(np.float32)
        lead = flat[self.first] - (np.float32(self.level) if self.second is None else flat[self.second])
        errors = (lead - self.lead).astype(np.float64)
        return float(((errors != 0 if self.labels else np.square(errors)) * self.weights).sum())
