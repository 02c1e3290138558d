"""Every operator of a segmentation network, in every spelling and every format, between two convolutions."""

import functools

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import to_bytes
from quantseg.graph.preparation import prepare
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.plan import KeptFloat
from quantseg.quantization.qtypes import INT8, UINT8
from tests.support import graphs, quantised
from tests.support.operator_rows import ROWS, model_of
from tests.support.quantised import Array, Made, kernel, noise

FEEDS = [{"x": noise(2, 3, 12, 12, seed=seed)} for seed in range(3)]
ONE_STEP = 1.001
INTEGERS = [name for name, row in ROWS.items() if not row.reasons]
EXPLAINED = [name for name, row in ROWS.items() if row.reasons]


@functools.cache
def model(name: str) -> ir.Model:
    return model_of(ROWS[name])


@functools.cache
def expected(name: str) -> Array:
    return graphs.run(model(name), FEEDS[0])[0]


@functools.cache
def made(name: str, qformat: str) -> Made:
    return quantised.make(model(name), FEEDS, qformat=qformat)


@functools.cache
def outcome(name: str, qformat: str) -> Array:
    return quantised.optimised(made(name, qformat).model, FEEDS[0])[0]


def decibels(exact: Array, rounded: Array) -> float:
    """How far the rounding is below the numbers."""
    return float(10 * np.log10(np.square(exact).mean() / np.square(rounded - exact).mean()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_the_prepared_model_computes_the_same(name: str) -> None:
    graphs.assert_same(graphs.run(prepare(model(name)).model, FEEDS[0]), [expected(name)], tolerance=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", ROWS)
def test_the_model_is_valid_and_near_the_float_one(name: str, qformat: str) -> None:
    onnx.checker.check_model(onnx.load_from_string(to_bytes(made(name, qformat).model)), full_check=True)
    assert decibels(expected(name), outcome(name, qformat)) > ROWS[name].decibels


@pytest.mark.parametrize("name", ROWS)
def test_all_formats_agree_within_a_step(name: str) -> None:
    first, *others = FORMATS
    step = float(made(name, first).plan.tensors["y"].scale)
    for other in others:
        assert np.abs(outcome(name, first) - outcome(name, other)).max() <= ONE_STEP * step


@pytest.mark.slow
@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", ROWS)
def test_the_runtime_computes_in_float_what_the_plan_keeps_there(name: str, qformat: str) -> None:
    kept = {node.op_type for node in made(name, qformat).plan.nodes if isinstance(node.decision, KeptFloat)}
    ran = quantised.executed(made(name, qformat).model, FEEDS[0])
    assert {node.op_type for node in ran if node.kind == "float"} <= kept


@pytest.mark.parametrize("name", INTEGERS)
def test_all_of_it_is_in_integers(name: str) -> None:
    assert made(name, "qdq").plan.kept_float == {}


@pytest.mark.parametrize("name", EXPLAINED)
def test_what_stays_float_says_why(name: str) -> None:
    reasons = made(name, "qdq").plan.kept_float
    for part in ROWS[name].reasons:
        assert any(part in reason for reason in reasons)
    products = [node for node in made(name, "qdq").plan.nodes if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert not [node for node in products if isinstance(node.decision, KeptFloat)]


@pytest.mark.parametrize("name", INTEGERS)
def test_signed_integers_are_as_near(name: str) -> None:
    made = quantised.make(model(name), FEEDS, qformat="qoperator", activation=INT8)
    assert decibels(expected(name), quantised.optimised(made.model, FEEDS[0])[0]) > ROWS[name].decibels


@pytest.mark.parametrize("qformat", FORMATS)
@settings(max_examples=10, deadline=None)
@given(exponent=st.floats(-4, 0.5), pixels=st.integers(2, 20), signed=st.booleans())
def test_attention_over_any_number_of_pixels_is_near(qformat: str, exponent: float, pixels: int, signed: bool) -> None:
    """Flat or peaked, over few or many: the numbers of a Softmax keep their steps."""
    body = "a = Conv(x, w) f = Reshape(a, flat) s = Softmax<axis=-1>(f) u = Reshape(s, shape) y = Conv(u, v)"
    shape, scale = (1, 3, pixels, pixels), np.float32(10**exponent)
    constants = {"flat": np.array([1, 4, -1]), "shape": np.array([1, 4, pixels, pixels])}
    weights = {"w": scale * kernel(4, 3, 1, 1), "v": np.abs(kernel(4, 4, 1, 1, seed=1))}
    model = graphs.graph(body, x=f"float[{','.join(map(str, shape))}]", **weights, **constants)
    feeds = [{"x": noise(*shape, seed=seed)} for seed in range(2)]
    made = quantised.make(model, feeds, qformat=qformat, activation=INT8 if signed else UINT8)
    assert decibels(graphs.run(model, feeds[0])[0], quantised.optimised(made.model, feeds[0])[0]) > 20
