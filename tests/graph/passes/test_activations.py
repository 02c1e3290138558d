"""Every spelling of hard-swish, hard-sigmoid, SiLU and PRelu becomes one; what only looks like one stays."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph import infer_shapes
from quantseg.graph.passes.activations import recognise_activations
from tests.support.graphs import assert_same, graph, noise, op_types, run

X = noise(1, 2, 6, 6) * 4
F = np.float32
CONSTANTS = {"three": F(3), "zero": F(0), "six": F(6), "sixth": F(1) / F(6), "one": F(1)}
CONSTANTS |= {"half": F(0.5), "third": F(1) / F(3), "slopes": F([[[0.5]], [[-2]]]), "row": F([0, 2, 1, -1, 0.5, -3])}
CONSTANTS |= {"batch": np.full((3, 1, 1, 1), 0.5, F)}
GATE = "a = Add(x, three) g = Clip(a, zero, six)"

HARD_SWISH = {
    "multiply, then divide": f"{GATE} m = Mul(x, g) y = Div(m, six)",
    "divide the gate": f"{GATE} d = Div(g, six) y = Mul(x, d)",
    "divide the input": f"{GATE} d = Div(x, six) y = Mul(g, d)",
    "times a sixth, last": f"{GATE} m = Mul(g, x) y = Mul(sixth, m)",
    "times a sixth, first": f"{GATE} d = Mul(x, sixth) y = Mul(d, g)",
    "constant on the left": "a = Add(three, x) g = Clip(a, zero, six) d = Mul(sixth, g) y = Mul(d, x)",
    "hard sigmoid": "g = HardSigmoid<alpha=0.16666667, beta=0.5>(x) y = Mul(x, g)",
}


def recognised(model: ir.Model) -> ir.Model:
    copy = model.clone()
    infer_shapes(copy)
    recognise_activations(copy)
    return copy


def spelt(body: str, opset: int = 13) -> ir.Model:
    used = {name: np.asarray(value) for name, value in CONSTANTS.items() if name in body}
    return graph(body, opset=opset, **used)


@pytest.mark.parametrize(("opset", "kinds"), [(13, ["HardSigmoid", "Mul"]), (14, ["HardSwish"])])
@pytest.mark.parametrize("name", HARD_SWISH)
def test_spellings_of_hard_swish_become_one(name: str, opset: int, kinds: list[str]) -> None:
    model = spelt(HARD_SWISH[name], opset)
    new = recognised(model)
    assert op_types(new) == kinds
    assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=1e-6)


@pytest.mark.parametrize(
    ("body", "alpha", "beta"),
    [
        (f"{GATE} y = Div(g, six)", 1 / 6, 0.5),
        (f"{GATE} y = Mul(sixth, g)", 1 / 6, 0.5),
        ("a = Add(three, x) g = Clip(a, zero, six) d = Mul(g, half) y = Mul(third, d)", 1 / 6, 0.5),
        ("a = Add(x, half) g = Clip(a, zero, third) y = Div(g, third)", 3, 1.5),
        (f"{GATE} d = Div(g, six) y = Mul(d, row)", 1 / 6, 0.5),
    ],
)
def test_a_clipped_line_that_ends_at_one_becomes_a_hard_sigmoid(body: str, alpha: float, beta: float) -> None:
    model = spelt(body, 14)
    new = recognised(model)
    assert op_types(new)[:1] == ["HardSigmoid"]
    assert "Clip" not in op_types(new)
    gate = new.graph.node(0)
    assert (gate.attributes.get_float("alpha"), gate.attributes.get_float("beta")) == pytest.approx((alpha, beta))
    assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        "m = Mul(x, slopes) y = Max(x, m)",
        "m = Mul(slopes, x) y = Max(m, x)",
        "m = Mul(x, half) y = Max(x, m)",
        "r = Relu(x) n = Neg(x) s = Relu(n) m = Mul(s, slopes) y = Add(r, m)",
        "r = Relu(x) n = Neg(x) s = Relu(n) m = Mul(slopes, s) y = Add(m, r)",
        "r = Relu(x) n = Neg(x) s = Relu(n) m = Mul(s, row) y = Sub(r, m)",
    ],
)
def test_spellings_of_prelu_become_one(body: str) -> None:
    model = spelt(body)
    new = recognised(model)
    assert op_types(new) == ["PRelu"]
    assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=1e-6)


def test_silu_by_exp_becomes_a_product_with_sigmoid() -> None:
    model = spelt("n = Neg(x) e = Exp(n) d = Add(e, one) y = Div(x, d)")
    new = recognised(model)
    assert op_types(new) == ["Sigmoid", "Mul"]
    assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        "s = Sigmoid(x) y = Mul(x, s)",  # SiLU as it should be
        f"{GATE} y = Mul(x, g)",  # six times too big
        f"{GATE} m = Mul(x, g) d = Div(m, six) y = Add(d, g)",  # the gate has another user
        "a = Add(x, one) g = Clip(a, zero, six) m = Mul(x, g) y = Div(m, six)",
        "a = Add(x, three) g = Clip(a, one, six) m = Mul(x, g) y = Div(m, six)",
        "g = HardSigmoid(x) y = Mul(x, g)",  # slope 1/5
        "n = Neg(x) a = Add(n, three) g = Clip(a, zero, six) m = Mul(x, g) y = Div(m, six)",  # of −x
        "n = Neg(x) e = Exp(n) d = Add(e, three) y = Div(x, d)",
        f"{GATE} m = Div(x, g) y = Div(m, six)",
        f"{GATE} y = Mul(g, half)",  # ends at 3
        "g = Clip(x, zero, six) y = Div(g, six)",  # no line in it
        "a = Add(x, row) g = Clip(a, zero, six) y = Div(g, six)",  # many lines
        "m = Mul(x, row) y = Max(x, m)",  # slopes above 1
        "m = Mul(x, half) n = Neg(x) y = Max(n, m)",
        "m = Mul(x, half) y = Max(x, m, one)",
        "m = Mul(x, half) z = Max(x, m) y = Add(z, m)",  # the product has another user
        "m = Mul(x, batch) y = Max(x, m)",  # wider than x
        "r = Relu(x) n = Neg(x) s = Relu(n) m = Mul(s, half) y = Sub(m, r)",
        "n = Neg(x) r = Relu(n) s = Relu(n) m = Mul(s, half) y = Add(r, m)",
        "r = Relu(x) n = Neg(x) m = Mul(n, half) y = Add(r, m)",
    ],
)
@pytest.mark.parametrize("opset", [13, 14])
def test_what_is_something_else_stays(body: str, opset: int) -> None:
    model = spelt(body, opset)
    assert op_types(recognised(model)) == op_types(model)
