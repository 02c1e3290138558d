"""Which outputs are YOLO's predictions and prototypes, and along which axis the anchors lie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quantseg.data.heads.instances import reading
from quantseg.data.values import OutputRecipe
from quantseg.graph import TensorSpec

_STRIDES = (4, 8, 16, 32, 64, 128)
_FINAL = 6
"""Numbers before the coefficients in a row after suppression: four of the box, score, class."""


@dataclass(frozen=True)
class Form:
    """How predictions are laid out. axis: of the anchors, 1 or 2. classes: None where the shape does not tell.

    final: whether they are rows after suppression.
    """

    axis: int
    classes: int | None
    final: bool = False


@dataclass(frozen=True)
class YoloOutputs:
    """The outputs, and the form of the predictions."""

    predictions: TensorSpec
    prototypes: TensorSpec
    form: Form


def find(
    recipe: OutputRecipe, outputs: Sequence[TensorSpec], size: tuple[int, int] | None, *, strict: bool
) -> YoloOutputs | None:
    """The outputs; None where there are none such. size: of the input.

    strict: whether the number of anchors must be one that two strides or more give, and prototypes smaller than the
    image, as other outputs could be taken for these; else such outputs are taken where there are no better ones.
    """
    sure = _first(recipe, outputs, size, strict=True)
    return sure if sure is not None or strict else _first(recipe, outputs, size, strict=False)


def form_of(shape: tuple[int, ...], coefficients: int, recipe: OutputRecipe) -> Form | None:
    """The form of an array of predictions, by a completed recipe; None where they do not fit."""
    classes = len(recipe.classes)
    if recipe.nms_iou is None:
        return Form(1, None, final=True) if shape[2] == _FINAL + coefficients else None
    numbers = 4 + classes + coefficients
    return next((Form(3 - axis, classes) for axis in (1, 2) if shape[axis] == numbers), None)


def anchor_counts(size: tuple[int, int]) -> frozenset[int]:
    """The numbers of anchors that two or more strides in a row make of an image, an anchor for each place."""
    fitting = [stride for stride in _STRIDES if stride <= min(size)]
    cells = [-(-size[0] // stride) * -(-size[1] // stride) for stride in fitting]
    ends = range(len(cells) + 1)
    return frozenset(sum(cells[first:last]) for first in ends for last in ends if last - first >= 2)


def _first(
    recipe: OutputRecipe, outputs: Sequence[TensorSpec], size: tuple[int, int] | None, *, strict: bool
) -> YoloOutputs | None:
    real = [spec for spec in outputs if reading.is_real(spec)]
    for predictions in (spec for spec in real if len(spec.shape) == 3 and recipe.name in (None, spec.name)):
        if size is not None and reading.is_plain_map(predictions, size):
            continue
        for prototypes in (spec for spec in real if len(spec.shape) == 4):
            if size is not None and not reading.image_like(prototypes, size):
                continue
            if strict and size is not None and prototypes.shape[2] == size[0]:
                continue
            form = next(_forms(predictions, prototypes, recipe, size, strict), None)
            if form is not None:
                return YoloOutputs(predictions, prototypes, form)
    return None


def _forms(
    predictions: TensorSpec, prototypes: TensorSpec, recipe: OutputRecipe, size: tuple[int, int] | None, strict: bool
) -> Iterator[Form]:
    """The forms that the declared shapes allow, the likeliest first."""
    known, named = prototypes.shape[1], len(recipe.classes)
    counts = frozenset[int]() if size is None else anchor_counts(size)
    if known is None:
        return
    shape = predictions.shape
    sure, likely, possible = list[Form](), list[Form](), list[Form]()
    for axis in (1, 2):
        numbers, anchors = shape[3 - axis], shape[axis]
        classes = None if numbers is None else numbers - 4 - known
        if classes is None or classes >= 1:
            place = sure if anchors in counts and classes is not None else likely if anchors is None else possible
            place.append(Form(axis, classes))
    final = shape[2] == _FINAL + known and shape[1] != known and recipe.nms_iou is None
    # Rows of 6+K numbers are predictions of two classes only where their number is right and no names say otherwise.
    clear = [form for form in sure if not final or (form.axis == 1 and named in (0, form.classes))]
    yield from _first_named(clear, named)
    if final:
        yield Form(1, None, final=True)
    yield from _first_named([form for form in likely if form.classes is not None], named)
    if not strict:
        yield from _first_named([*likely, *possible], named)


def _first_named(forms: list[Form], named: int) -> list[Form]:
    """The same forms; those with as many classes as the recipe names, then those with fewest, come first."""
    return sorted(forms, key=lambda form: (form.classes != named, form.classes is None, form.classes or 0))
