"""Checks that two masks are comparable: the same shape, and valid class ids."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import DataError


def counted(truth: NDArray[Any], prediction: NDArray[Any], classes: int, ignore_index: int | None) -> NDArray[np.bool_]:
    """Which pixels of two class maps count: those whose truth is not `ignore_index`.

    Raises DataError where the shapes differ, or where a counted pixel of either map holds an id outside
    0…classes − 1.
    """
    check_shapes(truth, prediction)
    valid = np.ones(truth.shape, np.bool_) if ignore_index is None else truth != ignore_index
    _check_ids("the label mask", truth, valid, classes)
    _check_ids("the predicted mask", prediction, valid, classes)
    return valid


def check_shapes(truth: NDArray[Any], prediction: NDArray[Any]) -> None:
    """Raises DataError unless both masks have the same shape."""
    if truth.shape != prediction.shape:
        raise DataError(
            f"mask of shape {truth.shape} beside a prediction of shape {prediction.shape}; they must be equal"
        )


def _check_ids(what: str, mask: NDArray[Any], valid: NDArray[np.bool_], classes: int) -> None:
    wrong = valid & ((mask < 0) | (mask >= classes))
    if wrong.any():
        raise DataError(
            f"class id {int(mask[wrong][0])} in {what} is outside 0…{classes - 1}; "
            "correct the masks or name it as ignore_index in the recipe"
        )
