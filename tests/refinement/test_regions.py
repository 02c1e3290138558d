"""Layers behind a detector's choices: an image on which there is no region changes nothing for them."""

import functools

import numpy as np
import pytest

from quantseg.calibration.context import Context
from quantseg.graph import expose, to_bytes
from quantseg.graph.detection import CHOOSING, REGIONS, behind
from quantseg.quantization.affine import dequantize, quantize
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.plan import constant
from quantseg.refinement.bias import METHODS, correct_biases
from quantseg.refinement.layers import Layer, layers_of
from quantseg.refinement.rounding.compensated import compensate
from tests.quantization.plan.test_detection import candidate, images, prepared
from tests.support.candidates import float_model
from tests.support.detectors import mask_rcnn, query_masks
from tests.support.models import run

MASKS = ("mask_conv", "mask_wider", "mask_logits")
"""Layers that read detections; an empty image has proposals and no detection."""
HEADS = ("fc1", "fc2", "class_logits", "box_deltas", *MASKS)


@functools.cache
def started() -> Candidate:
    return candidate(float_model(prepared(mask_rcnn())), images())


def layers(made: Candidate) -> dict[str, Layer]:
    return {layer.name: layer for layer in layers_of(made.prepared.model, made.plan)}


def bias(layer: Layer) -> np.ndarray:
    assert layer.form.bias is not None
    return constant(layer.node.inputs[layer.form.bias]).reshape(-1)


def test_the_heads_are_behind_choices() -> None:
    made = started()
    chosen = behind(made.prepared.model.graph, CHOOSING | REGIONS)
    assert {name for name, layer in layers(made).items() if layer.node in chosen} == set(HEADS)


@pytest.mark.parametrize("method", METHODS)
def test_biases_of_heads_are_those_without_the_empty_images(method: str) -> None:
    with_empty, without = (
        layers(correct_biases(started(), Context(images(empty=empty), threads=1), method=method)) for empty in (2, 0)
    )
    for name in HEADS:
        np.testing.assert_allclose(bias(with_empty[name]), bias(without[name]), rtol=1e-5, atol=1e-7)
    assert not np.allclose(bias(with_empty["rpn0"]), bias(without["rpn0"]), rtol=1e-5, atol=1e-7)


def test_the_shift_of_a_head_is_that_of_its_rounded_weights() -> None:
    data, made = images(empty=1, count=1), started()
    layer = layers(made)["fc1"]
    grid = made.plan.weights["fc1"]
    error = layer.weight - dequantize(quantize(layer.weight, grid), grid)
    model = to_bytes(expose(made.prepared.model, [layer.source]))
    (read,) = run(model, data.feeds("images")[0], [layer.source])
    expected = bias(layer) + error.astype(np.float64) @ read.mean(axis=0)
    corrected = layers(correct_biases(made, Context(data, threads=1)))["fc1"]
    np.testing.assert_allclose(bias(corrected), expected, rtol=1e-4, atol=1e-6)


def test_weights_of_mask_heads_are_rounded_as_without_the_empty_images() -> None:
    with_empty, without = (layers(compensate(started(), Context(images(empty=empty), threads=1))) for empty in (2, 0))
    for name in MASKS:
        np.testing.assert_allclose(with_empty[name].weight, without[name].weight, rtol=1e-6)


def test_layers_that_never_read_a_region_keep_their_weights() -> None:
    made = started()
    empty = Context(images(empty=2, count=0), threads=1)
    before, after = layers(made), layers(compensate(made, empty))
    assert all(np.array_equal(before[name].weight, after[name].weight) for name in MASKS)
    again = layers(correct_biases(made, empty))
    assert all(np.array_equal(bias(before[name]), bias(again[name])) for name in MASKS)


def test_a_product_of_constants_has_no_statistics_and_is_left_as_it_is() -> None:
    made = candidate(float_model(prepared(query_masks())), images())
    constants = {
        str(node.name)
        for node in made.prepared.model.graph
        if node.op_type == "MatMul" and all(value is not None and value.is_initializer() for value in node.inputs)
    }
    assert len(constants) == 1
    assert not constants & layers(made).keys()
    context = Context(images(), threads=1)
    assert correct_biases(compensate(made, context), context).plan.quantised == made.plan.quantised
