"""What does not depend on the input is computed once, what changes nothing or is not read goes."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quantseg.errors import ModelError
from quantseg.files import limits
from quantseg.graph import infer_shapes
from quantseg.graph.passes import Lowering
from quantseg.graph.passes.constants import fold_constants, fold_more_constants
from quantseg.graph.passes.dead import remove_dead
from quantseg.graph.passes.identity import remove_identities
from tests.support.graphs import assert_same, graph, noise, op_types, run

X = {"x": noise(1, 2, 6, 6)}


def after(rewrite: Lowering, model: ir.Model) -> ir.Model:
    copy = model.clone()
    infer_shapes(copy)
    rewrite(copy)
    return copy


RESIZE = """
    s = Shape(x) a = Slice(s, zero, two) n = Constant<value_ints=[12,18]>() z = Concat<axis=0>(a, n)
    y = Resize<mode="linear">(x, , , z)
"""
FOLDED = {
    "size of a Resize": (graph(RESIZE, zero=np.array([0]), two=np.array([2])), ["Resize"]),
    "arithmetic": (graph("a = Add(c, c) b = Sqrt(a) y = Mul(x, b)", c=np.float32([2.0])), ["Mul"]),
    "split": (
        graph("a, b = Split(c, n) d = Sub(a, b) y = Add(x, d)", c=noise(12), n=np.array([6, 6])),
        ["Add"],
    ),
    "broadcast": (graph("e = Expand(c, n) y = Add(x, e)", c=noise(1), n=np.array([6, 6])), ["Add"]),
    "constant node": (graph("c = Constant<value = float {2.5}>() y = Mul(x, c)"), ["Mul"]),
    "part of a shape": (
        graph("s = Shape<start=1, end=2>(x) f = Cast<to=1>(s) y = Mul(x, f)", opset=15),
        ["Mul"],
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folded_graph_gives_the_same_numbers(name: str) -> None:
    model, kinds = FOLDED[name]
    new = after(fold_constants, model)
    assert op_types(new) == kinds
    assert_same(run(new, X), run(model, X), tolerance=0)


@pytest.mark.parametrize("take", ["h = Gather(s, two)", "h = Slice(s, two_, three_)"])
def test_known_sizes_beside_dynamic_ones_are_known(take: str) -> None:
    body = f"s = Shape(x) {take} f = Cast<to=1>(h) y = Mul(x, f)"
    places = {"two": np.array(2), "two_": np.array([2]), "three_": np.array([3])}
    model = graph(body, x="float[n,2,6,w]", **places)
    new = after(remove_dead, after(fold_constants, model))
    assert op_types(new) == ["Mul"]
    assert_same(run(new, X), run(model, X), tolerance=0)


KEPT = {
    "the dynamic one": graph("s = Shape(x) n = Gather(s, k) y = Mul(n, n)", x="float[n,2]", y="int64[]", k=np.array(0)),
    "dynamic size": graph("s = Shape(x) y = Reshape(x, s)", x="float[n,2]"),
    "random": graph("r = RandomNormal<shape=[6]>() y = Add(x, r)"),
    "of the input": graph("y = Abs(x)"),
    "output of the graph": graph("z = Abs(x) y = Abs(c)", c=noise(3)),
    "fails on its numbers": graph("i = Gather(c, k) y = Add(x, i)", c=noise(3), k=np.array([7])),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_known_stays(name: str) -> None:
    assert op_types(after(fold_constants, KEPT[name])) == op_types(KEPT[name])


def test_a_constant_that_would_be_too_big_stays_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph("e = Expand(c, n) y = Add(x, e)", c=noise(1), n=np.array([6, 6]))
    monkeypatch.setattr(limits, "FOLDED_CONSTANT", 6 * 6 * 4 - 1)
    assert op_types(after(fold_constants, model)) == ["Expand", "Add"]


SQUARE = 6 * 6 * 4
"""Bytes of the constants below."""
MADE = {
    "folded": ("e = Expand(c, n) f = Expand(c, n) g = Add(x, e) y = Add(g, f)", 2),
    "folded from a shape": ("s = Shape(x) e = Expand(c, s) f = Neg(e) y = Add(x, f)", 2 * 2),
    "kept, as random": ("r = RandomNormal<shape=[6,6]>() y = Add(x, r)", 1),
    "computed from what is kept": ("r = RandomNormal<shape=[6,6]>() e = Neg(r) y = Add(x, e)", 2),
}


@pytest.mark.parametrize("name", MADE)
def test_all_constants_together_are_bounded_before_they_are_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body, made = MADE[name]
    model = graph(body, c=noise(1), n=np.array([6, 6]))
    infer_shapes(model)
    monkeypatch.setattr(limits, "FOLDED_PER_STORED", 0)
    monkeypatch.setattr(limits, "FOLDED_CONSTANTS", made * SQUARE + 100)  # a hundred bytes for shapes
    fold_constants(model.clone())
    monkeypatch.setattr(limits, "FOLDED_CONSTANTS", made * SQUARE - 1)
    with pytest.raises(ModelError, match="become constants of more than"):
        fold_constants(model)
    held = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    assert held < made * SQUARE


def test_weights_that_a_file_stores_may_be_cast_and_transposed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = graph("a = Cast<to=1>(w) b = Transpose<perm=[1,0]>(a) y = MatMul(x, b)", w=noise(6, 6).astype(np.float16))
    infer_shapes(model)
    monkeypatch.setattr(limits, "FOLDED_CONSTANTS", 0)
    fold_constants(model)
    assert op_types(model) == ["MatMul"]


def test_strings_are_not_folded() -> None:
    model = graph("a = Identity(s) b = Identity(a) y = Relu(x)", s=np.array(["a", "b"]))
    assert op_types(after(fold_constants, model)) == ["Identity", "Identity", "Relu"]


def test_a_terabyte_is_refused_before_it_is_made() -> None:
    model = graph("e = ConstantOfShape(n) y = Add(x, e)", n=np.array([1 << 19, 1 << 19]))
    with pytest.raises(ModelError, match=r"more than 256 MiB at node .*; export it with smaller ones"):
        after(fold_constants, model)


IDENTITIES = {
    "identity": ("i = Identity(x) y = Relu(i)", ["Relu"]),
    "identity at the end": ("r = Relu(x) y = Identity(r)", ["Relu"]),
    "identity alone": ("y = Identity(x)", ["Identity"]),
    "dropout": ("d = Dropout(x, p) y = Relu(d)", ["Relu"]),
    "dropout told to train": ("d = Dropout(x, p, t) y = Relu(d)", ["Dropout", "Relu"]),
    "dropout whose mask is read": (
        "d, m = Dropout(x) c = Cast<to=1>(m) y = Add(d, c)",
        ["Dropout", "Cast", "Add"],
    ),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_only_nodes_that_change_nothing_go(name: str) -> None:
    body, kinds = IDENTITIES[name]
    model = graph(body, p=np.float32(0.5), t=np.array(True))
    new = after(remove_identities, model)
    assert op_types(new) == kinds
    assert [value.name for value in new.graph.outputs] == ["y"]
    if "train" not in name:
        assert_same(run(new, X), run(model, X), tolerance=0)


def test_dead_nodes_and_weights_go_and_the_signature_stays() -> None:
    model = graph("d = Mul(x, c) e = Abs(d) y = Relu(x)", c=noise(1), unused=noise(1))
    copy = model.clone()
    infer_shapes(copy)
    outcome = remove_dead(copy)
    assert op_types(copy) == ["Relu"]
    assert not copy.graph.initializers
    assert [change.detail.split(":")[0] for change in outcome.changes] == ["Mul", "Abs"]
    onnx.checker.check_model(ir.serde.serialize_model(copy), full_check=True)


def test_a_chain_of_computed_paddings_is_folded_to_its_end() -> None:
    """Each Pad is as wide as the height of what it reads, so its size is known only once the one before is folded."""
    one = (
        "s{n} = Shape({x}) h{n} = Slice(s{n}, two, three) w{n} = Div(h{n}, three)"
        " p{n} = Concat<axis=0>(z, z, w{n}, z, z, z, z, z) {y} = Pad({x}, p{n})"
    )
    names = ["x", "a", "b", "c", "d", "y"]
    body = " ".join(one.format(n=n, x=names[n], y=names[n + 1]) for n in range(5))
    model = graph(body, z=np.array([0]), two=np.array([2]), three=np.array([3]))
    before = run(model, {"x": noise(1, 2, 6, 6)})
    infer_shapes(model)
    fold_more_constants(model)
    assert op_types(model) == ["Pad"] * 5
    assert_same(run(model, {"x": noise(1, 2, 6, 6)}), before, tolerance=0)
