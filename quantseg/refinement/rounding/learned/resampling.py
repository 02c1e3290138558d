"""Resize in torch: a product of each axis with a matrix that has one or two non-zero elements in a row.

So every coordinate mode is one formula, and the gradient is a product too, which is deterministic.
Source: ONNX operator page of Resize.
"""

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.refinement.rounding.learned.windows import Tensors


def resize(node: ir.Node, inputs: Tensors) -> Any:
    """Resize in the modes nearest and linear. Raises ModelError for other modes and options."""
    x, _, scales, sizes = (*inputs, None, None)[:4]
    axes = list(node.attributes["axes"].as_ints()) if "axes" in node.attributes else list(range(x.dim()))
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    if node.attributes.get_int("antialias", 0) or policy != "stretch":
        raise ModelError(f"{node.name!r}: a Resize with antialias or {policy!r} cannot be learned through")
    for place, axis in enumerate(axes):
        length = x.shape[axis]
        if sizes is not None:
            wanted = int(sizes[place])
            scale = wanted / length
        else:
            scale = float(scales[place])
            wanted = int(np.floor(length * scale))
        if scale != 1.0:
            matrix = torch.from_numpy(_matrix(node, length, wanted, scale))
            x = torch.movedim(torch.movedim(x, axis, -1) @ matrix.T, -1, axis)
    return x


def _matrix(node: ir.Node, length: int, wanted: int, scale: float) -> NDArray[np.float32]:
    """The matrix (wanted, length): the weight of each input position in each output position."""
    mode = node.attributes.get_string("mode", "nearest")
    source = _coordinates(node, length, wanted, scale)
    rows, result = np.arange(wanted), np.zeros((wanted, length), np.float32)
    if mode == "nearest":
        result[rows, np.clip(_nearest(node, source), 0, length - 1).astype(np.int64)] = 1
        return result
    if mode != "linear":
        raise ModelError(f"{node.name!r}: a Resize of mode {mode!r} cannot be learned through; leave learning out")
    inside = np.clip(source, 0, length - 1)
    low = np.floor(inside).astype(np.int64)
    share = (inside - low).astype(np.float32)
    np.add.at(result, (rows, low), 1 - share)
    np.add.at(result, (rows, np.minimum(low + 1, length - 1)), share)
    return result


def _coordinates(node: ir.Node, length: int, wanted: int, scale: float) -> NDArray[Any]:
    """The input coordinate of each output position."""
    mode, place = node.attributes.get_string("coordinate_transformation_mode", "half_pixel"), np.arange(wanted)
    if mode == "asymmetric":
        return place / scale
    if mode == "align_corners":
        return place * ((length - 1) / (wanted - 1)) if wanted > 1 else np.zeros(wanted)
    if mode == "pytorch_half_pixel" and wanted == 1:
        return np.zeros(wanted)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (place + 0.5) / scale - 0.5
    raise ModelError(f"{node.name!r}: a Resize with coordinates {mode!r} cannot be learned through; leave learning out")


def _nearest(node: ir.Node, source: NDArray[Any]) -> NDArray[Any]:
    """The input positions nearest to the coordinates, not yet clipped to the input."""
    mode, found = node.attributes.get_string("nearest_mode", "round_prefer_floor"), source
    if mode == "round_prefer_floor":
        found = np.ceil(source - 0.5)
    elif mode == "round_prefer_ceil":
        found = np.floor(source + 0.5)
    else:
        found = np.floor(source) if mode == "floor" else np.ceil(source)
    return found
