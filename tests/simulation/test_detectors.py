"""Detectors in the simulator: they detect what onnxruntime detects, and none where there is nothing."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quantseg import graph
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.writing import written
from quantseg.simulation.program import program
from quantseg.simulation.running import outputs
from tests.quantization.plan.test_detection import MAKERS, candidate, images, prepared
from tests.support.candidates import float_model
from tests.support.models import run


@pytest.mark.parametrize("name", ["top", "nms", "mask_rcnn"])
def test_the_simulator_detects_the_same(name: str) -> None:
    made = candidate(float_model(prepared(MAKERS[name]())), images())
    assert made.settings == QuantSettings()
    model = graph.to_bytes(written(made).model)
    steps = program(ir.serde.deserialize_model(onnx.load_from_string(model)))
    for feed in images(count=1).feeds("images"):
        found, expected = outputs(steps, feed), run(model, feed)
        for own, other in zip(found.values(), expected, strict=True):
            assert own.shape == other.shape
            np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(other).max(initial=0))))
