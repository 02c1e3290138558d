"""Zeros that a Pad adds are added by the convolution instead."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.graph import infer_shapes
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.pad import merge_pads
from tests.support.graphs import Array, assert_same, graph, noise, op_types, run

W = noise(3, 2, 3, 3)
PADS = np.array([0, 0, 1, 2, 0, 0, 3, 0])
X = noise(1, 2, 6, 6, seed=1)


def merged(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy = model.clone()
    infer_shapes(copy)
    return copy, merge_pads(copy)


@pytest.mark.parametrize(
    "model",
    [
        graph("p = Pad(x, n) y = Conv(p, w)", n=PADS, w=W),
        graph("p = Pad(x, n, z) y = Conv<pads=[1,0,2,1], strides=[2,2]>(p, w)", n=PADS, w=W, z=np.float32(0)),
        graph('p = Pad(x, n) y = Conv<auto_pad="VALID">(p, w)', n=PADS, w=W),
        graph("p = Pad(x, n, , a) y = Conv(p, w)", opset=18, n=np.array([1, 2, 0, 3]), a=np.array([3, -2]), w=W),
    ],
)
def test_merged_pad_gives_the_same_image(model: ir.Model) -> None:
    new, outcome = merged(model)
    assert op_types(new) == ["Conv"]
    assert len(outcome.changes) == 1
    assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=0)


@pytest.mark.parametrize(
    ("body", "weights", "reason"),
    [
        ("p = Pad(x, n, z) y = Conv(p, w)", {"n": PADS, "z": np.float32(1)}, "than zeros"),
        ('p = Pad<mode="edge">(x, n) y = Conv(p, w)', {"n": PADS}, "than zeros"),
        ("p = Pad(x, n) y = Conv(p, w)", {"n": np.array([0, 0, -1, 0, 0, 0, 0, 0])}, "crops"),
        ("p = Pad(x, n) y = Conv(p, w)", {"n": np.array([1, 0, 0, 0, 0, 0, 0, 0])}, "batch or channels"),
        ('p = Pad(x, n) y = Conv<auto_pad="SAME_UPPER">(p, w)', {"n": PADS}, "SAME_UPPER"),
        ("m = Abs(n) p = Pad(x, m) y = Conv(p, w)", {"n": PADS}, "run time"),
    ],
)
def test_other_pads_stay_with_a_reason(body: str, weights: dict[str, Array], reason: str) -> None:
    model = graph(body, w=W, **weights)
    new, outcome = merged(model)
    assert op_types(new) == op_types(model)
    assert reason in outcome.refusals[0].reason


def test_a_pad_with_two_users_stays() -> None:
    model = graph("p = Pad(x, n) a = Conv(p, w) b = Conv(p, w) y = Add(a, b)", n=PADS, w=W)
    new, outcome = merged(model)
    assert op_types(new) == op_types(model)
    assert outcome == RewriteOutcome()


@given(
    pads=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    kernel=st.lists(st.integers(1, 4), min_size=2, max_size=2),
    low=st.sampled_from([-np.inf, -3.4e38, -1e30]),
    own=st.booleans(),
)
def test_a_max_pool_pads_itself(pads: list[int], kernel: list[int], low: float, own: bool) -> None:
    more = ", pads=[0,1,0,1]" if own and kernel[1] > 1 else ""
    model = graph(
        f"p = Pad(x, n, l) y = MaxPool<kernel_shape=[{kernel[0]},{kernel[1]}], strides=[2,1]{more}>(p)",
        n=np.array([0, 0, *pads[:2], 0, 0, *pads[2:]]), l=np.float32(low),
    )  # fmt: skip
    new, outcome = merged(model)
    fits = all(size > added for size, added in zip(2 * kernel, pads, strict=True))
    total = [a + b for a, b in zip(pads, [0, 1, 0, 1] if more else [0] * 4, strict=True)]
    if fits:
        assert op_types(new) == ["MaxPool"]
        if all(size > added for size, added in zip(2 * kernel, total, strict=True)):
            assert_same(run(new, {"x": X}), run(model, {"x": X}), tolerance=0)
    else:
        assert "hold nothing else" in outcome.refusals[0].reason


@pytest.mark.parametrize(
    ("body", "low", "reason"),
    [
        ("p = Pad(x, n, l) y = MaxPool<kernel_shape=[4,4]>(p)", 0.0, "may be a maximum"),
        ("p = Pad(x, n, l) y = MaxPool<kernel_shape=[4,4]>(p)", -100.0, "may be a maximum"),
        ("p = Pad(x, n, l) y = MaxPool<kernel_shape=[4,4], ceil_mode=1>(p)", -np.inf, "rounds its size up"),
        ("p = Pad(x, n, l) y, i = MaxPool<kernel_shape=[4,4]>(p)", -np.inf, "indices"),
    ],
)
def test_other_pads_before_a_max_pool_stay(body: str, low: float, reason: str) -> None:
    model = graph(body, n=PADS, l=np.float32(low))
    new, outcome = merged(model)
    assert op_types(new) == ["Pad", "MaxPool"]
    assert reason in outcome.refusals[0].reason
