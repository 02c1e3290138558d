"""Operators of detection logic, in float: what chooses, places and reads instances. Source: ONNX's operator pages.

Of equal scores the first comes first, as in onnxruntime. Sums of float32 may be added in another order there.
"""

import math
from typing import Any

import numpy as np

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.sizes import checked


def top_k(call: Call) -> tuple[Array, ...]:
    """TopK: the largest or smallest k along an axis, sorted, with their places."""
    x, axis = call.array(0), call.axis(-1, call.array(0).ndim)
    count = int(call.array(1).item())
    if not 0 <= count <= x.shape[axis]:
        raise ModelError(f"the best {count} of {x.shape[axis]}")
    if call.number("largest", 1):  # stable from the back, so that the first of equals stays first
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis, kind="stable")
    places = np.take(order, range(count), axis).astype(np.int64)
    return np.take_along_axis(x, places, axis), places


def non_zero(call: Call) -> tuple[Array, ...]:
    """NonZero: (axes, found)."""
    return (np.array(np.nonzero(np.atleast_1d(call.array(0))), np.int64),)


def gather_elements(call: Call) -> tuple[Array, ...]:
    """GatherElements."""
    x, places = call.array(0), call.array(1)
    axis = call.axis(0, x.ndim)
    within = tuple(slice(0, n) if a != axis else slice(None) for a, n in enumerate(places.shape))
    return (np.take_along_axis(x[within], places, axis),)


def gather_nd(call: Call) -> tuple[Array, ...]:
    """GatherND."""
    x, places, batch = call.array(0), call.array(1), call.number("batch_dims", 0)
    rest = x.shape[batch + places.shape[-1] :]
    checked((*places.shape[:-1], *rest), x.itemsize)
    every = np.indices(places.shape[:batch]).reshape((batch, *places.shape[:batch], *[1] * (places.ndim - 1 - batch)))
    where = (*every, *np.moveaxis(places, -1, 0))
    return (x[where],)


_REDUCTIONS: dict[str, Any] = {"add": np.add, "max": np.maximum, "min": np.minimum, "mul": np.multiply}


def scatter_nd(call: Call) -> tuple[Array, ...]:
    """ScatterND."""
    made, places, updates = call.array(0).copy(), call.array(1), call.array(2)
    where = tuple(np.moveaxis(places, -1, 0))
    reduction = call.attributes.get("reduction", "none")
    if reduction == "none":
        made[where] = updates
    else:
        _REDUCTIONS[reduction].at(made, where, updates)
    return (made,)


def range_(call: Call) -> tuple[Array, ...]:
    """Range."""
    start, end, step = (call.array(index).item() for index in range(3))
    if not step:
        raise ModelError("a range in steps of zero")
    kind = call.array(0).dtype
    checked((max(math.ceil((end - start) / step), 0),), kind.itemsize)
    return (np.arange(start, end, step).astype(kind),)


def non_max_suppression(call: Call) -> tuple[Array, ...]:
    """NonMaxSuppression: rows (image, class, box) of what is kept, by falling score within a class."""
    boxes, scores = call.array(0), call.array(1)
    most = int(call.array(2).item()) if call.has(2) else 0
    limits = [float(np.float32(call.array(i).item())) if call.has(i) else None for i in (3, 4)]
    if boxes.ndim != 3 or scores.ndim != 3 or boxes.shape[::2] != (scores.shape[0], 4):
        raise ModelError("boxes are no (images, boxes, 4), or scores no (images, classes, boxes)")
    first, last = boxes[..., :2], boxes[..., 2:]
    if call.number("center_point_box", 0):
        first, last = first - last / 2, first + last / 2
        low, high = first, last
    else:
        low, high = np.minimum(first, last), np.maximum(first, last)
    rows = [
        (image, kind, box)
        for image in range(scores.shape[0])
        for kind in range(scores.shape[1])
        for box in _kept(low[image], high[image], scores[image, kind], most, limits)
    ]
    return (np.array(rows, np.int64).reshape(-1, 3),)


def _kept(low: Array, high: Array, scores: Array, most: int, limits: list[float | None]) -> list[int]:
    """The boxes of one class that no better one overlaps. limits: of IoU, and of the score."""
    overlap = limits[0] or 0.0
    order = np.argsort(-scores, kind="stable")
    if limits[1] is not None:
        order = order[scores[order] > limits[1]]
    areas, found = np.prod(high - low, axis=1, dtype=np.float32), list[int]()
    for box in order.tolist():
        if len(found) >= most:
            break
        shared = np.minimum(high[found], high[box]) - np.maximum(low[found], low[box])
        inside = np.prod(np.maximum(shared, 0), axis=1, dtype=np.float32)
        union = areas[found] + areas[box] - inside
        share = np.divide(inside, union, out=np.zeros_like(inside), where=(inside > 0) & (union > 0))
        if not (share > np.float32(overlap)).any():
            found.append(box)
    return found


def roi_align(call: Call) -> tuple[Array, ...]:
    """RoiAlign in mode avg. Source: He et al., Mask R-CNN, arXiv:1703.06870, section 3."""
    x, boxes, images = call.array(0), call.array(1), call.array(2)
    if call.attributes.get("mode", "avg") != "avg":
        raise ModelError("RoiAlign that takes maxima is not simulated")
    rows, columns = call.number("output_height", 1), call.number("output_width", 1)
    checked((len(boxes), x.shape[1], rows, columns), x.itemsize)
    half = call.opset >= 16 and call.attributes.get("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    scaled = boxes * np.float32(call.attributes.get("spatial_scale", 1.0)) - np.float32(0.5 * half)
    made = np.zeros((len(boxes), x.shape[1], rows, columns), x.dtype)
    for number, (box, image) in enumerate(zip(scaled, images.tolist(), strict=True)):
        ratio = call.number("sampling_ratio", 0)
        y, row_count = _positions(box[1], box[3], rows, ratio, half)
        across, column_count = _positions(box[0], box[2], columns, ratio, half)
        down, right = _weights(y, x.shape[2]), _weights(across, x.shape[3])
        read = down @ x[image] @ right.T
        shape = (x.shape[1], rows, row_count, columns, column_count)
        made[number] = read.reshape(shape).mean(axis=(2, 4), dtype=np.float32)
    return (made,)


def _positions(start: Any, end: Any, bins: int, ratio: int, half: bool) -> tuple[Array, int]:
    """Where an axis is read, and how often in each bin. half: boxes may be narrower than a pixel."""
    length = end - start if half else max(end - start, np.float32(1))
    width = np.float32(length) / np.float32(bins)
    count = max(ratio if ratio > 0 else math.ceil(width), 1)
    checked((bins, count), 4)
    inside = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * width / np.float32(count)
    return (start + np.arange(bins, dtype=np.float32)[:, None] * width + inside).reshape(-1), count


def _weights(positions: Array, size: int) -> Array:
    """Bilinear weights (positions, size); zero more than a pixel outside."""
    weights = np.zeros((len(positions), size), np.float32)
    for row, position in zip(weights, positions, strict=True):
        if -1.0 <= position <= size:
            place = min(max(position, np.float32(0)), np.float32(size - 1))
            low = int(place)
            row[low] += 1 - (place - low)
            row[min(low + 1, size - 1)] += place - low
    return weights


OPERATORS: dict[str, Operator] = {
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "NonMaxSuppression": non_max_suppression,
    "NonZero": non_zero,
    "Range": range_,
    "RoiAlign": roi_align,
    "ScatterND": scatter_nd,
    "TopK": top_k,
}
