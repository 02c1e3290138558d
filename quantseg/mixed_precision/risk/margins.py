"""How near an error comes to changing the class of a pixel, each class counting alike.

A pixel changes its class where the error of the lead, of its best class before the next, is larger than the lead. What
is counted is therefore min(1, e²/m²), m the float model's lead, e its error: 1 at the boundary, little inside. A mean
over the pixels of each class, then over the classes, weighs a rare class as mean IoU does. Few pixels decide that mean,
so the error of all pixels over the lead of all is asked beside it: the risk is the geometric mean of the two. Leads
are spread evenly around the boundary, so that both grow as the error does, and the squares of the risks of independent
errors add.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads import Margins, head_of
from quantseg.data.recipe import OutputRecipe


@dataclass(frozen=True, eq=False)
class MarginWeightedError:
    """The float model's outputs for one batch, as the leads of what they decide.

    weights: of each decision, 1 together. exact: the leads are class ids, and any error changes the class.
    """

    margins: Margins
    weights: NDArray[np.float64]
    exact: bool = False

    @staticmethod
    def of(outputs: Sequence[NDArray[Any]], recipe: OutputRecipe) -> "MarginWeightedError":
        """From the outputs that the recipe's head reads, in its order. Raises RecipeError where they do not fit it."""
        head = head_of(recipe)
        margins = head.margins(outputs, recipe)
        _, classes = np.unique(margins.classes, return_inverse=True)
        counts = np.bincount(classes)
        return MarginWeightedError(margins, 1.0 / (counts[classes] * len(counts)), not head.gives_numbers)

    def risk(self, outputs: Sequence[NDArray[Any]]) -> float:
        """How much the errors of another model's outputs, of the same shapes, come to; 0 where there are none."""
        real = self.margins.lead
        errors = np.abs(self.margins.of(outputs) - real)
        if self.exact:
            return float(self.weights[errors > 0].sum())
        near = np.divide(errors, np.abs(real), out=(errors > 0).astype(np.float32), where=real != 0)
        changing = float((np.square(np.minimum(near, 1)) * self.weights).sum())
        wrong, right = (float(np.square(values, dtype=np.float64).sum()) for values in (errors, real))
        return math.sqrt(changing * math.sqrt(wrong / right)) if right else changing
