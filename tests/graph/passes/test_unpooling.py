"""MaxUnpool as selection by masks puts every value where onnxruntime puts it, ties included."""

from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes, make_unique, to_bytes
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.unpooling import lower_unpooling
from tests.support.graphs import Array, assert_same, graph, noise, op_types, run

TWO = "kernel_shape=[2,2], strides=[2,2]"
PAIR = f"p, i = MaxPool<{TWO}>(x) v = Neg(p) y = MaxUnpool<{TWO}>(v, i)"
SELECTION = {"Concat", "Equal", "MaxPool", "Neg", "Reshape", "Split", "Transpose", "Where"}


def lowered(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy = model.clone()
    make_unique(copy)
    infer_shapes(copy)
    outcome = lower_unpooling(copy)
    infer_shapes(copy)
    return copy, outcome


@st.composite
def images(draw: st.DrawFn) -> tuple[tuple[int, int], Array]:
    """A window, and images that it divides; few different values, so that most windows tie."""
    window = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *(step * draw(st.integers(1, 3)) for step in window))
    values = draw(st.lists(st.integers(-2, 2), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    return window, np.array(values, np.float32).reshape(shape)


@settings(max_examples=60, deadline=None)
@given(images(), st.booleans())
def test_lowering_equals_the_original_exactly(drawn: tuple[tuple[int, int], Array], dynamic: bool) -> None:
    (rows, columns), x = drawn
    attributes = f"kernel_shape=[{rows},{columns}], strides=[{rows},{columns}]"
    body = f"p, i = MaxPool<{attributes}>(x) v = Mul(p, k) y = MaxUnpool<{attributes}>(v, i)"
    batch, channels, height, width = x.shape
    pooled = (batch, channels, height // rows, width // columns)
    declared = f"float[{'n' if dynamic else batch},{channels},{height},{width}]"
    model = graph(body, x=declared, k=noise(*pooled[1:]))
    new, outcome = lowered(model)
    assert len(outcome.changes) == 1
    assert not outcome.refusals
    assert_same(run(new, {"x": x}), run(model, {"x": x}), tolerance=0)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_one_lowered_graph_serves_any_batch(batch: int) -> None:
    model = graph(PAIR, x="float[n,3,4,6]")
    new, _ = lowered(model)
    assert set(op_types(new)) == SELECTION
    x = {"x": noise(batch, 3, 4, 6)}
    assert_same(run(new, x), run(model, x), tolerance=0)
    reference = onnx.reference.ReferenceEvaluator(onnx.load_from_string(to_bytes(new))).run(None, x)
    np.testing.assert_array_equal(reference[0], run(model, x)[0])


def test_the_pool_computes_no_indices_any_more() -> None:
    new, _ = lowered(graph(PAIR, x="float[1,2,4,4]"))
    (pool,) = (node for node in new.graph if node.op_type == "MaxPool")
    assert len(pool.outputs) == 1


def test_indices_that_something_else_reads_are_still_computed() -> None:
    body = f"p, i = MaxPool<{TWO}>(x) f = Cast<to=1>(i) u = MaxUnpool<{TWO}>(p, i) y = Add(u, s) s = ReduceSum(f)"
    model = graph(body.replace("y = Add(u, s) s = ReduceSum(f)", "s = ReduceSum(f) y = Add(u, s)"), x="float[1,2,4,4]")
    new, outcome = lowered(model)
    assert len(outcome.changes) == 1
    x = {"x": noise(1, 2, 4, 4)}
    assert_same(run(new, x), run(model, x), tolerance=0)


def test_two_that_read_the_same_indices_share_the_masks() -> None:
    body = f"p, i = MaxPool<{TWO}>(x) v = Neg(p) a = MaxUnpool<{TWO}>(v, i) b = MaxUnpool<{TWO}>(p, i) y = Sub(a, b)"
    model = graph(body, x="float[2,2,4,4]")
    new, _ = lowered(model)
    assert op_types(new).count("Equal") == 3
    x = {"x": noise(2, 2, 4, 4)}
    assert_same(run(new, x), run(model, x), tolerance=0)


def test_an_output_shape_that_is_that_of_the_pooled_image_is_no_obstacle() -> None:
    constant = f"p, i = MaxPool<{TWO}>(x) y = MaxUnpool<{TWO}>(p, i, s)"
    computed = f"p, i = MaxPool<{TWO}>(x) s = Shape(x) y = MaxUnpool<{TWO}>(p, i, s)"
    for model in (
        graph(constant, x="float[2,3,4,6]", s=np.array([2, 3, 4, 6])),
        graph(computed, x="float[n,3,4,6]"),
    ):
        new, outcome = lowered(model)
        assert not outcome.refusals
        x = {"x": noise(2, 3, 4, 6)}
        assert_same(run(new, x), run(model, x), tolerance=0)


def test_the_published_example_comes_back() -> None:
    """The result of ONNX's own case test_maxunpool_export_without_output_shape: its maxima lie at its indices."""
    published = np.zeros((1, 1, 4, 4), np.float32)
    published[0, 0, 1::2, 1::2] = [[1, 2], [3, 4]]
    new, _ = lowered(graph(f"p, i = MaxPool<{TWO}>(x) y = MaxUnpool<{TWO}>(p, i)", x="float[1,1,4,4]"))
    np.testing.assert_array_equal(run(new, {"x": published})[0], published)


def test_it_equals_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    x = noise(2, 3, 8, 6).round(1)  # rounded: some windows tie
    values, indices = torch.nn.MaxPool2d(2, return_indices=True)(torch.from_numpy(x))
    expected = torch.nn.MaxUnpool2d(2)(-values, indices).numpy()
    new, _ = lowered(graph(PAIR, x="float[2,3,8,6]"))
    np.testing.assert_array_equal(run(new, {"x": x})[0], expected)


def pair(pool: str = TWO, unpool: str = TWO, x: str = "float[1,2,6,6]", **weights: Any) -> ir.Model:
    shape = ", s" if weights else ""
    return graph(f"p, i = MaxPool<{pool}>(x) y = MaxUnpool<{unpool}>(p, i{shape})", x=x, **weights)


REFUSALS = {
    "overlap": (pair("kernel_shape=[3,3], strides=[2,2]", "kernel_shape=[3,3], strides=[2,2]"), "overlap or leave"),
    "gaps": (pair("kernel_shape=[1,1], strides=[2,2]", "kernel_shape=[1,1], strides=[2,2]"), "overlap or leave"),
    "dilated": (pair(f"{TWO}, dilations=[2,2]"), "overlap or leave"),
    "padded": (pair(f"{TWO}, pads=[1,1,1,1]", f"{TWO}, pads=[1,1,1,1]"), "pads the image"),
    "padded automatically": (pair(f'{TWO}, auto_pad="SAME_UPPER"'), "pads the image"),
    "by columns": (pair(f"{TWO}, storage_order=1"), "indices by columns"),
    "dynamic": (pair(x="float[n,2,h,w]"), "dynamic; export"),
    "odd": (pair(x="float[1,2,5,6]"), "2x2 do not divide 5x6"),
    "1-D": (pair("kernel_shape=[2], strides=[2]", "kernel_shape=[2], strides=[2]", "float[1,2,6]"), "it has 1"),
    "another window": (pair(unpool="kernel_shape=[3,3], strides=[2,2]"), "not those of its MaxPool"),
    "a larger image": (pair(s=np.array([1, 2, 8, 8])), "another size"),
    "given indices": (
        graph(f"p = MaxPool<{TWO}>(x) y = MaxUnpool<{TWO}>(p, i)", i=np.zeros((1, 2, 3, 3), np.int64)),
        "not those of a MaxPool",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_says_why_and_changes_nothing(name: str) -> None:
    model, reason = REFUSALS[name]
    new, outcome = lowered(model)
    assert op_types(new) == op_types(model)
    assert list(new.graph.initializers) == list(model.graph.initializers)
    assert not outcome.changes
    assert reason in outcome.refusals[0].reason
    named = {refusal.node for refusal in outcome.refusals}
    nodes = ("MaxUnpool",) if name == "given indices" else ("MaxPool", "MaxUnpool")
    assert named == {str(node.name) for node in new.graph if node.op_type in nodes}
