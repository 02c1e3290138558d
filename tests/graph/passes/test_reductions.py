"""Means and maxima over any axes give the same numbers by pools and convolutions."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes, make_unique
from quantseg.graph.passes.normalisations import recognise_normalisations
from quantseg.graph.passes.reductions import lower_reductions
from quantseg.graph.passes.transposes import sink_transposes
from tests.support.graphs import Array, assert_same, graph, noise, op_types, run

X = noise(2, 3, 4, 5)
SHAPE = "float[2,3,4,5]"


def lowered(model: ir.Model) -> ir.Model:
    copy = model.clone()
    infer_shapes(copy)
    lower_reductions(copy)
    return copy


def mean_of(body: str, k: Array, opset: int = 13, **constants: Array) -> ir.Model:
    return graph(f"{body} y = MatMul(m, k)", x=SHAPE, opset=opset, k=k, **constants)


@pytest.mark.parametrize(
    ("axes", "kinds"),
    [
        ([2, 3], ["GlobalAveragePool"]),
        ([-1, -2], ["GlobalAveragePool"]),
        ([1], ["Conv"]),
        ([2], ["AveragePool"]),
        ([3], ["AveragePool"]),
        ([1, 2, 3], ["ReduceMean"]),
        ([0], ["ReduceMean"]),
    ],
)
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("opset", [13, 18])
def test_what_takes_its_place(axes: list[int], kinds: list[str], keepdims: int, opset: int) -> None:
    named = f", axes={axes}" if opset < 18 else ""
    body = f"m = ReduceMean<keepdims={keepdims}{named}>(x{', over' if opset >= 18 else ''})"
    (before,) = run(graph(body.replace("m =", "y ="), x=SHAPE, opset=opset, **_axes(axes, opset)), {"x": X})
    model = mean_of(body, noise(before.shape[-1], 2), opset, **_axes(axes, opset))
    new = lowered(model)
    squeezed = ["Squeeze"] if not keepdims and kinds != ["ReduceMean"] else []
    assert op_types(new) == [*kinds, *squeezed, "MatMul"]
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


def _axes(axes: list[int], opset: int) -> dict[str, Array]:
    return {"over": np.array(axes)} if opset >= 18 else {}


@pytest.mark.parametrize("opset", [13, 18])
def test_a_maximum_of_the_whole_image_is_a_reduce_max(opset: int) -> None:
    model = graph("m = GlobalMaxPool(x) y = Conv(m, w)", x=SHAPE, opset=opset, w=noise(2, 3, 1, 1))
    new = lowered(model)
    assert op_types(new) == ["ReduceMax", "Conv"]
    assert_same(run(new, {"x": X}), run(model, {"x": X}))


@pytest.mark.parametrize(
    "body",
    [
        "y = ReduceMean<axes=[2,3]>(x)",  # only the output head follows
        "a = Abs(x) e = Mul(a, a) v = ReduceMean<axes=[1]>(e) w = Add(v, t) s = Sqrt(w) n = Div(a, s) y = Conv(n, k)",
        "m = ReduceMean<axes=[1]>(x) d = Sub(x, m) e = Mul(d, d) v = ReduceMean<axes=[1]>(e) w = Add(v, t) "
        "s = Sqrt(w) n = Div(d, s) y = Conv(n, k)",
    ],
)
def test_what_stays(body: str) -> None:
    constants = {"t": np.array(1e-5, np.float32), "k": noise(2, 3, 1, 1)} if "Conv" in body else {}
    model = graph(body, x=SHAPE, **constants)
    assert op_types(lowered(model)) == op_types(model)


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(range(4)),
    axes=st.sets(st.integers(-4, 3), min_size=1, max_size=4),
    keepdims=st.booleans(),
    opset=st.sampled_from([13, 18]),
    kind=st.sampled_from(["ReduceMean", "ReduceMax", "ReduceSum"]),
)
def test_reductions_pass_transposes(order: list[int], axes: set[int], keepdims: bool, opset: int, kind: str) -> None:
    over = sorted({axis % 4 for axis in axes})
    by_input = opset == 18 or kind == "ReduceSum"
    named, given_ = ("", ", over") if by_input else (f", axes={over}", "")
    constants = {"over": np.array(over)} if by_input else {}
    body = f"t = Transpose<perm={list(order)}>(x) m = {kind}<keepdims={int(keepdims)}{named}>(t{given_}) y = Neg(m)"
    model = graph(body, x=SHAPE, opset=opset, **constants)
    copy = model.clone()
    make_unique(copy)
    infer_shapes(copy)
    sink_transposes(copy)
    (reduced,) = (node for node in copy.graph if node.op_type == kind)
    assert reduced.inputs[0] is copy.graph.inputs[0]
    assert_same(run(copy, {"x": X}), run(model, {"x": X}))


@pytest.mark.parametrize(
    ("square", "division"),
    [
        ("e = Pow(d, two)", "s = Sqrt(w) n = Div(d, s)"),
        ("e = Mul(d, d)", "s = Sqrt(w) r = Reciprocal(s) n = Mul(d, r)"),
        ("e = Mul(d, d)", "s = Pow(w, minus) n = Mul(d, s)"),
    ],
)
def test_each_node_of_a_normalisation_has_the_reason(square: str, division: str) -> None:
    constants = {"two": np.float32(2), "tiny": np.float32(1e-5), "minus": np.float32(-0.5)}
    body = (
        f"m = ReduceMean<axes=[-1]>(x) d = Sub(x, m) {square} v = ReduceMean<axes=[-1]>(e) w = Add(v, tiny) {division}"
    )
    used = {name: np.asarray(value) for name, value in constants.items() if name in body}
    model = graph(f"{body} y = MatMul(n, k)", x=SHAPE, k=noise(5, 2), **used)
    for index, node in enumerate(model.graph):
        node.name = f"{node.op_type}_{index}"
    outcome = recognise_normalisations(model)
    assert not outcome.changes
    assert [refusal.node for refusal in outcome.refusals] == [str(node.name) for node in model.graph][:-1]
    assert {"statistics" in refusal.reason for refusal in outcome.refusals} == {True}


def test_a_mean_that_is_only_taken_off_is_no_normalisation() -> None:
    model = graph("m = ReduceMean<axes=[2,3]>(x) d = Sub(x, m) y = Conv(d, k)", x=SHAPE, k=noise(2, 3, 1, 1))
    assert not recognise_normalisations(model).refusals
    assert op_types(lowered(model)) == ["GlobalAveragePool", "Sub", "Conv"]
