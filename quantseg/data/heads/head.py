"""The interface of an output head: the outputs that it reads, the masks that it makes of them, and their margins.

Outputs are given as arrays in the order of `Head.outputs`. A head edits no graph, runs no model and knows no framework:
for folding it is given tensors of the graph (`GraphOutput`), to learned rounding it gives a description (`OutputLoss`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from quantseg.data.instances import Instances
from quantseg.data.values import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec

Array = NDArray[Any]


class Margins(Protocol):
    """The margins of the decisions behind the masks of one batch, in flat arrays with an element for each decision.

    A decision is the class of a pixel, or of a pixel and channel where classes overlap. It changes only where the
    output's error exceeds the margin.
    """

    @property
    def lead(self) -> NDArray[np.float32]:
        """The margin of each decision in the units of the output; its sign may tell which of two classes it is."""

    @property
    def classes(self) -> Array:
        """Each decision as an integer."""

    def of(self, outputs: Sequence[Array]) -> NDArray[np.float32]:
        """The margins of the same decisions in other outputs (a quantised model's, say) of the same shapes."""


@dataclass(frozen=True)
class OutputLoss:
    """The loss of learned rounding for one output: squared error against the float model's output over its variance.

    layout: where the channels are; None: on axis 1. competing: whether the channels compete for each pixel, as in
    argmax; then the KL divergence of their softmax is added. level: the threshold where they do not compete; pixels
    near it weigh more. None: all weigh the same.
    """

    layout: str | None = None
    competing: bool = False
    level: float | None = None


class GraphOutput(Protocol):
    """An output of a graph that is to be replaced by a mask. Each method adds nodes and returns the uint8 mask."""

    def best_class(self, classes: int) -> Any:
        """ArgMax over the channels, (N, H, W). classes: 0 takes their number from the graph. PlanError for too many."""

    def above(self, threshold: float, *, channels: bool) -> Any:
        """1 above the threshold, else 0. channels: whether the mask keeps the channel axis."""

    def ids(self, classes: int) -> Any:
        """The output's class ids, (N, H, W). Raises PlanError where `classes` is 0 or more than uint8 holds."""


class Head(Protocol):
    """A way to read a model's outputs. `recipe` is completed, except in `recognises` and `complete`."""

    @property
    def name(self) -> str:
        """The head's key in HEADS and in recipes."""

    @property
    def gives_numbers(self) -> bool:
        """Whether outputs are real numbers, which have quantization noise and gradients; else they are class ids."""

    @property
    def overlapping(self) -> bool:
        """Whether masks are bool (images, classes, height, width); else they are int64 ids (images, height, width)."""

    def recognises(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> bool:
        """Whether this head reads such outputs where the recipe names no head. Raises as `complete` does."""

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        """The recipe with every None resolved. given: the completed recipe of the input.

        Raises ModelError where no output fits, RecipeError where the recipe contradicts the outputs.
        """

    def outputs(self, recipe: OutputRecipe, specs: Sequence[TensorSpec]) -> tuple[str, ...]:
        """The names of the outputs that the head reads. specs: all outputs of the model."""

    def class_names(self, classes: tuple[str, ...], count: int) -> tuple[str, ...]:
        """The names of all classes. classes: the recipe's names. count: the number of classes."""

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int | None:
        """The number of classes; None where it is known only from the ids in the masks."""

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Array:
        """The masks of a batch; see `overlapping`. Raises RecipeError where recipe and outputs do not fit."""

    def margins(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Margins:
        """The margins of these outputs, the float model's. Raises RecipeError as `masks` does."""

    def losses(self, recipe: OutputRecipe) -> tuple[OutputLoss, ...] | None:
        """The loss of learned rounding for each output; None where outputs have no gradient."""

    def fold(self, outputs: Sequence[GraphOutput], recipe: OutputRecipe) -> tuple[Any, OutputRecipe]:
        """The mask as a tensor of the graph, and the recipe that reads it; the caller sets the output's name in it.

        Raises PlanError where the mask cannot be computed in a graph.
        """


@runtime_checkable
class InstanceHead(Head, Protocol):
    """A way to read a model's outputs as instances. Its masks are, for each class, the union of its instances.

    `overlapping` is true. Masks have the completed recipe's `size`, whatever the shapes of the outputs, of which there
    may be as many rows as there are detections. `margins` are of maps that are drawn from all outputs.
    """

    def instances(self, outputs: Sequence[Array], recipe: OutputRecipe, lowest: float) -> tuple[Instances, ...]:
        """The instances of each image whose score is above `lowest`, the highest scores first.

        Raises RecipeError where recipe and outputs do not fit.
        """
