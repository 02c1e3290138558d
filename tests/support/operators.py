"""One operator alone, its operands constants of the model: as the simulator computes it, and as onnxruntime does."""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from quantseg.runtimes import RUNTIMES
from quantseg.simulation.arithmetic import OPERATORS, Call
from quantseg.simulation.arithmetic.processors import EXACT, SimulatedProcessor
from quantseg.simulation.saturation import machine as this_machine
from tests.support import models

Array = NDArray[Any]

MICROSOFT = frozenset({
    "NhwcMaxPool", "QGemm", "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool",
    "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid", "QLinearSoftmax",
})  # fmt: skip
"""Operators that are onnxruntime's own."""


@functools.cache
def this_processor() -> SimulatedProcessor:
    """Whose kernels onnxruntime takes on this machine: a test says what they give, and skips nothing for it."""
    return this_machine.this_processor(RUNTIMES["onnxruntime"])


def call(
    *inputs: Any,
    opset: int = 21,
    rounding: str = "onnxruntime",
    outputs: int = 1,
    processor: SimulatedProcessor = EXACT,
    **attributes: Any,
) -> Call:
    """Operands and attributes, the attributes by their ONNX names."""
    return Call(tuple(inputs), attributes, opset, rounding, outputs, processor)


def simulated(op_type: str, *inputs: Any, **rest: Any) -> list[Array]:
    """What the simulator makes of `call(*inputs, **rest)`."""
    return list(OPERATORS[op_type](call(*inputs, **rest)))


def judged(op_type: str, *inputs: Any, opset: int = 21, outputs: int = 1, **attributes: Any) -> list[Array]:
    """What onnxruntime makes of the same."""
    own = op_type in MICROSOFT or "channels_last" in attributes
    if op_type == "QLinearSoftmax":
        attributes["opset"] = opset  # it has an attribute of this name
    names = ["" if array is None else f"i{number}" for number, array in enumerate(inputs)]
    made = [f"o{number}" for number in range(outputs)]
    node = helper.make_node(op_type, names, made, domain="com.microsoft" if own else "", **attributes)
    constants = [numpy_helper.from_array(np.asarray(a), n) for a, n in zip(inputs, names, strict=True) if n]
    graph = helper.make_graph([node], "g", [], [helper.make_empty_tensor_value_info(name) for name in made], constants)
    versions = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return models.run(helper.make_model(graph, opset_imports=versions, ir_version=8), {})


def assert_equal(found: list[Array], expected: list[Array]) -> None:
    """The same arrays: shapes, types and every number."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        np.testing.assert_array_equal(one, other)


def assert_as_onnxruntime(op_type: str, *inputs: Any, **rest: Any) -> None:
    """The simulator gives onnxruntime's numbers, every one, with the kernels of this machine's processor."""
    assert_equal(simulated(op_type, *inputs, processor=this_processor(), **rest), judged(op_type, *inputs, **rest))


def integers(random: np.random.Generator, kind: Any, shape: tuple[int, ...], limit: int = 1 << 7) -> Array:
    """Integers of an 8-bit type: of its whole range, or of signed ones up to a magnitude."""
    info = np.iinfo(kind)
    low, high = (max(info.min, -limit), min(info.max, limit)) if info.min < 0 else (0, 255)
    return random.integers(low, high + 1, shape).astype(kind)
