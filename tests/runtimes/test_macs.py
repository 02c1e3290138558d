"""Multiply-accumulates of a prepared graph: by hand, and the same where the graph leaves its sizes open."""

import numpy as np
import pytest

from quantseg.errors import ModelError
from quantseg.graph import to_bytes
from quantseg.graph.preparation import prepare
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.macs import multiply_accumulates
from tests.support import graphs

NET = """
    a = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w1)
    r = Relu (a)
    b = Conv <group = 4, pads = [1, 1, 1, 1]> (r, w2)
    u = Resize <mode = "nearest"> (b, , scales)
    y = Conv (u, w3)
"""
WEIGHTS = {
    "w1": graphs.noise(4, 2, 3, 3),
    "w2": graphs.noise(4, 1, 3, 3),
    "w3": graphs.noise(3, 4, 1, 1),
    "scales": np.array([1, 1, 2, 2], np.float32),
}
BY_HAND = {"Conv": [4 * 4 * 8 * 2 * 9, 4 * 4 * 8 * 9, 8 * 16 * 3 * 4]}


@pytest.mark.parametrize("x", ["float[1,2,8,16]", "float[1,2,H,W]", "float[N,2,H,W]"])
def test_convolutions_count_each_tap_of_each_output(x):
    prepared = prepare(graphs.graph(NET, x=x, y="float[]" if "H" not in x else "float[N,3,P,Q]", **WEIGHTS))
    found = multiply_accumulates(prepared, {"x": (1, 2, 8, 16)})
    assert list(found) == [str(node.name) for node in prepared.model.graph]
    types = {str(node.name): node.op_type for node in prepared.model.graph}
    assert [macs for name, macs in found.items() if types[name] == "Conv"] == BY_HAND["Conv"]
    assert all(macs == 0 for name, macs in found.items() if types[name] != "Conv")


def test_a_size_that_is_computed_from_the_images_is_found():
    body = """
        s = Shape (x)
        hw = Slice (s, two, four, zero)
        front = Constant <value = int64[2] {1, 4}> ()
        a = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)
        b = Conv (a, w)
        all = Concat <axis = 0> (front, hw)
        u = Resize <mode = "nearest"> (b, , , all)
        y = Conv (u, v)
    """
    ends = {"two": np.array([2]), "four": np.array([4]), "zero": np.array([0])}
    weights = {"w": graphs.noise(4, 2, 1, 1), "v": graphs.noise(3, 4, 1, 1)}
    prepared = prepare(graphs.graph(body, x="float[1,2,H,W]", y="float[1,3,P,Q]", **ends, **weights))
    assert sorted(filter(None, multiply_accumulates(prepared, {"x": (1, 2, 6, 10)}).values())) == [
        3 * 5 * 4 * 2,
        6 * 10 * 3 * 4,
    ]


@pytest.mark.parametrize(("size", "pixels"), [(np.array([5, 7]), 35), ((2,), 1), (None, 1)])
def test_a_size_that_is_an_input_is_taken_from_its_value_else_is_one(size, pixels):
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[1,2,4,4] x, int64[2] hw) => (float[1,3,P,Q] y) {
        all = Concat <axis = 0> (front, hw)
        u = Resize <mode = "nearest"> (x, , , all)
        y = Conv (u, w)
    }"""
    prepared = prepare(graphs.parse(text, front=np.array([1, 2]), w=graphs.noise(3, 2, 1, 1)))
    given = {"x": (1, 2, 4, 4)} | ({} if size is None else {"hw": size})
    assert sum(multiply_accumulates(prepared, given).values()) == pixels * 3 * 2


def test_matrix_products_count_rows_columns_and_depth():
    body = "f = Flatten (x)  g = Gemm <transB = 1> (f, w)  y = MatMul (g, v)"
    prepared = prepare(graphs.graph(body, x="float[1,2,3,3]", y="float[]", w=graphs.noise(5, 18), v=graphs.noise(5, 7)))
    assert [macs for macs in multiply_accumulates(prepared, {}).values() if macs] == [5 * 18, 5 * 7]


def test_onnxruntime_runs_as_many():
    prepared = prepare(graphs.graph(NET, x="float[1,2,8,16]", **WEIGHTS))
    nodes = RUNTIMES["onnxruntime"].executed(
        to_bytes(prepared.model), {"x": graphs.noise(1, 2, 8, 16)}, threads=1, runs=1
    )
    ran = sum(node.product.macs for node in nodes if node.product is not None)
    assert ran == sum(multiply_accumulates(prepared, {}).values())


def test_a_shape_that_does_not_fit_is_refused_in_one_line():
    prepared = prepare(graphs.graph(NET, x="float[1,2,H,W]", y="float[1,3,P,Q]", **WEIGHTS))
    with pytest.raises(ModelError, match="x") as refused:
        multiply_accumulates(prepared, {"x": (1, 3, 8, 16)})
    assert "\n" not in str(refused.value)
