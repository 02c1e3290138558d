"""The node tests that ship in the onnx package, run through the simulator."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.simulation.program import program
from quantseg.simulation.running import outputs

OPERATORS = (
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "ConvInteger",
    "QLinearMatMul",
    "MatMulInteger",
    "ConvTranspose",
    "DepthToSpace",
    "Resize",
    "MaxPool",
    "AveragePool",
    "Softmax",
    "ArgMax",
    "TopK",
    "NonMaxSuppression",
    "NonZero",
    "GatherElements",
    "GatherND",
    "ScatterND",
)
PASSED, FAILED, OUT_OF_SCOPE = "passed", "failed", "out of scope"
_NO_INTEGERS = {
    number: name for name, number in onnx.TensorProto.DataType.items() if name.startswith(("FLOAT8", "FLOAT4"))
}


@dataclass(frozen=True)
class Verdict:
    """One node test: its operator, and passed, failed or out of scope, with the reason."""

    name: str
    operator: str
    outcome: str
    reason: str = ""


def cases() -> Iterator[Any]:
    """The tests of single nodes of these operators, as the package defines them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    for case in found:
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in OPERATORS:
            yield case


def verdict(case: Any) -> Verdict:
    """Runs one test and holds it against what the package expects."""
    operator, name = case.model.graph.node[0].op_type, case.name
    outside = _outside(case)
    if outside is not None:
        return Verdict(name, operator, OUT_OF_SCOPE, outside)
    try:
        steps = program(ir.serde.deserialize_model(case.model))
        for fed, expected in case.data_sets:
            found = outputs(steps, {name: _array(value) for name, value in zip(steps.inputs, fed, strict=False)})
            for value, wanted in zip(found.values(), map(_array, expected), strict=True):
                _hold(value, wanted, case.rtol, case.atol)
    except (AssertionError, ModelError) as error:
        return Verdict(name, operator, FAILED, " ".join(str(error).split())[:200])
    return Verdict(name, operator, PASSED)


def _outside(case: Any) -> str | None:
    """Why the simulator does not claim this test: numbers that are neither integers nor IEEE floats."""
    values = (*case.model.graph.input, *case.model.graph.output)
    kinds = {value.type.tensor_type.elem_type for value in values}
    kinds |= {a.i for node in case.model.graph.node for a in node.attribute if a.name == "output_dtype"}
    odd = sorted(_NO_INTEGERS[kind] for kind in kinds if kind in _NO_INTEGERS)
    return "floats of 8 or 4 bits" if odd else None


def _array(value: Any) -> NDArray[Any]:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _hold(value: NDArray[Any], wanted: NDArray[Any], rtol: float, atol: float) -> None:
    """Integers are to be equal, floats as near as the package asks."""
    assert value.shape == wanted.shape, f"shape {value.shape}, expected {wanted.shape}"
    assert value.dtype == wanted.dtype, f"type {value.dtype}, expected {wanted.dtype}"
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(value, wanted, rtol=rtol, atol=atol)
    else:
        np.testing.assert_array_equal(value.astype(np.int64), wanted.astype(np.int64))
