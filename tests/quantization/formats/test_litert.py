"""Networks for LiteRT: every operator, in every spelling, beside onnxruntime's float results."""

import functools

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.errors import ModelError
from quantseg.quantization.formats.litert.file import from_bytes, to_bytes
from quantseg.quantization.formats.litert.network import LiteRtNetwork
from quantseg.quantization.formats.litert.writing import Interface, network
from quantseg.quantization.plan import QuantPlan
from tests.support import graphs, litert, quantised
from tests.support.operator_rows import ROWS, model_of
from tests.support.quantised import Array, kernel, noise

FEEDS = [{"x": noise(2, 3, 12, 12, seed=seed)} for seed in range(3)]
LACKING = {"bicubic": "interpolates by cubic"}
"""Rows that LiteRT cannot compute → a part of the error."""
WRITTEN = [name for name in ROWS if name not in LACKING]


@functools.cache
def made(name: str) -> tuple[LiteRtNetwork, LiteRtNetwork, QuantPlan]:
    return litert.networks(model_of(ROWS[name]), FEEDS)


@functools.cache
def expected(name: str) -> Array:
    return graphs.run(model_of(ROWS[name]), FEEDS[0])[0]


def decibels(exact: Array, other: Array) -> float:
    return float(10 * np.log10(np.square(exact).mean() / max(np.square(other - exact).mean(), 1e-30)))


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_the_float_network_computes_what_the_model_does(name: str) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    assert decibels(expected(name), litert.outputs(made(name)[0], FEEDS[0])[0]) > 85


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["litert", "litert-reference"])
@pytest.mark.parametrize("name", WRITTEN)
def test_the_integer_network_is_near_the_float_model(name: str, runtime: str) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    assert decibels(expected(name), litert.outputs(made(name)[1], FEEDS[0], runtime)[0]) > ROWS[name].decibels


@pytest.mark.parametrize("name", LACKING)
def test_what_litert_lacks_is_named(name: str) -> None:
    with pytest.raises(ModelError, match=f"Resize_1 .*{LACKING[name]}"):
        made(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_holds_the_network_and_equal_networks_give_equal_files(name: str) -> None:
    _, written, _ = made(name)
    content = to_bytes(written)
    assert to_bytes(litert.networks(model_of(ROWS[name]), FEEDS)[1]) == content
    read = from_bytes(content, name)
    assert to_bytes(read) == content
    assert [operator.kind for operator in read.operators] == [operator.kind for operator in written.operators]


def model(body: str, **weights: Array) -> ir.Model:
    return graphs.graph(body, x="float[2,3,12,12]", opset=14, **weights)


def kinds(of: LiteRtNetwork) -> list[str]:
    return [operator.kind for operator in of.operators]


def test_transposes_of_layouts_cost_nothing() -> None:
    body = "t = Transpose<perm=[0,2,3,1]>(x) u = Transpose<perm=[0,3,1,2]>(t) y = Conv(u, w)"
    assert kinds(litert.networks(model(body, w=kernel(4, 3, 1, 1)), FEEDS)[0]) == ["CONV_2D"]


def test_a_reshape_of_pixels_to_tokens_moves_nothing() -> None:
    body = "a = Conv(x, w) r = Reshape(a, s) t = Transpose<perm=[0,2,1]>(r) y = MatMul(t, m)"
    weights = {"w": kernel(8, 3, 1, 1), "s": np.array([2, 8, 144]), "m": kernel(8, 4)}
    assert kinds(litert.networks(model(body, **weights), FEEDS)[0]) == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]


def test_activations_are_options_of_what_is_before_them() -> None:
    body = "a = Conv(x, w) b = Relu(a) c = Conv(b, v) d = Clip(c, l, h) e = Add(b, d) y = Relu(e)"
    weights = {"w": kernel(8, 3, 1, 1), "v": kernel(8, 8, 1, 1), "l": np.float32(0), "h": np.float32(6)}
    found, *_ = litert.networks(model(body, **{name: np.asarray(value) for name, value in weights.items()}), FEEDS)
    assert [one.options["fused_activation_function"] for one in found.operators] == [1, 3, 1]


def test_a_transposed_convolution_stays_itself_with_a_scale_for_each_output() -> None:
    body = "a = Conv(x, w) y = ConvTranspose<strides=[2,2], kernel_shape=[2,2]>(a, u, b)"
    weights = {"w": kernel(8, 3, 1, 1), "u": kernel(8, 5, 2, 2, seed=3), "b": noise(5)}
    _, found, _ = litert.networks(model(body, **weights), FEEDS)
    (one,) = (operator for operator in found.operators if operator.kind == "TRANSPOSE_CONV")
    weight = one.inputs[1]
    assert weight is not None
    assert weight.params is not None
    assert (weight.shape, weight.params.scale.shape, weight.params.axis) == ((5, 2, 2, 8), (5,), 0)


TRANSPOSED = {
    "2x2": "strides=[2,2], kernel_shape=[2,2]",
    "3x3, output padding": "strides=[2,2], kernel_shape=[3,3], pads=[1,1,1,1], output_padding=[1,1]",
    "4x4": "strides=[2,2], kernel_shape=[4,4], pads=[1,1,1,1]",
    "3x3, no crop": "strides=[2,2], kernel_shape=[3,3]",
    "uneven": "strides=[2,3], kernel_shape=[4,5], pads=[0,1,2,1]",
    "stride 1": "strides=[1,1], kernel_shape=[3,3], pads=[1,1,1,1]",
    "output_shape": "strides=[2,2], kernel_shape=[4,4], output_shape=[25,24]",
}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", TRANSPOSED)
def test_every_transposed_convolution_is_the_models(name: str, groups: int) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    attributes = TRANSPOSED[name]
    size = [int(text) for text in attributes.split("kernel_shape=[")[1].split("]")[0].split(",")]
    body = f"a = Conv(x, w) y = ConvTranspose<group={groups}, {attributes}>(a, u, b)"
    weights = {"w": kernel(8, 3, 1, 1), "u": kernel(8, 4 // groups, *size, seed=3), "b": noise(4)}
    exact = graphs.run(model(body, **weights), FEEDS[0])[0]
    real, integer, _ = litert.networks(model(body, **weights), FEEDS)
    assert decibels(exact, litert.outputs(real, FEEDS[0])[0]) > 100
    assert decibels(exact, litert.outputs(integer, FEEDS[0])[0]) > 30


WINDOWS = {
    "stride 2, both sides": "strides=[2,2], pads=[1,1,1,1]",
    "SAME_UPPER": 'strides=[2,2], auto_pad="SAME_UPPER"',
    "SAME_LOWER": 'strides=[2,2], auto_pad="SAME_LOWER"',
    "dilated": "dilations=[2,2], pads=[2,2,2,2]",
    "one side": "pads=[2,0,0,1]",
    "none": "strides=[3,2]",
}


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("name", WINDOWS)
def test_every_window_is_the_models(name: str, groups: int) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    body = f"a = Conv(x, w) y = Conv<group={groups}, kernel_shape=[3,3], {WINDOWS[name]}>(a, v, b)"
    weights = {"w": kernel(4, 3, 1, 1), "v": kernel(8, 4 // groups, 3, 3, seed=3), "b": noise(8)}
    exact = graphs.run(model(body, **weights), FEEDS[0])[0]
    real, integer, _ = litert.networks(model(body, **weights), FEEDS)
    assert decibels(exact, litert.outputs(real, FEEDS[0])[0]) > 100
    assert decibels(exact, litert.outputs(integer, FEEDS[0])[0]) > 30


@pytest.mark.parametrize("groups", [1, 2])
def test_a_channel_shuffle_goes_into_the_weights_before_it(groups: int) -> None:
    body = f"""a = Conv(x, w) c = Conv<group={groups}, pads=[1,1,1,1]>(a, v, b) r = Reshape(c, s)
        t = Transpose<perm=[0,2,1,3,4]>(r) u = Reshape(t, z) y = Conv(u, k)"""
    sizes = {"s": np.array([2, 2, 4, 12, 12]), "z": np.array([2, 8, 12, 12])}
    weights = {
        "w": kernel(8, 3, 1, 1),
        "v": kernel(8, 8 // groups, 3, 3, seed=2),
        "b": noise(8),
        "k": kernel(4, 8, 1, 1),
    }
    text = model(body, **weights, **sizes)
    real, integer, _ = litert.networks(text, FEEDS)
    assert kinds(real) == ["CONV_2D"] * 3
    assert kinds(integer) == ["QUANTIZE", *["CONV_2D"] * 3, "DEQUANTIZE"]
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    exact = graphs.run(text, FEEDS[0])[0]
    assert decibels(exact, litert.outputs(real, FEEDS[0])[0]) > 100
    assert decibels(exact, litert.outputs(integer, FEEDS[0])[0]) > 30


def test_a_crop_does_not_part_a_convolution_from_its_activation() -> None:
    body = "a = Conv(x, w) c = ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(a, v, b) d = Relu(c) "
    weights = {"w": kernel(8, 3, 1, 1), "v": kernel(8, 4, 3, 3, seed=2), "b": noise(4), "k": kernel(3, 4, 1, 1)}
    real, integer, _ = litert.networks(model(f"{body} y = Conv(d, k)", **weights), FEEDS)
    assert kinds(real) == ["CONV_2D", "TRANSPOSE_CONV", "SLICE", "CONV_2D"]
    assert kinds(integer) == ["QUANTIZE", "CONV_2D", "TRANSPOSE_CONV", "SLICE", "CONV_2D", "DEQUANTIZE"]


@pytest.mark.parametrize(("channels", "side", "floats"), [(4, 128, 1), (5, 128, 0), (4, 127, 0)])
def test_a_convolution_of_few_channels_and_many_pixels_stays_float(channels: int, side: int, floats: int) -> None:
    weights = {"w": kernel(channels, 3, 1, 1), "v": kernel(8, channels, 3, 3), "k": kernel(8, 8, 1, 1)}
    text = graphs.graph("a = Conv(x, w) b = Conv(a, v) y = Conv(b, k)", x=f"float[1,3,{side},{side}]", **weights)
    _, integer, _ = litert.networks(text, [{"x": noise(1, 3, side, side)}])
    kept = [one for one in integer.operators if one.kind == "CONV_2D" and one.outputs[0].dtype == "float32"]
    assert len(kept) == floats


def test_concatenated_tensors_have_one_scale() -> None:
    pool = "MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>"
    body = f"a = Conv(x, w) h = Mul(a, m) b = {pool}(h) c = Concat<axis=1>(a, b, x) y = Conv(c, v)"
    weights = {"w": kernel(8, 3, 1, 1), "m": np.asarray(np.float32(40)), "v": kernel(3, 19, 1, 1)}
    _, integer, _ = litert.networks(model(body, **weights), FEEDS)
    (one,) = (operator for operator in integer.operators if operator.kind == "CONCATENATION")
    grids = {(float(t.params.scale), int(t.params.zero_point)) for t in (*one.inputs, *one.outputs) if t and t.params}
    assert len(grids) == 1


def test_integers_are_those_of_the_portable_model() -> None:
    weights = {"w": kernel(8, 3, 3, 3), "b": noise(8)}
    text = model("y = Conv(x, w, b)", **weights)
    portable = quantised.make(text, FEEDS)
    _, found, _ = litert.networks(text, FEEDS)
    (one,) = (operator for operator in found.operators if operator.kind == "CONV_2D")
    theirs = quantised.initializers(portable.model)
    stored, bias = one.inputs[1], one.inputs[2]
    assert stored is not None and bias is not None  # noqa: PT018
    assert np.array_equal(stored.data, theirs["w_quantized"].transpose(0, 2, 3, 1))
    assert np.array_equal(bias.data, next(values for name, values in theirs.items() if "bias" in name and values.ndim))
    grid = portable.plan.tensors["y"]
    assert one.outputs[0].params is not None
    assert one.outputs[0].params.scale == grid.scale
    assert int(one.outputs[0].params.zero_point) == int(grid.zero_point) - 128


def test_an_operator_that_litert_lacks_is_named_with_its_node() -> None:
    text = model("a = Conv(x, w) y = Det(a)", w=kernel(4, 3, 1, 1))
    with pytest.raises(ModelError, match=r"LiteRT has no operator for Det; export"):
        network(text, None, Interface({"x": (2, 3, 12, 12)}))


def test_a_size_that_is_known_at_run_time_alone_is_named() -> None:
    text = graphs.graph("y = Conv(x, w)", x="float[N,3,H,12]", w=kernel(4, 3, 1, 1))
    with pytest.raises(ModelError, match="known at run time alone"):
        network(text, None, Interface({}))
