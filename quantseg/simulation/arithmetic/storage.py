"""QuantizeLinear and DequantizeLinear, per tensor, per channel and per block.

Source: ONNX, QuantizeLinear and DequantizeLinear (opset 25). As in onnxruntime, x / S is computed in float32.
"""

import numpy as np

from quantseg.errors import ModelError
from quantseg.quantization.affine import Ints
from quantseg.simulation.arithmetic.call import Array, Call, Operator


def along(parameter: Array, like: Array, axis: int, block: int) -> Array:
    """A scale or zero-point, reshaped to broadcast against the tensor `like`.

    Raises ModelError where it is neither per tensor, per channel nor per block.
    """
    if parameter.size == 1:
        return parameter.reshape(())
    if block and parameter.ndim == like.ndim:
        repeated = np.repeat(parameter, block, axis=axis)
        found = repeated[tuple(slice(0, size) for size in like.shape)]
    else:
        found = parameter.reshape([-1 if i == axis else 1 for i in range(like.ndim)])
    if found.ndim != like.ndim or any(
        size not in (1, other) for size, other in zip(found.shape, like.shape, strict=True)
    ):
        raise ModelError(f"scale {list(parameter.shape)} does not fit {list(like.shape)} along axis {axis}")
    return found


def _parameters(call: Call) -> tuple[Array, Array, Array | None]:
    x, scale, zero = call.array(0), call.array(1), call.maybe(2)
    if scale.dtype.kind != "f":
        raise ModelError(f"a scale of type {scale.dtype}")
    block = call.number("block_size", 0)
    axis = call.axis(1, x.ndim) if scale.size > 1 else 0
    if zero is not None and zero.size not in (1, scale.size):
        raise ModelError(f"scale {list(scale.shape)} and zero-point {list(zero.shape)} do not fit")
    return x, along(scale, x, axis, block), None if zero is None else along(zero, x, axis, block)


def quantize_linear(call: Call) -> tuple[Array, ...]:
    """q = clip(round(x / S) + Z), ties to even, in the type of Z, or of `output_dtype`, or uint8."""
    x, scale, zero = _parameters(call)
    kind = call.attributes.get("output_dtype") or (np.dtype(np.uint8) if zero is None else zero.dtype)
    low, high = limits(kind)
    single = x.astype(np.float32)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        rounded = np.rint(single / scale.astype(np.float32)).astype(np.float64)
    if zero is not None:
        rounded = rounded + zero.astype(np.float64)
    found: Ints = np.clip(np.nan_to_num(rounded, nan=low), low, high).astype(kind)
    return (found,)


def limits(kind: np.dtype[np.generic]) -> tuple[int, int]:
    """Smallest and largest integer of a type, 4-bit and 2-bit types included."""
    if kind.kind in "iu":
        info = np.iinfo(np.dtype(kind.name))
        return int(info.min), int(info.max)
    if "int" not in kind.name:
        raise ModelError(f"numbers of type {kind.name}; the simulator stores integers")
    bits, signed = int("".join(filter(str.isdigit, kind.name))), not kind.name.startswith("u")
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def dequantize_linear(call: Call) -> tuple[Array, ...]:
    """r = S (q − Z), in the type of S."""
    x, scale, zero = _parameters(call)
    limits(x.dtype)
    whole = x.astype(np.int64)
    if zero is not None:
        whole = whole - zero.astype(np.int64)
    return ((whole.astype(np.float32) * scale).astype(scale.dtype),)


OPERATORS: dict[str, Operator] = {"DequantizeLinear": dequantize_linear, "QuantizeLinear": quantize_linear}
