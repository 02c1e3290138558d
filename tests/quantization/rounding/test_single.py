"""float32 arithmetic of kernels: a fused multiply-add rounds once, and the logistic function is onnxruntime's."""

from fractions import Fraction

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quantseg.quantization.rounding.single import fused, rational_logistic
from tests.support.operators import assert_as_onnxruntime, judged
from tests.support.strategies import moderate

F = np.float32


def nearest(exact: Fraction) -> np.float32:
    """The float32 that is nearest to a rational number, of two the one with an even last bit."""
    near = F(float(exact))
    neighbours = [np.nextafter(near, F(-np.inf)), near, np.nextafter(near, F(np.inf))]
    distances = [abs(Fraction(float(one)) - exact) for one in neighbours]
    first, *others = [one for one, far in zip(neighbours, distances, strict=True) if far == min(distances)]
    return next((one for one in [first, *others] if not int(one.view(np.int32)) & 1), first) if others else first


numbers = st.one_of(
    moderate.map(F),
    st.integers(-(1 << 24), 1 << 24).map(F),
    st.builds(lambda n, power: F(n * 2.0**power), st.integers(-4097, 4097), st.integers(-24, 12)),
)


@settings(max_examples=1000, deadline=None)
@given(numbers, numbers, numbers)
@example(F(4097), F(4097), F(2.0**-13))  # 2^24 + 2^13 + 1 lies between two float32: what is added decides
@example(F(4097), F(4097), F(-(2.0**-13)))
@example(F(1 + 2.0**-12), F(1 + 2.0**-12), F(2.0**-60))
@example(F(1 + 2.0**-12), F(1 + 2.0**-12), F(-(2.0**-60)))
@example(F(1 + 2.0**-12), F(-1 - 2.0**-12), F(-(2.0**-60)))
def test_a_fused_product_and_sum_is_rounded_once(a: np.float32, b: np.float32, c: np.float32) -> None:
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    found = fused(np.asarray(a), np.asarray(b), np.asarray(c))
    assert found.dtype == F
    assert float(found) == float(nearest(exact))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_where_two_float32_are_equally_near_what_was_lost_decides(seed: int) -> None:
    random = np.random.default_rng(seed)
    whole = random.integers(1 << 11, 1 << 13, (2, 100)) | 1
    a, b = whole.astype(F)
    c = (random.choice([-1, 1], 100) * np.exp2(random.integers(-60, 30, 100).astype(float))).astype(F)
    expected = [nearest(int(p) * int(q) + Fraction(float(r))) for p, q, r in zip(*whole, c, strict=True)]
    np.testing.assert_array_equal(fused(a, b, c), np.array(expected, F))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_logistic_is_onnxruntimes_to_the_last_bit(seed: int) -> None:
    random = np.random.default_rng(seed)
    spread = np.exp2(random.uniform(-30, 5, 1001)) * random.choice([-1, 1], 1001)
    x = np.concatenate([spread, [0, 18, -18, 17.999998, 1e30, -1e30], random.uniform(-20, 20, 500)]).astype(F)
    (expected,) = judged("Sigmoid", x)
    np.testing.assert_array_equal(rational_logistic(x), expected)


def test_sigmoid_of_an_integer_grid_is_onnxruntimes() -> None:
    assert_as_onnxruntime("Sigmoid", np.arange(-128, 128).astype(F) * F(0.05))
