"""Shared by heads of instances: what they say about outputs and classes, and how instances become what is returned."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from quantseg.data.heads import maps
from quantseg.data.heads.head import Array
from quantseg.data.heads.instances.boxes import MOST
from quantseg.data.heads.instances.resampling import Patch
from quantseg.data.instances import Instances
from quantseg.data.values import INTEGERS, InputRecipe, OutputRecipe, listing
from quantseg.errors import ModelError, PlanError, RecipeError
from quantseg.files import limits
from quantseg.graph import TensorSpec

NEEDS = {
    "mask-rcnn": "boxes Nx4, labels N (integers), scores N and masks Nx1xHxW",
    "yolo-seg": "predictions 1x(4+classes+K)xANCHORS or 1xNx(6+K), and prototypes 1xKxHxW",
    "query-masks": "class logits 1xQxC and masks 1xQxHxW",
}
"""Head → the outputs that it reads, for messages."""


def is_real(spec: TensorSpec) -> bool:
    """Whether an output is of real numbers."""
    return spec.dtype.startswith("float")


def is_whole(spec: TensorSpec) -> bool:
    """Whether an output is of integers."""
    return spec.dtype in INTEGERS


def may_be(found: int | None, wanted: int) -> bool:
    """Whether a declared size, None where dynamic, can be this one."""
    return found in (None, wanted)


def image_like(spec: TensorSpec, size: tuple[int, int]) -> bool:
    """Whether height and width, the last two sizes, keep the image's aspect ratio up to a pixel, as far as declared."""
    height, width = spec.shape[-2:]
    if height is None or width is None:
        return True
    return abs(height * size[1] - width * size[0]) <= max(size) and height <= size[0]


def is_plain_map(spec: TensorSpec, size: tuple[int, int]) -> bool:
    """Whether three axes are those of a map without channels, of the image's own height and width."""
    return spec.shape[1:] == size


def size_of(given: InputRecipe) -> tuple[int, int]:
    """The size of the masks: that of the input."""
    assert given.size is not None
    return given.size


def refuse(head: str, outputs: Sequence[TensorSpec], name: str | None) -> NoReturn:
    """Raises ModelError: the outputs are not this head's; RecipeError where the named one is not among them."""
    if name is not None and all(spec.name != name for spec in outputs):
        raise RecipeError(f"output.name: no output {name!r}; the model has {listing(outputs)}")
    named = f" with {name!r} as the output that is named" if name is not None else ""
    raise ModelError(f"output.head: {head} needs {NEEDS[head]}; the model has {listing(outputs)}{named}")


def completed(
    recipe: OutputRecipe, head: str, spec: TensorSpec, classes: int | None, given: InputRecipe
) -> OutputRecipe:
    """The recipe of instances in `spec`, with names "class 0", "class 1" … where it has none.

    classes: their number; None where the outputs do not tell it and the names do. Raises RecipeError where the recipe
    names another number or has a layout, ModelError where masks of these sizes would fill the memory.
    """
    if recipe.layout is not None:
        raise RecipeError(f"output.layout: {head} tells it from the outputs' shapes; leave it out")
    names = recipe.classes
    if names and classes not in (None, len(names)):
        raise RecipeError(f"output.classes: {len(names)} names, but {head} over {spec} makes {classes} classes")
    count = classes if classes is not None else len(names)
    if count > maps.MAX_CLASSES:
        raise ModelError(f"output {spec} has {count:,} classes, more than {maps.MAX_CLASSES:,}; give another")
    height, width = size_of(given)
    if max(count, MOST) * height * width > limits.INSTANCE_PIXELS:
        raise ModelError(
            f"masks of {max(count, MOST)} instances or classes at {height}x{width} have more than "
            f"{limits.INSTANCE_PIXELS:,} pixels; give a smaller size=HxW"
        )
    named = names or maps.class_names((), count)
    return replace(recipe, name=spec.name, head=head, classes=named, size=(height, width))


def size_in(recipe: OutputRecipe) -> tuple[int, int]:
    """The size of the masks in a completed recipe. Raises RecipeError where it has none."""
    if recipe.size is None:
        raise RecipeError(f"output.size: the recipe of head {recipe.head!r} has none; give the height and width")
    return recipe.size


def misfit(recipe: OutputRecipe, outputs: Sequence[Array]) -> RecipeError:
    """The error that arrays do not fit a completed recipe."""
    found = ", ".join("x".join(map(str, output.shape)) or "scalar" for output in outputs)
    return RecipeError(
        f"outputs of shapes {found} are not what output.head {recipe.head} with {len(recipe.classes)} classes reads "
        f"({NEEDS[str(recipe.head)]}); correct output.head or output.classes in the recipe"
    )


def check_classes(ids: NDArray[np.int64], recipe: OutputRecipe, first: int = 0) -> None:
    """Raises RecipeError for a class beyond the names of the recipe. first: the label of class 0, for the message."""
    if ids.size and int(ids.max()) >= len(recipe.classes):
        raise RecipeError(
            f"the model finds label {int(ids.max()) + first}, and the recipe names {len(recipe.classes)} classes "
            f"from label {first}; give the names of all (classes=…)"
        )


def unknown_classes(head: str, spec: TensorSpec) -> RecipeError:
    """The error that neither an output nor the recipe tells how many classes there are."""
    return RecipeError(f"output.classes: {head} cannot tell their number from {spec}; give their names (classes=…)")


def bounded(logits: Array) -> NDArray[np.float32]:
    """Logits as float32, cut where only their sign counts, so that sums of them do not overflow."""
    wide = logits.astype(np.promote_types(logits.dtype, np.float32), copy=False)
    return np.asarray(np.clip(wide, -1e9, 1e9), np.float32)


def sigmoid(logits: Array) -> NDArray[np.float32]:
    """1 / (1 + exp(−x)), which no logit makes overflow."""
    return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)


def drawn(
    patches: Iterable[Patch], classes: NDArray[np.int64], scores: NDArray[np.float32], size: tuple[int, int]
) -> Instances:
    """Instances of masks that cover a pixel; others are none. patches: bool."""
    held = list(patches)
    seen = np.array([patch.values.any() for patch in held], np.bool_)
    masks = np.zeros((int(seen.sum()), *size), np.bool_)
    for mask, patch in zip(masks, (held[number] for number in np.flatnonzero(seen)), strict=True):
        mask[patch.rows, patch.columns] = patch.values
    return Instances(masks, classes[seen], scores[seen], np.zeros(len(masks), np.bool_))


def unions(images: Sequence[Instances], recipe: OutputRecipe) -> NDArray[np.bool_]:
    """For each image and class the pixels that instances cover: (images, classes, height, width)."""
    found = [image.planes(len(recipe.classes)) for image in images]
    return np.stack(found) if found else np.zeros((0, len(recipe.classes), *size_in(recipe)), np.bool_)


def not_folded(head: str) -> NoReturn:
    """Raises PlanError: a graph has no fixed number of instances."""
    raise PlanError(f"fold='argmax': head {head} finds any number of instances, not one class a pixel; leave it out")
