"""The integer products in a quantised model's file, and which of their output channels could saturate a pair sum."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.errors import PlanError
from quantseg.graph.edit import constant, input_at
from quantseg.graph.operators import INTEGER_PRODUCTS
from quantseg.quantization.integer_operands import CONVOLUTIONS, PRODUCTS, Places
from quantseg.quantization.pairs import rows_of, unsafe

Array = NDArray[Any]

_WEIGHT = {
    **{op_type: places for op_type, places in PRODUCTS.items() if op_type != "QLinearConvTranspose"},
    "MatMulIntegerToFloat": Places(1, 5),
    "DynamicQuantizeMatMul": Places(1, 3),
}
"""Integer products of ONNX and onnxruntime that a file may contain."""
_OF_LITERT = frozenset({"BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
_CONVOLUTIONS = CONVOLUTIONS | {"Conv"}
_MOST_STEPS = 8
"""Most nodes to follow upstream from a product to its stored weight."""


UNSIGNED = "its weights are unsigned, whose kernels add in wider registers"
DEPTHWISE = "depthwise, whose kernels add in wider registers"
WIDE = "LiteRT's, whose kernels add in wider registers"


@dataclass(frozen=True)
class CheckedProduct:
    """One product. channels: number of output channels. unsafe: those in which a pair sum can saturate.

    exempt: why no kernel adds its products in 16 bits; None otherwise. unknown: why it could not be checked; None
    otherwise.
    """

    node: str
    op_type: str
    channels: int = 0
    unsafe: tuple[int, ...] = ()
    exempt: str | None = None
    unknown: str | None = None


def judge(model: ir.Model) -> tuple[CheckedProduct, ...]:
    """The check of every product of the main graph that runtimes compute in integers, in the graph's order."""
    found = []
    for node in model.graph:
        if node.op_type in _WEIGHT and node.domain in ("", "ai.onnx", "com.microsoft"):
            places = _WEIGHT[node.op_type]
            found.append(_judged(node, input_at(node, places.weight), input_at(node, places.zero_point)))
        elif node.domain == "litert" and node.op_type in _OF_LITERT:
            found.append(CheckedProduct(str(node.name), node.op_type, exempt=WIDE))
        elif node.op_type in INTEGER_PRODUCTS and node.domain in ("", "ai.onnx"):
            left, right = (_dequantize(input_at(node, index)) for index in (0, 1))
            if left is not None and right is not None:
                found.append(_judged(node, right.inputs[0], input_at(right, 2)))
    return tuple(found)


def require_safe(model: ir.Model) -> None:
    """Raises PlanError for a model in which a pair sum could saturate: it must not be written."""
    for product in judge(model):
        if product.unsafe:
            raise PlanError(
                f"{product.node}: pair sums of {len(product.unsafe)} of its channels can saturate as written; leave it "
                f"float with exclude={product.node}, or allow that with full_range_weights=True"
            )


def _dequantize(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that produces a tensor; None for any other tensor."""
    maker = None if value is None else value.producer()
    return maker if maker is not None and maker.op_type == "DequantizeLinear" else None


def _judged(node: ir.Node, weight: ir.Value | None, zero_point: ir.Value | None) -> CheckedProduct:
    """The check of one product. zero_point: the weight's, which tells its type, as weights need not declare theirs."""
    name = str(node.name or node.outputs[0].name)
    dtype = next((v.dtype for v in (weight, zero_point) if v is not None and v.dtype is not None), None)
    if dtype in (ir.DataType.UINT8, ir.DataType.UINT4, ir.DataType.UINT2):
        return CheckedProduct(name, node.op_type, exempt=UNSIGNED)
    numbers = _numbers(weight, _MOST_STEPS)
    if numbers is None:
        return CheckedProduct(name, node.op_type, unknown="its second factor is no constant of the file")
    if numbers.dtype == np.uint8:
        return CheckedProduct(name, node.op_type, exempt=UNSIGNED)
    if numbers.dtype != np.int8:
        return CheckedProduct(name, node.op_type, unknown=f"its weights are {numbers.dtype}")
    groups = node.attributes.get_int("group", 1) if node.op_type in _CONVOLUTIONS else None
    if numbers.ndim < (1 if groups is None else 3):
        return CheckedProduct(name, node.op_type, unknown=f"its weights have {numbers.ndim} axes")
    rows = rows_of(numbers, groups=groups, outputs_first=node.attributes.get_int("transB", 0) != 0)
    if rows is None:
        return CheckedProduct(name, node.op_type, len(numbers), exempt=DEPTHWISE)
    return CheckedProduct(name, node.op_type, len(rows), tuple(map(int, np.nonzero(unsafe(rows))[0])))


def _numbers(value: ir.Value | None, most: int) -> Array | None:
    """The stored integers behind a value, through Cast, Identity, Transpose and QuantizeLinear; None if computed.

    Weights of four bits or fewer are returned in int8 or uint8.
    """
    found = constant(value)
    if found is not None:
        kind = np.dtype(found.dtype)
        return found.astype(np.uint8 if "uint" in kind.name else np.int8) if _is_narrow(kind) else found
    maker = None if value is None else value.producer()
    if maker is None or not most or maker.domain not in ("", "ai.onnx"):
        return None
    if maker.op_type in ("Cast", "Identity"):
        below = _numbers(maker.inputs[0], most - 1)
        to = maker.attributes.get_int("to", ir.DataType.INT8.value)
        return below if below is None or maker.op_type == "Identity" else below.astype(ir.DataType(to).numpy())
    if maker.op_type == "Transpose":
        below = _numbers(maker.inputs[0], most - 1)
        return None if below is None else below.transpose(maker.attributes.get_ints("perm", None))
    return _quantised(maker) if maker.op_type == "QuantizeLinear" else None


def _is_narrow(kind: np.dtype[Any]) -> bool:
    return kind.name in ("int4", "uint4", "int2", "uint2")


def _quantised(node: ir.Node) -> Array | None:
    """The output of a QuantizeLinear of constants, as some tools store float weights before one; else None."""
    values, scale, zero = (constant(input_at(node, index)) for index in range(3))
    if values is None or scale is None or (input_at(node, 2) is not None and zero is None) or values.ndim == 0:
        return None
    zero = np.zeros((), np.uint8) if zero is None else zero
    axis = node.attributes.get_int("axis", 1) % values.ndim
    fits = all(array.ndim == 0 or array.shape == (values.shape[axis],) for array in (scale, zero))
    if not fits or zero.dtype not in (np.int8, np.uint8):
        return None
    along = [-1 if index == axis else 1 for index in range(values.ndim)] if scale.ndim else []
    steps = np.rint(values / scale.reshape(along)) + zero.astype(np.float32).reshape(along if zero.ndim else [])
    limits = np.iinfo(zero.dtype)
    integers: Array = np.clip(steps, limits.min, limits.max).astype(zero.dtype)
    return integers
