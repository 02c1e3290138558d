"""Half-precision models in float32: the same numbers up to half precision, the same types outside."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from quantseg.graph import check, to_bytes
from quantseg.graph.half_floats import is_half, widen
from tests.support.graphs import Array, noise, op_types, parse

W, B = noise(4, 2, 3, 3).astype(np.float16), noise(4).astype(np.float16)
TEXTS = {
    "inside": "(float[1,2,6,6] x) => (float[] y) { h = Cast<to=10>(x) c = Conv(h, w, b) y = Cast<to=1>(c) }",
    "outside too": "(float16[1,2,6,6] x) => (float16[] y) { c = Conv(x, w, b) y = Relu(c) }",
    "an output that is read": "(float16[1,2,6,6] x) => (float16[] y, float16[] z) { y = Conv(x, w, b) z = Relu(y) }",
    "a constant": (
        "(float16[1,2,6,6] x) => (float16[] y)"
        " { c = Conv(x, w, b) k = Constant<value = float16[1] {15360}>() y = Mul(c, k) }"
    ),
    "a branch": (
        "(float16[1,2,6,6] x) => (float16[] y) { c = Conv(x, w, b) t = ReduceMax<keepdims=0>(c) n = Cast<to=9>(t)"
        " y = If(n) <then_branch = a () => (float16[] p) { p = Relu(c) }, else_branch = o () => (float16[] q)"
        " { q = Cast<to=10>(c) }> }"
    ),
}


def run(model: ir.Model, x: Array) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(to_bytes(model), options, providers=["CPUExecutionProvider"])
    kind = np.float16 if session.get_inputs()[0].type == "tensor(float16)" else np.float32
    found: list[Array] = session.run(None, {"x": x.astype(kind)})
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_the_same_numbers_and_types(name: str) -> None:
    model = parse(f'<ir_version: 8, opset_import: ["": 13]> g {TEXTS[name]}', w=W, b=B)
    wide = model.clone()
    assert is_half(wide)
    assert len(widen(wide).changes) == 1
    check(wide)
    x = noise(1, 2, 6, 6, seed=3)
    for one, other in zip(run(wide, x), run(model, x), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=2e-2, atol=2e-2)
    inner = {value.dtype for node in wide.graph for value in node.outputs if not value.is_graph_output()}
    assert not inner & {ir.DataType.FLOAT16, ir.DataType.BFLOAT16}


def test_a_float32_model_is_left_alone() -> None:
    model = parse('<ir_version: 8, opset_import: ["": 13]> g (float[1,2,6,6] x) => (float[] y) { y = Relu(x) }')
    before = to_bytes(model)
    assert not widen(model).changes
    assert to_bytes(model) == before


def test_bfloat16_becomes_float32_outside_too() -> None:
    model = parse('<ir_version: 10, opset_import: ["": 22]> g (bfloat16[1,2] x) => (bfloat16[1,2] y) { y = Relu(x) }')
    assert is_half(model, ir.DataType.BFLOAT16)
    assert not is_half(model, ir.DataType.FLOAT16)
    widen(model)
    assert op_types(model) == ["Relu"]
    assert {value.dtype for value in (*model.graph.inputs, *model.graph.outputs)} == {ir.DataType.FLOAT}
    assert onnx.load_from_string(to_bytes(model)).graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
