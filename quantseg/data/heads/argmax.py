"""One channel per class: the class with the largest value; the first one at ties.

Softmax, and every other function that keeps the order of the classes, leaves the masks unchanged.
"""

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from quantseg.data.heads import maps
from quantseg.data.heads.head import Array, GraphOutput, Margins, OutputLoss
from quantseg.data.values import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec


@final
class Argmax:
    """See Head. The margin of a pixel is its best class's value minus the next one's.

    The mask can change only where both values are wrong by half of the margin.
    """

    name = "argmax"
    gives_numbers = True
    overlapping = False

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """A real-valued map with several channels, or with a dynamic number of them."""
        found = maps.find_map(recipe, outputs, given)
        return not found.holds_ids and found.channels != 1

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        """As many classes as channels."""
        found = maps.find_map(recipe, outputs, given)
        found.require_numbers(self.name)
        return found.completed(recipe, self.name, found.channels)

    def outputs(self, recipe: OutputRecipe, specs: Sequence[TensorSpec]) -> tuple[str, ...]:
        """One map."""
        return (str(recipe.name),)

    def class_names(self, classes: tuple[str, ...], count: int) -> tuple[str, ...]:
        """The recipe's names, then "class 3" and so on."""
        return maps.class_names(classes, count)

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int | None:
        """The number of channels."""
        (output,) = outputs
        return int(maps.channels_first(output, recipe).shape[1])

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Array:
        """Class ids."""
        (output,) = outputs
        return np.asarray(maps.channels_first(output, recipe).argmax(axis=1))

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """The best class of each pixel against the next best; a single channel against zero."""
        (output,) = outputs
        places = maps.indices(output, recipe)
        if places.shape[1] == 1:
            return maps.leads_over(0.0, output, recipe)
        flat = output.reshape(-1).astype(np.float32)
        order = np.argsort(-flat[places], axis=1, kind="stable")[:, :2]
        first, second = np.take_along_axis(places, order, axis=1).transpose(1, 0, 2, 3).reshape(2, -1)
        return maps.Leads(first, second, 0.0, flat[first] - flat[second], order[:, 0].reshape(-1))

    def losses(self, recipe: OutputRecipe) -> tuple[OutputLoss, ...]:
        """One loss, in which the classes compete for each pixel."""
        return (OutputLoss(recipe.layout, competing=True, level=recipe.threshold),)

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """ArgMax."""
        (output,) = outputs
        return output.best_class(len(recipe.classes)), maps.read_as_ids(recipe)
