"""The grids that a quantised model's file holds, whichever tool wrote it: read from its nodes, QDQ or QOperator."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, input_at
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.integer_operands import PRODUCTS
from quantseg.quantization.qtypes import QTYPES, UINT8

_OUTPUT_GRID = {
    "QuantizeLinear": 1,
    "QLinearConv": 6,
    "QLinearMatMul": 6,
    "QGemm": 7,
    "QLinearAdd": 6,
    "QLinearMul": 6,
    "QLinearAveragePool": 3,
    "QLinearConcat": 0,
    "QLinearConvTranspose": 6,
    "QLinearGlobalAveragePool": 3,
    "QLinearLeakyRelu": 3,
    "QLinearSigmoid": 3,
    "QLinearSoftmax": 3,
}
"""Operator → index of the input that holds the output's scale; the zero-point comes next.

Source: the operator documentation of ONNX and of onnxruntime (ContribOperators.md).
"""
_SUFFIXES = ("_QuantizeLinear_Output", "_quantized", "_QuantizeLinear_Input", "_float")
"""What onnxruntime's quantizer, and this tool's QDQ format, append to a float tensor's name."""


@dataclass(frozen=True)
class StoredGrid:
    """One grid. tensor: name of the float tensor. weight: whether it is a constant of the file, else an activation."""

    tensor: str
    params: QuantParams
    weight: bool


def stored_grids(model: ir.Model) -> tuple[StoredGrid, ...]:
    """The grids of the main graph, in its order, one for a tensor. Those that the model computes are left out."""
    found: dict[str, StoredGrid] = {}
    for node in model.graph:
        for grid in (_grid(node), _weight(node)):
            if grid is not None:
                found.setdefault(grid.tensor, grid)
    return tuple(found.values())


def _grid(node: ir.Node) -> StoredGrid | None:
    """The grid of a node's output, or of the constant that it dequantises."""
    if node.op_type == "DequantizeLinear":
        stored = constant(input_at(node, 0))
        if stored is None:
            return None
        params = _params(node, 1, np.dtype(stored.dtype).name)
        return None if params is None else StoredGrid(str(node.outputs[0].name), params, weight=True)
    if node.op_type not in _OUTPUT_GRID:
        return None
    params = _params(node, _OUTPUT_GRID[node.op_type], None)
    if params is None:
        return None
    source = node.inputs[0] if node.op_type == "QuantizeLinear" else node.outputs[0]
    weight = node.op_type == "QuantizeLinear" and constant(source) is not None
    return StoredGrid(_plain(str("" if source is None else source.name)), params, weight)


def _weight(node: ir.Node) -> StoredGrid | None:
    """The grid of the constant that an integer product multiplies with; per channel where there are several scales."""
    places = PRODUCTS.get(node.op_type)
    weight = None if places is None else input_at(node, places.weight)
    if places is None or weight is None or constant(weight) is None or node.op_type.endswith("Integer"):
        return None
    params = _params(node, places.zero_point - 1, None)
    return None if params is None else StoredGrid(_plain(str(weight.name)), params, weight=True)


def _params(node: ir.Node, index: int, kind: str | None) -> QuantParams | None:
    """Scale and zero-point at `index` and behind it. kind: of the integers, where no zero-point says it."""
    scale, zero = constant(input_at(node, index)), constant(input_at(node, index + 1))
    if scale is None or scale.size == 0 or (zero is None and input_at(node, index + 1) is not None):
        return None
    name = (kind or UINT8.name) if zero is None else np.dtype(zero.dtype).name
    if name not in QTYPES:
        return None
    several = scale.size > 1
    shape = scale.shape if several else ()
    zeros: NDArray[Any] = np.zeros(shape, QTYPES[name].dtype) if zero is None else zero.astype(QTYPES[name].dtype)
    if zeros.size != scale.size or not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    axis = node.attributes.get_int("axis", 1) if several else None
    return QuantParams(scale.astype(np.float32).reshape(shape), zeros.reshape(shape), QTYPES[name], axis)


def _plain(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
