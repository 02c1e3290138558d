"""Panels of one image: the image, its labels, float mask, int8 mask and the pixels that differ, as PNG data URIs."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from quantseg.evaluation.predictions import Comparison
from quantseg.report.palette import BACKGROUND, CHANGED, IGNORED, Colour, class_colours

LARGEST_SIDE = 400
"""Panels are shrunk to this many pixels on their longer side, to keep the report small."""

RGB = NDArray[np.uint8]
_PNG = "data:image/png;base64,"


@dataclass(frozen=True)
class Panel:
    """One small image. alt: its alternative text. uri: its PNG as a data URI. width, height: in pixels."""

    title: str
    alt: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class ReportImage:
    """The panels of one image. changed: share of pixels that differ between int8 and float mask.

    present: class ids in the masks and labels. ignored: whether there are pixels of no class. note: what else is said.
    """

    name: str
    changed: float
    present: tuple[int, ...]
    ignored: bool
    panels: tuple[Panel, ...]
    note: str = ""


def image(comparison: Comparison, classes: Sequence[str], ignore_index: int | None) -> ReportImage:
    """Draws the panels of the first image of a comparison; those without content (no image, no labels) are omitted."""
    reference, candidate = comparison.reference, comparison.candidate
    changed, colours = comparison.changed[0], class_colours(classes)
    masks = {"float mask": reference.masks[0], "int8 mask": candidate.masks[0]}
    if reference.truth is not None:
        masks = {"label": _without(reference.truth[0], ignore_index), **masks}
    panels = {} if reference.image is None else {"image": reference.image}
    panels |= {title: painted(mask, colours) for title, mask in masks.items()}
    panels["pixels that differ"] = _marked(changed, reference.image)
    ids = {k for mask in masks.values() for k in _ids(mask)}
    present = ids & set(range(len(classes)))
    return ReportImage(
        name=reference.name,
        changed=float(changed.mean()),
        present=tuple(sorted(present)),
        ignored=ids != present,
        panels=tuple(panel(title, reference.name, rgb) for title, rgb in panels.items()),
    )


def painted(mask: NDArray[Any], colours: Sequence[Colour]) -> RGB:
    """A mask in the colours of its classes, (height, width, 3). Ids without a colour are drawn as ignored pixels.

    Where channels overlap, the last is drawn on top.
    """
    if mask.ndim == 3:
        canvas = np.full((*mask.shape[1:], 3), BACKGROUND, np.uint8)
        for channel, colour in zip(mask, colours, strict=True):
            canvas[channel] = colour
        return canvas
    table = np.array([*colours, IGNORED], np.uint8)
    return table[np.where((mask >= 0) & (mask < len(colours)), mask, len(colours))]


def _marked(changed: NDArray[np.bool_], image: RGB | None) -> RGB:
    """The changed pixels in one vivid colour, thickened to three pixels, over a pale grey image."""
    canvas = np.full((*changed.shape, 3), 235, np.uint8)
    if image is not None:
        grey = Image.fromarray(image).convert("L").resize(changed.shape[::-1], Image.Resampling.BOX)
        canvas[:] = (160 + np.asarray(grey)[..., None] * 0.36).astype(np.uint8)
    thicker = Image.fromarray(changed.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
    canvas[np.asarray(thicker, np.bool_)] = CHANGED
    return canvas


def _without(truth: NDArray[Any], ignore_index: int | None) -> NDArray[Any]:
    """The labels with `ignore_index` replaced by an id of no class; labels in channels are unchanged."""
    return truth if ignore_index is None or truth.ndim == 3 else np.where(truth == ignore_index, -1, truth)


def _ids(mask: NDArray[Any]) -> list[int]:
    ids = np.flatnonzero(mask.any(axis=(1, 2))) if mask.ndim == 3 else np.unique(mask)
    return [int(k) for k in ids]


def panel(title: str, name: str, rgb: RGB) -> Panel:
    """A panel of pixels (height, width, 3), shrunk to LARGEST_SIDE. name: of the image."""
    drawn = Image.fromarray(rgb)
    shrink = min(1.0, LARGEST_SIDE / max(drawn.size))
    width, height = (max(1, round(side * shrink)) for side in drawn.size)
    # Averaging would blend the colours of two classes into that of a third.
    averaged = not title.endswith(("label", "mask"))
    drawn = drawn.resize((width, height), Image.Resampling.BOX if averaged else Image.Resampling.NEAREST)
    stream = io.BytesIO()
    drawn.save(stream, "PNG", optimize=True)
    uri = _PNG + base64.b64encode(stream.getvalue()).decode("ascii")
    return Panel(title, f"{title} of {name}", uri, width, height)
