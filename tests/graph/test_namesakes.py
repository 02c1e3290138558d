"""Functions called like an operator of ONNX, with fewer inputs, never reach onnxruntime, which they would end."""

import onnx
import onnx_ir as ir
import pytest

from quantseg import graph as graphs
from quantseg.errors import ModelError

HEADER = '<ir_version: 8, opset_import: ["": 13, "own": 1]>'


def content(op_type: str, inputs: str) -> bytes:
    """A model with a function of its own, called op_type."""
    return onnx.parser.parse_model(
        f"""{HEADER} g (float[1,2] x, float[1,2] z) => (float[1,2] y) {{ a = own.{op_type} ({inputs}) y = Abs (a) }}
        <domain: "own", opset_import: ["": 13]> {op_type} (p{", q" * inputs.count(",")}) => (r) {{ r = Relu (p) }}"""
    ).SerializeToString()


@pytest.mark.parametrize(("op_type", "inputs"), [("Add", "x"), ("Gather", "x"), ("Mul", "x")])
def test_a_namesake_with_fewer_inputs_is_refused(op_type: str, inputs: str) -> None:
    with pytest.raises(ModelError, match=rf"own\.{op_type} takes 1 inputs, .* takes more; rename it"):
        graphs.load(content(op_type, inputs))


@pytest.mark.parametrize(("op_type", "inputs"), [("Add", "x, z"), ("Relu", "x"), ("Mine", "x")])
def test_other_functions_are_read(op_type: str, inputs: str) -> None:
    assert [node.op_type for node in graphs.load(content(op_type, inputs)).graph] == [op_type, "Abs"]


def test_a_namesake_within_a_function_is_refused() -> None:
    model = onnx.parser.parse_model(
        f"""{HEADER} g (float[1,2] x) => (float[1,2] y) {{ y = own.Outer (x) }}
        <domain: "own", opset_import: ["": 13, "own": 1]> Outer (p) => (r) {{ r = own.Sub (p) }}
        <domain: "own", opset_import: ["": 13]> Sub (p) => (r) {{ r = Relu (p) }}"""
    )
    assert isinstance(ir.serde.deserialize_model(model), ir.Model)
    with pytest.raises(ModelError, match=r"own\.Sub takes 1 inputs"):
        graphs.load(model.SerializeToString())
