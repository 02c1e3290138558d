"""One channel a class: the class with the largest number; of equal ones the first.

Softmax, and whatever else keeps the order of the classes, changes no mask.
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
    """See Head. The lead of a pixel is that of its best class over the next: it can change where both err by half."""

    name = "argmax"
    gives_numbers = True
    overlapping = False

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """Numbers in several channels, or in a number of them that the model leaves open."""
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
        """The recipe's, then plain ones."""
        return maps.class_names(classes, count)

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int | None:
        """The channels."""
        (output,) = outputs
        return int(maps.channels_first(output, recipe).shape[1])

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Array:
        """Class ids."""
        (output,) = outputs
        return np.asarray(maps.channels_first(output, recipe).argmax(axis=1))

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """The best class of each pixel against the next; a single channel against zero."""
        (output,) = outputs
        places = maps.indices(output, recipe)
        if places.shape[1] == 1:
            return maps.leads_over(0.0, output, recipe)
        flat = output.reshape(-1).astype(np.float32)
        order = np.argsort(-flat[places], axis=1, kind="stable")[:, :2]
        first, second = np.take_along_axis(places, order, axis=1).transpose(1, 0, 2, 3).reshape(2, -1)
        return maps.Leads(first, second, 0.0, flat[first] - flat[second], order[:, 0].reshape(-1))

    def losses(self, recipe: OutputRecipe) -> tuple[OutputLoss, ...]:
        """Classes compete."""
        return (OutputLoss(recipe.layout, competing=True, level=recipe.threshold),)

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """ArgMax."""
        (output,) = outputs
        return output.best_class(len(recipe.classes)), maps.read_as_ids(recipe)
