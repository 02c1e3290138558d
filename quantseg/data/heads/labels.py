"""The model's output is class ids."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from quantseg.data.heads import maps
from quantseg.data.heads.head import Array, GraphOutput, Margins
from quantseg.data.values import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec


@final
class Labels:
    """See Head. Ids have no quantization noise and no gradient: all wrong ids are equally wrong."""

    name = "labels"
    gives_numbers = False
    overlapping = False

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """A map of integers."""
        return maps.find_map(recipe, outputs, given).holds_ids

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        """The classes are those that the recipe names; without names their number stays unknown."""
        found = maps.find_map(recipe, outputs, given)
        found.require_ids(self.name)
        found.require_one_channel(self.name)
        return found.completed(recipe, self.name, None)

    def outputs(self, recipe: OutputRecipe, specs: Sequence[TensorSpec]) -> tuple[str, ...]:
        """One map."""
        return (str(recipe.name),)

    def class_names(self, classes: tuple[str, ...], count: int) -> tuple[str, ...]:
        """The recipe's names, then "class 3" and so on."""
        return maps.class_names(classes, count)

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int | None:
        """The number of names in the recipe; None where it has none."""
        return len(recipe.classes) or None

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Array:
        """The ids of the output."""
        (output,) = outputs
        return maps.one_channel(output, recipe).astype(np.int64)

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """The id of each pixel, against zero."""
        (output,) = outputs
        first = maps.indices(output, recipe).reshape(-1)
        ids = output.reshape(-1).astype(np.float32)[first]
        return maps.Leads(first, None, 0.0, ids, ids)

    def losses(self, recipe: OutputRecipe) -> None:
        """None: ids have no gradient."""

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """A Cast to uint8, without the channel axis."""
        (output,) = outputs
        return output.ids(len(recipe.classes)), maps.read_as_ids(recipe)
