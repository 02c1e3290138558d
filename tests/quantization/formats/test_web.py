"""The web format: 1x1 convolutions whose sums are requantised apart; and weights of float products stored as int8."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph import to_bytes
from quantseg.graph.preparation import prepare
from quantseg.quantization import formats
from quantseg.quantization.formats import web
from quantseg.quantization.formats.weights import LEAST, store_in_int8
from quantseg.quantization.plan import QuantSettings, plan
from quantseg.quantization.qtypes import INT8, UINT8
from quantseg.simulation import running
from quantseg.simulation.program import program
from tests.support import graphs, quantised
from tests.support.quantised import kernel, noise
from tests.support.web import needs_web

FEEDS = [{"x": noise(1, 3, 8, 8, seed=seed)} for seed in range(3)]
BODY = "a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) y = Conv<strides=[1,1]>(r, w2, b2)"
WEIGHTS = {"w1": kernel(16, 3, 3, 3, seed=1), "w2": kernel(6, 16, 1, 1, seed=2), "b2": noise(6, seed=3)}
CHAIN = ["ConvInteger", "Add", "Cast", "QuantizeLinear"]


def made(variant: str = web.APART, *, body: str = BODY, size: str = "1,3,8,8", **settings: Any) -> ir.Model:
    """The network with each convolution that has this variant in it."""
    prepared = prepare(graphs.graph(body, x=f"float[{size}]", **WEIGHTS))
    decided = plan(prepared, quantised.extrema(prepared.model, FEEDS), QuantSettings(**settings))
    named = {str(n.name): variant for n in prepared.model.graph if variant in web.variants(n)}
    return formats.emit(prepared.model, replace(decided, variants=named), qformat="web", metadata={})


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("settings", [{}, {"per_channel": False}, {"symmetric": True}], ids=str)
def test_sums_are_requantised_apart_to_the_same_integers_but_for_halves(settings: dict[str, Any]) -> None:
    apart, fused = made(**settings), made(web.FUSED, **settings)
    assert [op for op in operators(apart) if op in CHAIN[:3]] == CHAIN[:3]
    assert operators(fused).count("QLinearConv") == 2
    for feed in FEEDS:
        (one,), (other,) = quantised.optimised(apart, feed), quantised.optimised(fused, feed)
        step = float(np.diff(np.unique(other)).min())
        assert abs(one - other).max() <= 1.001 * step
        assert (one != other).mean() < 0.02


def test_the_simulator_computes_every_bit_of_it() -> None:
    model = made()
    for feed in FEEDS:
        (found,) = quantised.optimised(model, feed)
        np.testing.assert_array_equal(running.outputs(program(model), feed)["y"], found)


@pytest.mark.parametrize("settings", [{"weight": UINT8}, {"activation": INT8}], ids=["uint8", "int8 activations"])
def test_other_types_stay_fused(settings: dict[str, Any]) -> None:
    assert "ConvInteger" not in operators(made(**settings))


def test_only_dense_convolutions_have_variants_and_only_small_kernels_are_unfolded() -> None:
    body = """a = Conv<group=3>(x, d) b = Conv<pads=[1,1,1,1]>(a, w) c = Conv(b, p) e = Conv<pads=[3,3,3,3]>(c, g)
    y = Relu(e)"""
    weights = {"d": kernel(3, 1, 1, 1), "w": kernel(8, 3, 3, 3), "p": kernel(4, 8, 1, 1), "g": kernel(2, 4, 7, 7)}
    model = prepare(graphs.graph(body, x="float[1,3,8,8]", **weights)).model
    wanted = [(), (web.FUSED, web.UNFOLDED), (web.FUSED, web.APART), (), ()]
    assert [web.variants(node) for node in model.graph] == wanted


WINDOWS = {
    "3x3": "pads=[1,1,1,1]",
    "no padding": "dilations=[1,1]",
    "one side alone": "pads=[0,1,2,0]",
    "strides": "pads=[1,1,1,1],strides=[2,2]",
    "rows alone": "strides=[2,1]",
    "dilations": "pads=[2,2,2,2],dilations=[2,2]",
    "both": "pads=[2,1,0,1],strides=[2,1],dilations=[2,1]",
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("size", ["1,3,8,8", "1,3,H,W"])
def test_a_convolution_over_its_unfolded_input_has_the_same_integers_but_for_halves(window: str, size: str) -> None:
    body = f"a = Conv<{window}>(x, w1) r = Relu(a) y = Conv(r, w2, b2)"
    unfolded, fused = (made(variant, body=body, size=size) for variant in (web.UNFOLDED, web.FUSED))
    assert operators(unfolded).count("Slice") == 9
    assert operators(fused).count("QLinearConv") == operators(unfolded).count("QLinearConv") + 1 == 2
    for feed in FEEDS:
        (one,), (other,) = quantised.optimised(unfolded, feed), quantised.optimised(fused, feed)
        step = float(np.diff(np.unique(other)).min())
        assert one.shape == other.shape
        assert abs(one - other).max() <= 2.001 * step
        assert (one != other).mean() < 0.05
        np.testing.assert_array_equal(running.outputs(program(unfolded), feed)["y"], one)


@needs_web
@pytest.mark.parametrize("variant", [web.APART, web.UNFOLDED])
def test_onnxruntime_web_gives_the_integers_of_python(variant: str) -> None:
    from quantseg.runtimes import RUNTIMES

    model = made(variant)
    session = RUNTIMES["onnxruntime-web"].open(to_bytes(model), threads=1)
    for feed in FEEDS:
        np.testing.assert_array_equal(session.run(feed)[0], quantised.optimised(model, feed)[0])
    session.close()


# Weights of float products, stored as int8.

FLOAT = """a = Conv<pads=[1,1,1,1]>(x, w1) b = ConvTranspose<strides=[2,2]>(a, w2) f = GlobalAveragePool(b)
g = Flatten(f) h = Gemm<transB=1>(g, w3) y = MatMul(h, w4)"""
FLOAT_WEIGHTS = {
    "w1": kernel(16, 3, 3, 3, seed=1),
    "w2": kernel(16, 32, 2, 2, seed=2),
    "w3": kernel(24, 32, seed=3),
    "w4": kernel(24, 16, seed=4),
}


def test_weights_are_stored_per_output_channel() -> None:
    model = graphs.graph(FLOAT, x="float[1,3,8,8]", y="float[1,16]", **FLOAT_WEIGHTS)
    before = [graphs.run(model, feed)[0] for feed in FEEDS]
    store_in_int8(model)
    assert operators(model).count("DequantizeLinear") == 4
    constants = quantised.initializers(model)
    for name, channels in {"w1": 16, "w2": 32, "w3": 24, "w4": 16}.items():
        assert constants[f"{name}_quantized"].dtype == np.int8
        assert constants[f"{name}_scale"].shape == (channels,)
        assert name not in constants
    for feed, wanted in zip(FEEDS, before, strict=True):
        np.testing.assert_allclose(graphs.run(model, feed)[0], wanted, atol=0.03 * abs(wanted).max())


def test_small_weights_and_computed_ones_stay() -> None:
    body = "s = Add(w, w) a = Conv(x, s) y = Conv(a, v)"
    weights = {"w": kernel(90, 3, 1, 1), "v": kernel(2, 90, 1, 1)}
    assert weights["w"].size >= LEAST > weights["v"].size
    model = graphs.graph(body, x="float[1,3,8,8]", **weights)
    store_in_int8(model)
    assert "DequantizeLinear" not in operators(model)


def test_a_weight_of_two_products_is_stored_once() -> None:
    model = graphs.graph("a = Conv(x, w) b = Conv(x, w) y = Add(a, b)", x="float[1,3,8,8]", w=kernel(90, 3, 1, 1))
    store_in_int8(model)
    assert operators(model).count("DequantizeLinear") == 1


# Float products between integers stay float.

ISLAND = "a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) d = Conv<group=16,pads=[1,1,1,1]>(r, wd) {} y = Conv(e, w2, b2)"


@pytest.mark.parametrize("activation", ["e = Relu(d)", "e = Clip(d, low, high)", "e = Identity(d)"])
def test_a_float_product_between_integers_is_computed_in_float(activation: str) -> None:
    bounds = {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    weights = {**WEIGHTS, "wd": kernel(16, 1, 3, 3, seed=9), **(bounds if "Clip" in activation else {})}
    prepared = prepare(graphs.graph(ISLAND.format(activation), x="float[1,3,8,8]", **weights))
    ranges = quantised.extrema(prepared.model, FEEDS)
    (depthwise,) = (str(n.name) for n in prepared.model.graph if n.attributes.get_int("group", 1) == 16)
    kept = plan(prepared, ranges, QuantSettings(exclude=(depthwise,)))
    models = {name: formats.emit(prepared.model, kept, qformat=name, metadata={}) for name in ("web", "qoperator")}
    floats = {
        name: [n.op_type for n in quantised.executed(model, FEEDS[0]) if n.is_convolution and n.kind == "float"]
        for name, model in models.items()
    }
    assert len(floats["web"]) == 1
    for feed in FEEDS:
        np.testing.assert_array_equal(
            quantised.optimised(models["web"], feed)[0], graphs.run(models["qoperator"], feed)[0]
        )
