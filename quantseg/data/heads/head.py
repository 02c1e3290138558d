"""What a head is: the outputs that it reads, the masks that it makes of them, and what decides these masks.

Outputs are given as arrays in the order of `Head.outputs`. A head edits no graph, runs no model and knows no framework:
folding hands it tensors of the graph (`GraphOutput`), learned rounding takes a description (`OutputLoss`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantseg.data.values import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec

Array = NDArray[Any]


class Margins(Protocol):
    """The decisions behind the masks of one batch: a mask can change only where an output errs by more than a lead."""

    @property
    def lead(self) -> NDArray[np.float32]:
        """How far each decision is from another one, in the units of the output; the sign may tell which it is."""

    @property
    def classes(self) -> Array:
        """What each decision is, as a number."""

    def of(self, outputs: Sequence[Array]) -> NDArray[np.float32]:
        """The lead of the same decisions in other outputs of the same shapes."""


@dataclass(frozen=True)
class OutputLoss:
    """How learned rounding compares one output with the float model's: by squared error over its variance.

    layout: where its channels are; None: on the second axis, as they come. competing: whether the channels compete for
    each pixel; then the divergence of their softmax counts too. level: what decides where they do not compete; pixels
    weigh more the nearer they are to another decision, all alike where it is None.
    """

    layout: str | None = None
    competing: bool = False
    level: float | None = None


class GraphOutput(Protocol):
    """An output of a graph, as it is replaced by a mask. Each method adds nodes and gives the mask, uint8."""

    def best_class(self, classes: int) -> Any:
        """ArgMax over the channels, (N, H, W). classes: 0 where only the graph tells. Raises PlanError for too many."""

    def above(self, threshold: float, *, channels: bool) -> Any:
        """1 above the threshold, else 0; with the axis of the channels or without."""

    def ids(self, classes: int) -> Any:
        """The class ids as they are, (N, H, W). Raises PlanError where `classes` is 0 or too many."""


class Head(Protocol):
    """A way to read a model. `recipe` is completed, but in `recognises` and `complete`."""

    @property
    def name(self) -> str:
        """Its key in HEADS and in recipes."""

    @property
    def gives_numbers(self) -> bool:
        """Whether the outputs are real numbers, which have noise and gradients; else they are class ids."""

    @property
    def overlapping(self) -> bool:
        """Whether masks are bool planes (images, classes, height, width); else they are int64 ids, without classes."""

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """Whether to read outputs like these so where no head is named. Raises as `complete` does."""

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        """The recipe with every None decided. given: the completed recipe of the input.

        Raises ModelError where no output fits, RecipeError where the recipe contradicts them.
        """

    def outputs(self, recipe: OutputRecipe, specs: Sequence[TensorSpec]) -> tuple[str, ...]:
        """The names of the outputs to ask for, among all that the model has."""

    def class_names(self, classes: tuple[str, ...], count: int) -> tuple[str, ...]:
        """The names of all classes. classes: the recipe's. count: how many were told apart."""

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int | None:
        """How many classes are told apart; None where only the masks show it."""

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Array:
        """The masks of a batch; see `overlapping`. Raises RecipeError where recipe and outputs do not fit."""

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """What decides the masks of the float model's outputs. Raises RecipeError as `masks` does."""

    def losses(self, recipe: OutputRecipe) -> tuple[OutputLoss, ...] | None:
        """For each output what learned rounding makes small; None where outputs have no gradient."""

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """The mask as a tensor of the graph, and the recipe that reads it. Raises PlanError where it has no such form.

        The mask's name in the recipe is left to the caller.
        """
