"""Convolutions and matrix products: their size and their MACs (multiply-accumulates).

Computed from the shapes of an actual run, so it works for models of dynamic size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]

CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "ConvTranspose", "FusedConv", "NhwcFusedConv", "QLinearConv"})
_CHANNELS_LAST = frozenset({"NhwcFusedConv"})
_MATRIX_PRODUCTS = frozenset(
    {
        *("DynamicQuantizeMatMul", "FusedGemm", "FusedMatMul", "Gemm", "MatMul", "MatMulInteger"),
        *("MatMulIntegerToFloat", "MatMulNBits", "QGemm", "QLinearMatMul"),
    }
)


@dataclass(frozen=True)
class Product:
    """The size of one executed convolution or matrix product.

    macs: those on padding included. channels: (input, output), over all groups; for a matrix product the inner
    dimension and the columns of the result. kernel: () for a matrix product. size: the positions of the kernel, batch
    first: (N, H, W) of the output, for a ConvTranspose of the input, for a matrix product the rows of the result.
    """

    macs: int
    channels: tuple[int, int]
    kernel: Shape
    groups: int
    size: Shape


def is_product(op_type: str) -> bool:
    """Whether the operator is a convolution or matrix product."""
    return op_type in CONVOLUTIONS or op_type in _MATRIX_PRODUCTS


def weight_position(op_type: str) -> int | None:
    """The index of a convolution's weight among its inputs; None for other operators."""
    if op_type not in CONVOLUTIONS:
        return None
    return 3 if op_type == "QLinearConv" else 1


def product_of(
    op_type: str, attributes: Mapping[str, Any], data: Shape, weight: Shape | None, output: Shape
) -> Product | None:
    """The Product of a node; None if it is no convolution or matrix product. data, output: shapes in the run.

    weight: its shape, needed for convolutions only: (out, in / groups, *kernel), also for operators on NHWC tensors;
    for a ConvTranspose (in, out / groups, *kernel). Source: the operators' documentation in ONNX and in onnxruntime
    (com.microsoft domain).
    """
    if op_type in CONVOLUTIONS and weight is not None:
        first, second, *kernel = weight
        groups = attributes.get("group", 1)
        placed = data if op_type == "ConvTranspose" else output
        last = op_type in _CHANNELS_LAST or attributes.get("channels_last", 0) == 1
        size = (placed[0], *(placed[1:-1] if last else placed[2:]))
        channels = (first, second * groups) if op_type == "ConvTranspose" else (second * groups, first)
        return Product(math.prod(size) * math.prod(weight), channels, tuple(kernel), groups, size)
    if op_type in _MATRIX_PRODUCTS:
        depth = _depth(attributes, data)
        # A one-dimensional operand counts as one row or one column, a dimension that the result lacks.
        rows, columns = (output[:-1], output[-1]) if len(output) > 1 else ((1,), math.prod(output))
        return Product(math.prod(output) * depth, (depth, columns), (), 1, rows)
    return None


def _depth(attributes: Mapping[str, Any], data: Sequence[int]) -> int:
    """The inner dimension: the columns of the left matrix, or its rows if it is transposed."""
    if not attributes.get("transA", 0) or len(data) < 2:
        return data[-1]
    return data[0] if attributes.get("transBatchA", 0) else data[-2]
