"""A Mask R-CNN with two levels of features, as exporters write it: proposals, RoiAlign and suppression are inside.

Sources: He et al., Mask R-CNN, arXiv:1703.06870; Lin et al., FPN, arXiv:1612.03144; Ren et al., arXiv:1506.01497.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from tests.support.detectors.building import Builder

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
WIDTH, HIDDEN = 16, 32
STRIDES, SIDES = (4, 8), (16.0, 32.0)


def mask_rcnn(size: int = 64, classes: int = 2, least: float = 0.45, seed: int = 3) -> onnx.ModelProto:
    """images (1, 3, size, size) → boxes (n, 4), labels (n,) from 1, scores (n,) above `least`, masks (n, 1, 28, 28)."""
    b = Builder(seed)
    levels = _pyramid(b)
    proposals = _proposals(b, levels, size)
    read = _regions(b, levels, proposals, 7, "boxes")
    hidden = b.relu(b.gemm(b.node("Flatten", read), WIDTH * 49, HIDDEN, name="fc1"))
    hidden = b.relu(b.gemm(hidden, HIDDEN, HIDDEN, name="fc2"))
    logits = b.gemm(hidden, HIDDEN, classes + 1, name="class_logits", gain=8.0)
    deltas = b.gemm(hidden, HIDDEN, 4, name="box_deltas", gain=0.05)
    boxes = _clipped(b, _moved_boxes(b, proposals, deltas, weights=(10.0, 5.0)), size)
    scores = b.part(b.node("Softmax", logits, axis=1), 1, 1, classes + 1)
    found, label, score = _suppressed(b, boxes, scores, least)
    masks = _masks(b, _regions(b, levels, found, 14, "masks"), label, classes)
    return b.model(
        (1, 3, size, size),
        {
            "boxes": (found, FLOAT, ("n", 4)),
            "labels": (b.node("Add", label, b.ints(1)), INT64, ("n",)),
            "scores": (score, FLOAT, ("n",)),
            "masks": (masks, FLOAT, ("n", 1, 28, 28)),
        },
    )


def _pyramid(b: Builder) -> list[str]:
    x = b.relu(b.conv("images", 3, 8, stride=2, name="stem"))
    fine = b.relu(b.conv(x, 8, WIDTH, stride=2))
    coarse = b.relu(b.conv(fine, WIDTH, 24, stride=2))
    top = b.conv(coarse, 24, WIDTH, 1, name="lateral1", gain=1.0)
    wide = b.node("Resize", top, "", b.constant([1, 1, 2, 2]), mode="nearest")
    low = b.node("Add", b.conv(fine, WIDTH, WIDTH, 1, name="lateral0", gain=1.0), wide)
    return [b.conv(low, WIDTH, WIDTH, name="level0", gain=1.0), b.conv(top, WIDTH, WIDTH, name="level1", gain=1.0)]


def _proposals(b: Builder, levels: list[str], size: int) -> str:
    """Boxes (p, 4) that NonMaxSuppression leaves of the 60 with the highest objectness."""
    scores, deltas, anchors = [], [], []
    shared = b.drawn(WIDTH, WIDTH, 3, 3, fan_in=9 * WIDTH)
    for level, x in enumerate(levels):
        hidden = b.relu(b.node("Conv", x, shared, name=f"rpn{level}", kernel_shape=[3, 3], pads=[1] * 4))
        made = b.conv(hidden, WIDTH, 1, 1, name=f"objectness{level}")
        moves = b.conv(hidden, WIDTH, 4, 1, name=f"rpn_deltas{level}", gain=0.05)
        scores.append(b.reshape(b.node("Transpose", made, perm=[0, 2, 3, 1]), 1, -1))
        deltas.append(b.reshape(b.node("Transpose", moves, perm=[0, 2, 3, 1]), -1, 4))
        anchors.append(_anchors(size, STRIDES[level], SIDES[level]))
    joined = b.node("Concat", *scores, axis=1, name="all_objectness")
    moves = b.node("Concat", *deltas, axis=0, name="all_deltas")
    every = _clipped(b, _moved_boxes(b, b.constant(np.concatenate(anchors)), moves, weights=(1.0, 1.0)), size)
    values, places = b.nodes_of("TopK", joined, b.ints(60), outputs=2, axis=1, name="best_proposals")
    chosen = b.node("Gather", every, b.node("Squeeze", places, b.ints(0)), axis=0)
    batch, one = b.node("Unsqueeze", chosen, b.ints(0)), b.node("Unsqueeze", b.node("Sigmoid", values), b.ints(1))
    kept = b.node("NonMaxSuppression", batch, one, b.ints(12), b.constant([0.7]), b.constant([0.0]), name="rpn_nms")
    return b.node("Gather", chosen, b.node("Squeeze", b.part(kept, 1, 2, 3), b.ints(1)), axis=0, name="proposals")


def _anchors(size: int, stride: int, side: float) -> Any:
    axis = np.arange(size // stride) * stride + stride / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], -1).reshape(-1, 4)


def _moved_boxes(b: Builder, boxes: str, deltas: str, weights: tuple[float, float]) -> str:
    """Boxes (x1, y1, x2, y2) moved by (dx, dy, log dw, log dh)."""
    low, high = b.part(boxes, 1, 0, 2), b.part(boxes, 1, 2, 4)
    extent = b.node("Sub", high, low)
    centre = b.node("Add", low, b.node("Mul", extent, b.constant(0.5)))
    shift = b.node("Div", b.part(deltas, 1, 0, 2), b.constant(weights[0]))
    growth = b.node("Clip", b.node("Div", b.part(deltas, 1, 2, 4), b.constant(weights[1])), "", b.constant(4.0))
    moved = b.node("Add", b.node("Mul", shift, extent), centre)
    half = b.node("Mul", b.node("Mul", b.node("Exp", growth), extent), b.constant(0.5))
    return b.node("Concat", b.node("Sub", moved, half), b.node("Add", moved, half), axis=1)


def _clipped(b: Builder, boxes: str, size: int) -> str:
    return b.node("Clip", boxes, b.constant(0.0), b.constant(float(size)))


def _regions(b: Builder, levels: list[str], boxes: str, side: int, kind: str) -> str:
    """Features (p, WIDTH, side, side) of boxes, small ones from the finer level, put back in the order of the boxes."""
    extent = b.node("Sub", b.part(boxes, 1, 2, 4), b.part(boxes, 1, 0, 2))
    area = b.node("ReduceProd", extent, axes=[1], keepdims=0)
    ratio = b.node("Div", b.node("Sqrt", area), b.constant(24.0))
    octave = b.node("Div", b.node("Log", b.node("Add", ratio, b.constant(1e-6))), b.constant(np.log(2)))
    level = b.node("Cast", b.node("Clip", b.node("Floor", octave), b.constant(0.0), b.constant(1.0)), to=INT64)
    count = b.node("Shape", boxes)
    total = b.node("Concat", b.part(count, 0, 0, 1), b.ints(WIDTH, side, side), axis=0)
    read = b.node("Expand", b.constant(0.0), total)
    for index, x in enumerate(levels):
        there = b.node("Transpose", b.node("NonZero", b.node("Equal", level, b.ints(index))), perm=[1, 0])
        own = b.node("GatherND", boxes, there)
        batch = b.node("Squeeze", b.node("Mul", there, b.ints(0)), b.ints(1))
        how = {"output_height": side, "output_width": side, "sampling_ratio": 2, "spatial_scale": 1.0 / STRIDES[index]}
        aligned = b.node("RoiAlign", x, own, batch, name=f"{kind}_align{index}", **how)
        read = b.node("ScatterND", read, there, aligned, name=f"{kind}_placed{index}")
    return read


def _suppressed(b: Builder, boxes: str, scores: str, least: float) -> tuple[str, str, str]:
    turned = b.node("Unsqueeze", b.node("Transpose", scores, perm=[1, 0]), b.ints(0))
    batch = b.node("Unsqueeze", boxes, b.ints(0))
    kept = b.node("NonMaxSuppression", batch, turned, b.ints(8), b.constant([0.5]), b.constant([least]), name="nms")
    label, place = (b.node("Squeeze", b.part(kept, 1, i, i + 1), b.ints(1)) for i in (1, 2))
    score = b.node("GatherND", b.node("Squeeze", turned, b.ints(0)), b.part(kept, 1, 1, 3))
    return b.node("Gather", boxes, place, axis=0), label, score


def _masks(b: Builder, x: str, label: str, classes: int) -> str:
    x = b.relu(b.conv(x, WIDTH, WIDTH, name="mask_conv"))
    x = b.relu(b.upsampling(x, WIDTH, WIDTH, name="mask_wider"))
    every = b.node("Sigmoid", b.conv(x, WIDTH, classes, 1, name="mask_logits", gain=8.0), name="mask_scores")
    count = b.part(b.node("Shape", label), 0, 0, 1)
    row = b.node("Range", b.constant(0, np.int64), b.node("Squeeze", count, b.ints(0)), b.constant(1, np.int64))
    places = b.node("Concat", b.node("Unsqueeze", row, b.ints(1)), b.node("Unsqueeze", label, b.ints(1)), axis=1)
    return b.node("Unsqueeze", b.node("GatherND", every, places, name="mask_of_label"), b.ints(1))
