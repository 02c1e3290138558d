"""HardSwish and HardSigmoid give the same image without either, by what makes their input and what comes after."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes, make_unique
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.hard_sigmoid import lower_hard_sigmoids
from quantseg.graph.passes.hard_swish import lower_hard_swishes
from tests.support import quantised
from tests.support.graphs import Array, assert_same, graph, noise, op_types, run
from tests.support.quantised import kernel

X = noise(2, 4, 5, 6) * 5
IMAGE = "float[N,4,H,W]"
V, B, LAST = kernel(4, 4, 1, 1), noise(4, seed=2), kernel(3, 4, 1, 1, seed=1)
GATED = "s = HardSigmoid<alpha=0.3, beta=0.4>(z) p = Mul(z, s)"
ONLY_THE_HEAD = "only the output head follows, which integers would round once more"


def lowered(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy, outcome = model.clone(), RewriteOutcome()
    make_unique(copy)
    for lowering in (lower_hard_swishes, lower_hard_sigmoids):
        infer_shapes(copy)
        outcome += lowering(copy)
    infer_shapes(copy)
    return copy, outcome


def model_of(body: str, x: str = IMAGE, **constants: Array) -> ir.Model:
    known = {"v": V, "b": B, "w": LAST} | constants
    used = {name: array for name, array in known.items() if f" {name})" in body or f" {name}," in body}
    return graph(body, opset=14, x=x, **used)


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("z = Conv(x, v) p = HardSwish(z) y = Conv(p, w)", ["Conv", "Add", "Clip", "Mul", "Conv"]),
        ("z = Conv(x, v, b) p = HardSwish(z) y = Conv(p, w)", ["Conv", "Add", "Clip", "Mul", "Conv"]),
        ("z = ConvTranspose(x, v) p = HardSwish(z) y = Conv(p, w)", ["ConvTranspose", "Add", "Clip", "Mul", "Conv"]),
        (f"z = Conv(x, v, b) {GATED} y = Conv(p, w)", ["Conv", "Add", "Clip", "Mul", "Conv"]),
        (
            "z = Conv(x, v) s = HardSigmoid(z) p = Mul(s, z) y = Conv(p, w)",
            ["Conv", "Add", "Clip", "Mul", "Conv"],
        ),
        ("p = HardSwish(x) y = Conv(p, w)", ["Conv", "Clip", "Mul", "Conv"]),
        (
            "z = Conv(x, v) p = HardSwish(z) q = Add(p, z) y = Conv(q, w)",
            ["Conv", "Conv", "Clip", "Mul", "Add", "Conv"],
        ),
        ("z = Conv(x, v) p = HardSigmoid(z) q = Mul(x, p) y = Conv(q, w)", ["Conv", "Clip", "Mul", "Conv"]),
        ("z = Conv(x, v) y = HardSigmoid<beta=0.25>(z)", ["Conv", "Clip"]),
        ("p = HardSigmoid<alpha=-0.5>(x) y = Conv(p, w)", ["Conv", "Clip", "Conv"]),
        (
            "z = Conv(x, v) s = HardSigmoid<alpha=-0.5>(z) p = Mul(z, s) y = Conv(p, w)",
            ["Conv", "Conv", "Clip", "Mul", "Conv"],
        ),
        (
            "f = Flatten<axis=3>(x) p = HardSwish(f) y = MatMul(p, m)",
            ["Flatten", "Mul", "Add", "Clip", "Mul", "MatMul"],
        ),
    ],
)
def test_what_takes_its_place(body: str, kinds: list[str]) -> None:
    model = model_of(body, m=kernel(6, 3))
    new, outcome = lowered(model)
    assert op_types(new) == kinds
    assert outcome.changes
    assert not outcome.refusals
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


def test_vectors_have_no_channels_to_be_a_depthwise_conv_over() -> None:
    vector = graph(
        "z = Gemm(x, v) p = HardSwish(z) q = HardSigmoid(p) y = Gemm(q, v)", opset=14, x="float[2,4]", v=V[:, :, 0, 0]
    )
    new, _ = lowered(vector)
    assert op_types(new) == ["Gemm", "Add", "Clip", "Mul", "Mul", "Add", "Clip", "Gemm"]
    assert_same(run(new, {"x": X[:, :, 0, 0]}), run(vector, {"x": X[:, :, 0, 0]}))


@pytest.mark.parametrize(
    "body",
    ["z = Conv(x, v) y = HardSwish(z)", f"z = Conv(x, v) {GATED} y = Neg(p)", "s = Neg(x) y = HardSigmoid(s)"],
)
def test_what_only_the_answer_follows_stays(body: str) -> None:
    model = model_of(body)
    new, outcome = lowered(model)
    assert op_types(new) == op_types(model)
    assert ONLY_THE_HEAD in {refusal.reason for refusal in outcome.refusals}
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


def test_an_answer_that_the_gate_reads_too_keeps_its_numbers() -> None:
    text = '<ir_version: 8, opset_import: ["": 14]> g (float[1,4,5,6] x) => (float[] y, float[] z)'
    model = quantised.graphs.parse(f"{text} {{ z = Conv(x, v) p = HardSwish(z) y = Conv(p, w) }}", v=V, w=LAST)
    new, _ = lowered(model)
    assert op_types(new) == ["Conv", "Conv", "Clip", "Mul", "Conv"]
    assert_same(run(new, {"x": X[:1]}), run(model, {"x": X[:1]}))


@settings(max_examples=50, deadline=None)
@given(
    alpha=st.floats(-2, 2, width=16),
    beta=st.floats(-2, 2, width=16),
    channels=st.integers(1, 4),
    size=st.integers(1, 4),
    batch=st.integers(1, 3),
    first=st.sampled_from(["z = Conv(x, v, b)", "z = Neg(x)"]),
    second=st.sampled_from(["p = Mul(z, s)", "p = Mul(s, z)", "p = Neg(s)", "q = Mul(s, s) p = Add(q, z)"]),
)
def test_any_line_gives_the_same_image(
    alpha: float, beta: float, channels: int, size: int, batch: int, first: str, second: str
) -> None:
    weights = {"v": noise(channels, channels, 1, 1), "b": noise(channels, seed=1)} if "Conv" in first else {}
    body = f"{first} s = HardSigmoid<alpha={alpha:.6f}, beta={beta:.6f}>(z) {second} y = Conv(p, w)"
    model = graph(body, x=f"float[N,{channels},H,W]", w=noise(2, channels, 1, 1, seed=2), **weights)
    new, outcome = lowered(model)
    assert outcome.changes
    assert "HardSigmoid" not in op_types(new)
    x = noise(batch, channels, size, size, seed=3) * 2
    assert_same(run(new, {"x": x}), run(model, {"x": x}), tolerance=1e-4)


@pytest.mark.parametrize("qformat", ["qdq", "qoperator"])
def test_an_inverted_residual_with_squeeze_excite_runs_in_integers(qformat: str) -> None:
    """MobileNetV3's block (arXiv:1905.02244), behind a first convolution: as near as one with float activations."""
    block = """c = Conv(x, f) e = Conv(c, v, b) h = HardSwish(e)
        d = Conv<group=16, pads=[1,1,1,1]>(h, k) i = HardSwish(d)
        g = GlobalAveragePool(i) r = Conv(g, q) t = Relu(r) u = Conv(t, o) s = HardSigmoid(u) m = Mul(i, s)
        n = Conv(m, l) a = Add(n, c) y = Conv(a, w)"""
    weights = {
        "f": kernel(8, 3, 1, 1), "v": kernel(16, 8, 1, 1, seed=1), "b": noise(16, seed=2), "k": kernel(16, 1, 3, 3),
        "q": kernel(4, 16, 1, 1, seed=3), "o": kernel(16, 4, 1, 1, seed=4), "l": kernel(8, 16, 1, 1, seed=5),
        "w": kernel(4, 8, 1, 1, seed=6),
    }  # fmt: skip
    model = graph(block, opset=14, x="float[1,3,16,16]", **weights)
    feeds = [{"x": noise(1, 3, 16, 16, seed=seed)} for seed in range(4)]
    made = quantised.make(model, feeds, qformat=qformat)
    ran = quantised.executed(made.model, feeds[0])
    assert not [node.op_type for node in ran if node.kind == "float"]
    assert sum(node.kind == "boundary" for node in ran) == 2
    expected, actual = run(model, feeds[0])[0], quantised.optimised(made.model, feeds[0])[0]
    assert 10 * np.log10(np.square(expected).mean() / np.square(expected - actual).mean()) > 30
