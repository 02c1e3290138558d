"""PRelu gives the same image without a PRelu, by its slopes, what makes its input, and what comes after."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quantseg.graph import infer_shapes
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.prelu import lower_prelus
from tests.support import quantised
from tests.support.graphs import Array, assert_same, graph, noise, op_types, run
from tests.support.quantised import kernel

X = noise(2, 4, 5, 6) * 3
F = np.float32
IMAGE = "float[1,3,24,24]"
LAST = kernel(3, 4, 1, 1, seed=1)
GENTLE = np.array([0.1, -0.5, 0.0, 0.9], F).reshape(4, 1, 1)
STEEP = np.array([0.1, -0.5, 1.0, 2.5], F).reshape(4, 1, 1)
BEND = ["Conv", "Relu", "Add"]
STEEP_BEND = ["Conv", "Relu", "Conv", "Add"]


def lowered(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy = model.clone()
    infer_shapes(copy)
    outcome = lower_prelus(copy)
    infer_shapes(copy)
    return copy, outcome


def before_a_conv(slopes: Array, *, x: str = "float[N,4,H,W]", first: str = "s = Sigmoid(x) z = Sub(x, s)") -> ir.Model:
    return graph(f"{first} p = PRelu(z, a) y = Conv(p, w)", x=x, a=slopes, w=LAST)


@pytest.mark.parametrize(
    ("slopes", "kinds"),
    [
        (GENTLE, BEND),
        (GENTLE.reshape(1, 4, 1, 1), BEND),
        (STEEP, STEEP_BEND),
        (np.float32(0.25).reshape(1), ["LeakyRelu"]),
        (np.full((4, 1, 1), 1.5, F), ["LeakyRelu"]),
        (np.full((4, 1, 1), -0.5, F), ["LeakyRelu"]),
        (np.zeros((1, 1, 1), F), ["Relu"]),
        (np.ones((4, 1, 1), F), []),
        (noise(4, 5, 6) / 9, ["Mul", "Relu", "Add"]),
        (noise(5, 1) * 9, ["Mul", "Relu", "Mul", "Add"]),
        (noise(6) / 9, ["Mul", "Relu", "Add"]),
    ],
)
def test_slopes_of_every_shape(slopes: Array, kinds: list[str]) -> None:
    model = before_a_conv(slopes)
    new, outcome = lowered(model)
    assert op_types(new) == ["Sigmoid", "Sub", *kinds, "Conv"]
    assert len(outcome.changes) == 1
    assert not outcome.refusals
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


@pytest.mark.parametrize(
    ("slopes", "kinds"),
    [
        (np.abs(GENTLE), ["Relu", "Conv", "Clip", "Add"]),
        (np.abs(STEEP), ["Relu", "Conv", "Clip", "Add"]),
        (-np.abs(STEEP), ["Relu", "Conv", "Relu", "Add"]),
        (STEEP, ["Relu", "Conv", "Relu", "Conv", "Add"]),
    ],
)
@pytest.mark.parametrize("first", ["z = Conv<group=4, pads=[1,1,1,1]>(x, v, b)", "z = Conv<strides=[2,1]>(x, u)"])
def test_a_cheap_convolution_runs_once_for_each_half(slopes: Array, kinds: list[str], first: str) -> None:
    kernels = {"v": kernel(4, 1, 3, 3)} if "group" in first else {"u": kernel(4, 4, 1, 1)}
    bias = {"b": noise(4, seed=2)} if "b)" in first else {}
    body = f"{first} p = PRelu(z, a) y = Conv(p, w)"
    model = graph(body, x="float[N,4,H,W]", a=slopes, w=LAST, **kernels, **bias)
    new, _ = lowered(model)
    assert op_types(new) == ["Conv", *kinds, "Conv"]
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


@pytest.mark.parametrize(
    "first",
    [
        "z = Conv(x, v) t = Sigmoid(z)",  # another reader needs the whole of z
        "z = Conv<pads=[1,1,1,1]>(x, k)",  # as dear as a second 3x3 convolution
        "z = Conv<group=4, pads=[2,2,2,2]>(x, d)",  # 25 products for each number
        "z = ConvTranspose(x, v)",
    ],
)
def test_other_convolutions_run_once(first: str) -> None:
    kernels = {"v": kernel(4, 4, 1, 1), "k": kernel(4, 4, 3, 3), "d": kernel(4, 1, 5, 5)}
    used = {name: array for name, array in kernels.items() if f", {name})" in first}
    tail = "q = Add(p, t)" if "t =" in first else "q = Neg(p)"
    body = f"{first} p = PRelu(z, a) {tail} y = Conv(q, w)"
    model = graph(body, x="float[N,4,H,W]", a=GENTLE, w=LAST, **used)
    new, outcome = lowered(model)
    assert outcome.changes[0].detail == "now x + Relu((a − 1)·x)"
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


def test_a_vector_is_scaled_by_a_product() -> None:
    model = graph("p = PRelu(x, a) y = Gemm(p, w)", x="float[2,4]", a=STEEP.reshape(4), w=kernel(4, 3))
    new, _ = lowered(model)
    assert op_types(new) == ["Mul", "Relu", "Mul", "Add", "Gemm"]
    assert_same(run(new, {"x": X[:, :, 0, 0]}), run(model, {"x": X[:, :, 0, 0]}))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("z = Conv(x, w) y = PRelu(z, a)", "only the output head follows, which integers would round once more"),
        ("s = Sigmoid(a) p = PRelu(x, s) y = Conv(p, w)", "its slopes are computed at run time"),
        ("p = PRelu(x, n) y = Conv(p, w)", "its slopes are not finite float32 numbers"),
    ],
)
def test_what_is_left_has_its_reason(body: str, reason: str) -> None:
    slopes = {"a": GENTLE[:3] if "Conv(x" in body else GENTLE} if "a)" in body else {}
    slopes |= {"n": np.full((4, 1, 1), np.nan, F)} if "n)" in body else {}
    model = graph(body, x="float[1,4,5,6]", w=LAST, **slopes)
    new, outcome = lowered(model)
    assert op_types(new) == op_types(model)
    assert [refusal.reason for refusal in outcome.refusals] == [reason]


def test_one_slope_needs_nothing_behind_it() -> None:
    model = graph("z = Conv(x, w) y = PRelu(z, a)", x="float[1,4,5,6]", w=LAST, a=np.float32([0.1]))
    assert op_types(lowered(model)[0]) == ["Conv", "LeakyRelu"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_slopes_give_the_same_image(data: st.DataObject) -> None:
    batch, channels, height, width = (data.draw(st.integers(1, size)) for size in (2, 5, 3, 3))
    numbers = st.floats(-3, 3, width=16)
    sizes = data.draw(
        st.sampled_from([(channels, 1, 1), (1, channels, 1, 1), (1,), (channels, height, width), (width,)])
    )
    slopes = data.draw(arrays(F, sizes, elements=numbers))
    x = data.draw(arrays(F, (batch, channels, height, width), elements=numbers))
    conv = data.draw(
        st.sampled_from(["z = Conv(x, v, b)", "z = Conv<group=0>(x, d, b)".replace("0", str(channels)), "z = Neg(x)"])
    )
    constants = {"v": noise(channels, channels, 1, 1), "d": noise(channels, 1, 1, 1), "b": noise(channels, seed=1)}
    used = {name: array for name, array in constants.items() if name in conv.split("(x")[1]}
    body = f"{conv} p = PRelu(z, a) y = Conv(p, w)"
    model = graph(body, x=f"float[N,{channels},H,W]", a=slopes, w=noise(2, channels, 1, 1, seed=2), **used)
    new, outcome = lowered(model)
    assert len(outcome.changes) == 1
    assert "PRelu" not in op_types(new)
    np.testing.assert_allclose(
        run(new, {"x": x})[0], run(model, {"x": x})[0], rtol=0, atol=3e-5 * (1 + np.abs(slopes).max())
    )


@pytest.mark.parametrize("slopes", [np.abs(GENTLE), -np.abs(GENTLE), GENTLE, STEEP], ids=str)
@pytest.mark.parametrize("size", [1, 3])
def test_integers_are_as_near_as_a_float_prelu_between_integers(slopes: Array, size: int) -> None:
    """Halves, from a cheap convolution, are nearer; a bend, from a dear one, loses less than 1.5 dB."""
    wide = np.tile(slopes, (4, 1, 1))
    pads = (size - 1) // 2
    weights = {"f": kernel(16, 3, 1, 1), "v": kernel(16, 16, size, size, seed=1), "b": noise(16, seed=2) / 4}
    weights |= {"w": kernel(8, 16, 1, 1, seed=3)}
    feeds = [{"x": noise(1, 3, 24, 24, seed=seed)} for seed in range(4)]
    head = f"c = Conv(x, f) z = Conv<pads={[pads] * 4}>(c, v, b)"
    computed = f"{head} t = Tan(r) p = PRelu(z, t) y = Conv(p, w)"  # tan is not folded, so that PRelu stays
    given_slopes = f"{head} p = PRelu(z, a) y = Conv(p, w)"
    island = _sqnr(graph(computed, x=IMAGE, r=np.arctan(wide), **weights), feeds, ["PRelu"])
    integers = _sqnr(graph(given_slopes, x=IMAGE, a=wide, **weights), feeds, [])
    assert integers > island + (0.2 if size == 1 else -1.5)


def _sqnr(model: ir.Model, feeds: list[dict[str, Array]], floats: list[str]) -> float:
    """In dB, over the feeds; floats: the activations that must run in float."""
    made = quantised.make(model, feeds)
    ran = quantised.executed(made.model, feeds[0])
    assert [node.op_type for node in ran if node.kind == "float" and node.op_type != "Tan"] == floats
    exact = np.concatenate([run(model, feed)[0] for feed in feeds])
    rounded = np.concatenate([quantised.optimised(made.model, feed)[0] for feed in feeds])
    return float(10 * np.log10(np.square(exact).mean() / np.square(exact - rounded).mean()))
