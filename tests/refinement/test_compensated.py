"""Compensated rounding: on the grid, within its limits, and never worse than the nearest integers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import DataError
from quantseg.graph import expose, to_bytes
from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization.affine import dequantize, integer_limits, params_of_weights, quantize
from quantseg.quantization.pairs import excess, safe_scale, unsafe
from quantseg.quantization.plan import Overrides, QuantSettings
from quantseg.quantization.qtypes import INT4, INT8, UINT8, QType
from quantseg.refinement.layers import Layer, layers_of
from quantseg.refinement.rounding.compensated import compensate, compensated
from tests.support import graphs
from tests.support.candidates import Tensors, calibrated, context
from tests.support.quantised import Array, kernel, noise


def data(count: int = 3) -> Tensors:
    """Images whose neighbouring pixels and channels are alike, as those of real ones."""
    mixed = kernel(4, 4, seed=9)
    waves = [np.cumsum(noise(1, 4, 10, 10, seed=seed), axis=3) / 3 for seed in range(count)]
    return Tensors(tuple(np.einsum("ij,njhw->nihw", mixed, wave).astype(np.float32) + 1 for wave in waves))


def network() -> Prepared:
    """Convolutions of all kinds and a matrix product."""
    body = """
        a = Conv <pads = [1,1,1,1]> (x, w, b)
        r = Relu(a)
        d = Conv <group = 8, pads = [1,1,1,1]> (r, g)
        s = Relu(d)
        e = Conv <group = 2, strides = [2,2]> (s, h)
        p = GlobalAveragePool(e)
        f = Flatten(p)
        y = Gemm(f, m, c)
    """
    shapes = {"w": (8, 4, 3, 3), "g": (8, 1, 3, 3), "h": (6, 4, 3, 3), "m": (6, 5)}
    weights = {name: kernel(*shape, seed=number) for number, (name, shape) in enumerate(shapes.items())}
    return prepare(graphs.graph(body, x="float[1,4,10,10]", b=noise(8), c=noise(5), **weights))


def layer_of(weight: Array, groups: int = 1) -> Layer:
    side = weight.shape[2]
    body = f"y = Conv <group = {groups}> (x, w)"
    prepared = prepare(graphs.graph(body, x=f"float[1,{groups * weight.shape[1]},{side},{side}]", w=weight))
    images = Tensors((noise(1, groups * weight.shape[1], side, side),))
    (layer,) = layers_of(prepared.model, calibrated(prepared, images).plan)
    return layer


def error(layer: Layer, rounded: Array, covariance: Array) -> Array:
    """What each output channel errs, as its definition tells."""
    wrong = (layer.weight - rounded).astype(np.float64).reshape(len(covariance), -1, covariance.shape[1])
    return np.array([[row @ one @ row for row in rows] for rows, one in zip(wrong, covariance, strict=True)])


GRIDS: dict[str, tuple[QType, dict[str, Any]]] = {
    "int8 per channel": (INT8, {"axis": 0}),
    "int8 per tensor": (INT8, {"axis": None}),
    "uint8 asymmetric": (UINT8, {"axis": 0, "symmetric": False}),
    "uint8 per tensor": (UINT8, {"axis": None, "symmetric": False}),
    "int8 reduced": (INT8, {"axis": 0, "reduced": True}),
    "uint8 reduced": (UINT8, {"axis": 0, "reduced": True, "symmetric": False}),
    "int4": (INT4, {"axis": 0}),
}


@settings(max_examples=50)
@given(
    st.sampled_from(sorted(GRIDS)), st.integers(0, 10**6), st.sampled_from([1, 2]), st.floats(0.3, 1.0), st.booleans()
)
def test_weights_lie_on_the_grid_within_its_limits_and_err_no_more_than_the_nearest(name, seed, groups, share, dead):
    """share: of the whole grid, so that some weights are clipped. dead: two of the inputs are always zero."""
    qtype, options = GRIDS[name]
    layer = layer_of(noise(4, 3, 2, 2, seed=seed), groups)
    mixed = np.random.default_rng(seed).normal(size=(groups, 12, 5)) * (np.arange(12)[:, None] > (1 if dead else -1))
    covariance = mixed @ mixed.transpose(0, 2, 1)
    whole = params_of_weights(layer.weight, qtype, **options)
    grid = replace(whole, scale=np.asarray(whole.scale * np.float32(share), np.float32))
    limits = integer_limits(qtype, symmetric=qtype.signed, reduced=bool(options.get("reduced")))
    rounded, same = compensated(layer, grid, covariance, limits)
    assert same == grid
    integers = quantize(rounded, grid)
    assert np.array_equal(dequantize(integers, grid), rounded)
    assert limits[0] <= integers.min()
    assert integers.max() <= limits[1]
    nearest = dequantize(np.clip(quantize(layer.weight, grid), *limits), grid)
    assert (error(layer, rounded, covariance) <= error(layer, nearest, covariance) * (1 + 1e-5) + 1e-9).all()


def test_it_errs_far_less_where_inputs_go_together():
    """Four bits and inputs that are nearly one: what the first lose, the others make up for."""
    layer = layer_of(noise(16, 8, 2, 2))
    mixed = noise(32, 2)
    covariance = (mixed @ mixed.T + 0.01 * np.eye(32))[None].astype(np.float64)
    grid = params_of_weights(layer.weight, INT4, axis=0)
    rounded, _ = compensated(layer, grid, covariance, (-7, 7))
    nearest = dequantize(quantize(layer.weight, grid), grid)
    assert error(layer, rounded, covariance).sum() < error(layer, nearest, covariance).sum() / 4


@pytest.mark.parametrize("covariance", [np.zeros((1, 12, 12)), np.eye(12)[None]])
def test_inputs_that_tell_nothing_of_each_other_leave_the_nearest_integers(covariance):
    layer = layer_of(noise(4, 3, 2, 2))
    grid = params_of_weights(layer.weight, INT8, axis=0)
    rounded, _ = compensated(layer, grid, covariance, (-127, 127))
    assert np.array_equal(rounded, dequantize(quantize(layer.weight, grid), grid))


@pytest.mark.parametrize(
    "wanted",
    [
        QuantSettings(),
        QuantSettings(full_range_weights=True),
        QuantSettings(per_channel=False),
        QuantSettings(weight=UINT8, per_channel=False),
        QuantSettings(reduce_range=True),
        QuantSettings(weight=INT4),
    ],
    ids=["default", "full range", "per tensor", "uint8", "reduced", "int4"],
)
def test_a_network_keeps_its_grids_and_its_layers_err_less(wanted):
    images, prepared = data(), network()
    given_ = calibrated(prepared, images, wanted)
    before, planned = to_bytes(prepared.model), given_.plan
    done = compensate(given_, context(images))
    assert to_bytes(prepared.model) == before
    grids = dict(done.overrides.weights)
    assert dict(done.plan.weights) == grids
    unbound = replace(wanted, full_range_weights=not wanted.reduce_range)
    widest = replace(given_, settings=unbound).plan.weights
    for name, grid in grids.items():
        assert (widest[name].scale <= grid.scale * (1 + 1e-6)).all()
        assert (grid.scale <= planned.weights[name].scale * (1 + 1e-6)).all()
    layers = layers_of(prepared.model, planned)
    gained = []
    for layer, new in zip(layers, layers_of(done.prepared.model, done.plan), strict=True):
        kept = grids[layer.name]
        assert np.array_equal(dequantize(quantize(new.weight, kept), kept), new.weight)
        grid = planned.weights[layer.name]
        gained.append(spread(prepared, layer, dequantize(quantize(layer.weight, grid), grid), images))
        gained[-1] /= max(spread(prepared, layer, new.weight, images), 1e-12)
    assert np.prod(gained) > 1.5


def spread(prepared: Prepared, layer: Layer, weight: Array, images: Tensors) -> float:
    """Variance of what the layer's output errs on real inputs, mean over channels, by onnxruntime."""
    model = prepared.model.clone()
    (node,) = (node for node in model.graph if node.name == layer.name)
    changed = replace(prepared, model=model)
    (value,) = (value for value in model.graph.initializers.values() if value is node.inputs[1])
    value.const_value = graphs.ir.tensor(weight)
    outputs = []
    for tensor in images.tensors:
        expected, found = (graphs.run(expose(one.model, [layer.made]), {"x": tensor})[0] for one in (prepared, changed))
        outputs.append(np.moveaxis(found - expected, 1, 0).reshape(found.shape[1], -1))
    return float(np.concatenate(outputs, axis=1).var(axis=1).mean())


def test_a_grid_that_is_known_already_is_kept():
    images = data()
    plain = calibrated(network(), images, QuantSettings(full_range_weights=True))
    narrow = {
        name: replace(grid, scale=np.asarray(grid.scale * np.float32(0.8), np.float32))
        for name, grid in plain.plan.weights.items()
    }
    known = replace(plain, overrides=Overrides(weights=narrow))
    assert dict(compensate(known, context(images)).overrides.weights) == narrow


@pytest.mark.parametrize("level", [0.0, 1.0, 1000.0])
def test_one_image_of_one_colour_is_enough(level):
    images = Tensors((np.full((1, 4, 10, 10), level, np.float32),))
    given_ = calibrated(network(), images)
    assert set(compensate(given_, context(images)).overrides.weights) == set(given_.plan.weights)


def test_without_images_nothing_can_be_rounded():
    given_ = calibrated(network(), data())
    for nothing in (context(), context(Tensors(()))):
        with pytest.raises(DataError, match="no images"):
            compensate(given_, nothing)


def test_the_same_input_gives_the_same_bytes_and_what_was_decided_stays():
    images = data()
    given_ = calibrated(network(), images).left_float(["none"], "for a reason").noted("a note")
    one, two = (compensate(given_, context(images)) for _ in range(2))
    assert to_bytes(one.prepared.model) == to_bytes(two.prepared.model)
    assert one.overrides == two.overrides
    assert (one.overrides.kept_float, one.notes, one.ranges) == ({"none": "for a reason"}, ("a note",), given_.ranges)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([1, 2]))
def test_no_pair_saturates_and_the_output_errs_no_more_than_with_steps_for_the_nearest(seed, inputs, groups):
    weight = noise(4, inputs, 3, 3, seed=seed)
    weight[0] = np.abs(weight[0])
    layer = layer_of(weight, groups)
    mixed = np.random.default_rng(seed).normal(size=(groups, inputs * 9, 5))
    covariance = mixed @ mixed.transpose(0, 2, 1)
    finest = params_of_weights(weight, INT8, axis=0)
    grid = replace(finest, scale=safe_scale(weight.reshape(4, inputs, 9), finest.scale))
    rounded, chosen = compensated(layer, grid, covariance, (-127, 127), finest)
    integers = quantize(rounded, chosen)
    assert np.array_equal(dequantize(integers, chosen), rounded)
    assert not unsafe(integers.reshape(4, inputs, 9)).any()
    assert excess(integers.reshape(4, inputs, 9)).max() <= 1
    assert (finest.scale * (1 - 1e-6) <= chosen.scale).all()
    assert (chosen.scale <= grid.scale * (1 + 1e-6)).all()
    nearest = dequantize(quantize(weight, grid), grid)
    assert (error(layer, rounded, covariance) <= error(layer, nearest, covariance) * (1 + 1e-5) + 1e-9).all()
