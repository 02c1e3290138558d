"""Graphs for tests of graph/, lowering/ and prepare: onnx text to onnx-ir, onnxruntime as the judge."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph import to_bytes
from tests.support import models

Array = NDArray[Any]


def parse(text: str, **weights: Array) -> ir.Model:
    """A model from ONNX text; each keyword becomes an initializer."""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in weights.items())
    return ir.serde.deserialize_model(proto)


def graph(body: str, *, opset: int = 13, x: str = "float[1,2,6,6]", y: str = "float[]", **weights: Array) -> ir.Model:
    """A model y = f(x) from the text of its nodes."""
    versions = [onnx.helper.make_opsetid("", opset)]
    ir_version = max(4, onnx.helper.find_min_ir_version_for(versions))
    header = f'<ir_version: {ir_version}, opset_import: ["": {opset}]>'
    return parse(f"{header} g ({x} x) => ({y} y) {{ {body} }}", **weights)


def noise(*shape: int, seed: int = 0) -> Array:
    """Normal float32 noise."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run(model: ir.Model, feeds: Mapping[str, Array]) -> list[Array]:
    """All outputs, by onnxruntime with its own rewrites off."""
    return models.run(to_bytes(model), feeds)


def assert_same(actual: Sequence[Array], expected: Sequence[Array], tolerance: float = 1e-5) -> None:
    """Equal shapes and types, and values within `tolerance` of the expected output's largest magnitude."""
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        scale = max(float(np.abs(other).max(initial=0.0)), 1e-6)
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


def op_types(model: ir.Model) -> list[str]:
    """The operators of the main graph, in order."""
    return [node.op_type for node in model.graph]
