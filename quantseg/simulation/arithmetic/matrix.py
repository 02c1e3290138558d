"""Matrix products: QLinearMatMul, MatMulInteger and QGemm on integers; MatMul and Gemm in float.

a[i, j] = c[j] + Σ_k (q_A[i, k] − Z_A)(q_B[k, j] − Z_B)        Source: ONNX, QLinearMatMul; onnxruntime, QGemm.
"""

from typing import Any

import numpy as np

from quantseg.errors import ModelError
from quantseg.quantization.affine import F32
from quantseg.quantization.rounding.requantisation import Ratio, requantised
from quantseg.simulation.arithmetic.call import Array, Call, Operator
from quantseg.simulation.arithmetic.pair_sums import saturated
from quantseg.simulation.arithmetic.products import product, stretches
from quantseg.simulation.arithmetic.sizes import checked


def centred(values: Array, zero_point: Array | None, axis: int) -> F32:
    """q − Z in float32; a one-dimensional Z lies along `axis` (rows or columns), any other is broadcast as it is."""
    single = values.astype(np.float32)
    if zero_point is None:
        return single
    zero = zero_point.astype(np.float32)
    if zero.ndim == 1 and zero.size > 1:
        zero = zero.reshape([-1 if i == axis % values.ndim else 1 for i in range(values.ndim)])
    try:
        return single - (zero.reshape(()) if zero.size == 1 else zero)
    except ValueError as error:
        raise ModelError(f"zero-points {list(zero_point.shape)} do not fit {list(values.shape)}") from error


def accumulated(a: F32, b: F32) -> Array:
    """The exact a @ b of whole numbers. Raises ModelError where the shapes do not fit."""
    if min(a.ndim, b.ndim) < 1 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ModelError(f"matrices {list(a.shape)} and {list(b.shape)} do not fit")
    left, right = (a if a.ndim > 1 else a[None]), (b if b.ndim > 1 else b[:, None])
    _sized(left, right)
    cuts = stretches(left, max(int(np.abs(right).max(initial=0)), 1))
    try:
        found = product(left, right, cuts) if cuts else np.zeros((*left.shape[:-1], right.shape[-1]), np.float32)
    except ValueError as error:
        raise ModelError(f"matrices {list(a.shape)} and {list(b.shape)} do not fit") from error
    found = found if a.ndim > 1 else found[..., 0, :]
    return np.asarray(found if b.ndim > 1 else found[..., 0])


def saturates(call: Call, a: Array, b: Array) -> bool:
    """Whether the kernel for a @ b adds pairs of products in 16 bits, which saturate.

    On such a processor it does for uint8 times int8, whether b is a weight or an activation; onnxruntime has no such
    kernel for int8 times int8.
    """
    return call.processor.saturates and a.dtype == np.uint8 and b.dtype == np.int8


def _in_pairs(sums: Array, a: Array, b: Array, call: Call) -> Array:
    """The sums of the processor's kernel, saturated if it saturates, from the exact a @ b. a, b: as stored."""
    if not sums.size or not saturates(call, a, b):
        return sums
    left, right = (a if a.ndim > 1 else a[None]), (b if b.ndim > 1 else b[:, None])
    if right.ndim == 2:
        left = left.reshape(-1, left.shape[-1])
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*batch, left.shape[-2], right.shape[-1])
    found, changed = sums.reshape(shape).astype(np.int64), False
    lefts, rights = (np.broadcast_to(each, (*batch, *each.shape[-2:])) for each in (left, right))
    for which in np.ndindex(*batch):
        rows, columns = (np.ascontiguousarray(each[which].T).astype(np.float32) for each in (rights, lefts))
        part = found[which].T
        added = saturated(part, rows, columns)
        changed |= added is not part
        found[which] = added.T
    return found.reshape(sums.shape) if changed else sums


def _sized(a: Array, b: Array) -> None:
    """Raises ModelError where the product would be too large, ValueError where the shapes do not multiply."""
    if min(a.ndim, b.ndim) >= 2:
        checked((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), 8)


def _scale_of(values: Array, like: Array, axis: int) -> Array:
    """A per-row (axis −2) or per-column (axis −1) scale, reshaped to broadcast against the product."""
    if values.size == 1:
        return values.reshape(()).astype(np.float32)
    if values.ndim > 1:
        return values.astype(np.float32)
    return values.astype(np.float32).reshape([-1 if i == axis % like.ndim else 1 for i in range(like.ndim)])


def matmul_accumulators(call: Call, index: int) -> Array:
    """The accumulators of a QLinearMatMul or MatMulInteger. index: of the second matrix in its inputs, 3 or 1."""
    a, b = call.array(0), call.array(index)
    zeros = (call.maybe(2), call.maybe(5 if index == 3 else 3))
    sums = accumulated(centred(a, zeros[0], -2), centred(b, zeros[1], -1))
    return _in_pairs(sums, a, b, call)


def qlinear_matmul(call: Call) -> tuple[Array, ...]:
    """QLinearMatMul. A may have per-row scales, B per-column ones."""
    a, sums = call.array(0), matmul_accumulators(call, 3)
    ratio = Ratio((_scale_of(call.array(1), sums, -2), _scale_of(call.array(4), sums, -1)), (call.scale(6),))
    return (requantised(sums, ratio, call.zero_point(7, a.dtype), call.rounding),)


def matmul_integer(call: Call) -> tuple[Array, ...]:
    """MatMulInteger: the int32 accumulators themselves."""
    return (wrapped(matmul_accumulators(call, 1)),)


def wrapped(sums: Array) -> Array:
    """Accumulators wrapped around to int32: modulo 2^32."""
    return sums.astype(np.int64).astype(np.int32)


def qgemm_accumulators(call: Call) -> Array:
    """The accumulators of a QGemm, bias included."""
    a, b = (
        call.array(index).T if call.number(name, 0) else call.array(index)
        for index, name in ((0, "transA"), (3, "transB"))
    )
    left, right = centred(a, call.maybe(2), -2), centred(b, call.maybe(5), -1)
    sums = accumulated(np.ascontiguousarray(left), np.ascontiguousarray(right))
    sums = _in_pairs(sums, a, b, call)
    bias = call.maybe(6)
    return sums if bias is None else sums.astype(np.int64) + bias


def qgemm(call: Call) -> tuple[Array, ...]:
    """com.microsoft.QGemm; its output is float where the output scale is omitted."""
    sums = qgemm_accumulators(call)
    alpha = np.float32(call.attributes.get("alpha", 1.0))
    over = (call.scale(7),) if call.has(7) else (np.asarray(1, np.float32),)
    ratio = Ratio((np.asarray(alpha), call.scale(1), _scale_of(call.array(4), sums, -1)), over)
    if not call.has(7):
        return (sums.astype(np.float32) * ratio.single,)
    return (requantised(sums, ratio, call.zero_point(8, call.array(0).dtype), call.rounding),)


def matmul(call: Call) -> tuple[Array, ...]:
    """MatMul in float."""
    a, b = call.array(0), call.array(1)
    try:
        _sized(a, b)
        return (np.asarray(np.matmul(a, b)),)
    except ValueError as error:
        raise ModelError(f"matrices {list(a.shape)} and {list(b.shape)} do not fit") from error


def gemm(call: Call) -> tuple[Array, ...]:
    """Gemm in float: alpha · A · B + beta · C."""
    a, b = (
        call.array(index).T if call.number(name, 0) else call.array(index)
        for index, name in ((0, "transA"), (1, "transB"))
    )
    (found,) = matmul(Call((a, b), {}))
    found = _times(call.attributes.get("alpha", 1.0), found)
    return (found + _times(call.attributes.get("beta", 1.0), call.array(2)) if call.has(2) else found,)


def _times(factor: Any, values: Array) -> Array:
    return values if factor == 1.0 else (values * values.dtype.type(factor))


OPERATORS: dict[str, Operator] = {
    "Gemm": gemm,
    "MatMul": matmul,
    "MatMulInteger": matmul_integer,
    "QGemm": qgemm,
    "QLinearMatMul": qlinear_matmul,
}
