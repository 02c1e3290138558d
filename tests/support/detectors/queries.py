"""A detector by queries: each has class logits and a mask, its product with an embedding of every pixel.

Source: Cheng et al., Mask2Former, arXiv:2112.01527, with one layer of cross-attention.
"""

import numpy as np
import onnx
from onnx import TensorProto

from tests.support.detectors.building import Builder


def query_masks(size: int = 64, classes: int = 3, queries: int = 10, width: int = 16) -> onnx.ModelProto:
    """images (1, 3, size, size) → logits (1, queries, classes + 1), masks (1, queries, size/4, size/4)."""
    b, side = Builder(2), size // 4
    fine = b.relu(b.conv(b.relu(b.conv("images", 3, 8, stride=2)), 8, width, stride=2))
    coarse = b.relu(b.conv(fine, width, width, stride=2))
    pixels = b.conv(fine, width, width, 1, name="pixels")
    memory = b.node("Transpose", b.reshape(coarse, 1, width, -1), perm=[0, 2, 1])
    asked = b.constant(b.rng.standard_normal((1, queries, width)))

    def linear(x: str, after: int, name: str = "") -> str:
        made = b.node("MatMul", x, b.drawn(width, after, fan_in=width, gain=1.0), name=name)
        return b.node("Add", made, b.constant(np.zeros(after)))

    keys, values = linear(memory, width), linear(memory, width)
    scores = b.node("MatMul", linear(asked, width), b.node("Transpose", keys, perm=[0, 2, 1]), name="attention")
    read = b.node("MatMul", b.node("Softmax", b.node("Mul", scores, b.constant(width**-0.5)), axis=2), values)
    states = b.node("Add", asked, linear(read, width))
    states = b.node("Add", states, linear(b.relu(linear(states, width)), width))
    logits = linear(states, classes + 1, name="classes")
    embedded = linear(b.relu(linear(states, width)), width, name="embedded")
    flat = b.node("MatMul", embedded, b.reshape(pixels, 1, width, side * side), name="masks_of_queries")
    masks = b.reshape(flat, 1, queries, side, side)
    outputs = {
        "logits": (logits, TensorProto.FLOAT, (1, queries, classes + 1)),
        "masks": (masks, TensorProto.FLOAT, (1, queries, side, side)),
    }
    return b.model((1, 3, size, size), outputs)
