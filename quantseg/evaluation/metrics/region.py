"""Region metrics (IoU, Dice, precision, recall): the masks compared pixel by pixel.

Class maps give a confusion matrix. Channels may overlap, so a pixel has no single class, and only the overlap of each
channel is counted.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.evaluation.metrics.confusion import ConfusionMatrix
from quantseg.evaluation.metrics.masks import check_shapes
from quantseg.evaluation.metrics.overlap import Overlap


def region(
    truth: NDArray[Any], prediction: NDArray[Any], classes: int, ignore_index: int | None
) -> ConfusionMatrix | Overlap:
    """Tally of two class maps (height, width) or of two stacks of channels (classes, height, width).

    `ignore_index` is not used for channels. Raises DataError for differing shapes or ids out of range.
    """
    if truth.ndim == 2:
        return ConfusionMatrix.from_masks(truth, prediction, classes, ignore_index)
    check_shapes(truth, prediction)
    return Overlap(_pixels(truth & prediction), _pixels(truth), _pixels(prediction))


def class_pixels(tally: object) -> tuple[tuple[int, int], ...]:
    """From a tally of `region`: the numbers of pixels that hold each class in the truth and in the prediction."""
    counts = tally.overlap() if isinstance(tally, ConfusionMatrix) else tally
    assert isinstance(counts, Overlap)
    return tuple((int(real), int(found)) for real, found in zip(counts.truth, counts.prediction, strict=True))


def _pixels(channels: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(channels.sum(axis=(1, 2), dtype=np.int64))
