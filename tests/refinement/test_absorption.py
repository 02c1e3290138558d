"""Absorption: the same network in float, tensors that reach less far, and nothing moved where it would not be equal."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg import graph
from quantseg.evaluation.reference_models import reference_models
from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization import formats
from quantseg.refinement.equalisation.absorption import SHARE, Absorbed, absorb
from tests.refinement.test_equalisation import Feeds, raw, seen
from tests.support import graphs
from tests.support.candidates import candidate as candidate_of
from tests.support.places import SHARED
from tests.support.quantised import Array, extrema, kernel, noise

MODELS = SHARED / "models"
MODELS = {
    **{name: path for name, path in reference_models().items() if name in ("mobile", "fc_densenet")},
    **{path.stem: path for path in sorted(MODELS.glob("deeplab_v3_mbv2_voc.onnx"))},
}
FEEDS = [{"x": noise(1, 4, 6, 6, seed=seed)} for seed in range(2)]


def build(body: str, *, x: str = "float[1,4,6,6]", **weights: Array) -> Prepared:
    return raw(graphs.graph(body, x=x, **weights))


def checked(prepared: Prepared, feeds: Feeds = FEEDS, tolerance: float = 1e-4) -> Absorbed | None:
    """Absorbed, and the same network by onnxruntime on what it was seen on."""
    before = ir.to_proto(prepared.model).SerializeToString()
    done = absorb(prepared, seen(prepared, feeds))
    assert ir.to_proto(prepared.model).SerializeToString() == before
    if done is not None:
        for feed in feeds:
            graphs.assert_same(graphs.run(done.prepared.model, feed), graphs.run(prepared.model, feed), tolerance)
    return done


def width(prepared: Prepared, name: str) -> float:
    """How far a tensor's grid must reach, zero included."""
    found = seen(prepared, FEEDS)[name]
    return float(max(found.maxima.max(), 0) - min(found.minima.min(), 0))


PAIR = "a = Conv(x, w, b) {relu} y = Conv({t}, v, c)"
HIGH = np.array([30, -1, 3, 60, 30, 2], np.float32)
WEIGHTS = {"w": kernel(6, 4, 3, 3), "b": HIGH, "v": kernel(3, 6, 1, 1, seed=1), "c": noise(3)}


@pytest.mark.parametrize("relu", [True, False])
def test_a_constant_moves_into_the_next_bias(relu):
    between, tensor = ("r = Relu(a)", "r") if relu else ("", "a")
    prepared = build(PAIR.format(relu=between, t=tensor), **WEIGHTS)
    done = checked(prepared)
    assert done is not None
    assert width(done.prepared, tensor) < width(prepared, tensor) / 2


def test_behind_a_relu_only_what_reaches_beyond_the_least_grid_is_taken():
    prepared = build(PAIR.format(relu="r = Relu(a)", t="r"), **WEIGHTS)
    done = checked(prepared)
    assert done is not None
    before, after = seen(prepared, FEEDS)["r"], seen(done.prepared, FEEDS)["r"]
    least = float((before.maxima - SHARE * before.minima).max())
    np.testing.assert_allclose(after.maxima, np.minimum(before.maxima, least), rtol=1e-3)
    assert (after.minima >= before.minima * (1 - SHARE) - 1e-4).all()
    assert done.channels == int((before.maxima > least * 1.000001).sum())


def test_without_an_activation_the_widest_channel_is_the_grid_and_any_image_stays_the_same():
    prepared = build(PAIR.format(relu="", t="a"), **WEIGHTS)
    done = checked(prepared)
    assert done is not None
    found = seen(prepared, FEEDS)["a"]
    assert width(done.prepared, "a") == pytest.approx(float((found.maxima - found.minima).max()), rel=1e-4)
    other = {"x": 10 * noise(1, 4, 6, 6, seed=9)}
    graphs.assert_same(graphs.run(done.prepared.model, other), graphs.run(prepared.model, other), 1e-4)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("r = Relu(a) y = Conv <pads = [1,1,1,1]> (r, v, c)", id="padded"),
        pytest.param('r = Relu(a) y = Conv <auto_pad = "SAME_UPPER"> (r, v, c)', id="padded by itself"),
        pytest.param("r = Relu(a) s = Conv(r, v, c) t = Sigmoid(r) y = Concat <axis = 1> (s, t)", id="read by another"),
        pytest.param("r = Relu(a) s = Conv(r, v, c) t = Sigmoid(a) y = GlobalMaxPool(t)", id="read before"),
        pytest.param("y = Relu(a) s = Conv(y, v, c)", id="read and given out"),
        pytest.param("r = LeakyRelu(a) y = Conv(r, v, c)", id="slope"),
        pytest.param("r = Relu(a) p = Sigmoid(c) y = Conv(r, v, p)", id="bias computed"),
        pytest.param("y = Relu(a)", id="output"),
        pytest.param("o = Relu(x) m = Relu(a) y = Add(a, m)", id="no layer"),
    ],
)
def test_nothing_moves_where_it_would_not_be_equal(body):
    assert checked(build("a = Conv(x, w, b) " + body, **WEIGHTS)) is None


def test_a_branch_takes_nothing():
    branches = ", ".join(
        f"{name}_branch = {name} () => (float[1,3,4,4] u{name}) {{ u{name} = Conv(r, v, c) }}"
        for name in ("then", "else")
    )
    prepared = build(f"a = Conv(x, w, b) r = Relu(a) y = If <{branches}> (k)", **WEIGHTS, k=np.array(True))
    assert checked(prepared) is None


def test_a_image_that_serves_as_a_weight_takes_nothing():
    prepared = build("a = Conv(x, w, b) r = Relu(a) y = Conv(z, r)", **WEIGHTS, z=noise(1, 6, 8, 8))
    assert checked(prepared) is None


def test_nothing_moves_where_nothing_is_gained_or_seen():
    even = {**WEIGHTS, "w": kernel(6, 4, 1, 1), "b": np.zeros(6, np.float32)}
    prepared = build(PAIR.format(relu="r = Relu(a)", t="r"), **even)
    assert checked(prepared) is None
    assert absorb(build(PAIR.format(relu="", t="a"), **WEIGHTS), {}) is None


@pytest.mark.parametrize("relu", ["r = Relu(a)", "r = Identity(a)"])
@pytest.mark.parametrize("reader", ["Gemm", "Gemm <transB = 1>", "MatMul"])
def test_products_of_vectors_take_constants_too(reader, relu):
    v = kernel(3, 6, seed=1) if "transB" in reader else kernel(6, 3, seed=1)
    body = f"a = Gemm <transB = 1> (x, w, b) {relu} y = {reader}(r, v)"
    prepared = prepare(graphs.graph(body, x="float[5,4]", w=kernel(6, 4), b=HIGH[None], v=v))
    done = checked(prepared, [{"x": noise(5, 4)}])
    assert done is not None
    assert done.channels >= 3


@pytest.mark.parametrize("scale", ["alpha = 0.5", "beta = 0.5"])
def test_a_scaled_product_is_left_alone(scale):
    body = f"a = Gemm <transB = 1> (x, w, b) r = Relu(a) y = Gemm <transB = 1, {scale}> (r, v, c)"
    weights = {"w": kernel(6, 4), "b": HIGH, "v": kernel(3, 6), "c": noise(3)}
    assert checked(build(body, x="float[5,4]", **weights), [{"x": noise(5, 4)}]) is None


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_chain_of_layers_stays_equal(data):
    """Convolutions with and without bias, groups, strides, activation and padding, read by one or two."""
    seed, lines, weights, last, made = data.draw(st.integers(0, 1000)), [], {}, "x", 4

    def layer(name: str, read: str, channels: int, out: int, pads: bool) -> None:
        group = data.draw(st.sampled_from([1, 2]))
        side = 3 if pads else data.draw(st.sampled_from([1, 2]))
        weights[f"w{name}"] = kernel(out, channels // group, side, side, seed=seed + len(weights))
        bias = data.draw(st.booleans())
        if bias:
            weights[f"b{name}"] = 10 * noise(out, seed=seed + len(weights))
        pad = ", pads = [1,1,1,1]" if pads else ""
        lines.append(f"{name} = Conv <group = {group}{pad}> ({read}, w{name}{f', b{name}' if bias else ''})")

    for step in range(data.draw(st.integers(2, 5))):
        out, pads = data.draw(st.sampled_from([4, 8])), data.draw(st.booleans())
        layer(f"a{step}", last, made, out, pads)
        last, made = f"a{step}", out
        if data.draw(st.booleans()):
            lines.append(f"r{step} = Relu({last})")
            last = f"r{step}"
    layer("p", last, made, 4, False)
    layer("q", last, made, 4, data.draw(st.booleans()))
    lines += ["m = GlobalAveragePool(p)", "y = Add(m, q)"]
    prepared = build("\n".join(lines), x="float[1,4,12,12]", **weights)
    checked(prepared, [{"x": noise(1, 4, 12, 12, seed=seed + number)} for number in range(2)])


def test_layers_that_share_weight_and_bias_are_told_apart():
    body = "a = Conv(x, w, b) r = Relu(a) d = Conv(r, w, b) e = Relu(d) y = Conv(e, w, b)"
    weights = {"w": np.abs(kernel(4, 4, 1, 1)), "b": 9 + noise(4)}
    done = checked(build(body, **weights))
    assert done is not None
    assert done.channels == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobile", "fc_densenet", "deeplab_v3_mbv2_voc"])
def test_real_models_stay_equal(name):
    if name not in MODELS:
        pytest.skip(f"{name} is not here")
    prepared = prepare(graph.load(MODELS[name]))
    (image,) = prepared.model.graph.inputs
    shape = [size if isinstance(size, int) else 64 if axis > 1 else 1 for axis, size in enumerate(image.shape)]
    done = checked(prepared, [{str(image.name): noise(*shape)}])
    assert done is not None


def test_a_quantised_network_errs_less():
    prepared = build(PAIR.format(relu="", t="a"), **WEIGHTS)
    done = checked(prepared)
    assert done is not None

    def error(candidate: Prepared) -> float:
        decided = candidate_of(candidate, extrema(candidate.model, FEEDS)).plan
        rounded = formats.emit(candidate.model, decided, qformat="qdq", metadata={})
        return max(
            float(np.abs(graphs.run(rounded, feed)[0] - graphs.run(prepared.model, feed)[0]).max()) for feed in FEEDS
        )

    assert error(done.prepared) < error(prepared) / 2
