"""What heads share that read one output, a map over the image: which output that is, its layout, its leads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads.head import Array
from quantseg.data.values import CHANNEL_AXIS, INTEGERS, SPATIAL_AXES, InputRecipe, OutputRecipe, listing
from quantseg.errors import ModelError, RecipeError
from quantseg.graph import TensorSpec

MAX_CLASSES = 4096
"""An output with more channels is a feature map, not a segmentation."""


@dataclass(frozen=True)
class Map:
    """The output that holds the map. channels: how many; None where the model leaves it open."""

    spec: TensorSpec
    layout: str
    channels: int | None

    @property
    def holds_ids(self) -> bool:
        """Whether its numbers are integers."""
        return self.spec.dtype in INTEGERS

    def require_numbers(self, head: str) -> None:
        """Raises RecipeError for integers."""
        if self.holds_ids:
            self._refuse(head)

    def require_ids(self, head: str) -> None:
        """Raises RecipeError for anything but integers."""
        if not self.holds_ids:
            self._refuse(head)

    def require_one_channel(self, head: str) -> None:
        """Raises RecipeError for more."""
        if self.channels not in (1, None):
            raise RecipeError(
                f"output.head: {head} needs one channel, output {self.spec} has {self.channels}; "
                "give argmax or multilabel"
            )

    def completed(
        self, recipe: OutputRecipe, head: str, classes: int | None, names: tuple[str, ...] = ()
    ) -> OutputRecipe:
        """The recipe for this output. classes: their number, None where it stays open. names: where it has none.

        Raises RecipeError where the recipe names more or fewer classes.
        """
        if recipe.classes and classes not in (None, len(recipe.classes)):
            raise RecipeError(
                f"output.classes: {len(recipe.classes)} names, but {head} over {self.spec} makes {classes} classes"
            )
        named = recipe.classes or names or class_names((), classes or 0)
        return replace(recipe, name=self.spec.name, layout=self.layout, head=head, classes=named)

    def _refuse(self, head: str) -> None:
        raise RecipeError(
            f"output.head: {head} does not fit output {self.spec}; labels is for integers and only for them"
        )


@dataclass(frozen=True, eq=False)
class Leads:
    """Margins of one output: each lead is a difference of two of its numbers, or of one and a level.

    first, second: indices into the flat output; second is None where `level` takes its place.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64] | None
    level: float
    lead: NDArray[np.float32]
    classes: Array

    def of(self, outputs: Sequence[Array]) -> NDArray[np.float32]:
        """The same leads in another output."""
        (output,) = outputs
        flat = output.reshape(-1).astype(np.float32)
        lead: NDArray[np.float32] = flat[self.first] - (
            np.float32(self.level) if self.second is None else flat[self.second]
        )
        return lead


def find_map(recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> Map:
    """The output that `recipe.name` names, else the first that can be a map of classes over a picture.

    Raises RecipeError for a name that the model does not have or a layout that does not fit, ModelError where no output
    is image-like.
    """
    assert given.size is not None
    assert given.layout is not None
    spec = _output(recipe, outputs, given.size)
    layout = recipe.layout or _layout(spec, given.size, len(recipe.classes), given.layout)
    if (len(spec.shape) == 3) != (layout == "NHW"):
        raise RecipeError(f"output.layout: {layout} does not fit output {spec}; correct it or leave it out")
    return Map(spec, layout, 1 if layout == "NHW" else spec.shape[CHANNEL_AXIS[layout]])


def can_be_map(spec: TensorSpec, size: tuple[int, int]) -> bool:
    """Whether an output can be a map of classes over a image of this size (height, width), in any layout."""
    return any(_fits(spec, layout, size) for layout in SPATIAL_AXES)


def class_names(classes: tuple[str, ...], count: int) -> tuple[str, ...]:
    """`count` names: the recipe's, then plain ones."""
    return tuple(classes[k] if k < len(classes) else f"class {k}" for k in range(count))


def channels_first(output: Array, recipe: OutputRecipe) -> Array:
    """The output as (images, channels, height, width), whatever layout the recipe tells. Raises RecipeError."""
    dimensions = 3 if recipe.layout == "NHW" else 4
    if output.ndim != dimensions:
        raise RecipeError(
            f"output of shape {output.shape} is not {recipe.layout}; correct output.layout or output.name in the recipe"
        )
    if recipe.layout == "NHW":
        return output[:, None]
    return np.moveaxis(output, 3, 1) if recipe.layout == "NHWC" else output


def one_channel(output: Array, recipe: OutputRecipe) -> Array:
    """The output of one channel as (images, height, width). Raises RecipeError where it has more."""
    channels = channels_first(output, recipe)
    if channels.shape[1] != 1:
        raise RecipeError(
            f"head {recipe.head!r} needs one channel and the output has {channels.shape[1]}; use argmax or multilabel"
        )
    return channels[:, 0]


def indices(output: Array, recipe: OutputRecipe) -> NDArray[Any]:
    """The place of each number in the flat output, as (images, channels, height, width). Raises RecipeError."""
    return channels_first(np.arange(output.size).reshape(output.shape), recipe)


def leads_over(level: float, output: Array, recipe: OutputRecipe) -> Leads:
    """Every number against a level; of each channel, above and below are two classes. Raises RecipeError."""
    places = indices(output, recipe)
    first = places.reshape(-1)
    lead = output.reshape(-1).astype(np.float32)[first] - np.float32(level)
    channel = np.broadcast_to(np.arange(places.shape[1])[:, None, None], places.shape).reshape(-1)
    return Leads(first, None, level, lead, 2 * channel + (lead > 0))


def read_as_ids(recipe: OutputRecipe) -> OutputRecipe:
    """The recipe of a folded mask that holds class ids."""
    return replace(recipe, layout="NHW", head="labels", threshold=0.5)


def _output(recipe: OutputRecipe, outputs: Sequence[TensorSpec], size: tuple[int, int]) -> TensorSpec:
    if recipe.name is not None:
        named = [spec for spec in outputs if spec.name == recipe.name]
        if not named:
            raise RecipeError(f"output.name: no output {recipe.name!r}; the model has {listing(outputs)}")
        outputs = named
    for spec in outputs:
        said = (recipe.name, recipe.layout) == (spec.name, "NHW") and len(spec.shape) == 3  # of whatever size
        if said or can_be_map(spec, size):
            return spec
    raise ModelError(f"no image-like output: it has {listing(outputs)}; quantseg needs a map of classes")


def _layout(spec: TensorSpec, size: tuple[int, int], classes: int, input_layout: str) -> str:
    """The one layout with the image's height and width, or with the classes' channels, else the input's."""
    if len(spec.shape) == 3:
        return "NHW"
    spatial = {layout: tuple(spec.shape[axis] for axis in SPATIAL_AXES[layout]) for layout in CHANNEL_AXIS}
    tests = (
        [layout for layout, found in spatial.items() if found == size],
        [layout for layout, axis in CHANNEL_AXIS.items() if spec.shape[axis] in {classes, 1} - {0}],
        [layout for layout, found in spatial.items() if _same_aspect(found, size)],
    )
    return next((matches[0] for matches in tests if len(matches) == 1), input_layout)


def _same_aspect(found: tuple[int | None, ...], size: tuple[int, int]) -> bool:
    """Whether a map has the image's proportions, give or take the rounding of one pixel."""
    height, width = found
    if height is None or width is None:
        return False
    return abs(height * size[1] - width * size[0]) <= max(size)


def _fits(spec: TensorSpec, layout: str, size: tuple[int, int]) -> bool:
    if layout == "NHW":
        if len(spec.shape) != 3:
            return False
        return all(found in (None, side) for found, side in zip(spec.shape[1:], size, strict=True))
    if len(spec.shape) != 4:
        return False
    spatial = [spec.shape[axis] for axis in SPATIAL_AXES[layout]]
    channels = spec.shape[CHANNEL_AXIS[layout]]
    return 1 not in spatial and (channels is None or channels <= MAX_CLASSES)
