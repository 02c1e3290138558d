"""Nodes that scale and shift each channel by constants: y[c] = scale[c]·x[c] + shift[c].

BatchNormalization at inference is one: scale = γ/√(σ² + ε), shift = β − μ·scale. So are Mul, Div, Add and Sub
with a constant of one number or one number per channel. Computed in float64; rounded once, when a weight is written.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, rank

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Channelwise:
    """`node` computes scale·source + shift. scale, shift: (channels,), or (1,) for all channels alike."""

    node: ir.Node
    source: ir.Value
    scale: F64
    shift: F64

    def widened(self, channels: int) -> tuple[F64, F64] | None:
        """Scale and shift per channel, (channels,); None where theirs is another number of channels."""
        if any(vector.size not in (1, channels) for vector in (self.scale, self.shift)):
            return None
        return np.broadcast_to(self.scale, (channels,)), np.broadcast_to(self.shift, (channels,))


def channelwise(node: ir.Node) -> Channelwise | None:
    """The node as scale and shift; None where it is not of this kind or the constants are not finite."""
    if node.domain != "":
        return None
    found = _batch_norm(node) if node.op_type == "BatchNormalization" else _arithmetic(node)
    if found is None or not (np.isfinite(found.scale).all() and np.isfinite(found.shift).all()):
        return None
    return found


def _batch_norm(node: ir.Node) -> Channelwise | None:
    training = node.attributes.get("training_mode")
    source, parameters = node.inputs[0], [constant(value) for value in node.inputs[1:5]]
    if source is None or len(node.outputs) > 1 or (training is not None and training.as_int()):
        return None
    known = [parameter.astype(np.float64) for parameter in parameters if parameter is not None]
    if len(known) != 4 or any(vector.ndim != 1 or vector.shape != known[0].shape for vector in known):
        return None
    gamma, beta, mean, variance = known
    epsilon = node.attributes["epsilon"].as_float() if "epsilon" in node.attributes else 1e-5
    with np.errstate(all="ignore"):  # a variance below −ε gives NaN, which channelwise() rejects
        scale = gamma / np.sqrt(variance + epsilon)
        return Channelwise(node, source, scale, beta - mean * scale)


def _arithmetic(node: ir.Node) -> Channelwise | None:
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    left, right = (constant(value) for value in node.inputs)
    if (left is None) == (right is None):
        return None
    source = node.inputs[0] if left is None else node.inputs[1]
    vector = _per_channel(left if left is not None else right, rank(source))
    if source is None or vector is None or (node.op_type == "Div" and left is not None):
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.op_type == "Add":
        return Channelwise(node, source, one, vector)
    if node.op_type == "Sub":
        return Channelwise(node, source, one, -vector) if left is None else Channelwise(node, source, -one, vector)
    with np.errstate(all="ignore"):  # channelwise() rejects a division by zero
        return Channelwise(node, source, vector if node.op_type == "Mul" else 1 / vector, zero)


def _per_channel(array: NDArray[Any] | None, axes: int | None) -> F64 | None:
    """The constant as a vector along axis 1 of a tensor of `axes` axes; None where it varies along another axis."""
    if array is None or array.dtype != np.float32 or axes is None or axes < 2 or array.ndim > axes:
        return None
    sizes = (1,) * (axes - array.ndim) + array.shape
    if any(size != 1 for axis, size in enumerate(sizes) if axis != 1):
        return None
    return array.reshape(-1).astype(np.float64)
