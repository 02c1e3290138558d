"""Shared by heads that read one output with a value for each pixel (a map): its name, its layout, its margins."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads.head import Array
from quantseg.data.values import CHANNEL_AXIS, INTEGERS, SPATIAL_AXES, VOLUME, InputRecipe, OutputRecipe, listing
from quantseg.errors import ModelError, RecipeError
from quantseg.graph import TensorSpec

_AXES = {"NCHW": 4, "NHWC": 4, "NHW": 3, VOLUME: 5}
"""Layout of an output → number of its axes."""
MAX_CLASSES = 4096
"""An output with more channels is a feature map, not a segmentation."""


@dataclass(frozen=True)
class Map:
    """The output that is the map. channels: their number, None where dynamic."""

    spec: TensorSpec
    layout: str
    channels: int | None

    @property
    def holds_ids(self) -> bool:
        """Whether the output's type is an integer."""
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
        """Raises RecipeError for several channels."""
        if self.channels not in (1, None):
            raise RecipeError(
                f"output.head: {head} needs one channel, output {self.spec} has {self.channels}; "
                "give argmax or multilabel"
            )

    def completed(
        self, recipe: OutputRecipe, head: str, classes: int | None, names: tuple[str, ...] = ()
    ) -> OutputRecipe:
        """The recipe for this output. classes: their number, None where unknown. names: default class names.

        Raises RecipeError where the recipe names more or fewer classes, ModelError for more than MAX_CLASSES.
        """
        if (classes or 0) > MAX_CLASSES:
            raise ModelError(
                f"output {self.spec} has {classes:,} channels, more than {MAX_CLASSES:,} classes; give another"
            )
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
    """Margins of one output: each is the difference of two of its elements, or of an element and `level`.

    first, second: indices of these elements in the flattened output; second is None where `level` is subtracted.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64] | None
    level: float
    lead: NDArray[np.float32]
    classes: Array

    def of(self, outputs: Sequence[Array]) -> NDArray[np.float32]:
        """The same differences in another output of the same shape."""
        (output,) = outputs
        flat = output.reshape(-1).astype(np.float32)
        lead: NDArray[np.float32] = flat[self.first] - (
            np.float32(self.level) if self.second is None else flat[self.second]
        )
        return lead


def find_map(recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> Map:
    """The output that `recipe.name` names, else the first that can be a segmentation map (see `can_be_map`).

    Raises RecipeError for a name that the model does not have or a layout that does not fit, ModelError where no output
    is image-like.
    """
    assert given.size is not None
    assert given.layout is not None
    spec = _output(recipe, outputs, given.size)
    layout = recipe.layout or _layout(spec, given.size, len(recipe.classes), given.layout)
    if len(spec.shape) != _AXES[layout]:
        raise RecipeError(f"output.layout: {layout} does not fit output {spec}; correct it or leave it out")
    return Map(spec, layout, 1 if layout == "NHW" else spec.shape[CHANNEL_AXIS.get(layout, 1)])


def can_be_map(spec: TensorSpec, size: tuple[int, int]) -> bool:
    """Whether an output can be a segmentation map for an image of this size (height, width), in any layout."""
    return any(_fits(spec, layout, size) for layout in _AXES)


def class_names(classes: tuple[str, ...], count: int) -> tuple[str, ...]:
    """`count` names: the recipe's, then "class 3" and so on."""
    return tuple(classes[k] if k < len(classes) else f"class {k}" for k in range(count))


def channels_first(output: Array, recipe: OutputRecipe) -> Array:
    """The output as (images, channels, height, width), from the recipe's layout. Raises RecipeError.

    The slices of a volume stand one below another: its height is depth times height.
    """
    if output.ndim != _AXES[str(recipe.layout)]:
        raise RecipeError(
            f"output of shape {output.shape} is not {recipe.layout}; correct output.layout or output.name in the recipe"
        )
    if recipe.layout == "NHW":
        return output[:, None]
    if recipe.layout == VOLUME:
        return output.reshape(*output.shape[:2], -1, output.shape[-1])
    return np.moveaxis(output, 3, 1) if recipe.layout == "NHWC" else output


def one_channel(output: Array, recipe: OutputRecipe) -> Array:
    """A single-channel output as (images, height, width). Raises RecipeError where it has more channels."""
    channels = channels_first(output, recipe)
    if channels.shape[1] != 1:
        raise RecipeError(
            f"head {recipe.head!r} needs one channel and the output has {channels.shape[1]}; use argmax or multilabel"
        )
    return channels[:, 0]


def indices(output: Array, recipe: OutputRecipe) -> NDArray[Any]:
    """The index of each element in the flattened output, as (images, channels, height, width). Raises RecipeError."""
    return channels_first(np.arange(output.size).reshape(output.shape), recipe)


def leads_over(level: float, output: Array, recipe: OutputRecipe) -> Leads:
    """The margins of every element over a level; each channel has two classes, below and above. Raises RecipeError."""
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
        said = (recipe.name, recipe.layout) == (spec.name, "NHW") and len(spec.shape) == 3  # of any size
        if said or can_be_map(spec, size):
            return spec
    raise ModelError(f"no image-like output: it has {listing(outputs)}; quantseg needs a map of classes")


def _layout(spec: TensorSpec, size: tuple[int, int], classes: int, input_layout: str) -> str:
    """The only layout that gives the image's height and width, else the number of classes, else the aspect ratio.

    The input's layout where none of these decides.
    """
    if len(spec.shape) == 3:
        return "NHW"
    if len(spec.shape) == 5:
        return VOLUME
    spatial = {layout: tuple(spec.shape[axis] for axis in SPATIAL_AXES[layout]) for layout in CHANNEL_AXIS}
    tests = (
        [layout for layout, found in spatial.items() if found == size],
        [layout for layout, axis in CHANNEL_AXIS.items() if spec.shape[axis] in {classes, 1} - {0}],
        [layout for layout, found in spatial.items() if _same_aspect(found, size)],
    )
    return next((matches[0] for matches in tests if len(matches) == 1), input_layout)


def _same_aspect(found: tuple[int | None, ...], size: tuple[int, int]) -> bool:
    """Whether a map has the image's aspect ratio, up to one pixel of rounding."""
    height, width = found
    if height is None or width is None:
        return False
    return abs(height * size[1] - width * size[0]) <= max(size)


def _fits(spec: TensorSpec, layout: str, size: tuple[int, int]) -> bool:
    if layout == "NHW":
        if len(spec.shape) != 3:
            return False
        return all(found in (None, side) for found, side in zip(spec.shape[1:], size, strict=True))
    if layout == VOLUME or len(spec.shape) != 4:
        return layout == VOLUME and len(spec.shape) == 5 and (spec.shape[1] or 1) <= MAX_CLASSES
    spatial = [spec.shape[axis] for axis in SPATIAL_AXES[layout]]
    channels = spec.shape[CHANNEL_AXIS[layout]]
    return 1 not in spatial and (channels is None or channels <= MAX_CLASSES)
