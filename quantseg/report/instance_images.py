"""Panels of one image of a model of instances: outlines in the colours of the classes, lost and gained ones in red."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from quantseg.data.instances import Instances
from quantseg.evaluation.instances import SureInstances
from quantseg.evaluation.predictions import Comparison
from quantseg.report.images import LARGEST_SIDE, RGB, ReportImage, panel
from quantseg.report.palette import IGNORED, LOST, Colour, class_colours

FLOAT_PANEL, INT8_PANEL = "float instances, lost in red", "int8 instances, gained in red"
_FILL, _FILL_RED = 0.3, 0.55
_LINE = 5
"""Side of the filter that leaves an outline of two pixels."""

Size = tuple[int, int]


def instance_image(comparison: Comparison, classes: Sequence[str], threshold: float) -> ReportImage:
    """Draws the panels of the first image of a comparison of instances; crowds of the labels are grey.

    threshold: the score above which instances count. Raises ValueError where the models give no instances.
    """
    sure, reference = SureInstances.of(comparison, threshold), comparison.reference
    if sure is None:
        raise ValueError("the comparison has no instances")
    size = _fitted((reference.masks.shape[-2], reference.masks.shape[-1]))
    colours, canvas = class_colours(classes), _pale(reference.image, size)
    labels = None if reference.labelled is None else reference.labelled[0]
    shown = {} if reference.image is None else {"image": _scaled(reference.image, size)}
    if labels is not None:
        shown["label"] = outlined(canvas, labels, colours)
    shown[FLOAT_PANEL] = outlined(canvas, sure.reference, colours, sure.lost)
    shown[INT8_PANEL] = outlined(canvas, sure.candidate, colours, sure.gained)
    every = [sure.reference, sure.candidate, *([] if labels is None else [labels])]
    return ReportImage(
        name=reference.name,
        changed=float(comparison.changed[0].mean()),
        present=tuple(sorted({int(k) for one in every for k in one.classes})),
        ignored=labels is not None and bool(labels.crowd.any()),
        panels=tuple(panel(title, reference.name, rgb) for title, rgb in shown.items()),
        note=f"; {len(sure.lost)} lost, {len(sure.gained)} gained",
    )


def outlined(canvas: RGB, instances: Instances, colours: Sequence[Colour], red: Collection[int] = ()) -> RGB:
    """The canvas (height, width, 3) with each instance tinted and outlined in the colour of its class.

    Larger ones are drawn first, those whose numbers are in `red` last and in LOST.
    """
    drawn, size = canvas.astype(np.float32), (canvas.shape[0], canvas.shape[1])
    areas = np.count_nonzero(instances.masks, axis=(1, 2))
    for number in sorted(range(len(instances)), key=lambda k: (k in red, -int(areas[k]), k)):
        mask = _shrunk(instances.masks[number], size)
        colour = LOST if number in red else IGNORED if instances.crowd[number] else colours[instances.classes[number]]
        fill = _FILL_RED if number in red else _FILL
        drawn[mask] = (1 - fill) * drawn[mask] + fill * np.array(colour, np.float32)
        drawn[_outline(mask)] = colour
    return np.rint(drawn).astype(np.uint8)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inside = Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MinFilter(_LINE))
    return mask & ~np.asarray(inside, np.bool_)


def _shrunk(mask: NDArray[np.bool_], size: Size) -> NDArray[np.bool_]:
    """A mask at a panel's size; of one that is too small to be seen there, each pixel that it touches."""
    if mask.shape == size:
        return mask
    covered = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.BOX))
    half = covered > 127
    return np.asarray(half if half.any() else covered > 0)


def _fitted(size: Size) -> Size:
    shrink = min(1.0, LARGEST_SIDE / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def _scaled(image: RGB, size: Size) -> RGB:
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BOX))


def _pale(image: RGB | None, size: Size) -> RGB:
    """A pale grey image to draw on."""
    canvas = np.full((*size, 3), 235, np.uint8)
    if image is not None:
        grey = np.asarray(Image.fromarray(_scaled(image, size)).convert("L"))
        canvas[:] = (120 + grey[..., None] * 0.5).astype(np.uint8)
    return canvas
