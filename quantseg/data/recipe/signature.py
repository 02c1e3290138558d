"""Completion of a recipe from the model's signature: which input takes the image, its size and layout.

Which output is read, and by which output head, is decided in `quantseg.data.heads`.
"""

from collections.abc import Sequence
from dataclasses import replace

from quantseg.data.heads import complete_output
from quantseg.data.values import CHANNEL_AXIS, CHANNELS, INTEGERS, SPATIAL_AXES, VOLUME, InputRecipe, Recipe, listing
from quantseg.errors import ModelError, RecipeError
from quantseg.graph import TensorSpec

_IMAGE_DTYPES = ("float32", "float16", "float64", "uint8")


def complete(recipe: Recipe, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, model: str) -> Recipe:
    """The recipe with every None resolved from the model's signature. model: its file; error messages begin with it.

    Three fields may stay open: `channels` is None where images do not have the model's number of channels (such a model
    takes arrays only), `classes` is empty where an integer output does not tell their number, and the input's `name`
    stays as it is. A model with an integer input gets raw pixels (scale 1). Completing twice changes nothing.
    Raises ModelError where no input or output is image-like, RecipeError where recipe and model contradict each other.
    """
    try:
        completed = _complete_input(recipe.input, image_input(inputs, recipe.input))
        return Recipe(completed, complete_output(recipe.output, outputs, completed))
    except (ModelError, RecipeError) as error:
        raise type(error)(f"{model}: {error}") from error


def image_input(inputs: Sequence[TensorSpec], recipe: InputRecipe) -> TensorSpec:
    """The input that takes the image: the one that the recipe names, else one of four axes and a numeric type.

    Of several that with the recipe's number of channels, else with 3, else with 1, else the first. Without one of
    these, an input of five axes, which takes a volume. Raises ModelError where there is none, RecipeError where the
    named one is not there or cannot take an image.
    """
    numeric = [spec for spec in inputs if spec.dtype in _IMAGE_DTYPES]
    candidates = [spec for spec in numeric if len(spec.shape) == 4 and recipe.layout != VOLUME]
    volumes = [spec for spec in numeric if len(spec.shape) == 5 and recipe.layout in (None, VOLUME)]
    if recipe.name is not None:
        return _named(recipe.name, inputs, [*candidates, *volumes])
    if not candidates and volumes:
        return volumes[0]
    if not candidates:
        raise ModelError(f"no image-like input: it has {listing(inputs)}; quantseg needs one of four axes")
    layouts = (recipe.layout,) if recipe.layout else tuple(CHANNEL_AXIS)

    def has(count: int, spec: TensorSpec) -> bool:
        return any(spec.shape[CHANNEL_AXIS[layout]] == count for layout in layouts)

    wanted = dict.fromkeys([*([CHANNELS[recipe.channels]] if recipe.channels else []), 3, 1])
    image_like = (spec for count in wanted for spec in candidates if has(count, spec))
    return next(image_like, candidates[0])


def concrete(inputs: Sequence[TensorSpec], recipe: InputRecipe) -> tuple[TensorSpec, ...]:
    """The inputs as one image at the recipe's size fills them: open batches are 1. recipe: completed."""
    image = image_input(inputs, recipe)
    assert recipe.size is not None
    channels = 1 if recipe.channels == "GRAY" else 3
    whole: tuple[int, ...] = (1, channels, *recipe.size) if recipe.layout == "NCHW" else (1, *recipe.size, channels)
    if recipe.layout == VOLUME:
        whole = (1, 1, recipe.size[0], *recipe.size)  # an open depth is taken to be the height
    filled = [whole if spec is image else (1,) * len(spec.shape) for spec in inputs]
    return tuple(
        TensorSpec(spec.name, spec.dtype, tuple(n if s is None else s for s, n in zip(spec.shape, sizes, strict=True)))
        for spec, sizes in zip(inputs, filled, strict=True)
    )


def sized_like(recipe: Recipe, inputs: Sequence[TensorSpec], shape: tuple[int, ...]) -> Recipe:
    """The recipe with the height and width of an array, where neither recipe nor model gives them.

    shape: of the array, with or without the batch axis. It stays as it is where the array has other axes.
    """
    spec = image_input(inputs, recipe.input)
    sizes = shape[-len(spec.shape) + 1 :]
    axes = (3, 4) if len(spec.shape) == 5 else SPATIAL_AXES[recipe.input.layout or _input_layout(spec)]
    if recipe.input.size is not None or len(sizes) != len(spec.shape) - 1 or None not in (spec.shape[a] for a in axes):
        return recipe
    height, width = (sizes[axis - 1] for axis in axes)
    return replace(recipe, input=replace(recipe.input, size=(height, width)))


def _complete_volume(recipe: InputRecipe, spec: TensorSpec) -> InputRecipe:
    """A volume's recipe: no channels, so that only arrays are taken, which are fed as they are."""
    size = _input_size(recipe.size, (spec.shape[3], spec.shape[4]), spec)
    return replace(recipe, size=size, layout=VOLUME, channels=None)


def _named(name: str, inputs: Sequence[TensorSpec], candidates: Sequence[TensorSpec]) -> TensorSpec:
    found = next((spec for spec in inputs if spec.name == name), None)
    if found is None:
        raise RecipeError(f"input.name: no input {name!r}; the model has {listing(inputs)}")
    if found not in candidates:
        raise RecipeError(f"input.name: input {found} takes no image; name one of four axes, float or uint8")
    return found


def _complete_input(recipe: InputRecipe, spec: TensorSpec) -> InputRecipe:
    if len(spec.shape) == 5:
        return _complete_volume(recipe, spec)
    layout = recipe.layout or _input_layout(spec)
    height_axis, width_axis = SPATIAL_AXES[layout]
    static = (spec.shape[height_axis], spec.shape[width_axis])
    count = spec.shape[CHANNEL_AXIS[layout]]
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
    return _raw_pixels(completed, spec) if spec.dtype in INTEGERS else completed


def _input_layout(spec: TensorSpec) -> str:
    """The layout: channels are on the axis of size 1, 3 or 4, else on the smaller one. Raises RecipeError."""
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
