"""Activations without an integer kernel of their own run in integers, in both formats, between two convolutions."""

import functools

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.quantization.formats import FORMATS
from tests.support import graphs, quantised
from tests.support.quantised import Array, Made, kernel, noise

FEEDS = [{"x": noise(2, 3, 12, 12, seed=seed)} for seed in range(3)]
F = np.float32
SLOPES = np.linspace(-0.75, 0.75, 8, dtype=F).reshape(8, 1, 1)
CONSTANTS = {
    "gentle": SLOPES, "steep": 2 * SLOPES, "rising": np.abs(SLOPES), "falling": -np.abs(SLOPES),
    "everywhere": noise(8, 12, 12) / 2, "one": F([0.25]), "three": F(3), "zero": F(0), "six": F(6), "unit": F(1),
    "sixth": F(1) / F(6), "k3": kernel(8, 8, 3, 3), "k1": kernel(8, 8, 1, 1), "dead": SLOPES * (SLOPES > 0.3),
}  # fmt: skip
GATE = "r = Add(a, three) g = Clip(r, zero, six)"
DEAR = "c = Conv<pads=[1,1,1,1]>(a, k3)"
BODIES = {
    "PRelu": "b = PRelu(a, gentle)",
    "PRelu, slopes above 1": "b = PRelu(a, steep)",
    "PRelu, slopes above 0": "b = PRelu(a, rising)",
    "PRelu, slopes below 0": "b = PRelu(a, falling)",
    "PRelu, many slopes 0": "b = PRelu(a, dead)",
    "PRelu after a dear convolution": f"{DEAR} b = PRelu(c, gentle)",
    "PRelu after a dear convolution, slopes above 1": f"{DEAR} b = PRelu(c, steep)",
    "PRelu with a slope for each pixel": "b = PRelu(a, everywhere)",
    "PRelu with one slope": "b = PRelu(a, one)",
    "PRelu read twice": "p = PRelu(a, gentle) q = Conv(p, k1) b = Add(p, q)",
    "max": "m = Mul(a, rising) b = Max(m, a)",
    "HardSwish": "b = HardSwish(a)",
    "HardSwish after a dear convolution": f"{DEAR} b = HardSwish(c)",
    "HardSwish of what others read": "h = HardSwish(a) q = Conv(h, k1) b = Add(q, a)",
    "HardSwish after a sum": f"{DEAR} s = Add(a, c) b = HardSwish(s)",
    "x·HardSigmoid(x)": "g = HardSigmoid<alpha=0.16666667, beta=0.5>(a) b = Mul(a, g)",
    "x·HardSigmoid(x), Keras": "g = HardSigmoid(a) b = Mul(g, a)",
    "x·Clip(x + 3)/6": f"{GATE} m = Mul(a, g) b = Div(m, six)",
    "x·(Clip(x + 3)/6)": f"{GATE} d = Div(g, six) b = Mul(a, d)",
    "x·Clip(x + 3)·⅙": f"{GATE} m = Mul(a, g) b = Mul(m, sixth)",
    "gate by HardSigmoid": "p = GlobalAveragePool(a) q = Conv(p, k1) g = HardSigmoid(q) b = Mul(a, g)",
    "gate by Clip(x + 3)/6": (
        "p = GlobalAveragePool(a) q = Conv(p, k1) r = Add(q, three) s = Clip(r, zero, six) g = Div(s, six) "
        "b = Mul(a, g)"
    ),
    "HardSigmoid of what others read": "g = HardSigmoid(a) b = Mul(a, g)",
    "SiLU": "g = Sigmoid(a) b = Mul(a, g)",
    "SiLU by exp": "n = Neg(a) e = Exp(n) d = Add(e, unit) b = Div(a, d)",
}


@functools.cache
def model(name: str) -> ir.Model:
    body = BODIES[name]
    used = {key: np.asarray(array) for key, array in CONSTANTS.items() if f" {key})" in body or f" {key}," in body}
    used |= {key: np.asarray(CONSTANTS[key]) for key in CONSTANTS if f"({key}," in body}
    weights = {"w1": kernel(8, 3, 1, 1, seed=1), "w2": kernel(4, 8, 1, 1, seed=3), "b1": noise(8, seed=2) / 2}
    text = f"a = Conv(x, w1, b1) {body} y = Conv(b, w2)"
    return graphs.graph(text, opset=14, x="float[2,3,12,12]", **weights, **used)


@functools.cache
def made(name: str, qformat: str) -> Made:
    return quantised.make(model(name), FEEDS, qformat=qformat)


@functools.cache
def outcome(name: str, qformat: str) -> Array:
    return quantised.optimised(made(name, qformat).model, FEEDS[0])[0]


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", BODIES)
def test_the_runtime_executes_no_float_node(name: str, qformat: str) -> None:
    ran = quantised.executed(made(name, qformat).model, FEEDS[0])
    assert [node.op_type for node in ran if node.kind == "float"] == []
    assert [node.op_type for node in ran if node.kind == "boundary"] == ["QuantizeLinear", "DequantizeLinear"]


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", BODIES)
def test_the_answer_is_near_the_float_one(name: str, qformat: str) -> None:
    expected = graphs.run(model(name), FEEDS[0])[0]
    error = outcome(name, qformat) - expected
    assert 10 * np.log10(np.square(expected).mean() / np.square(error).mean()) > 28


@pytest.mark.parametrize("name", BODIES)
def test_both_formats_agree_within_a_step(name: str) -> None:
    step = float(made(name, "qdq").plan.tensors["y"].scale)
    assert np.abs(outcome(name, "qdq") - outcome(name, "qoperator")).max() <= 1.001 * step
