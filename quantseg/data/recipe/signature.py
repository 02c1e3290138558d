"""What a model's signature says about its recipe: which tensor is the picture, where channels are."""

from collections.abc import Sequence
from dataclasses import replace

from quantseg.data.recipe.values import CHANNELS, InputRecipe, OutputRecipe, Recipe
from quantseg.errors import ModelError, RecipeError
from quantseg.graph import TensorSpec

MAX_CLASSES = 4096
"""An output with more channels is a feature map, not a segmentation."""
_IMAGE_DTYPES = ("float32", "float16", "float64", "uint8")
_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")
_CHANNEL_AXIS = {"NCHW": 1, "NHWC": 3}
_SPATIAL_AXES = {"NCHW": (2, 3), "NHWC": (1, 2), "NHW": (1, 2)}


def complete(recipe: Recipe, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, model: str) -> Recipe:
    """The recipe with every None decided from the model's signature; `model` (its file) opens every message.

    Two fields may stay open: `channels`, None where no picture has the model's channel count (such a model
    takes arrays only), and `classes`, empty where an integer output does not tell their number. A model with
    an integer input gets raw pixels (scale 1). Completing twice changes nothing.
    Raises ModelError where no input or output is image-like, RecipeError where recipe and model contradict.
    """
    try:
        completed = _complete_input(recipe.input, image_input(inputs, recipe.input))
        assert completed.size is not None
        assert completed.layout is not None
        spec = image_output(outputs, recipe.output, size=completed.size)
        return Recipe(completed, _complete_output(recipe.output, spec, completed.size, completed.layout))
    except (ModelError, RecipeError) as error:
        raise type(error)(f"{model}: {error}") from error


def image_input(inputs: Sequence[TensorSpec], recipe: InputRecipe) -> TensorSpec:
    """The input that takes the picture: four axes and a number type; one with 1 or 3 channels goes first.

    Raises ModelError where there is none.
    """
    candidates = [spec for spec in inputs if len(spec.shape) == 4 and spec.dtype in _IMAGE_DTYPES]
    if not candidates:
        raise ModelError(f"no image-like input: it has {_listing(inputs)}; quantseg needs one of four axes")
    layouts = (recipe.layout,) if recipe.layout else tuple(_CHANNEL_AXIS)
    picture_like = (
        spec for spec in candidates if any(spec.shape[_CHANNEL_AXIS[layout]] in CHANNELS.values() for layout in layouts)
    )
    return next(picture_like, candidates[0])


def image_output(outputs: Sequence[TensorSpec], recipe: OutputRecipe, *, size: tuple[int, int]) -> TensorSpec:
    """The output that `recipe.name` names, else the first that can be a map of classes over a picture.

    Raises RecipeError for a name that the model does not have, ModelError where no output is image-like.
    """
    if recipe.name is not None:
        outputs = [spec for spec in outputs if spec.name == recipe.name] or _no_output(outputs, recipe.name)
    for spec in outputs:
        said = (recipe.name, recipe.layout) == (spec.name, "NHW") and len(spec.shape) == 3  # of whatever size
        if said or any(_fits(spec, layout, size) for layout in _SPATIAL_AXES):
            return spec
    raise ModelError(f"no image-like output: it has {_listing(outputs)}; quantseg needs a map of classes")


def _complete_input(recipe: InputRecipe, spec: TensorSpec) -> InputRecipe:
    layout = recipe.layout or _input_layout(spec)
    height_axis, width_axis = _SPATIAL_AXES[layout]
    static = (spec.shape[height_axis], spec.shape[width_axis])
    count = spec.shape[_CHANNEL_AXIS[layout]]
    channels = recipe.channels or next((name for name, n in CHANNELS.items() if n == count), None)
    if count is None:
        channels = channels or "RGB"
    elif channels is not None and CHANNELS[channels] != count:
        raise RecipeError(
            f"input.channels: {channels} has {CHANNELS[channels]}, but input {spec} has {count} "
            f"in layout {layout}; correct channels or layout"
        )
    completed = replace(recipe, size=_input_size(recipe.size, static, spec), layout=layout, channels=channels)
    known = CHANNELS[channels] if channels else count
    for key, values in (("mean", recipe.mean), ("std", recipe.std)):
        if len(values) not in (1, known):
            raise RecipeError(f"input.{key}: {len(values)} numbers for {known} channels; give 1 or {known}")
    return _raw_pixels(completed, spec) if spec.dtype in _INTEGERS else completed


def _input_layout(spec: TensorSpec) -> str:
    """Where the channels stand: at the axis of 1, 3 or 4, else at the clearly smaller of the two axes."""
    first, last = spec.shape[1], spec.shape[3]
    if first in (1, 3, 4):
        return "NCHW"
    if last in (1, 3, 4):
        return "NHWC"
    if first is not None and (last is None or first < last):
        return "NCHW"
    if last is not None and (first is None or last < first):
        return "NHWC"
    raise RecipeError(f"input.layout: not to be told from input {spec}; give NCHW or NHWC")


def _input_size(
    wanted: tuple[int, int] | None, static: tuple[int | None, int | None], spec: TensorSpec
) -> tuple[int, int]:
    if wanted is None:
        height, width = static
        if height is None or width is None:
            raise RecipeError(f"input.size: input {spec} leaves height or width open; give size=HxW")
        return height, width
    if any(fixed not in (None, side) for fixed, side in zip(static, wanted, strict=True)):
        raise RecipeError(f"input.size: {wanted[0]}x{wanted[1]} contradicts input {spec}; leave it out")
    return wanted


def _raw_pixels(recipe: InputRecipe, spec: TensorSpec) -> InputRecipe:
    raw = replace(recipe, scale=1.0, mean=(0.0,), std=(1.0,))
    default = InputRecipe()
    if (recipe.scale, recipe.mean, recipe.std) not in (
        (default.scale, default.mean, default.std),
        (raw.scale, raw.mean, raw.std),
    ):
        raise RecipeError(f"input: {spec} takes raw pixels; leave scale, mean and std out")
    return raw


def _complete_output(recipe: OutputRecipe, spec: TensorSpec, size: tuple[int, int], input_layout: str) -> OutputRecipe:
    layout = recipe.layout or _output_layout(spec, size, len(recipe.classes), input_layout)
    if (len(spec.shape) == 3) != (layout == "NHW"):
        raise RecipeError(f"output.layout: {layout} does not fit output {spec}; correct it or leave it out")
    count = 1 if layout == "NHW" else spec.shape[_CHANNEL_AXIS[layout]]
    head = recipe.head or _head(spec, count, len(recipe.classes))
    if head != "multilabel" and (head == "labels") != (spec.dtype in _INTEGERS):
        raise RecipeError(f"output.head: {head} does not fit output {spec}; labels is for integers and only for them")
    if head in ("threshold", "labels") and count not in (1, None):
        raise RecipeError(
            f"output.head: {head} needs one channel, output {spec} has {count}; give argmax or multilabel"
        )
    if head == "threshold" and len(recipe.classes) == 1:
        recipe = replace(recipe, classes=("background", *recipe.classes))
    number = {"threshold": 2, "labels": None}.get(head, count)
    if recipe.classes and number not in (None, len(recipe.classes)):
        raise RecipeError(f"output.classes: {len(recipe.classes)} names, but {head} over {spec} makes {number} classes")
    classes = recipe.classes or _class_names(head, number)
    return replace(recipe, name=spec.name, layout=layout, head=head, classes=classes)


def _output_layout(spec: TensorSpec, size: tuple[int, int], classes: int, input_layout: str) -> str:
    """The one layout with the picture's height and width, or with the classes' channels, else the input's."""
    if len(spec.shape) == 3:
        return "NHW"
    spatial = {layout: tuple(spec.shape[axis] for axis in _SPATIAL_AXES[layout]) for layout in _CHANNEL_AXIS}
    tests = (
        [layout for layout, found in spatial.items() if found == size],
        [layout for layout, axis in _CHANNEL_AXIS.items() if spec.shape[axis] in {classes, 1} - {0}],
        [layout for layout, found in spatial.items() if _same_aspect(found, size)],
    )
    return next((matches[0] for matches in tests if len(matches) == 1), input_layout)


def _same_aspect(found: tuple[int | None, ...], size: tuple[int, int]) -> bool:
    """Whether a map has the picture's proportions, give or take the rounding of one pixel."""
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
    spatial = [spec.shape[axis] for axis in _SPATIAL_AXES[layout]]
    channels = spec.shape[_CHANNEL_AXIS[layout]]
    return 1 not in spatial and (channels is None or channels <= MAX_CLASSES)


def _head(spec: TensorSpec, count: int | None, classes: int) -> str:
    if spec.dtype in _INTEGERS:
        return "labels"
    return "threshold" if count == 1 else "argmax"


def _class_names(head: str, number: int | None) -> tuple[str, ...]:
    if head == "threshold":
        return ("background", "foreground")
    return tuple(f"class {index}" for index in range(number or 0))


def _no_output(outputs: Sequence[TensorSpec], name: str) -> list[TensorSpec]:
    raise RecipeError(f"output.name: no output {name!r}; the model has {_listing(outputs)}")


def _listing(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(str(spec) for spec in specs) or "none"
