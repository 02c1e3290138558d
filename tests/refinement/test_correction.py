
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.calibration.observation import ChannelExtrema, Observations
from quantseg.errors import DataError, PlanError
from quantseg.graph import expose, to_bytes
from quantseg.graph.preparation import prepare
from quantseg.quantization import formats
from quantseg.quantization.affine import Range, dequantize, params_of_weights, quantize
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.quantization.plan import Overrides, QuantSettings
from quantseg.quantization.qtypes import INT4
from quantseg.refinement.bias import METHODS, correct_biases
from quantseg.refinement.downstream import cone_of
from quantseg.refinement.layers import layers_of
from quantseg.refinement.outliers import outliers
from quantseg.refinement.rounding.compensated import compensate
from quantseg.refinement.rounding.moments import LARGEST_GRAM, output_error, patches, second_moments
from tests.support import graphs
from tests.support.candidates import Tensors, calibrated, candidate, context
from tests.support.quantised import extrema, kernel, noise


def images(count=4, shape=(1, 4, 9, 9), shift=0.3):
    return Tensors(tuple(noise(*shape, seed=seed) + np.float32(shift) for seed in range(count)))


def chain(*, bias=True, depthwise=True):
    """Three convolutions, the middle one depthwise or in two groups, with ReLUs between them."""
    group = 8 if depthwise else 2
    weights = {
        "w1": kernel(8, 4, 3, 3, seed=1),
        "w2": kernel(8, 8 // group, 3, 3, seed=2),
        "w3": kernel(5, 8, 1, 1, seed=3),
    }
    extra = ", b" if bias else ""
    if bias:
        weights["b"] = np.zeros(8, np.float32)
    body = f"""
        c1 = Conv <pads = [1, 1, 1, 1]> (x, w1{extra})
        r1 = Relu(c1)
        c2 = Conv <group = {group}, pads = [1, 1, 1, 1]> (r1, w2)
        r2 = Relu(c2)
        y = Conv(r2, w3)
    """
    return graphs.graph(body, x="float[1,4,9,9]", **weights)


def coarse(given: Candidate) -> Candidate:
    """With weights of four bits, so that their rounding is no trifle."""
    layers = layers_of(given.prepared.model, given.plan)
    grids = {layer.name: params_of_weights(layer.weight, INT4, axis=layer.form.weight_axis) for layer in layers}
    return replace(given, overrides=Overrides(weights=grids))


def channel_means(model, names, data):
    """The mean of each channel over all images, by onnxruntime and numpy."""
    runs = [graphs.run(expose(model, names), feed) for feed in data.feeds()]
    return [np.mean([run[i].mean(axis=(0, 2, 3), dtype=np.float64) for run in runs], axis=0) for i in range(len(names))]


def made_by(model, node_name):
    (node,) = (node for node in model.graph if node.name == node_name)
    return node.outputs[0].name


def mean_errors(exact, corrected, data):
    """What each layer's channels lack on average, in units of their spread."""
    model, decided = exact.prepared.model, corrected.plan
    rounded = fake_quantised(corrected.prepared.model, decided)
    names = [layer.name for layer in layers_of(model, decided)]
    wanted = channel_means(model, [made_by(model, name) for name in names], data)
    found = channel_means(rounded, [made_by(rounded, name) for name in names], data)
    return [float(np.abs(a - b).max() / (np.abs(a).max() + 1e-6)) for a, b in zip(wanted, found, strict=True)]


@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_empirical_correction_of_one_image_leaves_no_mean_error(bias, depthwise):
    data = images(1)
    prepared = prepare(chain(bias=bias, depthwise=depthwise))
    ranges = extrema(prepared.model, feeds(data))
    prepared = coarse(prepared, ranges)
    corrected = correct_biases(prepared, ranges, QuantSettings(), "x", data)
    before, after = (mean_errors(prepared, p, ranges, data) for p in (prepared, corrected))
    assert max(before) > 0.02
    assert max(after) < 0.005


def test_empirical_correction_of_several_images_leaves_little_of_the_mean_error():
    data = images(4)
    prepared = prepare(chain())
    ranges = extrema(prepared.model, feeds(data))
    prepared = coarse(prepared, ranges)
    corrected = correct_biases(prepared, ranges, QuantSettings(), "x", data)
    before, after = (mean_errors(prepared, p, ranges, data) for p in (prepared, corrected))
    assert max(after) < 0.2 * max(before)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), group=st.sampled_from([1, 2, 4]))
def test_on_one_layer_with_exact_activations_both_methods_agree_and_are_right(seed, group):
    grid = np.random.default_rng(seed).integers(-127, 128, (1, 4, 6, 6)).astype(np.float32)
    grid[0, 0, 0, :2] = -127, 128  # the grid of step 1 that the data lies on
    data = Tensors((grid,))
    weights = noise(4, 4 // group, 1, 1, seed=seed)
    prepared = prepare(graphs.graph(f"y = Conv <group = {group}> (x, w)", x="float[1,4,6,6]", w=weights))
    ranges = {"x": Range(-127.0, 128.0)} | {"y": extrema(prepared.model, feeds(data))["y"]}
    wanted = QuantSettings(full_range_weights=True)
    by_method = [correct_biases(prepared, ranges, wanted, "x", data, method=method) for method in METHODS]
    biases = [
        dict(p.model.graph.initializers)[next(iter(p.model.graph)).inputs[2].name].const_value.numpy()
        for p in by_method
    ]
    axis_grid = params_of_weights(weights, QuantSettings().weight, axis=0)
    error = weights - dequantize(quantize(weights, axis_grid), axis_grid)
    mean = grid.mean(axis=(0, 2, 3), dtype=np.float64).reshape(group, 4 // group)
    expected = np.concatenate([error[g * 4 // group : (g + 1) * 4 // group, :, 0, 0] @ mean[g] for g in range(group)])
    for bias in biases:
        np.testing.assert_allclose(bias, expected, atol=2e-4 * (1 + np.abs(expected).max()))


@pytest.mark.parametrize("method", METHODS)
def test_gemm_without_bias_gets_one_and_matmul_stays(method):
    data = Tensors(tuple(noise(3, 6, seed=seed) + 1 for seed in range(3)))
    body = "h = MatMul(x, a)\n r = Relu(h)\n y = Gemm <transB = 1> (r, b)"
    model = graphs.graph(body, x="float[3,6]", a=noise(6, 5, seed=1), b=noise(4, 5, seed=2))
    prepared = prepare(model)
    ranges = extrema(prepared.model, feeds(data))
    before = to_bytes(prepared.model)
    corrected = correct_biases(prepared, ranges, QuantSettings(), "x", data, method=method)
    nodes = {node.op_type: node for node in corrected.model.graph}
    assert len(nodes["Gemm"].inputs) == 3
    assert len(nodes["MatMul"].inputs) == 2
    assert to_bytes(prepared.model) == before


@pytest.mark.parametrize("opset", [13, 18])
def test_pictures_of_different_sizes_and_newer_opsets_are_corrected(opset):
    data = Tensors((noise(1, 4, 8, 12), noise(1, 4, 5, 7)))
    body = "c = Conv(x, w)\n r = Relu(c)\n y = Conv(r, v)"
    weights = {"w": kernel(6, 4, 3, 3), "v": kernel(2, 6, 1, 1)}
    prepared = prepare(graphs.graph(body, opset=opset, x="float[1,4,H,W]", **weights))
    ranges = extrema(prepared.model, feeds(data))
    for method in METHODS:
        corrected = correct_biases(prepared, ranges, QuantSettings(), "x", data, method=method)
        assert all(len(node.inputs) == 3 for node in corrected.model.graph if node.op_type == "Conv")
    assert set(search_ranges(prepared, observed(prepared, data), QuantSettings(), "x", data)[0]) == set(ranges)


def test_a_dead_channel_and_a_constant_picture_are_survived():
    weights = kernel(4, 4, 3, 3)
    weights[1] = 0.0
    data = Tensors((np.full((1, 4, 6, 6), 0.5, np.float32),))
    prepared = prepare(
        graphs.graph(
            "c = Conv(x, w)\n r = Relu(c)\n y = Conv(r, v)", x="float[1,4,6,6]", w=weights, v=kernel(2, 4, 1, 1)
        )
    )
    ranges = extrema(prepared.model, feeds(data))
    step = partial(correct_biases, ranges=ranges, settings=QuantSettings(), input_name="x", data=data)
    clipped = clip_weights(prepared, ranges, QuantSettings(), "x", data)
    for method in METHODS:
        model = step(clipped, method=method).model
        assert all(np.isfinite(v.const_value.numpy()).all() for v in model.graph.initializers.values())
    search_ranges(prepared, observed(prepared, data), QuantSettings(), "x", data)


def test_same_input_same_bytes():
    data, prepared = images(2), prepare(chain())
    ranges = extrema(prepared.model, feeds(data))
    one, two = (to_bytes(correct_biases(prepared, ranges, QuantSettings(), "x", data).model) for _ in range(2))
    assert one == two


def test_what_cannot_be_done_is_refused_in_a_line():
    data, prepared = images(1), prepare(chain())
    ranges = extrema(prepared.model, feeds(data))
    with pytest.raises(PlanError, match="'guess' is no way to correct biases; choose one of empirical, analytic"):
        correct_biases(prepared, ranges, QuantSettings(), "x", data, method="guess")
    nothing = Tensors(())
    for method in METHODS:
        with pytest.raises(DataError, match="no images to correct the biases on"):
            correct_biases(prepared, ranges, QuantSettings(), "x", nothing, method=method)
    with pytest.raises(DataError, match="no images to clip weights on"):
        clip_weights(prepared, ranges, QuantSettings(), "x", nothing)
    with pytest.raises(DataError, match="no images to choose ranges on"):
        search_ranges(prepared, observed(prepared, data), QuantSettings(), "x", nothing)


CONVOLUTIONS = [
    "Conv <pads = [1, 0, 2, 1]> (x, w)",
    "Conv <strides = [2, 1], dilations = [1, 2]> (x, w)",
    'Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, w)',
    'Conv <auto_pad = "SAME_LOWER", strides = [2, 2]> (x, w)',
    'Conv <auto_pad = "VALID"> (x, w)',
]


def only_layer(body, **weights):
    shape = next(iter(weights.values())).shape
    x = "float[1,4,9,9]" if len(shape) == 4 else "float[7,6]"
    prepared = prepare(graphs.graph(f"y = {body}", x=x, **weights))
    tensor = noise(1, 4, 9, 9) if len(shape) == 4 else noise(7, 6)
    ranges = extrema(prepared.model, [{"x": tensor}])
    (layer,) = layers_of(prepared.model, plan(prepared, ranges, QuantSettings()))
    return prepared, layer, tensor


@pytest.mark.parametrize("body", CONVOLUTIONS)
@pytest.mark.parametrize("group", [1, 2, 4])
def test_error_by_moments_is_the_error_that_onnxruntime_makes(body, group):
    body = body.replace("<", f"<group = {group}, ")
    weights = kernel(8, 4 // group, 3, 3)
    _, layer, tensor = only_layer(body, w=weights)
    wrong = noise(*weights.shape, seed=5)
    (made,) = graphs.run(graphs.graph(f"y = {body}", x="float[1,4,9,9]", w=wrong), {"x": tensor})
    expected = (made.astype(np.float64) ** 2).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(output_error(layer, wrong, second_moments(layer, tensor)), expected, rtol=1e-4)


@pytest.mark.parametrize(("body", "shape"), [("MatMul(x, w)", (6, 5)), ("Gemm <transB = 1> (x, w)", (5, 6))])
def test_error_by_moments_of_a_matrix_product(body, shape):
    _, layer, tensor = only_layer(body, w=noise(*shape))
    wrong = noise(*shape, seed=5)
    made = tensor @ (wrong if shape[0] == 6 else wrong.T)
    expected = (made.astype(np.float64) ** 2).mean(axis=0)
    np.testing.assert_allclose(output_error(layer, wrong, second_moments(layer, tensor)), expected, rtol=1e-4)


def test_a_large_layer_is_judged_by_the_diagonal():
    size = int(LARGEST_GRAM**0.5) + 1
    prepared = prepare(graphs.graph("y = MatMul(x, w)", x=f"float[3,{size}]", w=noise(size, 2)))
    tensor = noise(3, size)
    (layer,) = layers_of(prepared.model, plan(prepared, extrema(prepared.model, [{"x": tensor}]), QuantSettings()))
    np.testing.assert_allclose(
        second_moments(layer, tensor), [(tensor.astype(np.float64) ** 2).mean(axis=0)], rtol=1e-6
    )


def test_patches_of_a_large_picture_are_few_and_from_every_column():
    prepared = prepare(graphs.graph("y = Conv(x, w)", x="float[1,1,64,64]", w=np.ones((1, 1, 1, 1), np.float32)))
    tensor = np.arange(64 * 64, dtype=np.float32).reshape(1, 1, 64, 64)
    (layer,) = layers_of(prepared.model, plan(prepared, extrema(prepared.model, [{"x": tensor}]), QuantSettings()))
    seen = patches(layer, tensor).reshape(-1)
    assert 512 <= seen.size <= 1024
    assert set((seen % 64).astype(int)) == set(range(64))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), four_bits=st.booleans())
def test_clipping_never_increases_the_error_of_a_channel(seed, four_bits):
    weights = noise(6, 4, 3, 3, seed=seed)
    weights[0, 0, 0, 0] = 30.0  # one weight that sets the step of all others
    prepared, layer, tensor = only_layer("Conv(x, w)", w=weights)
    ranges = extrema(prepared.model, [{"x": tensor}])
    types = {layer.name: INT4} if four_bits else {}
    wanted = QuantSettings(full_range_weights=True)
    clipped = clip_weights(prepared, ranges, wanted, "x", Tensors((tensor,)), qtypes=types)
    qtype = INT4 if four_bits else QuantSettings().weight
    whole = params_of_weights(weights, qtype, axis=0)
    grid = clipped.weights.get(layer.name, whole)
    assert grid.qtype is qtype
    assert (grid.scale <= whole.scale).all()

    def made(params):
        rounded = dequantize(quantize(weights, params), params) - weights
        (y,) = graphs.run(graphs.graph("y = Conv(x, w)", x="float[1,4,9,9]", w=rounded), {"x": tensor})
        return (y.astype(np.float64) ** 2).mean(axis=(0, 2, 3))

    assert (made(grid) <= made(whole) * (1 + 1e-4)).all()
    assert not prepared.weights


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), inputs=st.integers(1, 5))
def test_clipped_weights_have_no_pair_that_saturates_and_err_no_more_than_wider_steps(seed, inputs):
    weights = noise(6, inputs, 3, 3, seed=seed)
    weights[:2] = np.abs(weights[:2])  # so that many pairs are of one sign
    model = graphs.graph("y = Conv(x, w)", x=f"float[1,{inputs},9,9]", w=weights)
    prepared, tensor = prepare(model), noise(1, inputs, 9, 9, seed=seed)
    ranges = extrema(prepared.model, [{"x": tensor}])
    wanted = QuantSettings()
    clipped = clip_weights(prepared, ranges, wanted, "x", Tensors((tensor,)))
    (name,) = clipped.weights
    (node,) = clipped.model.graph
    pulled, grid = node.inputs[1].const_value.numpy(), clipped.weights[name]
    assert plan(clipped, ranges, wanted).weights[name] == grid
    assert not unsafe(quantize(pulled, grid).reshape(6, inputs, 9)).any()
    np.testing.assert_array_equal(dequantize(quantize(pulled, grid), grid), pulled)

    def errs(rounded):
        model = graphs.graph("y = Conv(x, w)", x=f"float[1,{inputs},9,9]", w=rounded - weights)
        (y,) = graphs.run(model, {"x": tensor})
        return float((y.astype(np.float64) ** 2).mean())

    widest = plan(prepared, ranges, wanted).weights[name]
    assert errs(pulled) <= errs(dequantize(quantize(weights, widest), widest)) * (1 + 1e-4)


def test_clipping_of_a_whole_weight_keeps_one_scale():
    weights = kernel(6, 4, 3, 3)
    prepared, layer, tensor = only_layer("Conv(x, w)", w=weights)
    wanted = QuantSettings(per_channel=False)
    ranges = extrema(prepared.model, [{"x": tensor}])
    clipped = clip_weights(prepared, ranges, wanted, "x", Tensors((tensor,)), qtypes={layer.name: INT4})
    assert clipped.weights[layer.name].axis is None
    assert clipped.weights[layer.name].scale.shape == ()


def observed(prepared, data):
    """The observations of all tensors that a plan may need, counted by numpy from onnxruntime's runs."""
    names = list(extrema(prepared.model, feeds(data)))
    computed = [name for name in names if name != "x"]
    histograms, channels = {}, {}
    for feed in feeds(data):
        for name, value in {
            **dict(zip(computed, graphs.run(expose(prepared.model, computed), feed), strict=True)),
            **feed,
        }.items():
            rows = np.moveaxis(value, 1, 0).reshape(value.shape[1], -1)
            extent = ChannelExtrema(rows.min(axis=1), rows.max(axis=1))
            histograms[name] = histograms[name] + Histogram.of(value) if name in histograms else Histogram.of(value)
            channels[name] = channels[name] | extent if name in channels else extent
    return Observations({n: histograms[n] for n in names}, {n: channels[n] for n in names}, ())


def test_a_lonely_outlier_is_clipped_where_no_layer_misses_it():
    """Channel 0 holds one huge value, which the next layer multiplies by nothing."""
    tensor = noise(1, 4, 9, 9)
    tensor[0, 0, 0, 0] = 300.0
    data = Tensors((tensor,))
    weights = kernel(5, 4, 1, 1)
    deaf = weights.copy()
    deaf[:, 0] = 0.0
    for w, expected in ((deaf, False), (weights * np.array([50, 1, 1, 1], np.float32)[:, None, None], True)):
        prepared = prepare(graphs.graph("y = Conv(x, w)", x="float[1,4,9,9]", w=w))
        ranges, chosen = search_ranges(prepared, observed(prepared, data), QuantSettings(), "x", data)
        assert (chosen["x"] == MINMAX) is expected
        assert (ranges["x"].maximum == 300.0) is expected


def test_chosen_ranges_are_those_of_the_named_calibrators_and_of_one_grid():
    data, prepared = images(3), prepare(chain())
    seen = observed(prepared, data)
    ranges, chosen = search_ranges(prepared, seen, QuantSettings(), "x", data)
    table = {MINMAX: CALIBRATORS[MINMAX], **CANDIDATES}
    for tensor, name in chosen.items():
        own = table[name](seen.histograms[tensor], QuantSettings().activation, symmetric=False)
        assert ranges[tensor] == own
    joined = prepare(
        graphs.graph(
            "a = Conv(x, w)\n b = Conv(x, v)\n c = Concat <axis = 1> (a, b)\n y = Conv(c, u)",
            x="float[1,4,9,9]", w=kernel(3, 4, 1, 1), v=kernel(3, 4, 1, 1, seed=4), u=kernel(2, 6, 1, 1),
        )
    )  # fmt: skip
    _, chosen = search_ranges(joined, observed(joined, data), QuantSettings(), "x", data)
    assert chosen["a"] == chosen["b"]


def test_the_chosen_range_errs_no_more_at_the_reader_than_the_whole_range():
    data, prepared = images(3), prepare(chain())
    seen = observed(prepared, data)
    ranges, chosen = search_ranges(prepared, seen, QuantSettings(), "x", data)
    whole = extrema(prepared.model, feeds(data))

    def worst(spans, tensor, reader):
        rounded = fake_quantised(prepared.model, plan(prepared, spans, QuantSettings()), weights=(), tensors=(tensor,))
        errors = []
        for feed in feeds(data):
            (a,), (b,) = (graphs.run(expose(m, [made_by(m, reader)]), feed) for m in (prepared.model, rounded))
            errors.append(float(((a.astype(np.float64) - b) ** 2).sum()))
        return max(errors)

    readers = {"x": 0, "r1": 2, "r2": 4}
    nodes = [str(node.name) for node in prepared.model.graph]
    for tensor, place in readers.items():
        one = {**whole, tensor: ranges[tensor]}
        assert worst(one, tensor, nodes[place]) <= worst(whole, tensor, nodes[place]) * (1 + 1e-4), chosen[tensor]


def test_a_cone_ends_at_the_next_products_and_at_the_answer():
    body = "a = Relu(x)\n b = Conv(a, w)\n c = Add(a, x)\n d = Relu(b)\n y = Add(c, d)"
    model = prepare(graphs.graph(body, x="float[1,4,6,6]", w=kernel(4, 4, 1, 1))).model
    cone = cone_of(model.graph, frozenset({"x"}))
    assert set(cone.sinks) == {"b", "y"}
    assert len(cone.nodes) == 4


def test_outliers_are_named_widest_first():
    low = np.zeros(9, np.float32)
    high = np.array([1, 1, 400, 1, 1, 1, 1, 90, 1], np.float32)
    flat = ChannelExtrema(low, np.ones(9, np.float32))
    dead = ChannelExtrema(low, np.eye(9, dtype=np.float32)[0])
    seen = Observations({}, {"t": ChannelExtrema(low, high), "flat": flat, "dead": dead}, ())
    assert outliers(seen) == ("t: channels 2, 7 up to 400 times as wide as the median channel",)


def test_channels_that_are_nearly_dead_are_no_measure_of_the_others():
    """Most are narrower than any grid tells from zero; of those left, one is far wider, or all are alike."""
    high = np.full(40, 1e-38, np.float32)
    high[:4] = 1, 1, 1, 20
    alike = np.minimum(high, 1)
    seen = {name: ChannelExtrema(np.zeros(40, np.float32), values) for name, values in (("t", high), ("u", alike))}
    assert outliers(Observations({}, seen, ())) == ("t: channel 3 up to 20 times as wide as the median channel",)


def test_a_note_on_many_channels_stays_one_short_line():
    high = np.ones(300, np.float32)
    high[:100] = 50
    (note,) = outliers(Observations({}, {"t": ChannelExtrema(np.zeros(300, np.float32), high)}, ()))
    assert note == "t: channels 0, 1, 2, 3 and 96 more up to 50 times as wide as the median channel"


@pytest.mark.parametrize("qformat", ["qdq", "qoperator"])
def test_all_together_make_a_model_that_onnxruntime_runs_close_to_the_float_one(qformat):
    data, wanted = images(3), QuantSettings()
    prepared = prepare(chain(bias=False))
    ranges, _ = search_ranges(prepared, observed(prepared, data), wanted, "x", data)
    clipped = clip_weights(prepared, ranges, wanted, "x", data)
    corrected = correct_biases(clipped, ranges, wanted, "x", data)
    made = formats.emit(corrected.model, plan(corrected, ranges, wanted), qformat=qformat, metadata={})
    for feed in feeds(data):
        (expected,), (found,) = graphs.run(prepared.model, feed), graphs.run(made, feed)
        assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
