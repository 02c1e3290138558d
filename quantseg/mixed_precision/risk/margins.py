"""Margin-weighted output error: how near an output error comes to changing pixels' classes, all classes weighing alike.

The margin m of a pixel is the lead of its best class over the second best in the float model. The pixel changes its
class where the error e of that margin is larger than m. Two figures are computed. The first is min(1, e²/m²),
averaged over the pixels of each class and then over the classes, so that a rare class weighs as much as in mean IoU;
few pixels decide it. The second is the relative error √(Σe²/Σm²) over all pixels. The risk is their geometric mean.
Margins are spread evenly around the class boundary, so both grow in proportion to the error, and the squares of the
risks of independent errors add.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads import InstanceHead, Margins, head_of
from quantseg.data.recipe import OutputRecipe


@dataclass(frozen=True, eq=False)
class MarginWeightedError:
    """The reference outputs of one batch, as margins of the decisions (pixels, or pixels and classes) that they imply.

    weights: of each decision; their sum is 1. exact: the outputs are class ids, so that any error changes the class.
    """

    margins: Margins
    weights: NDArray[np.float64]
    exact: bool = False

    @staticmethod
    def of(outputs: Sequence[NDArray[Any]], recipe: OutputRecipe) -> "MarginWeightedError":
        """From the float model's outputs, in the head's order. Raises RecipeError where they do not fit the recipe."""
        head = head_of(recipe)
        margins = head.margins(outputs, recipe)
        _, classes = np.unique(margins.classes, return_inverse=True)
        counts = np.bincount(classes)
        exact = not head.gives_numbers and not isinstance(head, InstanceHead)  # their margins are scores and masks
        return MarginWeightedError(margins, 1.0 / (counts[classes] * len(counts)), exact)

    def risk(self, outputs: Sequence[NDArray[Any]]) -> float:
        """The margin-weighted error of another model's outputs, which have the same shapes; 0 where they are equal."""
        real = self.margins.lead
        errors = np.abs(self.margins.of(outputs) - real)
        if self.exact:
            return float(self.weights[errors > 0].sum())
        near = np.divide(errors, np.abs(real), out=(errors > 0).astype(np.float32), where=real != 0)
        changing = float((np.square(np.minimum(near, 1)) * self.weights).sum())
        wrong, right = (float(np.square(values, dtype=np.float64).sum()) for values in (errors, real))
        return math.sqrt(changing * math.sqrt(wrong / right)) if right else changing
