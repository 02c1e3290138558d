"""Declared shapes against computed ones, and what only a run can tell."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quantseg import graph
from quantseg.graph import TensorSpec
from quantseg.graph.declarations import computes_sizes, drop_stale_shapes, fill_from_run, unknown, with_input_sizes
from quantseg.graph.preparation import prepare
from quantseg.mixed_precision.feeds import run_once
from tests.support.graphs import graph as text
from tests.support.graphs import noise, parse

W = noise(4, 2, 3, 3)


def shape(model: ir.Model, name: str) -> list[int | str]:
    value = next(v for node in model.graph for v in node.outputs if v.name == name)
    assert value.shape is not None
    return [size if isinstance(size, int) else "?" for size in value.shape]


def test_a_declaration_that_contradicts_is_replaced_and_told() -> None:
    model = text("c = Conv(x, w) y = Relu(c)", y="float[1,4,9,9]", w=W)
    model.graph.node(0).outputs[0].shape = ir.Shape([1, 4, 6])
    changes = drop_stale_shapes(model).changes
    assert [(c.node, c.detail) for c in changes] == [
        ("c", "declared 1x4x6, is 1x4x4x4"),
        ("y", "declared 1x4x9x9, is 1x4x4x4"),
    ]
    assert shape(model, "c") == shape(model, "y") == [1, 4, 4, 4]


def test_what_agrees_or_cannot_be_computed_stays() -> None:
    model = parse(
        '<ir_version: 8, opset_import: ["": 13, "own": 1]> g (float[n,2,6,6] x) => (float[n,4,4,4] y)'
        " { c = Conv(x, w) y = own.Post(c) }", w=W,
    )  # fmt: skip
    assert not drop_stale_shapes(model).changes
    assert shape(model, "y") == ["?", 4, 4, 4]


@pytest.mark.parametrize(("sizes", "found"), [((1, 2, 6, 6), [1, 4, 4, 4]), (("n", 2, "h", "w"), ["?", 4, "?", "?"])])
def test_a_run_tells_types_and_shapes(sizes: tuple[int | str, ...], found: list[int | str]) -> None:
    inner = ",".join(map(str, sizes))
    model = parse(
        f'<ir_version: 8, opset_import: ["": 13, "com.microsoft": 1]> g (float[{inner}] x) => (float[] y)'
        " { c = Conv(x, w) m = com.microsoft.QuickGelu(c) y = Relu(m) }", w=W,
    )  # fmt: skip
    graph.make_unique(model)
    graph.infer_shapes(model)
    assert unknown(model.graph) == ("m", "y") or unknown(model.graph) == ("m",)
    spec = TensorSpec("x", "float32", (1, 2, 6, 6))
    (change,) = fill_from_run(model, lambda part, names: run_once(part, [spec], names)).changes
    assert "taken from a run" in change.detail
    assert shape(model, "m") == found
    assert not unknown(model.graph)
    assert not fill_from_run(model, lambda part, names: pytest.fail("nothing is unknown")).changes


def test_without_a_run_what_is_unknown_stays_unknown() -> None:
    model = parse(
        '<ir_version: 8, opset_import: ["": 13, "com.microsoft": 1]> g (float[1,2,6,6] x) => (float[] y)'
        " { c = Conv(x, w) y = com.microsoft.QuickGelu(c) }", w=W,
    )  # fmt: skip
    assert "y" in unknown(prepare(model).model.graph)


def test_sizes_that_are_computed_are_seen_and_can_be_fixed() -> None:
    model = text("s = Shape(x) y = Resize(x, , , s)", x="float[n,2,h,w]", y="float[n,2,h,w]")
    assert computes_sizes(model)
    fixed = with_input_sizes(model, {"x": (1, 2, 6, 6)})
    graph.infer_shapes(fixed)
    assert not computes_sizes(fixed)
    assert computes_sizes(model)
    assert not computes_sizes(text("y = Relu(x)", x="float[n,2,h,w]"))


@pytest.mark.parametrize("size", [-1, -7])
def test_a_size_below_zero_is_an_open_axis(size: int) -> None:
    model = ir.serde.serialize_model(text("y = Conv(x, w)", y="float[n,4,4,4]", w=W))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = size
    read = graph.load(model.SerializeToString())
    assert [spec.shape for specs in graph.signature(read) for spec in specs] == [(None, 2, 6, 6), (None, 4, 4, 4)]


def test_an_old_group_normalization_is_read() -> None:
    node = onnx.helper.make_node("GroupNormalization", ["x", "s", "s"], ["y"], num_groups=2)
    kind = onnx.TensorProto.FLOAT
    made = onnx.helper.make_graph(
        [node], "g", [onnx.helper.make_tensor_value_info("x", kind, [1, 4, 3, 3])],
        [onnx.helper.make_tensor_value_info("y", kind, [1, 4, 3, 3])],
        [onnx.numpy_helper.from_array(np.ones(2, np.float32), "s")],
    )  # fmt: skip
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    assert [n.op_type for n in graph.load(model.SerializeToString()).graph] == ["GroupNormalization"]


def test_channels_that_a_file_leaves_open_are_computed() -> None:
    model = text("c = Conv(x, w) y = Sigmoid(c)", x="float[n,2,h,w]", y="float[n,c,h,w]", w=W[:1])
    assert not drop_stale_shapes(model).changes
    _, (output,) = graph.signature(model)
    assert output.shape == (None, 1, None, None)
