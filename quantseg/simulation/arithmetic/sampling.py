"""Where the output pixels of a Resize lie in its input, axis by axis. Positions are float32, as in onnxruntime.

Source: ONNX, Resize (opset 19).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantseg.errors import ModelError
from quantseg.quantization.affine import F32
from quantseg.simulation.arithmetic.call import Array, Call


@dataclass(frozen=True)
class SampledAxis:
    """One axis. before, after: input and output size. length: scale · before, unrounded. roi: (start, end)."""

    before: int
    after: int
    scale: float
    length: float
    roi: tuple[float, float]


def axes_of(call: Call, x: Array) -> list[SampledAxis]:
    """Every axis of the tensor, resized or not. Raises ModelError where scales or sizes do not fit the tensor."""
    named = call.attributes.get("axes") or range(x.ndim)
    axes = [int(axis) % x.ndim for axis in named]
    old = call.opset < 11
    roi = None if old or not call.has(1) or not call.array(1).size else call.array(1)
    scales = call.maybe(1 if old else 2)
    sizes = None if old else call.maybe(3)
    if scales is not None and scales.size:
        wanted = scales.astype(np.float64)
    elif sizes is not None and sizes.size:
        wanted = sizes.astype(np.float64) / np.array([x.shape[axis] for axis in axes])
        wanted, sizes = _keeping_aspect(call, wanted, [x.shape[axis] for axis in axes], sizes)
    else:
        raise ModelError("a Resize without scales and sizes")
    if len(wanted) != len(axes) or (wanted <= 0).any():
        raise ModelError(f"input {list(x.shape)} and factors {wanted.tolist()} do not fit")
    found = [SampledAxis(size, size, 1.0, size, (0.0, 1.0)) for size in x.shape]
    cropped = call.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize" and roi is not None
    for i, axis in enumerate(axes):
        part = (0.0, 1.0) if roi is None or not cropped else (float(roi[i]), float(roi[i + len(axes)]))
        size, scale = x.shape[axis], float(wanted[i])
        length = size * scale * (part[1] - part[0]) if scales is not None and scales.size else size * scale
        whole = np.float32(length) if part == (0.0, 1.0) else length  # onnxruntime multiplies in float32
        after = math.floor(whole) if scales is not None and scales.size else int(sizes[i])  # type: ignore[index]
        found[axis] = SampledAxis(size, after, scale, length, part)
    return found


def _keeping_aspect(call: Call, scales: Any, before: Sequence[int], sizes: Array) -> tuple[Any, Array]:
    policy = call.attributes.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return scales, sizes
    one = scales.min() if policy == "not_larger" else scales.max()
    after = np.floor(np.array(before) * one + 0.5).astype(np.int64)
    return np.full(len(before), one), after


def positions(axis: SampledAxis, call: Call) -> F32:
    """The input position of each output pixel, (after,)."""
    i, one, half = np.arange(axis.after, dtype=np.float32), np.float32(1), np.float32(0.5)
    scale, before = np.float32(axis.scale), np.float32(axis.before)
    mode = call.attributes.get("coordinate_transformation_mode", "half_pixel") if call.opset >= 11 else "asymmetric"
    if mode == "asymmetric":
        return np.asarray(i / scale)
    if mode in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"):
        if mode == "pytorch_half_pixel" and axis.after <= 1:
            return i * 0
        if mode == "half_pixel_symmetric":  # the only mode that onnxruntime computes in float64
            shift = before / 2 * (one - np.float32(axis.after) / (scale * before))
            return np.asarray(shift + (i + half).astype(np.float64) / scale - 0.5, np.float32)
        return np.asarray((i + half) / scale - half, np.float32)
    if mode == "align_corners":
        return np.asarray(i * (before - one) / np.float32(axis.length - 1) if axis.after > 1 else i * 0)
    if mode == "tf_crop_and_resize":
        start, end = (np.float32(edge) for edge in axis.roi)
        if axis.after <= 1:
            return np.asarray(i * 0 + half * (start + end) * (before - one))
        return np.asarray(start * (before - one) + i * (end - start) * (before - one) / np.float32(axis.after - 1))
    raise ModelError(f"coordinate_transformation_mode {mode!r}")
