"""One value worked by hand: the working is the arithmetic that made the value, whatever the operator."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quantseg as qs
from quantseg.errors import ModelError
from quantseg.evaluation.reference_models import demo_model
from quantseg.quantization.rounding.requantisation import ROUNDINGS
from quantseg.simulation.arithmetic import OPERATORS, Call
from quantseg.simulation.explaining import EXPLAINERS, explain
from quantseg.simulation.finding import like_channel
from quantseg.simulation.program import program
from quantseg.simulation.running import TakenStep, run
from quantseg.simulation.step import Step
from tests.quantization.test_operators_int8 import FEEDS, made
from tests.simulation.test_program import BODY, WEIGHTS, small
from tests.simulation.test_program import FEEDS as SMALL
from tests.support import graphs, quantised

F = np.float32
NAMES = ("Sigmoid", "LeakyRelu", "hard-swish", "GlobalAveragePool", "AveragePool", "self-attention")
FORMATS = ("qdq", "channels-last")


def steps_of(made: ir.Model) -> list[TakenStep]:
    return [taken for taken in run(program(made), {"x": FEEDS[0]["x"]}) if taken.step.op_type in EXPLAINERS]


def check(taken: TakenStep, place: tuple[int, ...], slack: float = 0.501) -> None:
    """The working ends at the very value, its own numbers lead there, and it is near the exact one."""
    w = explain(taken, place)
    assert w.result == int(taken.results[0][place])
    assert w.result == min(max(w.rounded + w.zero_point, w.qmin), w.qmax)
    if w.terms and isinstance(w.total, int):
        assert w.total == sum(term.left * term.right for term in w.terms)
        assert w.accumulator == w.total + (w.bias or 0)
        assert w.scaled == pytest.approx(w.accumulator * w.multiplier, rel=1e-6)
    if w.qmin < w.result < w.qmax:
        assert abs(w.steps_off) <= slack
    assert w.real == pytest.approx(dict(w.scales)["S_y"] * (w.result - w.zero_point))


@pytest.mark.parametrize("qformat", FORMATS)
def test_every_value_of_a_small_network_can_be_worked(qformat: str) -> None:
    rng = np.random.default_rng(0)
    made = quantised.make(graphs.graph(BODY, x="float[1,3,12,12]", **WEIGHTS), SMALL, qformat=qformat).model
    for taken in run(program(made), SMALL[0]):
        if taken.step.op_type in EXPLAINERS:
            for _ in range(12):
                check(taken, tuple(int(rng.integers(0, n)) for n in taken.results[0].shape))


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_operators_in_their_spellings_can_be_worked(name: str, qformat: str) -> None:
    rng = np.random.default_rng(0)
    found = steps_of(made(name, qformat).model)
    assert found
    for taken in found:
        for _ in range(4):
            check(taken, tuple(int(rng.integers(0, n)) for n in taken.results[0].shape), slack=0.51)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_the_working_follows_the_rounding(rounding: str) -> None:
    taken = next(t for t in run(program(small()), SMALL[0], rounding=rounding) if t.step.op_type == "QLinearConv")
    for channel in range(8):
        check(taken, (0, channel, 5, 6), slack=1.01)


integers = st.integers(0, 255)


@given(st.lists(integers, min_size=18, max_size=18), st.integers(0, 255), st.integers(1, 2), st.integers(1, 2))
@settings(max_examples=30)
def test_a_transposed_convolution_is_worked_by_what_meets(
    values: Sequence[int], zero: int, stride: int, groups: int
) -> None:
    x = np.array(values, np.uint8).reshape(1, 2, 3, 3)
    weight = np.random.default_rng(zero).integers(-127, 128, (2, 2 // groups, 3, 3)).astype(np.int8)
    attributes = {"strides": (stride, stride), "pads": (1, 0, 0, 1), "group": groups}
    scale = F([0.01, 0.02])
    inputs = (x, F(0.5), np.uint8(zero), weight, scale, np.zeros(2, np.int8), F(0.3), np.uint8(90), np.int32([40, -30]))
    call = Call(tuple(np.asarray(i) for i in inputs), attributes)
    step = Step("t", "QLinearConvTranspose", (), ("y",), attributes, "ConvTranspose")
    taken = TakenStep(step, call, OPERATORS["QLinearConvTranspose"](call))
    for place in np.ndindex(taken.results[0].shape):
        check(taken, place)


@pytest.mark.parametrize("trans", [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_a_gemm_is_worked_transposed_or_not(trans: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (5, 3) if trans[0] else (3, 5)).astype(np.uint8)
    b = rng.integers(-127, 128, (4, 5) if trans[1] else (5, 4)).astype(np.int8)
    scales = F([0.01, 0.02, 0.03, 0.004])
    inputs = (
        a,
        F(0.1),
        np.uint8(7),
        b,
        scales,
        np.zeros(4, np.int8),
        np.arange(4).astype(np.int32),
        F(0.2),
        np.uint8(99),
    )
    attributes = {"transA": trans[0], "transB": trans[1], "alpha": 1.0}
    call = Call(tuple(np.asarray(i) for i in inputs), attributes)
    taken = TakenStep(Step("g", "QGemm", (), ("y",), attributes, "Gemm"), call, OPERATORS["QGemm"](call))
    for place in np.ndindex(3, 4):
        check(taken, place)


def test_the_place_that_is_chosen_does_not_saturate_and_is_the_largest() -> None:
    taken = next(t for t in run(program(small()), SMALL[0]) if t.step.op_type == "QLinearConv")
    values = taken.results[0]
    assert explain(taken).result == values[values < 255].max()


def test_a_place_outside_and_an_operator_that_computes_nothing_are_refused() -> None:
    taken = {t.step.op_type: t for t in run(program(small()), SMALL[0])}
    with pytest.raises(
        ModelError, match=r"makes \[1, 8, 12, 12\] and has no value at \[0, 8, 0, 0\]; give at=… with 4"
    ):
        explain(next(t for t in run(program(small()), SMALL[0]) if t.step.op_type == "QLinearConv"), (0, 8, 0, 0))
    with pytest.raises(ModelError, match="is MaxPool, which computes nothing in integers; choose one of QGemm"):
        explain(taken["MaxPool"])


def test_a_quantised_pixel_is_worked_too() -> None:
    taken = next(t for t in run(program(small()), SMALL[0]) if t.step.op_type == "QuantizeLinear")
    for place in ((0, 0, 0, 0), (0, 2, 5, 7)):
        check(taken, place)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
@pytest.mark.parametrize(
    ("op_type", "at"),
    [
        ("QLinearConv", 1),
        ("QLinearConv", 6),
        ("QLinearAdd", 6),
        ("QLinearMul", 4),
        ("QLinearSigmoid", 3),
        ("QuantizeLinear", 1),
    ],
)
def test_a_scale_that_is_no_positive_number_is_named(op_type: str, at: int, scale: float) -> None:
    one, zero, x = np.float32(1), np.uint8(0), np.ones((1, 1, 2, 2), np.uint8)
    operands = {
        "QLinearConv": [x, one, zero, np.ones((1, 1, 1, 1), np.int8), one, np.int8(0), one, zero],
        "QLinearAdd": [x, one, zero, x, one, zero, one, zero],
        "QLinearMul": [x, one, zero, x, one, zero, one, zero],
        "QLinearSigmoid": [x, one, zero, one, zero],
        "QuantizeLinear": [x.astype(np.float32), one, zero],
    }[op_type]
    operands[at] = np.float32(scale)
    call = Call(tuple(np.asarray(operand) for operand in operands), {}, 21)
    taken = TakenStep(Step("n", op_type, (), ("y",), {}, op_type), call, (np.ones((1, 1, 2, 2), np.uint8),))
    with pytest.raises(ModelError, match=rf"its scale S_\w is {scale}; quantise the model again"):
        explain(taken, (0, 0, 0, 0))


@settings(deadline=None)
@given(st.permutations(range(6)), st.integers(0, 2**32 - 1))
def test_a_channel_that_was_moved_is_found(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    floats = rng.normal(size=(1, 6, 8, 8))
    scales = rng.uniform(20, 40, (1, 6, 1, 1))
    integers = np.rint((floats * scales)[:, order]).astype(np.int16)
    assert [like_channel(channel, integers, floats) for channel in range(6)] == order


def test_a_channel_that_tells_nothing_stays_where_it_is() -> None:
    flat, mixed = np.zeros((1, 3, 4, 4)), np.random.default_rng(0).normal(size=(1, 3, 4, 4))
    assert [like_channel(channel, flat.astype(np.uint8), mixed) for channel in range(3)] == [0, 1, 2]
    assert like_channel(1, np.repeat(mixed[:, :1], 3, axis=1), np.repeat(mixed[:, :1], 3, axis=1)) == 1


@pytest.mark.slow
def test_the_float_value_is_that_of_the_channel_before_it_was_reordered() -> None:
    """Integers err by about half a step, the wrong channel by far more."""
    model, data = demo_model(), "cells:3@64x64"
    made = qs.quantize(model, data, effort="fast", threads=1)
    moved = 0
    for channel in range(8):
        found = qs.explain(made, "/encoder.0/encoder.0.0/Conv", data=data, at=(0, channel, 30, 30), reference=model)
        assert found.float_value is not None
        assert found.float_place is not None
        step = dict(found.working.scales)["S_y"]
        assert abs(found.working.exact - found.float_value) < 4 * step
        moved += found.float_place[1] != channel
    assert moved
