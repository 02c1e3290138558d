"""One channel: class 1 where its value is above the threshold, else class 0."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np

from quantseg.data.heads import maps
from quantseg.data.heads.head import Array, GraphOutput, Margins, OutputLoss
from quantseg.data.values import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec


@final
class Threshold:
    """See Head. The margin of a pixel is its distance from the threshold."""

    name = "threshold"
    gives_numbers = True
    overlapping = False

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """A real-valued map with one channel."""
        found = maps.find_map(recipe, outputs, given)
        return not found.holds_ids and found.channels == 1

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        """Two classes; a single name in the recipe is that of the foreground."""
        found = maps.find_map(recipe, outputs, given)
        found.require_numbers(self.name)
        found.require_one_channel(self.name)
        if len(recipe.classes) == 1:
            recipe = replace(recipe, classes=self.class_names(recipe.classes, 2))
        return found.completed(recipe, self.name, 2, self.class_names((), 2))

    def outputs(self, recipe: OutputRecipe, specs: Sequence[TensorSpec]) -> tuple[str, ...]:
        """One map."""
        return (str(recipe.name),)

    def class_names(self, classes: tuple[str, ...], count: int) -> tuple[str, ...]:
        """The names of background and foreground; a single name is the foreground's."""
        if len(classes) < 2:
            return ("background", *(classes or ("foreground",)))
        return maps.class_names(classes, count)

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int | None:
        """Two."""
        return 2

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Array:
        """Class ids 0 and 1."""
        (output,) = outputs
        return (maps.one_channel(output, recipe) > recipe.threshold).astype(np.int64)

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """Each pixel against the threshold."""
        (output,) = outputs
        return maps.leads_over(recipe.threshold, output, recipe)

    def losses(self, recipe: OutputRecipe) -> tuple[OutputLoss, ...]:
        """One loss, in which values near the threshold weigh most."""
        return (OutputLoss(recipe.layout, level=recipe.threshold),)

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """Greater, without the channel axis."""
        (output,) = outputs
        return output.above(recipe.threshold, channels=False), maps.read_as_ids(recipe)
