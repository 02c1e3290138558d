"""Transposes meet and go; what stands between them computes the same numbers in the other order."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph import infer_shapes
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.dead import remove_dead
from quantseg.graph.passes.transposes import sink_transposes
from quantseg.graph.preparation import prepare
from tests.support.graphs import assert_same, graph, noise, op_types, run

X = {"x": noise(1, 2, 6, 6)}
TO_LAST, TO_FIRST = "Transpose<perm=[0,2,3,1]>", "Transpose<perm=[0,3,1,2]>"
PADS = np.array([0, 1, 2, 0, 0, 3, 4, 1])


def sunk(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy = model.clone()
    infer_shapes(copy)
    outcome = sink_transposes(copy)
    remove_dead(copy)
    return copy, outcome


CANCELLED = {
    "nothing between": (f"a = {TO_LAST}(x) b = {TO_FIRST}(a) y = Relu(b)", ["Relu"]),
    "activation between": (f"a = {TO_LAST}(x) r = Relu(a) y = {TO_FIRST}(r)", ["Relu"]),
    "bias and clip": (f"a = {TO_LAST}(x) r = Add(c, a) k = Clip(r, l, h) y = {TO_FIRST}(k)", ["Add", "Clip"]),
    "bias of one row": (f"a = {TO_LAST}(x) r = Sub(a, row) y = {TO_FIRST}(r)", ["Sub"]),
    "slopes": (f"a = {TO_LAST}(x) r = PRelu(a, row) y = {TO_FIRST}(r)", ["PRelu"]),
    "padding": (f"a = {TO_LAST}(x) r = Pad(a, p, h) y = {TO_FIRST}(r)", ["Pad"]),
    "residual": (
        f"a = {TO_LAST}(x) b = {TO_FIRST}(a) r = Abs(b) d = {TO_LAST}(r) s = Add(a, d) y = {TO_FIRST}(s)",
        ["Abs", "Add"],
    ),
    "concat": (
        f"r = Abs(x) a = {TO_LAST}(x) b = {TO_LAST}(r) s = Concat<axis=-1>(a, b) y = {TO_FIRST}(s)",
        ["Abs", "Concat"],
    ),
    "the same order": ("a = Transpose<perm=[0,1,2,3]>(x) y = Relu(a)", ["Relu"]),
    "there and elsewhere": (f"a = {TO_LAST}(x) y = {TO_LAST}(a)", ["Transpose", "Transpose"]),
    "reversed": ("a = Transpose(x) y = Transpose(a)", ["Transpose", "Transpose"]),
    "to the end": (f"a = {TO_LAST}(x) y = Relu(a)", ["Relu", "Transpose"]),
    "another user": (
        f"a = {TO_LAST}(x) r = Relu(a) s = Softmax(a) y = Add(r, s)",
        ["Transpose", "Relu", "Softmax", "Add"],
    ),
    "more axes than the image": (f"a = {TO_LAST}(x) y = Add(a, five)", ["Transpose", "Add"]),
    "different orders": (f"a = {TO_LAST}(x) b = {TO_FIRST}(x) y = Add(a, b)", ["Transpose", "Transpose", "Add"]),
    "a node that minds": (f"a = {TO_LAST}(x) r = Softmax(a) y = {TO_FIRST}(r)", ["Transpose", "Softmax", "Transpose"]),
}


@pytest.mark.parametrize("name", CANCELLED)
def test_transposes_go_where_they_can_and_numbers_stay(name: str) -> None:
    body, kinds = CANCELLED[name]
    weights = {
        "c": noise(6, 2),
        "row": noise(2),
        "l": np.float32(-0.5),
        "h": np.float32(0.5),
        "p": PADS,
        "five": noise(3, 1, 1, 1, 1),
    }
    shape = "float[1,2,2,2]" if name == "different orders" else "float[1,2,6,6]"
    x = {"x": noise(1, 2, 2, 2)} if name == "different orders" else X
    model = graph(body, x=shape, **weights)
    new, _ = sunk(model)
    assert op_types(new) == kinds
    assert_same(run(new, x), run(model, x), tolerance=0)


def test_a_chain_that_was_wrapped_convolution_by_convolution_becomes_bare() -> None:
    layers = []
    for index in range(3):
        layers.append(
            f"a{index} = {TO_FIRST}(v{index}) c{index} = Conv<pads=[1,1,1,1]>(a{index}, w)"
            f" b{index} = {TO_LAST}(c{index}) d{index} = Add(b{index}, k) v{index + 1} = Relu(d{index})"
        )
    body = "v0 = Identity(x) " + " ".join(layers) + " y = Identity(v3)"
    model = graph(body, x="float[1,6,6,2]", w=noise(2, 2, 3, 3), k=noise(2))
    prepared = prepare(model).model
    assert op_types(prepared) == ["Transpose", *["Conv", "Relu"] * 3, "Transpose"]
    x = {"x": noise(1, 6, 6, 2)}
    assert_same(run(prepared, x), run(model, x))
