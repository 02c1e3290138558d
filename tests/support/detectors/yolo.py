"""YOLO-like detectors of instances, as their exporters write them: three kinds of outputs, and anchors of old.

Sources: Ultralytics' export of YOLOv8-seg and YOLO11-seg (no code of theirs); Li et al., arXiv:2006.04388, for the
distribution over bins; Bolya et al., arXiv:1904.02689, for prototypes.
"""

import numpy as np
import onnx
from onnx import TensorProto

from tests.support.detectors.building import Builder

FLOAT = TensorProto.FLOAT
BINS = 16
STRIDES = (8, 16)


def yolo_seg(
    size: int = 64, classes: int = 3, coefficients: int = 8, ends: str = "raw", seed: int = 0
) -> onnx.ModelProto:
    """images (1, 3, size, size) → pred (1, 4 + classes + coefficients, anchors) and protos (1, coefficients, …).

    ends: "raw"; "top": pred is (1, 20, 6 + coefficients), chosen by TopK; "nms": boxes, labels, scores and masks of
    what NonMaxSuppression leaves.
    """
    b = Builder(seed)
    levels, channels = _features(b)
    parts = [
        _branches(b, x, c, classes, coefficients, level)
        for level, (x, c) in enumerate(zip(levels, channels, strict=True))
    ]
    no = 4 * BINS + classes
    joined = [
        b.reshape(b.node("Concat", box, score, axis=1, name=f"mixed{i}"), 1, no, -1)
        for i, (box, score, _) in enumerate(parts)
    ]
    split = b.nodes_of(
        "Split", b.node("Concat", *joined, axis=2, name="levels"), b.ints(4 * BINS, classes), outputs=2, axis=1
    )
    points, strides = _points(size)
    boxes = _decoded(b, split[0], points, strides)
    scores = b.node("Sigmoid", split[1], name="class_scores")
    coefs = b.node("Concat", *(b.reshape(part[2], 1, coefficients, -1) for part in parts), axis=2, name="coefficients")
    protos = _prototypes(b, levels[0], channels[0], coefficients)
    anchors, side = len(points), size // 4
    proto_shape = (1, coefficients, side, side)
    if ends == "raw":
        pred = b.node("Concat", b.node("Concat", boxes, scores, axis=1, name="joined"), coefs, axis=1, name="table")
        shape = (1, 4 + classes + coefficients, anchors)
        return b.model((1, 3, size, size), {"pred": (pred, FLOAT, shape), "protos": (protos, FLOAT, proto_shape)})
    if ends == "top":
        pred = _top(b, boxes, scores, coefs, anchors)
        shape = (1, 20, 6 + coefficients)
        return b.model((1, 3, size, size), {"pred": (pred, FLOAT, shape), "protos": (protos, FLOAT, proto_shape)})
    return b.model((1, 3, size, size), _suppressed(b, boxes, scores, coefs, protos, proto_shape))


def yolo_of_anchors(size: int = 64, classes: int = 3, coefficients: int = 8, parted: bool = True) -> onnx.ModelProto:
    """One convolution a level for boxes, scores and coefficients of two anchors; else of one, and not taken apart."""
    b = Builder(1)
    levels, channels = _features(b)
    anchors, no = (2, 5 + classes + coefficients) if parted else (1, 4 + classes + coefficients)
    tables = []
    for level, (x, c) in enumerate(zip(levels, channels, strict=True)):
        side = size // STRIDES[level]
        made = b.conv(x, c, anchors * no, 1, name=f"detect{level}", gain=1.0)
        if not parted:
            tables.append(b.reshape(made, 1, no, side * side))
            continue
        turned = b.node("Transpose", b.reshape(made, 1, anchors, no, side, side), perm=[0, 1, 3, 4, 2])
        sizes = b.ints(2, 2, 1 + classes, coefficients)
        xy, wh, scores, coefs = b.nodes_of("Split", turned, sizes, outputs=4, axis=4)
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1)[None, None]
        placed = b.node("Add", b.node("Mul", b.node("Sigmoid", xy), b.constant(2.0)), b.constant(grid))
        centre = b.node("Mul", placed, b.constant(float(STRIDES[level])))
        scaled = b.node("Pow", b.node("Mul", b.node("Sigmoid", wh), b.constant(2.0)), b.constant(2.0))
        extent = b.node("Mul", scaled, b.constant(np.full((1, anchors, 1, 1, 2), 2.0 * STRIDES[level])))
        rows = b.node("Concat", centre, extent, b.node("Sigmoid", scores), coefs, axis=4)
        tables.append(b.reshape(rows, 1, -1, no))
    pred = b.node("Concat", *tables, axis=1 if parted else 2)
    count = sum(anchors * (size // stride) ** 2 for stride in STRIDES)
    protos = _prototypes(b, levels[0], channels[0], coefficients)
    outputs = {
        "pred": (pred, FLOAT, (1, count, no) if parted else (1, no, count)),
        "protos": (protos, FLOAT, (1, coefficients, size // 4, size // 4)),
    }
    return b.model((1, 3, size, size), outputs)


def _features(b: Builder) -> tuple[list[str], list[int]]:
    """Features at strides 8 and 16, with their channels."""
    x = b.silu(b.conv("images", 3, 8, stride=2, name="stem"))
    x = b.silu(b.conv(x, 8, 16, stride=2))
    fine = b.silu(b.conv(x, 16, 16, stride=2))
    coarse = b.silu(b.conv(fine, 16, 24, stride=2))
    wide = b.node("Resize", coarse, "", b.constant([1, 1, 2, 2]), mode="nearest", name="upsample")
    neck = b.silu(b.conv(b.node("Concat", wide, fine, axis=1, name="neck"), 40, 16))
    return [neck, coarse], [16, 24]


def _branches(b: Builder, x: str, channels: int, classes: int, coefficients: int, level: int) -> tuple[str, str, str]:
    """The last convolutions of a level: boxes, scores, coefficients."""

    def branch(kind: str, after: int, gain: float) -> str:
        return b.conv(b.silu(b.conv(x, channels, 16)), 16, after, 1, name=f"{kind}{level}", gain=gain)

    return branch("box", 4 * BINS, 4.0), branch("score", classes, 8.0), branch("coefficient", coefficients, 0.5)


def _points(size: int) -> tuple[np.ndarray, np.ndarray]:
    points, strides = [], []
    for stride in STRIDES:
        axis = np.arange(size // stride) + 0.5
        points += [(x, y) for y in axis for x in axis]
        strides += [stride] * len(axis) ** 2
    return np.array(points, np.float32), np.array(strides, np.float32)


def _decoded(b: Builder, bins: str, points: np.ndarray, strides: np.ndarray) -> str:
    """Distances from a distribution over bins, then boxes as centre and size in pixels, (1, 4, anchors)."""
    apart = b.node("Transpose", b.reshape(bins, 1, 4, BINS, -1), perm=[0, 2, 1, 3])
    weight = b.constant(np.arange(BINS).reshape(1, BINS, 1, 1))
    mean = b.node("Conv", b.node("Softmax", apart, axis=1), weight, name="dfl", kernel_shape=[1, 1])
    far = b.reshape(mean, 1, 4, -1)
    grid = b.constant(points.T[None])
    low = b.node("Sub", grid, b.part(far, 1, 0, 2))
    high = b.node("Add", grid, b.part(far, 1, 2, 4))
    centre = b.node("Div", b.node("Add", low, high), b.constant(2.0))
    both = b.node("Concat", centre, b.node("Sub", high, low), axis=1, name="centre_and_size")
    return b.node("Mul", both, b.constant(strides[None, None]), name="decoded")


def _prototypes(b: Builder, x: str, channels: int, coefficients: int) -> str:
    wide = b.upsampling(b.silu(b.conv(x, channels, 16)), 16, 16, name="wider")
    return b.silu(b.conv(b.silu(b.conv(wide, 16, 16)), 16, coefficients, 1, name="prototypes"))


def _top(b: Builder, boxes: str, scores: str, coefs: str, anchors: int) -> str:
    table = [b.node("Transpose", part, perm=[0, 2, 1]) for part in (boxes, scores, coefs)]
    best = b.node("ReduceMax", table[1], axes=[2], keepdims=0)
    label = b.node("Cast", b.node("ArgMax", table[1], axis=2, keepdims=1), to=FLOAT)
    _, places = b.nodes_of("TopK", best, b.ints(20), outputs=2, axis=1, name="top")
    rows = b.node("Concat", table[0], b.node("Unsqueeze", best, b.ints(2)), label, table[2], axis=2, name="rows")
    flat = b.node("Squeeze", places, b.ints(0))
    return b.node("Gather", rows, flat, axis=1, name="chosen")


def _suppressed(
    b: Builder, boxes: str, scores: str, coefs: str, protos: str, shape: tuple[int, ...]
) -> dict[str, tuple[str, int, tuple[object, ...]]]:
    corners = b.node(
        "MatMul",
        b.node("Transpose", boxes, perm=[0, 2, 1]),
        b.constant([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]]),
        name="corners",
    )
    limits = b.ints(20), b.constant([0.6]), b.constant([0.6])
    kept = b.node("NonMaxSuppression", corners, scores, *limits, name="nms")
    label, place = (b.node("Squeeze", b.part(kept, 1, i, i + 1), b.ints(1)) for i in (1, 2))
    found = b.node("Gather", b.node("Squeeze", corners, b.ints(0)), place, axis=0)
    score = b.node("GatherND", b.node("Squeeze", scores, b.ints(0)), b.part(kept, 1, 1, 3), name="found_scores")
    rows = b.node("Gather", b.node("Transpose", b.node("Squeeze", coefs, b.ints(0)), perm=[1, 0]), place, axis=0)
    flat = b.reshape(protos, shape[1], shape[2] * shape[3])
    masks = b.node("Sigmoid", b.reshape(b.node("MatMul", rows, flat, name="masks_of_chosen"), -1, *shape[2:]))
    return {
        "boxes": (found, FLOAT, ("n", 4)),
        "labels": (label, TensorProto.INT64, ("n",)),
        "scores": (score, FLOAT, ("n",)),
        "masks": (masks, FLOAT, ("n", *shape[2:])),
    }
