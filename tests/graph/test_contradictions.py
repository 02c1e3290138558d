"""Nodes whose numbers contradict each other are named before a rewrite computes with them."""

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.errors import ModelError
from quantseg.graph import infer_shapes
from quantseg.graph.contradictions import check_contradictions
from tests.support.graphs import graph, noise

W, B = noise(4, 2, 3, 3), noise(4)


def checked(model: ir.Model) -> None:
    infer_shapes(model)
    check_contradictions(model.graph)


@pytest.mark.parametrize(
    ("body", "w"),
    [
        ("y = Conv(x, w)", W),
        ("y = Conv(x, w, b)", W),
        ("y = Conv<group=2>(x, w)", W[:, :1]),
        ("y = Conv<kernel_shape=[3,3], strides=[2,1], dilations=[1,2]>(x, w)", W),
        ("y = ConvTranspose(x, w)", W[:2]),
        ("y = ConvTranspose<group=2>(x, w)", W[:2, :1]),
        ("y = MaxPool<kernel_shape=[3,3], strides=[2,2]>(x)", W),
        ("y = Softmax<axis=-4>(x)", W),
        ("y = Flatten<axis=4>(x)", W),
        ("y = Relu(x)", W),
    ],
)
def test_what_onnx_allows_passes(body: str, w: np.ndarray) -> None:
    checked(graph(body, w=w, b=B))


def test_what_is_not_known_passes() -> None:
    checked(graph("y = Conv(x, w)", x="float[N,C,H,W]", w=W))


@pytest.mark.parametrize(
    ("body", "w", "fact"),
    [
        ("y = Conv<group=3>(x, w)", W, r"a weight of \[4, 2, 3, 3\] in 3 groups"),
        ("y = Conv<group=0>(x, w)", W, "in 0 groups"),
        ("y = Conv<group=-1>(x, w)", W, "in -1 groups"),
        ("y = Conv<group=4>(x, w)", W, "in 4 groups for 2 channels"),
        ("y = ConvTranspose<group=2>(x, w)", W, "in 2 groups for 2 channels"),
        ("y = ConvTranspose<group=3>(x, w)", W[:2], "in 3 groups"),
        ("y = Conv(x, w, b)", W[:3], r"a bias of \[4\] for 3 channels"),
        ("y = Conv(x, w)", W[:0], r"a weight of \[0, 2, 3, 3\]"),
        ("y = Conv<kernel_shape=[3,2]>(x, w)", W, r"kernel_shape \[3, 2\] for a weight of"),
        ("y = Conv<strides=[0,1]>(x, w)", W, r"strides \[0, 1\]"),
        ("y = Softmax<axis=7>(x)", W, "axis 7 of a tensor of 4"),
        ("y = Softmax<axis=-9223372036854775808>(x)", W, "axis -9223372036854775808 of a tensor of 4"),
        ("y = MaxPool<kernel_shape=[2,-2]>(x)", W, r"kernel_shape \[2, -2\]"),
    ],
)
def test_what_contradicts_itself_is_named_with_its_node(body: str, w: np.ndarray, fact: str) -> None:
    model = graph(body, w=w, b=B)
    next(iter(model.graph)).name = "one"
    with pytest.raises(ModelError, match=rf"^node 'one' \(\w+\): .*{fact}"):
        check_contradictions(model.graph)
