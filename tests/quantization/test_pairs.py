"""Pair sums: laws of the integers that are chosen, held against the arithmetic of the instruction itself."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantseg.quantization.pairs import LEAST, LEAST_CHOSEN, MOST, excess, orders, pulled, safe_scale, unsafe

Array = NDArray[Any]
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 7), st.sampled_from([1, 2, 3, 9]))


def maddubs(activations: Array, weights: Array) -> Array:
    """vpmaddubsw: uint8 times int8, neighbours added in saturating 16 bits. Both (…, even)."""
    products = activations.astype(np.int64) * weights.astype(np.int64)
    return np.clip(products[..., ::2] + products[..., 1::2], -(1 << 15), (1 << 15) - 1)


def lines_of_kernels(row: Array) -> list[Array]:
    """A row (channels, taps) as MLAS and oneDNN lay it out, each line padded with a zero to an even length."""
    flat = row.T.reshape(1, -1)
    return [np.pad(line, (0, line.size % 2)) for line in (*flat, *row.T)]


@given(SHAPES, st.integers(0, 10**6))
def test_orders_are_the_neighbours_of_the_layouts(shape: tuple[int, int, int], seed: int) -> None:
    _, channels, taps = shape
    places = np.arange(channels * taps).reshape(channels, taps)
    told = {(int(a), int(b)) for first, second in orders(channels, taps) for a, b in zip(first, second, strict=True)}
    expected = set()
    for line in (places.T.reshape(-1), *(places.T if channels % 2 else ())):
        padded = [*map(int, line), int(line[-1])] if len(line) % 2 else [*map(int, line)]
        expected |= set(zip(padded[::2], padded[1::2], strict=True))
    assert told == expected


@given(SHAPES, st.integers(0, 10**6), st.booleans())
def test_safe_weights_are_those_that_no_activation_saturates(
    shape: tuple[int, int, int], seed: int, large: bool
) -> None:
    """The worst activations are 255 where weights have one sign, and 0 elsewhere."""
    random = np.random.default_rng(seed)
    weights = random.integers(-127, 128, shape) if large else random.integers(-70, 71, shape)
    for row, found in zip(weights, unsafe(weights), strict=True):
        wrong = False
        for line in lines_of_kernels(row):
            for sign in (1, -1):
                activations = np.where(sign * line > 0, 255, 0)
                exact = (activations * line)[::2] + (activations * line)[1::2]
                wrong |= bool((maddubs(activations, line) != exact).any())
        assert found == wrong


def test_no_weight_may_be_minus_128() -> None:
    assert unsafe(np.array([[[-128], [0]], [[-127], [0]]])).tolist() == [True, False]


@given(SHAPES, st.integers(0, 10**6), st.booleans())
def test_scales_grow_by_what_is_needed_and_no_more(shape: tuple[int, int, int], seed: int, per_channel: bool) -> None:
    rows = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    widest = (np.abs(rows).max(axis=(1, 2)) / 127).astype(np.float32)
    before = widest if per_channel else widest.max()
    after = safe_scale(rows, np.asarray(before, np.float32))
    assert after.shape == np.shape(before)
    assert after.dtype == np.float32
    assert (after >= before).all()
    steps = np.broadcast_to(after, len(rows))[:, None, None]
    assert not unsafe(np.rint(rows / steps)).any()
    assert (excess(np.rint(rows / steps)) <= 1).all()
    np.testing.assert_array_equal(safe_scale(rows, after), after)
    need = np.maximum(excess(rows / np.broadcast_to(before, len(rows))[:, None, None]), 1)
    need = need if per_channel else need.max()
    assert (after <= before * need * 1.02).all()


@given(SHAPES, st.integers(0, 10**6))
def test_pulled_pairs_fit_and_others_stay(shape: tuple[int, int, int], seed: int) -> None:
    rows = np.random.default_rng(seed).integers(-127, 128, shape)
    found = pulled(rows)
    assert (excess(found) <= 1).all()
    assert (np.abs(found) <= np.abs(rows)).all()
    assert (found * rows >= 0).all()
    fitting = excess(rows) <= 1
    np.testing.assert_array_equal(found[fitting], rows[fitting])


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ((120, 20), (114, 14)),
        ((127, 2), (126, 2)),
        ((-100, -100), (-63, -63)),
        ((127, -127), (127, -126)),
        ((64, 64), (64, 64)),
    ],
)
def test_a_pair_is_pulled_by_half_its_excess(pair: tuple[int, int], expected: tuple[int, int]) -> None:
    assert pulled(np.array(pair).reshape(1, 2, 1)).reshape(-1).tolist() == list(expected)


def test_chosen_weights_may_be_stored_one_step_lower() -> None:
    """As onnxruntime's kernel for weights with a zero-point wants them; unused places hold that zero-point."""
    chosen = np.array([[[LEAST_CHOSEN], [0]], [[-63], [-63]], [[MOST - 1], [1]]])
    assert not unsafe(chosen - 1).any()
    assert unsafe(np.array([[[LEAST + 1], [-2]]])).all()


def test_no_channels_are_safe() -> None:
    assert safe_scale(np.zeros((0, 4, 9), np.float32), np.zeros(0, np.float32)).shape == (0,)
    assert excess(np.zeros((3, 0, 9))).tolist() == [0.0] * 3
