"""A channel shuffle, however it is spelled, is a Gather of channels; what only looks like one stays."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.channel_shuffle import recognise_channel_shuffles
from quantseg.graph.preparation import prepare
from tests.support.graphs import Array, assert_same, graph, noise, op_types, run

TURNED = "Transpose<perm=[0,2,1,3,4]>"
SPELLED = f"r = Reshape(x, apart) t = {TURNED}(r) y = Reshape(t, image)"


def lowered(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy = model.clone()
    infer_shapes(copy)
    outcome = recognise_channel_shuffles(copy)
    infer_shapes(copy)
    return copy, outcome


def ints(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


def shuffle(groups: int, each: int, batch: int = 2, *, x: str = "") -> ir.Model:
    """A shuffle with all sizes in its constants."""
    channels = groups * each
    apart, image = ints(batch, groups, each, 4, 5), ints(batch, channels, 4, 5)
    return graph(SPELLED, x=x or f"float[{batch},{channels},4,5]", apart=apart, image=image)


@settings(max_examples=40)
@given(groups=st.integers(1, 6), each=st.integers(1, 6), batch=st.integers(1, 3))
def test_every_shuffle_becomes_a_gather_of_the_same_numbers(groups: int, each: int, batch: int) -> None:
    model = shuffle(groups, each, batch)
    new, outcome = lowered(model)
    assert op_types(new) == ["Gather"]
    assert [change.detail for change in outcome.changes] == [f"{groups} groups of channels"]
    x = {"x": noise(batch, groups * each, 4, 5)}
    assert_same(run(new, x), run(model, x), tolerance=0)


def test_channels_stand_where_the_paper_puts_them() -> None:
    """Two groups of three: 0 1 2 | 3 4 5 become 0 3 1 4 2 5 (Zhang et al., figure 1)."""
    new, _ = lowered(shuffle(2, 3))
    x = np.broadcast_to(np.arange(6, dtype=np.float32).reshape(1, 6, 1, 1), (2, 6, 4, 5))
    (y,) = run(new, {"x": x})
    assert y[0, :, 0, 0].tolist() == [0, 3, 1, 4, 2, 5]


def test_it_equals_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is the oracle here")
    x = noise(2, 12, 4, 5)
    expected = torch.nn.ChannelShuffle(3)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(run(lowered(shuffle(3, 4))[0], {"x": x})[0], expected)


@pytest.mark.parametrize("columns", [6, -1])
def test_a_batch_that_is_copied_may_be_free(columns: int) -> None:
    model = graph(SPELLED, x="float[n,8,6,6]", apart=ints(0, 2, 4, 6, columns), image=ints(0, 8, 6, columns))
    new, _ = lowered(model)
    assert op_types(new) == ["Gather"]
    for batch in (1, 3):
        x = {"x": noise(batch, 8, 6, 6)}
        assert_same(run(new, x), run(model, x), tolerance=0)


COMPUTED = {
    "what is left": (
        SPELLED,
        {"apart": ints(-1, 2, 4, 6, 6), "image": ints(-1, 8, 6, 6)},
    ),
    "Shape and Gather": (
        f"""s = Shape(x) n = Gather(s, at) u = Unsqueeze(n, at1) a = Concat<axis=0>(u, apart) r = Reshape(x, a)
        t = {TURNED}(r) p = Concat<axis=0>(u, image) y = Reshape(t, p)""",
        {"at": np.array(0), "at1": ints(0), "apart": ints(2, 4, 6, 6), "image": ints(8, 6, 6)},
    ),
    "Shape and Slice": (
        f"""s = Shape(x) u = Slice(s, n0, n1) a = Concat<axis=0>(u, apart) r = Reshape(x, a)
        t = {TURNED}(r) p = Concat<axis=0>(u, image) y = Reshape(t, p)""",
        {"n0": ints(0), "n1": ints(1), "apart": ints(2, 4, 6, 6), "image": ints(8, 6, 6)},
    ),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_a_batch_that_is_computed_stays_right(name: str) -> None:
    """As torch exports it. Whether it is recognised or not, the numbers are the same."""
    body, constants = COMPUTED[name]
    model = graph(body, x="float[n,8,6,6]", **constants)
    prepared = prepare(model).model
    for batch in (1, 3):
        x = {"x": noise(batch, 8, 6, 6)}
        assert_same(run(prepared, x), run(model, x), tolerance=0)


def test_a_shuffle_of_any_size_stays_right() -> None:
    dims = " ".join(f"d{axis} = Gather(s, at{axis}) u{axis} = Unsqueeze(d{axis}, n0)" for axis in (0, 2, 3))
    body = f"""s = Shape(x) {dims} a = Concat<axis=0>(u0, two, four, u2, u3) r = Reshape(x, a) t = {TURNED}(r)
        p = Concat<axis=0>(u0, eight, u2, u3) y = Reshape(t, p)"""
    numbers = {"two": ints(2), "four": ints(4), "eight": ints(8), "n0": ints(0)}
    places = {f"at{axis}": np.array(axis) for axis in (0, 2, 3)}
    model = graph(body, x="float[n,8,h,w]", **numbers, **places)
    prepared = prepare(model).model
    for size in ((1, 8, 4, 6), (2, 8, 5, 3)):
        x = {"x": noise(*size)}
        assert_same(run(prepared, x), run(model, x), tolerance=0)


def test_two_in_a_row_are_two() -> None:
    body = f"""r = Reshape(x, apart) t = {TURNED}(r) m = Reshape(t, image)
        s = Reshape(m, other) u = {TURNED}(s) y = Reshape(u, image)"""
    constants = {"apart": ints(1, 2, 6, 3, 3), "other": ints(1, 6, 2, 3, 3), "image": ints(1, 12, 3, 3)}
    model = graph(body, x="float[1,12,3,3]", **constants)
    new, outcome = lowered(model)
    assert op_types(new) == ["Gather", "Gather"]
    assert len(outcome.changes) == 2
    x = {"x": noise(1, 12, 3, 3)}
    assert_same(run(new, x), run(model, x), tolerance=0)
    assert_same(run(new, x), [x["x"]], tolerance=0)  # the second undoes the first


def spelled(body: str, *, x: str = "float[2,8,6,6]", outputs: str = "float[] y", **constants: Any) -> ir.Model:
    model = graph(body, x=x, **constants)
    if "r" in outputs.split():
        value = next(v for node in model.graph for v in node.outputs if v.name == "r")
        value.type = ir.TensorType(ir.DataType.FLOAT)
        model.graph.outputs.append(value)
    return model


APART, IMAGE = ints(2, 2, 4, 6, 6), ints(2, 8, 6, 6)
OTHERS = {
    "rows turned": spelled(SPELLED.replace("0,2,1,3,4", "0,1,3,2,4"), apart=APART, image=IMAGE),
    "all axes turned": spelled(SPELLED.replace("<perm=[0,2,1,3,4]>", ""), apart=APART, image=IMAGE),
    "groups of rows": spelled(SPELLED, apart=ints(2, 8, 2, 3, 6), image=IMAGE),
    "groups of the batch": spelled(SPELLED, apart=ints(2, 1, 8, 6, 6), image=ints(1, 16, 6, 6)),
    "batch and channels mixed": spelled(SPELLED, apart=ints(1, 4, 4, 6, 6), image=IMAGE),
    "another image behind": spelled(SPELLED, apart=APART, image=ints(2, 8, 4, 9)),
    "flat behind": spelled(SPELLED, apart=APART, image=ints(2, 288)),
    "of lines": spelled(
        "r = Reshape(x, apart) t = Transpose<perm=[0,2,1,3]>(r) y = Reshape(t, image)",
        x="float[2,8,36]", apart=ints(2, 2, 4, 36), image=ints(2, 8, 36),
    ),
    "of volumes": spelled(SPELLED, x="float[2,8,6,2,3]", apart=APART, image=ints(2, 8, 6, 2, 3)),
    "turned within pixels": spelled(
        "r = Reshape(x, apart) t = Transpose<perm=[0,1,2,4,3]>(r) y = Reshape(t, image)",
        apart=APART, image=IMAGE,
    ),
    "what is apart is read": spelled(
        f"r = Reshape(x, apart) t = {TURNED}(r) m = Reshape(t, image) q = Reshape(r, image) y = Add(m, q)",
        apart=APART, image=IMAGE,
    ),
    "what is turned is read": spelled(
        f"r = Reshape(x, apart) t = {TURNED}(r) m = Reshape(t, image) q = ReduceSum(t) y = Mul(m, q)",
        apart=APART, image=IMAGE,
    ),
    "what is apart is an answer": spelled(SPELLED, outputs="r y", apart=APART, image=IMAGE),
    "an activation between": spelled(
        f"r = Reshape(x, apart) q = Relu(r) t = {TURNED}(q) y = Reshape(t, image)", apart=APART, image=IMAGE
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_shuffle_of_one_reader_stays(name: str) -> None:
    model = OTHERS[name]
    new, outcome = lowered(model)
    assert op_types(new) == op_types(model)
    assert not outcome.changes
    size = [int(axis) for axis in model.graph.inputs[0].shape]
    assert_same(run(prepare(model).model, {"x": noise(*size)}), run(model, {"x": noise(*size)}))


def test_the_name_of_the_answer_is_kept_and_the_node_is_named_after_the_last() -> None:
    new, outcome = lowered(shuffle(2, 4))
    (node,) = new.graph
    assert [value.name for value in new.graph.outputs] == ["y"]
    assert outcome.changes[0].node == node.name
