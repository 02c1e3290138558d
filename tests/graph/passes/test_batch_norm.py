"""Folded scales and shifts give the same image, and never touch a weight that somebody else reads."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.batch_norm import fold_batch_norms
from tests.support.graphs import assert_same, graph, noise, op_types, run

W = noise(4, 2, 3, 3)
B = noise(4, seed=1)
GAMMA, BETA, MEAN = (noise(4, seed=seed) for seed in (2, 3, 4))
VAR = noise(4, seed=5) ** 2 + 0.1
NORM = {"g": GAMMA, "h": BETA, "m": MEAN, "v": VAR}
NORM2 = {name: array[:2] for name, array in NORM.items()}


def folded(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy = model.clone()
    infer_shapes(copy)
    outcome = fold_batch_norms(copy)
    infer_shapes(copy)
    return copy, outcome


def sample(model: ir.Model) -> dict[str, np.ndarray]:
    return {"x": noise(*(dim if isinstance(dim, int) else 3 for dim in model.graph.inputs[0].shape), seed=9)}


BN = "BatchNormalization<epsilon=0.001>(c, g, h, m, v)"
FOLDED = {
    "conv": graph(f"c = Conv(x, w, b) y = {BN}", w=W, b=B, **NORM),
    "conv without bias": graph(f"c = Conv<pads=[1,1,1,1]>(x, w) y = {BN}", w=W, **NORM),
    "grouped conv": graph(f"c = Conv<group=2>(x, w) y = {BN}", w=W[:, :1], **NORM),
    "conv transpose": graph(f"c = ConvTranspose<strides=[2,2]>(x, w, b) y = {BN}", w=noise(2, 4, 3, 3), b=B, **NORM),
    "grouped conv transpose": graph(f"c = ConvTranspose<group=2>(x, w) y = {BN}", w=noise(2, 2, 3, 3), **NORM),
    "gemm": graph(
        f"c = Gemm<alpha=0.5, beta=2.0, transB=1>(x, w, b) y = {BN}",
        x="float[5,3]",
        w=noise(4, 3),
        b=B,
        **NORM,
    ),
    "gemm with one bias": graph(f"c = Gemm(x, w, b) y = {BN}", x="float[5,3]", w=noise(3, 4), b=noise(1, 1), **NORM),
    "mul and add behind": graph(
        "c = Conv(x, w) d = Mul(c, s) e = Add(t, d) y = Sub(e, u)",
        w=W,
        s=noise(4, 1, 1),
        t=noise(1, 4, 1, 1, seed=1),
        u=np.array(0.5, np.float32),
    ),
    "div and reversed sub behind": graph("c = Conv(x, w) d = Div(c, s) y = Sub(s, d)", w=W, s=noise(1, 4, 1, 1)),
    "conv with a reflecting pad behind": graph(
        f'd = Conv(x, w, b) c = Pad<mode="reflect">(d, p) y = {BN}',
        w=W,
        b=B,
        p=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        **NORM,
    ),
    "conv with a padded border of one number behind": graph(
        f"d = Conv(x, w, b) c = Pad(d, p, z) y = {BN}",
        w=W,
        b=B,
        p=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        z=np.array(2.0, np.float32),
        **{**NORM, "m": np.full(4, 2.0, np.float32), "h": np.full(4, 0.75, np.float32)},
    ),
    "in front of a conv": graph("d = BatchNormalization(x, g, h, m, v) y = Conv(d, w, b)", w=W, b=B, **NORM2),
    "scale in front of a padding conv": graph(
        "d = Mul(x, s) y = Conv<pads=[1,1,1,1], group=2>(d, w, b)", w=W[:, :1], b=B, s=noise(2, 1, 1)
    ),
}


@pytest.mark.parametrize("name", FOLDED)
def test_folding_leaves_one_linear_node_and_the_same_image(name: str) -> None:
    model = FOLDED[name]
    new, outcome = folded(model)
    assert set(op_types(new)) <= {"Conv", "ConvTranspose", "Gemm", "Pad"}
    assert not outcome.refusals
    assert len(outcome.changes) == len(model.graph) - len(new.graph)
    assert_same(run(new, sample(model)), run(model, sample(model)))


ALONE = {
    "behind a concat": graph("d = Concat<axis=1>(x, x) y = BatchNormalization(d, g, h, m, v)", **NORM),
    "two users of the conv": graph(f"c = Conv(x, w) d = {BN} y = Add(c, d)", w=W, **NORM),
    "in front of a padding conv": graph(
        "d = BatchNormalization(x, g, h, m, v) y = Conv<pads=[1,1,1,1]>(d, w)", w=W, **NORM2
    ),
    "in front of a conv that pads by itself": graph(
        'd = BatchNormalization(x, g, h, m, v) y = Conv<auto_pad="SAME_UPPER">(d, w)', w=W, **NORM2
    ),
    "border of many numbers": graph(
        f"d = Conv(x, w) c = Pad(d, p) y = {BN}", w=W, p=np.array([0, 0, 1, 1, 0, 0, 1, 1]), **NORM
    ),
    "one axis": graph("y = BatchNormalization(x, g, h, m, v)", x="float[1,4,9]", **NORM),
}


@pytest.mark.parametrize("name", ALONE)
def test_batch_norm_without_a_taker_becomes_a_depthwise_conv(name: str) -> None:
    model = ALONE[name]
    new, outcome = folded(model)
    assert "BatchNormalization" not in op_types(new)
    assert any("depthwise" in change.detail for change in outcome.changes)
    assert_same(run(new, sample(model)), run(model, sample(model)))


UNTOUCHED = {
    "variance below zero": (graph(f"c = Conv(x, w) y = {BN}", w=W, **{**NORM, "v": -VAR}), "variance"),
    "rows only": (graph("y = BatchNormalization(x, g, h, m, v)", x="float[3,4]", **NORM), "no image"),
    "computed statistics": (
        graph("c = Conv(x, w) k = Abs(g) y = BatchNormalization(c, k, g, g, g)", w=W, g=VAR),
        "constant",
    ),
    "widens the channels": (graph("c = Conv(x, w) y = Mul(c, s)", w=W[:1], s=noise(4, 1, 1)), None),
    "varies over the image": (graph("c = Conv(x, w) y = Add(c, s)", w=W, s=noise(1, 1, 4, 4)), None),
    "residual": (graph("c = Conv(x, w) d = Relu(c) y = Add(c, d)", w=W), None),
    "bias of many rows": (
        graph("c = Gemm(x, w, b) y = Mul(c, s)", x="float[2,3]", w=noise(3, 4), b=noise(2, 4), s=B),
        None,
    ),
    "division by zero": (graph("c = Conv(x, w) y = Div(c, s)", w=W, s=np.zeros((4, 1, 1), np.float32)), None),
}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_cannot_fold_stays(name: str) -> None:
    model, reason = UNTOUCHED[name]
    new, outcome = folded(model)
    assert op_types(new) == op_types(model)
    assert not outcome.changes
    assert [reason in refusal.reason for refusal in outcome.refusals] == ([True] if reason else [])


def test_a_shared_weight_is_copied_not_edited() -> None:
    model = graph(f"c = Conv(x, w) d = {BN} e = Conv(x, w) y = Add(d, e)", w=W, **NORM)
    new, _ = folded(model)
    assert op_types(new) == ["Conv", "Conv", "Add"]
    np.testing.assert_array_equal(model.graph.initializers["w"].const_value.numpy(), W)
    assert_same(run(new, sample(model)), run(model, sample(model)))


def test_folding_keeps_the_name_of_the_output() -> None:
    new, _ = folded(FOLDED["conv"])
    assert [value.name for value in new.graph.outputs] == ["y"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4]), st.booleans())
def test_folding_into_conv_transpose_holds_for_any_numbers(seed: int, groups: int, bias: bool) -> None:
    weights = {"w": noise(4, 4 // groups, 2, 3, seed=seed), **NORM, "h": noise(4, seed=seed)}
    if bias:
        weights["b"] = noise(4, seed=seed ^ 1)
    inputs = "x, w, b" if bias else "x, w"
    model = graph(f"c = ConvTranspose<group={groups}>({inputs}) y = {BN}", x="float[1,4,3,3]", **weights)
    new, _ = folded(model)
    assert op_types(new) == ["ConvTranspose"]
    assert_same(run(new, sample(model)), run(model, sample(model)))
