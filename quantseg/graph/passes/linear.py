"""One view of the weights of Conv, ConvTranspose and Gemm: a kernel for each output channel, and a bias."""

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, initializer, input_at, owner

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """y = kernel ∗ x + bias, in float64.

    kernel: (groups, output channels of a group, input channels of a group, …); bias: (output channels,).
    """

    kernel: F64
    bias: F64

    @property
    def outputs(self) -> int:
        """Output channels, over all groups."""
        return int(self.kernel.shape[0] * self.kernel.shape[1])

    @property
    def inputs(self) -> int:
        """Input channels, over all groups."""
        return int(self.kernel.shape[0] * self.kernel.shape[2])

    def scaled(self, scale: F64, shift: F64) -> "Linear":
        """The weights that compute scale·y + shift. scale, shift: (output channels,)."""
        groups, outputs = self.kernel.shape[:2]
        factors = scale.reshape(groups, outputs, *(1,) * (self.kernel.ndim - 2))
        return Linear(self.kernel * factors, self.bias * scale + shift)

    def fed_by(self, scale: F64, shift: F64) -> "Linear":
        """The weights that compute the same y from x where the input was scale·x + shift. Exact without padding.

        scale, shift: (input channels,).
        """
        groups, _, inputs = self.kernel.shape[:3]
        ones = (1,) * (self.kernel.ndim - 3)
        moved = self.kernel * shift.reshape(groups, 1, inputs, *ones)
        total = moved.sum(axis=tuple(range(2, moved.ndim))).reshape(-1)
        return replace(self, kernel=self.kernel * scale.reshape(groups, 1, inputs, *ones), bias=self.bias + total)


def linear(node: ir.Node) -> Linear | None:
    """The node's weights if they are constant float32, else None. Gemm's alpha and beta are multiplied in."""
    weight, bias = constant(input_at(node, 1)), constant(input_at(node, 2))
    if weight is None or weight.dtype != np.float32 or (bias is None and input_at(node, 2) is not None):
        return None
    if node.op_type == "Gemm":
        return _gemm(node, weight.astype(np.float64), bias)
    kernel = _oriented(node, weight.astype(np.float64))
    outputs = kernel.shape[0] * kernel.shape[1]
    return Linear(kernel, np.zeros(outputs) if bias is None else bias.astype(np.float64))


def write(node: ir.Node, weights: Linear) -> None:
    """Sets the node's weights, as new initializers: the old ones may have other consumers."""
    graph = owner(node)
    if node.op_type == "Gemm":
        kernel = weights.kernel[0]
        weight = kernel if _flag(node, "transB") else kernel.T
        node.attributes.pop("alpha", None)
        node.attributes.pop("beta", None)
    elif node.op_type == "ConvTranspose":
        groups, outputs, inputs = weights.kernel.shape[:3]
        weight = weights.kernel.swapaxes(1, 2).reshape(groups * inputs, outputs, *weights.kernel.shape[3:])
    else:
        weight = weights.kernel.reshape(-1, *weights.kernel.shape[2:])
    stem = str(node.name)
    node.resize_inputs(3)
    node.replace_input_with(1, initializer(graph, f"{stem}_weight", weight.astype(np.float32)))
    node.replace_input_with(2, initializer(graph, f"{stem}_bias", weights.bias.astype(np.float32)))


def _oriented(node: ir.Node, weight: F64) -> F64:
    """Conv's weight (outputs, inputs/groups, …) or ConvTranspose's (inputs, …) as (groups, outputs, inputs, …)."""
    groups = node.attributes["group"].as_int() if "group" in node.attributes else 1
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return grouped.swapaxes(1, 2) if node.op_type == "ConvTranspose" else grouped


def _gemm(node: ir.Node, weight: F64, bias: NDArray[np.floating] | None) -> Linear | None:
    if _flag(node, "transA"):
        return None
    alpha, beta = (node.attributes[key].as_float() if key in node.attributes else 1.0 for key in ("alpha", "beta"))
    kernel = alpha * (weight if _flag(node, "transB") else weight.T)
    row = np.zeros(1) if bias is None else bias.astype(np.float64)
    if row.size not in (1, len(kernel)) or (row.ndim == 2 and row.shape[0] != 1):
        return None  # a bias that differs from row to row
    return Linear(kernel[None], np.array(np.broadcast_to(beta * row.reshape(-1), (len(kernel),))))


def _flag(node: ir.Node, name: str) -> bool:
    return name in node.attributes and node.attributes[name].as_int() != 0
