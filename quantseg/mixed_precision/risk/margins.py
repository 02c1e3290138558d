"""How near an error comes to changing the class of a pixel, each class counting alike.

A pixel changes its class where the error of the lead, of its best class before the next, is larger than the lead. What
is counted is therefore min(1, e²/m²), m the float model's lead, e its error: 1 at the boundary, little inside. A mean
over the pixels of each class, then over the classes, weighs a rare class as mean IoU does. Few pixels decide that mean,
so the error of all pixels over the lead of all is asked beside it: the risk is the geometric mean of the two. Leads
are spread evenly around the boundary, so that both grow as the error does, and the squares of the risks of independent
errors add.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads import channels_first
from quantseg.data.recipe import OutputRecipe


@dataclass(frozen=True, eq=False)
class Judge:
    """The float model's output of one batch, as the leads of one class before another.

    first, second: indices into the flat output; lead: their difference, or without a second the distance from `level`;
    weights: of each lead, 1 together. labels: the leads are class ids, and any error changes the class.
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
        weights = 1.0 / (counts[classes] * len(counts))
        return Judge(first, second, level, lead, weights, labels)

    def risk(self, output: NDArray[Any]) -> float:
        """How much the errors of another model's output, of the same shape, come to; 0 where there are none."""
        flat = output.reshape(-1).astype(np.float32)
        lead = flat[self.first] - (np.float32(self.level) if self.second is None else flat[self.second])
        errors = np.abs(lead - self.lead)
        if self.labels:
            return float(self.weights[errors > 0].sum())
        near = np.divide(errors, np.abs(self.lead), out=(errors > 0).astype(np.float32), where=self.lead != 0)
        changing = float((np.square(np.minimum(near, 1)) * self.weights).sum())
        wrong, right = (float(np.square(values, dtype=np.float64).sum()) for values in (errors, self.lead))
        return math.sqrt(changing * math.sqrt(wrong / right)) if right else changing
