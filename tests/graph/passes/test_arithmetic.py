"""Quotients, squares and sums become Add and Mul; products with one number go into the weights before them."""

import re

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes, make_unique
from quantseg.graph.passes.arithmetic import lower_arithmetic
from quantseg.graph.passes.scales import fold_scales
from tests.support.graphs import Array, assert_same, graph, noise, op_types, run

F = np.float32
X = noise(2, 4, 6, 6)
SHAPE = "float[2,4,6,6]"
CONSTANTS: dict[str, Array] = {
    "c": F(2.5), "n": F(-0.75), "zero": F(0), "two": F(2), "row": noise(6) + F(3), "gap": F([1, 0, 2, 1, 1, 1]),
    "five": np.ones((1, 1, 1, 1, 1), F), "w": noise(4, 4, 1, 1), "b": noise(4, seed=2), "v": noise(3, 4, 3, 3),
    "t": noise(4, 2, 2, 2), "g": noise(4, 5), "m": noise(6, 3), "bias": noise(3), "flat": np.array([2, 4, 36]),
    "hw": np.array([2, 3]), "by2": F([1, 1, 2, 2]), "pads": np.array([0, 0, 1, 1] * 2), "ones": np.array([1, 1]),
    "ends": np.array([5, 5]),
}  # fmt: skip


def model_of(body: str) -> ir.Model:
    used = set(re.findall(r"[(,]\s*(\w+)\s*(?=[,)])", body))
    return graph(body, x=SHAPE, **{name: np.asarray(value) for name, value in CONSTANTS.items() if name in used})


def rewritten(model: ir.Model, *rewrites: object) -> ir.Model:
    copy = model.clone()
    make_unique(copy)
    for rewrite in rewrites:
        infer_shapes(copy)
        rewrite(copy)  # type: ignore[operator]
    infer_shapes(copy)
    return copy


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("a = Abs(x) p = Div(a, c) y = Conv(p, v)", ["Abs", "Mul", "Conv"]),
        ("a = Abs(x) p = Div(a, row) y = Conv(p, v)", ["Abs", "Mul", "Conv"]),
        ("e = Exp(x) d = Neg(e) p = Abs(d) y = Conv(p, v)", ["Exp", "Mul", "LeakyRelu", "Conv"]),
        ("a = Abs(x) p = Neg(a) y = Conv(p, v)", ["Abs", "Mul", "Conv"]),
        ("a = Abs(x) p = Pow(a, two) y = Conv(p, v)", ["Abs", "Mul", "Conv"]),
        ("a = Abs(x) d = Exp(x) p = Sum(a, d, a) y = Conv(p, v)", ["Abs", "Exp", "Add", "Add", "Conv"]),
    ],
)
def test_what_takes_its_place(body: str, kinds: list[str]) -> None:
    model = model_of(body)
    new = rewritten(model, lower_arithmetic)
    assert op_types(new) == kinds
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


@pytest.mark.parametrize(
    "body",
    [
        "p = Div(x, c) y = Conv(p, v)",  # of the image itself
        "a = Abs(x) y = Div(a, c)",  # only the output head follows
        "a = Abs(x) p = Div(a, gap) y = Conv(p, v)",
        "a = Abs(x) p = Div(c, a) y = Conv(p, v)",
        "a = Abs(x) p = Pow(a, c) y = Conv(p, v)",
        "a = Abs(x) p = Sum(a) y = Conv(p, v)",
    ],
)
def test_what_stays(body: str) -> None:
    model = model_of(body)
    assert op_types(rewritten(model, lower_arithmetic)) == op_types(model)


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("a = Conv(x, w) y = Mul(a, c)", ["Conv"]),
        ("a = Conv(x, w, b) r = Relu(a) y = Mul(c, r)", ["Conv", "Relu"]),
        ("a = Conv(x, w) y = Div(a, n)", ["Conv"]),
        (
            "a = ConvTranspose(x, t) p = AveragePool<kernel_shape=[2,2]>(a) y = Mul(p, n)",
            ["ConvTranspose", "AveragePool"],
        ),
        (
            "p = GlobalAveragePool(x) f = Flatten(p) d = Gemm(f, g) y = Mul(d, n)",
            ["GlobalAveragePool", "Flatten", "Gemm"],
        ),
        ("d = MatMul(x, m) e = Add(d, bias) y = Mul(e, n)", ["MatMul", "Add"]),
        (
            "a = Conv(x, w) f = Reshape(a, flat) r = Transpose<perm=[0,2,1]>(f) e = MatMul(r, f) y = Mul(e, c)",
            ["Conv", "Reshape", "Transpose", "MatMul", "Mul"],  # both sides are one image, which two nodes read
        ),
        (
            "a = Conv(x, w) d = Conv(x, w, b) f = Reshape(a, flat) k = Reshape(d, flat) r = Transpose<perm=[0,2,1]>(f) "
            "e = MatMul(r, k) y = Div(e, c)",
            ["Conv", "Conv", "Reshape", "Reshape", "Transpose", "MatMul"],
        ),
    ],
)
def test_a_number_goes_into_the_weights(body: str, kinds: list[str]) -> None:
    model = model_of(body)
    new = rewritten(model, fold_scales)
    assert op_types(new) == kinds
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


@pytest.mark.parametrize(
    "body",
    [
        "y = Mul(x, c)",
        "a = Conv(x, w) y = Mul(a, row)",
        "a = Conv(x, w) y = Mul(a, zero)",
        "a = Conv(x, w) y = Div(c, a)",
        "a = Conv(x, w) y = Mul(a, five)",  # makes it wider
        "a = Conv(x, w) r = Relu(a) y = Mul(r, n)",
        "a = Conv(x, w) s = Sigmoid(a) y = Mul(s, c)",
        "a = Conv(x, w) p = Mul(a, c) y = Add(a, p)",  # another reads it
        "a = Conv(x, w) p = Pad(a, pads, c) y = Mul(p, c)",
        "a = Conv(x, w) d = Add(a, x) y = Mul(d, c)",
    ],
)
def test_a_number_that_finds_no_weights_stays(body: str) -> None:
    model = model_of(body)
    assert op_types(rewritten(model, fold_scales)) == op_types(model)


MOVES = {
    "Transpose": "Transpose<perm=[0,1,3,2]>(@)", "Slice": "Slice(@, ones, ends, hw)", "Pad": "Pad(@, pads)",
    "Pad edge": 'Pad<mode="edge">(@, pads)', "Resize": 'Resize<mode="linear">(@, , by2)', "Add": "Add(@, c)",
    "MaxPool": "MaxPool<kernel_shape=[2,2]>(@)", "AveragePool": "AveragePool<kernel_shape=[2,2]>(@)",
    "LeakyRelu": "LeakyRelu<alpha=0.3>(@)", "ReduceMax": "ReduceMax<axes=[3]>(@)", "Relu": "Relu(@)",
}  # fmt: skip
RISING = ("MaxPool", "LeakyRelu", "ReduceMax", "Relu")


@settings(max_examples=60, deadline=None)
@given(
    chain=st.lists(st.sampled_from([key for key in MOVES if key not in ("Slice", "ReduceMax")]), max_size=4),
    last=st.sampled_from([None, "Slice", "ReduceMax"]),
    positive=st.booleans(),
)
def test_any_way_to_the_weights_gives_the_same_image(chain: list[str], last: str | None, positive: bool) -> None:
    names = [*chain, *([last] if last else [])]
    body, value = "v0 = Conv(x, w, b)", "v0"
    for index, name in enumerate(names, start=1):
        body += f" v{index} = {MOVES[name].replace('@', value)}"
        value = f"v{index}"
    model = model_of(f"{body} y = Mul({value}, {'c' if positive else 'n'})")
    new = rewritten(model, fold_scales)
    stays = not positive and any(name in RISING for name in names)
    assert ("Mul" in op_types(new)) == stays
    assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=1e-5)
