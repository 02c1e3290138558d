"""Relu and Clip stand before what only moves numbers, and the image is the same to the last bit."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph import infer_shapes
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.early_clamps import move_clamps_early
from tests.support.graphs import Array, assert_same, graph, noise, op_types, run

X = noise(1, 2, 6, 6, seed=3)
W = noise(4, 2, 1, 1, seed=4)
TWO = np.array([2])
ONE = np.array([1])


def moved(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy = model.clone()
    infer_shapes(copy)
    return copy, move_clamps_early(copy)


@pytest.mark.parametrize(
    ("body", "weights", "order"),
    [
        ("c = Conv(x, w) d = DepthToSpace<blocksize=2>(c) y = Relu(d)", {"w": W}, ["Conv", "Relu", "DepthToSpace"]),
        (
            "c = Conv(x, w) d = DepthToSpace<blocksize=2>(c) s = Slice(d, a, b, b) y = Relu(s)",
            {"w": W, "a": ONE, "b": TWO},
            ["Conv", "Relu", "DepthToSpace", "Slice"],
        ),
        (
            "t = Transpose<perm=[0,2,3,1]>(x) y = Clip(t, lo, hi)",
            {"lo": np.float32(-0.5), "hi": np.float32(0.25)},
            ["Clip", "Transpose"],
        ),
        ("r = Reshape(x, n) y = Clip(r, , hi)", {"n": np.array([1, 2, 36]), "hi": np.float32(0)}, ["Clip", "Reshape"]),
    ],
)
def test_a_clamp_moves_and_the_image_stays(body: str, weights: dict[str, Array], order: list[str]) -> None:
    model = graph(body, **weights)
    new, outcome = moved(model)
    assert op_types(new) == order
    assert len(outcome.changes) == len(set(order) - {"Conv", "Relu", "Clip"})
    assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=0)


@pytest.mark.parametrize(
    ("body", "weights"),
    [
        ("m = MaxPool<kernel_shape=[2,2]>(x) y = Relu(m)", {}),
        ("c = Conv(x, w) d = DepthToSpace<blocksize=2>(c) a = Relu(d) y = Add(a, d)", {"w": W}),
        ("c = Conv(x, w) d = DepthToSpace<blocksize=2>(c) h = ReduceMax<keepdims=0>(d) y = Clip(d, , h)", {"w": W}),
        ("y = Relu(x)", {}),
    ],
)
def test_others_stay_where_they_are(body: str, weights: dict[str, Array]) -> None:
    model = graph(body, **weights)
    new, outcome = moved(model)
    assert op_types(new) == op_types(model)
    assert outcome == RewriteOutcome()
