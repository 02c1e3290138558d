"""Nodes with odd attributes or inputs are refused when read: some of them end onnxruntime, and the process with it."""

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


HEAD = """<ir_version: 8, opset_import: ["": 13, "own": 1, "com.microsoft": 1]>
g (float[1,2] x, float[1,2] z, float s, uint8 o) => (float[1,2] y)"""


def read(body: str, functions: str = "") -> ir.Model:
    return graphs.load(onnx.parser.parse_model(f"{HEAD} {{ {body} }} {functions}").SerializeToString())


@pytest.mark.parametrize("op_type", ["Max", "Mean", "Min", "Sum"])
def test_an_operator_of_many_inputs_leaves_none_out(op_type: str) -> None:
    model = onnx.parser.parse_model(f"{HEAD} {{ y = {op_type} (x, z) }}")
    assert len(graphs.load(model.SerializeToString()).graph) == 1
    for inputs in (["x", ""], ["x", "", "z"]):
        model.graph.node[0].input[:] = inputs
        with pytest.raises(ModelError, match=f"{op_type} leaves out one of its inputs; write it and export again"):
            graphs.load(model.SerializeToString())


def test_optional_inputs_may_be_left_out() -> None:
    assert len(read("a = Clip (x, , s) y = Clip (a)").graph) == 2


@pytest.mark.parametrize("op_type", ["QLinearSigmoid", "QLinearLeakyRelu"])
def test_onnxruntimes_own_operators_have_their_zero_points(op_type: str) -> None:
    body = "q = QuantizeLinear (x, s, o) r = com.microsoft.{} (q, s, o, s{}) y = DequantizeLinear (r, s, o)"
    assert len(read(body.format(op_type, ", o")).graph) == 3
    with pytest.raises(ModelError, match=f"{op_type} leaves out its last zero-point; write it"):
        read(body.format(op_type, ""))


def test_a_concatenation_of_integers_leaves_no_operand_out() -> None:
    body = """q = QuantizeLinear (x, s, o) r = com.microsoft.QLinearConcat <axis=1> (s, o, q, s, {})
    y = DequantizeLinear (r, s, o)"""
    assert len(read(body.format("o")).graph) == 3
    with pytest.raises(ModelError, match="QLinearConcat leaves out one of its inputs"):
        read(body.format(", q, s, o"))


def test_a_function_reads_its_own_values_alone() -> None:
    body = "c = Cast <to=9> (s) a = Relu (x) y = own.F (c, z)"
    function = """<domain: "own", opset_import: ["": 13]> F (c, z) => (r) {{ r = If (c) <
        then_branch = a () => (float[1,2] t) {{ t = Abs ({0}) }},
        else_branch = b () => (float[1,2] e) {{ e = Abs ({0}) }}> }}"""
    assert len(read(body, function.format("z")).functions) == 1
    with pytest.raises(ModelError, match="reads 'a', which nothing makes"):
        read(body, function.format("a"))
