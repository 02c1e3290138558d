"""Outputs of models that find instances, made of known instances: so that reading them must give these back."""

from dataclasses import dataclass

import numpy as np

from quantseg.data.heads import complete_output
from quantseg.data.instances import Instances
from quantseg.data.recipe import InputRecipe, OutputRecipe
from quantseg.graph import TensorSpec

SIZE = (32, 48)
NAMES = ("a", "b", "c")
INPUT = InputRecipe(size=SIZE, layout="NCHW", channels="RGB")
ANCHORS = 4 * 6 + 2 * 3
"""Of the strides 8 and 16."""
LOGIT = 8.0


@dataclass(frozen=True)
class Made:
    """Outputs by name, as they are declared and as arrays."""

    specs: tuple[TensorSpec, ...]
    arrays: dict[str, np.ndarray]

    def recipe(self, **given) -> OutputRecipe:
        """Completed, with three classes where `given` has no others."""
        return complete_output(OutputRecipe(**{"classes": NAMES, **given}), self.specs, INPUT)


def made(arrays: dict[str, np.ndarray], **shapes: tuple[int | None, ...]) -> Made:
    """shapes: declared ones, where they differ from those of the arrays."""
    specs = (TensorSpec(name, str(array.dtype), shapes.get(name, array.shape)) for name, array in arrays.items())
    return Made(tuple(specs), arrays)


def rectangles(seed: int, count: int = 4, size: tuple[int, int] = SIZE) -> Instances:
    """Random rectangles apart from each other by columns, with holes; scores differ, best first."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, *size), bool)
    width = size[1] // max(count, 1)
    for number, mask in enumerate(masks):
        top, left = int(rng.integers(0, size[0] // 2)), number * width
        bottom, right = top + int(rng.integers(4, size[0] // 2)), left + int(rng.integers(3, width))
        mask[top:bottom, left:right] = rng.random((bottom - top, right - left)) > 0.2
        mask[[top, bottom - 1], left] = mask[top, [left, right - 1]] = True  # so that the box is known
    scores = np.sort(rng.permutation(np.arange(60, 99))[:count])[::-1] / 100
    return Instances.of(masks, rng.integers(0, len(NAMES), count), scores.astype(np.float32))


def boxes_of(found: Instances) -> np.ndarray:
    """The smallest boxes around the masks."""
    boxes = np.zeros((len(found), 4), np.float32)
    for box, mask in zip(boxes, found.masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def mask_rcnn(found: Instances, *, pasted: bool = True) -> Made:
    """Masks of the whole image, or 28x28 in boxes of that size around the middle of the image."""
    masks = found.masks[:, None].astype(np.float32)
    arrays = {"boxes": boxes_of(found), "labels": found.classes + 1, "scores": found.scores}
    if not pasted:
        arrays["boxes"] = np.tile(np.array([10, 2, 38, 30], np.float32), (len(found), 1))
        masks = masks[:, :, 2:30, 10:38]
    return made(
        {**arrays, "masks": masks}, boxes=(None, 4), labels=(None,), scores=(None,), masks=(None, *masks.shape[1:])
    )


def yolo(found: Instances, seed: int = 0) -> Made:
    """Each instance at a random anchor with a prototype of its own, of the image's size; all other scores are 0."""
    rng = np.random.default_rng(seed)
    count, boxes = len(found), boxes_of(found)
    anchors = rng.permutation(ANCHORS)[:count]
    rows = np.zeros((ANCHORS, 4 + len(NAMES) + max(count, 1)), np.float32)
    rows[:, 2:4] = 5
    rows[anchors, :4] = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
    rows[anchors, 4 + found.classes] = found.scores
    rows[anchors, 4 + len(NAMES) + np.arange(count)] = 1
    prototypes = np.where(found.masks, LOGIT, -LOGIT).astype(np.float32) if count else np.zeros((1, *SIZE), np.float32)
    return made({"output0": rows.T[None].copy(), "output1": prototypes[None]})


def rows(found: Instances) -> Made:
    """YOLO's rows after suppression, in another order, with empty ones behind."""
    prototypes = yolo(found).arrays["output1"]
    made_rows = np.zeros((1, len(found) + 5, 6 + prototypes.shape[1]), np.float32)
    for number in range(len(found)):
        row = made_rows[0, len(found) - 1 - number]
        row[:4], row[4], row[5] = boxes_of(found)[number], found.scores[number], found.classes[number]
        row[6 + number] = 1
    return made({"output0": made_rows, "output1": prototypes})


def queries(found: Instances, *, nothing: bool = True) -> Made:
    """A query for each instance and two that find nothing. nothing: whether a logit means "no object"."""
    count = len(found) + 2
    logits = np.full((1, count, len(NAMES)), -30.0, np.float32)
    logits[0, np.arange(len(found)), found.classes] = np.log(found.scores / (1 - found.scores))
    if nothing:
        logits = np.concatenate([logits, np.where(np.arange(count) < len(found), 0, 30)[None, :, None]], axis=2)
    masks = np.full((1, count, *SIZE), -60.0, np.float32)
    masks[0, : len(found)][found.masks] = 60
    return made({"logits": logits.astype(np.float32), "masks": masks})
