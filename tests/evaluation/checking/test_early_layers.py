"""Moments of early layers: of parts those of the whole, and of old files too, which list weights as inputs."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from quantseg import graph
from quantseg.evaluation.checking.early_layers import Moments, early_layers, exposing, observed
from quantseg.runtimes import DEFAULT
from tests.support import trained


@given(st.integers(0, 1000), st.integers(1, 3))
def test_moments_of_a_tensor_are_numpys(seed: int, channels: int) -> None:
    values = np.random.default_rng(seed).normal(3, 2, (2, channels, 5, 7))
    found = Moments.of(values)
    np.testing.assert_allclose(found.mean, values.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(found.variance, values.var(axis=(0, 2, 3)))


def fit_of(model: onnx.ModelProto, inputs: np.ndarray) -> float:
    read = graph.load(model.SerializeToString())
    layers = early_layers(read)
    session = DEFAULT.open(graph.to_bytes(exposing(read, layers)), threads=1)
    distance = layers.fit(observed(session, layers.tensors, [{"x": one[None]} for one in inputs])).distance
    assert distance is not None
    return distance


def test_the_inputs_of_training_are_at_no_distance_and_others_are_farther() -> None:
    inputs = trained.prepared("RGB", 1 / 255, 0.0, 1.0)
    model = trained.trained_on(inputs)
    assert fit_of(model, inputs) < 0.01
    distances = [fit_of(model, inputs * np.float32(factor)) for factor in (1, 2, 8, 64)]
    assert distances == sorted(distances)
    assert distances[-1] > 1


def test_weights_that_are_listed_as_inputs_are_read() -> None:
    inputs = trained.prepared("RGB", 1 / 255, 0.0, 1.0)
    model = trained.trained_on(inputs)
    model.graph.input.extend(
        helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in model.graph.initializer
    )
    assert fit_of(model, inputs) < 0.01


def test_a_model_without_normalisation_has_a_balance_where_its_first_convolution_has_a_bias() -> None:
    text = """<ir_version: 8, opset_import: ["": 13]>
        g (float[1,1,4,4] x) => (float[1,2,4,4] y)
        <float[2,1,1,1] w = {1.0, -2.0}, float[2] b = {0.5, 0.25}> { y = Conv(x, w, b) }"""
    model: ir.Model = ir.serde.deserialize_model(onnx.parser.parse_model(text))
    layers = early_layers(model)
    x = np.random.default_rng(0).normal(size=(1, 1, 4, 4)).astype(np.float32)
    fit = layers.fit({"y": Moments.of(np.concatenate([x + 0.5, -2 * x + 0.25], axis=1))})
    assert fit.distance is None
    assert fit.balance == pytest.approx(np.median([x.std() / 0.5, 2 * x.std() / 0.25]))
