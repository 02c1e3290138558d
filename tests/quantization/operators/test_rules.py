import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph.preparation import prepare
from quantseg.quantization.affine import Range
from quantseg.quantization.operators import RULES, IntegerForm, KeptFloat, Kind, integer_form
from quantseg.quantization.operators.activation import clamp_bounds
from tests.support import graphs
from tests.support.graphs import noise

SHAPE = "float[1,4,6,6]"


def form(body: str, outputs: str = "float[] y", **constants: graphs.Array) -> IntegerForm | KeptFloat:
    """The form of the node that makes y from x, in a prepared model."""
    head = f'<ir_version: 8, opset_import: ["": 13]> g ({SHAPE} x) => ({outputs})'
    graph = prepare(graphs.parse(f"{head} {{ {body} }}", **constants)).model.graph
    (node,) = (node for node in graph if "y" in {output.name for output in node.outputs})
    return integer_form(node)


@pytest.mark.parametrize("op_type", RULES)
def test_every_rule_answers_with_a_form_or_a_reason_that_names_the_operator(op_type: str) -> None:
    value = ir.Value(name="v", type=ir.TensorType(ir.DataType.FLOAT))
    answer = integer_form(ir.node(op_type, [value, value, value]))
    if isinstance(answer, KeptFloat):
        assert answer.reason.startswith(f"{op_type}: ")
    else:
        assert set(answer.data) <= {0, 1, 2}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Conv(x, w, b)", IntegerForm(Kind.PRODUCT, weight=1, weight_axis=0, bias=2)),
        ("y = Conv(x, w)", IntegerForm(Kind.PRODUCT, weight=1, weight_axis=0)),
        ("f = Flatten(x) y = Gemm(f, g, b)", IntegerForm(Kind.PRODUCT, weight=1, weight_axis=1, bias=2)),
        ("f = Flatten(x) y = Gemm<transB=1>(f, h)", IntegerForm(Kind.PRODUCT, weight=1, weight_axis=0)),
        ("y = MatMul(x, m)", IntegerForm(Kind.PRODUCT, weight=1, weight_axis=1)),
        ("y = MatMul(x, w2)", IntegerForm(Kind.PRODUCT, weight=1)),
        ("y = MatMul(x, x)", IntegerForm(Kind.PRODUCT, data=(0, 1))),
        ("y = MatMul(m, x)", IntegerForm(Kind.PRODUCT, data=(0, 1))),
        ("y = Add(x, m)", IntegerForm(Kind.ARITHMETIC, data=(0, 1))),
        ("y = Concat<axis=1>(x, x, x)", IntegerForm(Kind.JOIN, data=(0, 1, 2))),
        ("y = Sub(x, m)", IntegerForm(Kind.ARITHMETIC, data=(0, 1))),
        ("y = Sigmoid(x)", IntegerForm(Kind.ARITHMETIC, fixed=Range(0, 1))),
        ("y = Softmax(x)", IntegerForm(Kind.ARITHMETIC, fixed=Range(0, 1))),
        ("f = Flatten(x) y = Softmax(f)", IntegerForm(Kind.ARITHMETIC, least=Range(0, 4 / 144))),
        ("y = ReduceMax(x)", IntegerForm(Kind.MOVEMENT)),
        ("y = Relu(x)", IntegerForm(Kind.CLAMP)),
        ("y = Transpose(x)", IntegerForm(Kind.MOVEMENT)),
    ],
)  # fmt: skip
def test_forms(body: str, expected: IntegerForm) -> None:
    constants = {"b": noise(4), "g": noise(144, 4), "h": noise(4, 144), "m": noise(6, 6), "w2": noise(4, 6, 6)}
    assert form(body, w=noise(4, 4, 3, 3), **constants) == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("y = Conv(x, x)", "Conv: its weights are computed at run time"),
        ("t = ReduceSum<keepdims=0>(x, axes) y = Conv(x, w, t)", "Conv: its bias is computed at run time"),
        ("y = Clip(x, , h)", "Clip: its bounds are computed at run time"),
        ('y = Resize<mode="cubic">(x, , s)', "Resize: cubic interpolation overshoots the range of its input"),
        ("y = Pad(x, p, v)", "Pad: pads with a value other than zero"),
        ("y = Pad(x, p, h)", "Pad: pads with a value other than zero"),
        ("y = Div(v, x)", "Div: no integer kernel in onnxruntime"),
        ("y = ReduceMean(x)", "ReduceMean: no integer kernel in onnxruntime"),
        ("y = Softplus(x)", "Softplus: no integer kernel in onnxruntime"),
        ("y = Sinh(x)", "Sinh: no integer rule"),
        (
            "y, i = MaxPool<kernel_shape=[2,2]>(x)",
            "MaxPool: its indices are read, and integers tie where floats do not",
        ),
        ("m = Greater(x, v) y = Where(m, x, v)", "Where: chooses between two tensors, which need not share a grid"),
        ("m = Greater(x, v) y = Where(m, x, x)", "Where: chooses between two tensors, which need not share a grid"),
    ],
)
def test_reasons(body: str, reason: str) -> None:
    outputs = "float[] y, int64[] i" if "i =" in body else "float[] y"
    floats = {"v": np.array(2, np.float32), "s": np.array([1, 1, 2, 2], np.float32), "w": noise(4, 4, 3, 3)}
    numbers = {"axes": np.array([0, 2, 3]), "p": np.array([0, 0, 1, 1] * 2)}
    assert form(f"h = ReduceMax<keepdims=0>(x) {body}", outputs, **floats, **numbers) == KeptFloat(reason)


@pytest.mark.parametrize(("body", "kept"), [("y = Where(m, x, z)", 1), ("y = Where(m, z, x)", 2)])
def test_a_where_that_writes_zeros_moves_values(body: str, kept: int) -> None:
    answer = form(f"m = Greater(x, v) {body}", v=np.array(2, np.float32), z=np.zeros(1, np.float32))
    assert answer == IntegerForm(Kind.MOVEMENT, data=(kept,))


@pytest.mark.parametrize(
    ("body", "compared"),
    [
        ("p = MaxPool<kernel_shape=[1,1]>(x) t = Transpose(p) u = Transpose(x) y = Equal(t, u)", True),
        ("a, b = Split<axis=1>(x) y = Equal(a, b)", True),
        ("a = Sigmoid(x) b = MaxPool<kernel_shape=[1,1]>(a) y = Equal(a, b)", True),
        ("a = Sigmoid(x) y = Equal(a, x)", False),
        ("y = Equal(x, v)", False),
    ],
)
def test_values_of_one_tensor_compare_as_integers(body: str, compared: bool) -> None:
    answer = form(body, "bool[] y", v=np.array(2, np.float32))
    if compared:
        assert answer == IntegerForm(Kind.COMPARISON, data=(0, 1))
    else:
        assert answer == KeptFloat("Equal: compares values of two tensors, which integers round to equal ones")


def test_a_softmax_of_unknown_length_stays_float() -> None:
    value = ir.Value(name="v", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1, "n"]))
    answer = integer_form(ir.node("Softmax", [value]))
    assert answer == KeptFloat("Softmax: over an axis of unknown length; export with fixed sizes")


def test_integers_are_no_pixels() -> None:
    answer = form("i = Cast<to=7>(x) y = Transpose(i)", "int64[] y")
    assert answer == KeptFloat("Transpose: works on INT64, not on float pixels")


def test_other_domains_and_subgraphs_are_left_alone() -> None:
    value = ir.Value(name="v", type=ir.TensorType(ir.DataType.FLOAT))
    foreign = ir.node("Conv", [value], domain="com.example")
    assert integer_form(foreign) == KeptFloat("com.example.Conv: not a standard ONNX operator")
    bodies = {key: ir.Graph([], [], nodes=[]) for key in ("then_branch", "else_branch")}
    branch = ir.node("If", [value], bodies)
    assert integer_form(branch) == KeptFloat("If: control flow, its subgraphs are left alone")


@pytest.mark.parametrize(
    ("body", "bounds"),
    [
        ("y = Relu(x)", (0, float("inf"))),
        ("y = Clip(x)", (float("-inf"), float("inf"))),
        ("y = Clip(x, v)", (2, float("inf"))),
        ("y = Clip(x, , v)", (float("-inf"), 2)),
        ("y = Clip(x, v, v)", (2, 2)),
    ],
)
def test_bounds_of_a_clamp(body: str, bounds: tuple[float, float]) -> None:
    assert clamp_bounds(graphs.graph(body, x=SHAPE, v=np.array(2, np.float32)).graph.node(0)) == bounds
