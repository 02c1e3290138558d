from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import DataError, PlanError
from quantseg.graph import expose, to_bytes
from quantseg.graph.preparation import prepare
from quantseg.quantization.affine import Range, dequantize, params_of_weights, quantize
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.quantization.plan import Overrides, QuantSettings
from quantseg.quantization.qtypes import INT4
from quantseg.quantization.writing import written
from quantseg.refinement.bias import METHODS, correct_biases
from quantseg.refinement.layers import layers_of
from quantseg.refinement.rounding.compensated import compensate
from quantseg.refinement.rounding.patches import patches
from tests.support import graphs
from tests.support.candidates import Tensors, calibrated, candidate, context, images
from tests.support.quantised import extrema, kernel, noise


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
    given_ = coarse(calibrated(chain(bias=bias, depthwise=depthwise), data))
    corrected = correct_biases(given_, context(data))
    before, after = (mean_errors(given_, one, data) for one in (given_, corrected))
    assert max(before) > 0.02
    assert max(after) < 0.005


def test_empirical_correction_of_several_images_leaves_little_of_the_mean_error():
    data = images(4)
    given_ = coarse(calibrated(chain(), data))
    corrected = correct_biases(given_, context(data))
    before, after = (mean_errors(given_, one, data) for one in (given_, corrected))
    assert max(after) < 0.2 * max(before)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), group=st.sampled_from([1, 2, 4]))
def test_on_one_layer_with_exact_activations_both_methods_agree_and_are_right(seed, group):
    grid = np.random.default_rng(seed).integers(-127, 128, (1, 4, 6, 6)).astype(np.float32)
    grid[0, 0, 0, :2] = -127, 128  # the grid of step 1 that the data lies on
    data = Tensors((grid,))
    weights = noise(4, 4 // group, 1, 1, seed=seed)
    prepared = prepare(graphs.graph(f"y = Conv <group = {group}> (x, w)", x="float[1,4,6,6]", w=weights))
    ranges = {"x": Range(-127.0, 128.0)} | {"y": extrema(prepared.model, data.feeds())["y"]}
    given_ = candidate(prepared, ranges, QuantSettings(full_range_weights=True))
    corrected = [correct_biases(given_, context(data), method=method).prepared.model.graph for method in METHODS]
    biases = [one.initializers[next(iter(one)).inputs[2].name].const_value.numpy() for one in corrected]
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
    given_ = calibrated(model, data)
    before = to_bytes(given_.prepared.model)
    corrected = correct_biases(given_, context(data), method=method)
    nodes = {node.op_type: node for node in corrected.prepared.model.graph}
    assert len(nodes["Gemm"].inputs) == 3
    assert len(nodes["MatMul"].inputs) == 2
    assert to_bytes(given_.prepared.model) == before


@pytest.mark.parametrize("opset", [13, 18])
def test_images_of_different_sizes_and_newer_opsets_are_corrected(opset):
    data = Tensors((noise(1, 4, 8, 12), noise(1, 4, 5, 7)))
    body = "c = Conv(x, w)\n r = Relu(c)\n y = Conv(r, v)"
    weights = {"w": kernel(6, 4, 3, 3), "v": kernel(2, 6, 1, 1)}
    given_ = calibrated(graphs.graph(body, opset=opset, x="float[1,4,H,W]", **weights), data)
    for method in METHODS:
        corrected = correct_biases(given_, context(data), method=method)
        assert all(len(node.inputs) == 3 for node in corrected.prepared.model.graph if node.op_type == "Conv")


def test_a_dead_channel_and_a_constant_image_are_survived():
    weights = kernel(4, 4, 3, 3)
    weights[1] = 0.0
    data = Tensors((np.full((1, 4, 6, 6), 0.5, np.float32),))
    body = "c = Conv(x, w)\n r = Relu(c)\n y = Conv(r, v)"
    given_ = calibrated(graphs.graph(body, x="float[1,4,6,6]", w=weights, v=kernel(2, 4, 1, 1)), data)
    rounded = compensate(given_, context(data))
    for method in METHODS:
        model = correct_biases(rounded, context(data), method=method).prepared.model
        assert all(np.isfinite(v.const_value.numpy()).all() for v in model.graph.initializers.values())


def test_same_input_same_bytes():
    data, given_ = images(2), calibrated(chain(), images(2))
    one, two = (to_bytes(correct_biases(given_, context(data)).prepared.model) for _ in range(2))
    assert one == two


def test_means_are_those_of_the_reference_where_one_is_given():
    """A step that rounds weights has changed the network: its own means are no longer what the biases must give."""
    data = images(2)
    exact = coarse(calibrated(chain(), data))
    moved = compensate(exact, context(data))
    for method in METHODS:
        to_exact = correct_biases(moved, context(data), method=method, reference=exact.prepared.model)
        to_itself = correct_biases(moved, context(data), method=method)
        assert max(mean_errors(exact, to_exact, data)) < max(mean_errors(exact, to_itself, data))


def test_what_cannot_be_done_is_refused_in_a_line():
    data, given_ = images(1), calibrated(chain(), images(1))
    with pytest.raises(PlanError, match="'guess' is no way to correct biases; choose one of empirical, analytic"):
        correct_biases(given_, context(data), method="guess")
    for method in METHODS:
        with pytest.raises(DataError, match="no images to correct the biases on"):
            correct_biases(given_, context(Tensors(())), method=method)


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
    (layer,) = layers_of(prepared.model, calibrated(prepared, Tensors((tensor,))).plan)
    return layer, tensor


def test_patches_of_a_large_image_are_few_and_from_every_column():
    prepared = prepare(graphs.graph("y = Conv(x, w)", x="float[1,1,64,64]", w=np.ones((1, 1, 1, 1), np.float32)))
    tensor = np.arange(64 * 64, dtype=np.float32).reshape(1, 1, 64, 64)
    (layer,) = layers_of(prepared.model, calibrated(prepared, Tensors((tensor,))).plan)
    seen = patches(layer, tensor).reshape(-1)
    assert 512 <= seen.size <= 1024
    assert set((seen % 64).astype(int)) == set(range(64))


@pytest.mark.parametrize("qformat", ["qdq", "qoperator"])
def test_all_together_make_a_model_that_onnxruntime_runs_close_to_the_float_one(qformat):
    data = images(3)
    given_ = calibrated(chain(bias=False), data)
    corrected = correct_biases(compensate(given_, context(data)), context(data), reference=given_.prepared.model)
    made = written(corrected, qformat).model
    for feed in data.feeds():
        (expected,), (found,) = graphs.run(given_.prepared.model, feed), graphs.run(made, feed)
        assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
