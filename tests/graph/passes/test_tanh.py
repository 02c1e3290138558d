"""Tanh is a Sigmoid of twice the number where a convolution makes that, and the same image."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph import infer_shapes, make_unique
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.tanh import lower_tanhs
from tests.support.graphs import assert_same, graph, noise, op_types, run

X = noise(2, 4, 5, 6) * 2
W, B, V = noise(4, 4, 1, 1), noise(4, seed=1), noise(3, 4, 3, 3, seed=2)


def lowered(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy = model.clone()
    make_unique(copy)
    infer_shapes(copy)
    return copy, lower_tanhs(copy)


@pytest.mark.parametrize("first", ["a = Conv(x, w)", "a = Conv(x, w, b)", "a = ConvTranspose(x, w, b)"])
def test_behind_a_convolution_it_is_a_sigmoid(first: str) -> None:
    constants = {"b": B} if "b)" in first else {}
    model = graph(f"{first} t = Tanh(a) y = Conv<pads=[1,1,1,1]>(t, v)", x="float[N,4,H,W]", w=W, v=V, **constants)
    new, outcome = lowered(model)
    assert op_types(new) == [first.split()[2].split("(")[0], "Sigmoid", "Conv", "Conv"]
    assert not outcome.refusals
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


def test_vectors_are_scaled_and_shifted() -> None:
    body = "a = Gemm(x, w) t = Tanh(a) y = Gemm(t, w)"
    model = graph(body, x="float[5,4]", w=W[:, :, 0, 0])
    new, _ = lowered(model)
    assert op_types(new) == ["Gemm", "Sigmoid", "Mul", "Add", "Gemm"]
    x = {"x": noise(5, 4)}
    assert_same(run(new, x), run(model, x))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a = Conv(x, w) y = Tanh(a)", "only the output head follows, which integers would round once more"),
        ("a = Abs(x) t = Tanh(a) y = Conv(t, v)", "no integer kernel in onnxruntime"),
        ("a = Conv(x, w) t = Tanh(a) s = Add(a, t) y = Conv(s, v)", "no integer kernel in onnxruntime"),
    ],
)
def test_what_stays_says_why(body: str, reason: str) -> None:
    constants = {name: array for name, array in (("w", W), ("v", V)) if f" {name})" in body}
    model = graph(body, x="float[2,4,5,6]", **constants)
    new, outcome = lowered(model)
    assert op_types(new) == op_types(model)
    assert [refusal.reason.startswith(reason) for refusal in outcome.refusals] == [True]
    assert np.isfinite(run(new, {"x": X})[0]).all()
