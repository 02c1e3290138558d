"""What processors do otherwise: sums that saturate, by hand; ties, beside what onnxruntime made on each of them."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import PlanError
from quantseg.simulation.arithmetic.accumulators import accumulated, bounds
from quantseg.simulation.arithmetic.pair_sums import saturated
from quantseg.simulation.arithmetic.processors import EXACT, PROCESSORS, named
from tests.support.operators import Array, assert_as_onnxruntime, call, integers, simulated, this_processor

F = np.float32
AVX2 = PROCESSORS["avx2"]
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 9)


def in_pairs(weights: list[int], factors: list[int]) -> int:
    """Σ of two neighbours' products, each sum held in 16 bits; in Python's integers."""
    total = 0
    for i in range(0, len(weights), 2):
        pair = sum(w * x for w, x in zip(weights[i : i + 2], factors[i : i + 2], strict=True))
        total += min(max(pair, -32768), 32767)
    return total


def test_a_sum_of_two_products_is_held_in_16_bits() -> None:
    a = np.array([[255, 255, 255, 255, 255]], np.uint8)
    columns = {(127, 127, 0, 0, 0): 32767, (-128, -128, 1, 0, 0): -32768 + 255, (127, 0, 127, 0, 127): 3 * 255 * 127,
               (64, 64, 64, 64, 64): 5 * 255 * 64, (127, -128, 127, 2, -128): -255 + 32767 - 255 * 128}  # fmt: skip
    b = np.array(list(columns), np.int8).T
    assert simulated("MatMulInteger", a, b, processor=AVX2)[0].tolist() == [list(columns.values())]
    exact = (a.astype(int) @ b.astype(int)).tolist()
    for processor in PROCESSORS.values():
        if not processor.saturates:
            assert simulated("MatMulInteger", a, b, processor=processor)[0].tolist() == exact


@settings(max_examples=100, deadline=None)
@given(sizes, sizes, sizes, seeds)
def test_what_saturation_takes_is_taken_from_the_exact_sums(rows: int, inner: int, many: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    weights, factors = integers(random, np.int8, (rows, inner)), random.integers(128, 256, (inner, many))
    exact = weights.astype(np.int64) @ factors
    found = saturated(exact.astype(F), weights.astype(F), factors.astype(F))
    expected = [[in_pairs(row, column) for column in factors.T.tolist()] for row in weights.tolist()]
    assert found.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([(), (2,), (2, 3)]), st.booleans(), sizes, sizes, sizes, seeds)
def test_a_product_of_matrices_saturates_along_its_inner_axis(
    batch: tuple[int, ...], both: bool, rows: int, inner: int, many: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    a = random.integers(100, 256, (*batch, rows, inner)).astype(np.uint8)
    b = integers(random, np.int8, (*(batch if both else ()), inner, many))
    zero, centre = np.uint8(random.integers(256)), np.int8(random.integers(-128, 128))
    (found,) = simulated("MatMulInteger", a, b, zero, centre, processor=AVX2)
    lefts, rights = a.reshape(-1, rows, inner), np.broadcast_to(b, (*batch, inner, many)).reshape(-1, inner, many)
    for part, left, right in zip(found.reshape(-1, rows, many), lefts.astype(int), rights.astype(int), strict=True):
        pairs = np.array([[in_pairs(column, row) for column in right.T.tolist()] for row in left.tolist()])
        shifts = (
            int(zero) * right.sum(axis=0) + int(centre) * left.sum(axis=1)[:, None] - inner * int(zero) * int(centre)
        )
        np.testing.assert_array_equal(part, pairs - shifts)
    one = F(1)
    (gemm,) = simulated(
        "QGemm", np.ascontiguousarray(lefts[0].T), one, zero, np.ascontiguousarray(rights[0].T), one, centre,
        transA=1, transB=1, processor=AVX2,
    )  # fmt: skip
    np.testing.assert_array_equal(gemm, found.reshape(-1, rows, many)[0].astype(F))


SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.booleans(), st.booleans(), seeds)
def test_a_convolution_saturates_along_places_and_channels(
    shape: tuple[int, ...], turned: bool, last: bool, seed: int
) -> None:
    """QLinearConv: channels innermost, then places. ConvInteger: places innermost, images of int8."""
    random, (groups, inner, outputs, size, pad) = np.random.default_rng(seed), shape
    kind, weight_kind = (np.int8, np.uint8) if turned else (np.uint8, np.int8)
    info = np.iinfo(kind)
    x = random.integers(info.max - 120, info.max + 1, (1, groups * inner, 4, 3)).astype(kind)
    weight = integers(random, weight_kind, (groups * outputs, inner, size, size))
    zero, pads = integers(random, kind, ()), [pad, pad, pad, pad]
    around = np.pad(x[0].astype(int), [(0, 0), (pad, pad), (pad, pad)], constant_values=int(zero))
    high, wide = (n - size + 1 for n in around.shape[1:])
    if min(high, wide) < 1:
        return
    alone = not turned and inner == 1 and outputs == 1
    expected = np.zeros((len(weight), high * wide), int)
    for m, kernel in enumerate(weight.astype(int)):
        seen = around[m // outputs * inner : (m // outputs + 1) * inner]
        flat = [np.moveaxis(kernel, 0, 0 if turned else -1).reshape(-1).tolist()]
        for n, (i, j) in enumerate(np.ndindex(high, wide)):
            window = np.moveaxis(seen[:, i : i + size, j : j + size], 0, 0 if turned else -1).reshape(-1).tolist()
            total = sum(a * b for a, b in zip(flat[0], window, strict=True)) if alone else in_pairs(flat[0], window)
            expected[m, n] = total - int(zero) * kernel.sum()
    if turned:
        (found,) = simulated("ConvInteger", x, weight, zero, group=groups, pads=pads, processor=AVX2)
        np.testing.assert_array_equal(found[0].reshape(len(weight), -1), expected)
        return
    one, laid = F(1), np.ascontiguousarray(np.moveaxis(x, 1, -1)) if last else x
    whole = call(laid, one, zero, weight, one, np.int8(0), one, np.uint8(0), group=groups, pads=pads,
                 channels_last=int(last), processor=AVX2)  # fmt: skip
    found = np.concatenate(list(accumulated("QLinearConv", whole)), axis=1)
    np.testing.assert_array_equal(found, expected)
    limits = bounds("QLinearConv", whole)
    assert (limits.least <= found.min(axis=1)).all()
    assert (found.max(axis=1) <= limits.largest).all()


@pytest.mark.parametrize("kinds", [(np.int8, np.int8), (np.uint8, np.uint8), (np.int8, np.uint8)])
def test_only_uint8_times_int8_saturates(kinds: tuple[Any, Any]) -> None:
    a, b = (np.full((4, 4), np.iinfo(kind).max, kind) for kind in kinds)
    exact, found = (simulated("MatMulInteger", a, b, processor=processor)[0] for processor in (EXACT, AVX2))
    np.testing.assert_array_equal(exact, found)
    if kinds != (np.int8, np.uint8):
        assert_as_onnxruntime("MatMulInteger", a, b)


def test_sums_beyond_float32_saturate_too() -> None:
    a, b = np.full((1, 4000), 255, np.uint8), np.full((4000, 3), 127, np.int8)
    b[:, 1] = -128
    b[::2, 2] = 0
    expected = [2000 * 32767, -2000 * 32768, 2000 * 255 * 127]
    assert simulated("MatMulInteger", a, b, processor=AVX2)[0].tolist() == [expected]
    x, weight = a.reshape(1, -1, 1, 1), np.ascontiguousarray(b.T).reshape(3, -1, 1, 1)
    one = F(1)
    whole = call(x, one, np.uint8(0), weight, one, np.int8(0), one, np.uint8(0), processor=AVX2)
    assert np.concatenate(list(accumulated("QLinearConv", whole))).reshape(-1).tolist() == expected
    assert_as_onnxruntime("MatMulInteger", a, b)


def pairs(kind: Any) -> tuple[Array, Array]:
    """Every two integers of an 8-bit type."""
    every = np.arange(256, dtype=np.uint8).view(kind)
    return np.repeat(every, 256).reshape(256, 256), np.tile(every, 256).reshape(256, 256)


def grids(kind: Any, *numbers: float) -> tuple[Array, ...]:
    """Scales and zero-points, one after the other."""
    return tuple(np.asarray(n, kind if i % 2 else F) for i, n in enumerate(numbers))


def added(
    op_type: str, kind: Any, *numbers: float, single: bool = False
) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    a, b = pairs(kind)
    s_a, z_a, s_b, z_b, s_y, z_y = grids(kind, *numbers)
    return op_type, (a, s_a, z_a, b[0, 77] if single else b, s_b, z_b, s_y, z_y), {}


def resized(kind: Any, scale: float) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    x = (np.arange(3 * 15 * 17).reshape(1, 3, 15, 17) * 37 % 251).astype(kind)
    return "Resize", (x, None, np.array([1, 1, scale, scale], F)), {"mode": "linear"}


RECORDED: dict[str, tuple[tuple[str, tuple[Any, ...], dict[str, Any]], dict[str, str]]] = {
    "sum": (
        added("QLinearAdd", np.uint8, 0.32, 246, 0.12, 11, 0.56, 205),
        {"avx2": "a2f25df65956d3ac", "sse": "4eb2d8c50f839dcb", "neon": "35c731f4d1a5b4b0", "wasm": "86347d7ed0dfcfb1"},
    ),
    "sum of int8": (
        added("QLinearAdd", np.int8, 0.54, 69, 0.41, -78, 0.8, 10),
        {"avx2": "309f72e8b8224adf", "sse": "e1f1e75d641d8fab", "neon": "9585f224f289913b", "wasm": "0764adcbc0084a5f"},
    ),
    "sum with halves": (
        added("QLinearAdd", np.uint8, 0.5, 128, 0.25, 3, 1.0, 7),
        {"avx2": "c3007842f9469b6a", "sse": "c3007842f9469b6a", "neon": "6ea38a7dc6dfd1c2", "wasm": "c3007842f9469b6a"},
    ),
    "sum with one number": (
        added("QLinearAdd", np.uint8, 0.15, 148, 0.06, 67, 0.36, 50, single=True),
        {"avx2": "39d8e49799a5dc8f", "sse": "b57dec6b9a4d0a23", "neon": "ac53304732988064", "wasm": "ffa761a9bbf7c526"},
    ),
    "sum of far scales": (
        added("QLinearAdd", np.uint8, 0.3, 120, 4e-6, 9, 0.35, 60),
        {"avx2": "ca23656268e5d9bf", "sse": "ca23656268e5d9bf", "neon": "ca23656268e5d9bf", "wasm": "ca23656268e5d9bf"},
    ),
    "sum in large steps": (
        added("QLinearAdd", np.int8, 0.3, 12, 0.7, 9, 0.0011, -60),
        {"avx2": "da8a67bd97368465", "sse": "da8a67bd97368465", "neon": "da8a67bd97368465", "wasm": "da8a67bd97368465"},
    ),
    "product": (
        added("QLinearMul", np.uint8, 0.05, 131, 0.6, 226, 2.64, 213),
        {"avx2": "12f16a32e5f562be", "sse": "12f16a32e5f562be", "neon": "9afcd51cbc041510", "wasm": "8598c168545cc14e"},
    ),
    "product of int8": (
        added("QLinearMul", np.int8, 0.51, 114, 0.85, 56, 2.38, 38),
        {"avx2": "86cd9971cb3b25c3", "sse": "86cd9971cb3b25c3", "neon": "d5e989554e3e89af", "wasm": "c477a7ac55c51864"},
    ),
    "product with halves": (
        added("QLinearMul", np.uint8, 0.5, 128, 0.25, 3, 4.0, 7),
        {"avx2": "c7f0af292c351988", "sse": "c7f0af292c351988", "neon": "c7f0af292c351988", "wasm": "c7f0af292c351988"},
    ),
    "Resize": (
        resized(np.uint8, 2.5),
        {"avx2": "ffb05aa64eb149c0", "sse": "ffb05aa64eb149c0", "neon": "ba8fa35c66877c2c", "wasm": "ffb05aa64eb149c0"},
    ),
    "Resize of int8": (
        resized(np.int8, 1.5),
        {"avx2": "76b3962e0addbfd6", "sse": "76b3962e0addbfd6", "neon": "36e579be359bd498", "wasm": "76b3962e0addbfd6"},
    ),
}
"""Name → an operator, its inputs, and the digest of what onnxruntime 1.32 made of it on each processor."""


def digest(values: Array) -> str:
    """A name for these very bytes."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("processor", PROCESSORS)
@pytest.mark.parametrize("name", RECORDED)
def test_ties_fall_as_they_fell_on_the_processor_itself(name: str, processor: str) -> None:
    (op_type, inputs, attributes), recorded = RECORDED[name]
    (found,) = simulated(op_type, *inputs, processor=PROCESSORS[processor], **attributes)
    assert digest(found) == recorded[{"exact": "avx2"}.get(processor, processor)]


@pytest.mark.parametrize("name", RECORDED)
def test_ties_fall_as_they_do_on_this_machine(name: str) -> None:
    (op_type, inputs, attributes), _ = RECORDED[name]
    assert_as_onnxruntime(op_type, *inputs, **attributes)


def test_every_processor_is_told_from_the_others() -> None:
    assert len({tuple(each[processor] for _, each in RECORDED.values()) for processor in RECORDED["sum"][1]}) == 4
    assert this_processor() in PROCESSORS.values()


def test_an_unknown_processor_is_answered_with_the_list() -> None:
    with pytest.raises(PlanError, match=r"'z80' is no processor; choose one of exact, avx2, sse, neon, wasm"):
        named("z80")
