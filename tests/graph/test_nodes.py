"""Attributes of no type or of no function, and functions called like an operator of ONNX, are refused when read."""

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


def with_attribute(attribute: onnx.AttributeProto, *, in_function: bool) -> bytes:
    model = onnx.ModelProto.FromString(content("Mine", "x"))
    node = model.functions[0].node[0] if in_function else model.graph.node[1]
    node.op_type = "Elu"
    node.attribute.append(attribute)
    if in_function:
        model.functions[0].attribute.append("steepness")
        model.graph.node[0].attribute.append(onnx.helper.make_attribute("steepness", 0.5))
    return model.SerializeToString()


REFERENCE = onnx.AttributeProto(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="steepness")


def test_a_reference_is_right_in_a_function_alone() -> None:
    assert len(graphs.load(with_attribute(REFERENCE, in_function=True)).functions) == 1
    with pytest.raises(
        ModelError, match="its attribute 'alpha' refers to a function, and it stands in none; set it and"
    ):
        graphs.load(with_attribute(REFERENCE, in_function=False))


@pytest.mark.parametrize("in_function", [False, True])
def test_an_attribute_of_no_type_is_refused(in_function: bool) -> None:
    with pytest.raises(ModelError, match="its attribute 'alpha' has no type; set it and export again"):
        graphs.load(with_attribute(onnx.AttributeProto(name="alpha"), in_function=in_function))
