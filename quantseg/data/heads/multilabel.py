"""One channel per class: each class where its own channel is above the threshold, so that classes may overlap."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np

from quantseg.data.heads import maps
from quantseg.data.heads.head import Array, GraphOutput, Margins, OutputLoss
from quantseg.data.values import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec


@final
class Multilabel:
    """See Head. Each channel of each pixel is a decision of its own; its margin is its distance from the threshold."""

    name = "multilabel"
    gives_numbers = True
    overlapping = True

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """Never: the outputs of argmax models look the same."""
        return False

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        """As many classes as channels; integers are masks of zeros and ones."""
        found = maps.find_map(recipe, outputs, given)
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
        """One bool plane per class."""
        (output,) = outputs
        return np.asarray(maps.channels_first(output, recipe) > recipe.threshold)

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """Each channel of each pixel against the threshold."""
        (output,) = outputs
        return maps.leads_over(recipe.threshold, output, recipe)

    def losses(self, recipe: OutputRecipe) -> tuple[OutputLoss, ...]:
        """One loss, in which values near the threshold weigh most."""
        return (OutputLoss(recipe.layout, level=recipe.threshold),)

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """Greater, in the layout of the output: a mask of zeros and ones for each class."""
        (output,) = outputs
        return output.above(recipe.threshold, channels=True), replace(recipe, threshold=0.5)
