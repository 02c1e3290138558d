"""Convolutions and matrix products: how large each is, and the multiply-accumulates that it asks for.

All follows from shapes as they were when the node ran, so it holds for models whose inputs have any size.
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
    """One convolution or matrix product as it ran.

    macs: multiply-accumulates, those with padding included. channels: read and written, over all groups; of a
    matrix product the length of the sums and the columns of the result. kernel: () for a matrix product. size:
    where the kernel stands, batch first: the pixels of the output, of a ConvTranspose those of its input; of a
    matrix product the rows of the result.
    """

    macs: int
    channels: tuple[int, int]
    kernel: Shape
    groups: int
    size: Shape


def is_product(op_type: str) -> bool:
    """Whether operators of this kind compute convolutions or matrix products."""
    return op_type in CONVOLUTIONS or op_type in _MATRIX_PRODUCTS


def weight_position(op_type: str) -> int | None:
    """Which input of a convolution is its weight; None for other operators."""
    if op_type not in CONVOLUTIONS:
        return None
    return 3 if op_type == "QLinearConv" else 1


def product_of(
    op_type: str, attributes: Mapping[str, Any], data: Shape, weight: Shape | None, output: Shape
) -> Product | None:
    """The product that a node computes; None for an operator that is none. data, output: shapes as they ran.

    weight: of a convolution alone, (out, in / groups, *kernel) in each of them, also where the images are
    (N, H, W, C); of a ConvTranspose (in, out / groups, *kernel). Source: the operators' pages in the documentation
    of ONNX and of onnxruntime's com.microsoft domain.
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
        # A vector on either side loses its dimension in the result; it is one row, or one column.
        rows, columns = (output[:-1], output[-1]) if len(output) > 1 else ((1,), math.prod(output))
        return Product(math.prod(output) * depth, (depth, columns), (), 1, rows)
    return None


def _depth(attributes: Mapping[str, Any], data: Sequence[int]) -> int:
    """The length of the sums: the columns of the left matrix, or its rows where it is transposed."""
    if not attributes.get("transA", 0) or len(data) < 2:
        return data[-1]
    return data[0] if attributes.get("transBatchA", 0) else data[-2]
