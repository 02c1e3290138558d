"""Linear Resize and unpooling in integers, beside onnxruntime's float operators on what the integers stand for."""

from typing import Any

import numpy as np
import onnx
import pytest

from quantseg.graph import expose, to_bytes
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.qtypes import INT8, UINT8, QType
from tests.support import graphs, quantised
from tests.support.graphs import Array, noise
from tests.support.quantised import Made, kernel

RESIZES = {
    "x2": "half_pixel 6 8 12 16",
    "x2 asymmetric": "asymmetric 6 8 12 16",
    "x4 by pytorch": "pytorch_half_pixel 6 8 24 32",
    "x8 and x1": "half_pixel 6 8 48 8",
    "x2 corners aligned": "align_corners 6 8 12 16",
    "x3 and by a fraction": "half_pixel 6 8 18 13",
    "from one pixel": "half_pixel 1 1 6 8",
    "smaller": "half_pixel 8 6 5 6",
}
READERS = {"b": "y", "v": "y", "u": "d"}
"""Tensors without a node of their own where channels are last, and what the convolution that reads each gives."""
POOL = "kernel_shape=[2,2], strides=[2,2]"


def resize(name: str) -> tuple[Any, list[dict[str, Array]], Any]:
    """A Resize between two convolutions, images for it, and the Resize alone."""
    mode, *sizes = RESIZES[name].split()
    height, width, *after = map(int, sizes)
    one = f'Resize<mode="linear", coordinate_transformation_mode="{mode}">'
    constants: dict[str, Array] = {"z": np.array([2, 8, *after])}
    body = f"a = Conv(x, w1) b = {one}(a, , , z) y = Conv(b, w2)"
    weights = {"w1": kernel(8, 3, 1, 1), "w2": kernel(4, 8, 1, 1, seed=1)}
    model = graphs.graph(body, x=f"float[2,3,{height},{width}]", **weights, **constants)
    alone = graphs.graph(f"y = {one}(x, , , z)", x=f"float[2,8,{height},{width}]", **constants)
    return model, [{"x": noise(2, 3, height, width, seed=seed)} for seed in range(3)], alone


def integers(made: Made, names: list[str], feed: dict[str, Array]) -> list[Array]:
    """Stored integers as (N, C, H, W), as onnxruntime computes them with its rewrites on."""
    makers = {str(value.name): node for node in made.model.graph for value in node.outputs}
    stored, last = [], []
    for name in names:
        first, own = f"{name}_channels_first", f"{name}_quantized"
        reader = makers[f"{READERS[name]}_quantized"].inputs[0] if name in READERS else None
        found = next(n for n in (first, own, reader and reader.name) if n in makers)
        stored.append(str(found))
        last.append("QLinearConv" in (node.op_type for node in made.model.graph if node.domain) and found != first)
    results = quantised.optimised(expose(made.model, stored), feed)
    return [r.transpose(0, 3, 1, 2)[:, :8] if is_last else r for r, is_last in zip(results, last, strict=True)]


def real(made: Made, name: str, stored: Array) -> Array:
    """What the integers stand for."""
    params = made.plan.tensors[name]
    return ((stored.astype(np.float32) - params.zero_point) * params.scale).astype(np.float32)


@pytest.mark.parametrize("activation", [UINT8, INT8])
@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", RESIZES)
def test_a_resized_image_is_within_a_step_of_the_exact_one(name: str, qformat: str, activation: QType) -> None:
    model, feeds, alone = resize(name)
    made = quantised.make(model, feeds, qformat=qformat, activation=activation)
    onnx.checker.check_model(onnx.load_from_string(to_bytes(made.model)), full_check=True)
    before, after = integers(made, ["a", "b"], feeds[0])
    step = float(made.plan.tensors["b"].scale)
    (exact,) = graphs.run(alone, {"x": real(made, "a", before)})
    error = (real(made, "b", after) - exact) / step
    assert np.abs(error).max() <= 1.001  # half a step for the columns, half a step for the rows
    assert abs(error.mean()) < 0.1  # rounded, not cut off
    assert np.sqrt(np.square(error).mean()) < 0.45


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", RESIZES)
def test_onnxruntime_resizes_in_integers(name: str, qformat: str) -> None:
    model, feeds, _ = resize(name)
    nodes = quantised.executed(quantised.make(model, feeds, qformat=qformat).model, feeds[0])
    assert {node.kind for node in nodes} == {"boundary", "int8"}
    assert sum(node.kind == "boundary" for node in nodes) == 2


def segnet() -> tuple[Any, list[dict[str, Array]]]:
    """Two levels of a SegNet with a free batch."""
    body = f"""a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) p, i = MaxPool<{POOL}>(r)
        b = Conv<pads=[1,1,1,1]>(p, w2) q, j = MaxPool<{POOL}>(b)
        c = Conv(q, w3) u = MaxUnpool<{POOL}>(c, j)
        d = Conv<pads=[1,1,1,1]>(u, w2) v = MaxUnpool<{POOL}>(d, i) y = Conv(v, w4)"""
    weights = {"w1": kernel(8, 3, 3, 3), "w2": kernel(8, 8, 3, 3), "w3": kernel(8, 8, 1, 1), "w4": kernel(4, 8, 1, 1)}
    model = graphs.graph(body, x="float[n,3,16,24]", **weights)
    return model, [{"x": noise(2, 3, 16, 24, seed=seed)} for seed in range(3)]


@pytest.mark.parametrize("activation", [UINT8, INT8])
@pytest.mark.parametrize("qformat", FORMATS)
def test_unpooling_puts_the_integers_where_their_maxima_were(qformat: str, activation: QType) -> None:
    model, feeds = segnet()
    made = quantised.make(model, feeds, qformat=qformat, activation=activation)
    onnx.checker.check_model(onnx.load_from_string(to_bytes(made.model)), full_check=True)
    pair = graphs.graph(
        f"p, i = MaxPool<{POOL}>(x) y = MaxUnpool<{POOL}>(v, i)",
        x="float[2,8,h,w] v, float[2,8,k,l]",
    )
    for pooled, values, result in (("a", "d", "v"), ("b", "c", "u")):
        x, small, large = integers(made, [pooled, values, result], feeds[0])
        (expected,) = graphs.run(pair, {"x": real(made, pooled, x), "v": real(made, values, small)})
        np.testing.assert_array_equal(real(made, result, large), expected)


@pytest.mark.parametrize("qformat", FORMATS)
def test_onnxruntime_unpools_in_integers(qformat: str) -> None:
    model, feeds = segnet()
    nodes = quantised.executed(quantised.make(model, feeds, qformat=qformat).model, feeds[0])
    assert {node.kind for node in nodes} == {"boundary", "int8"}
    assert sum(node.op_type == "NhwcMaxPool" for node in nodes) == 2  # without indices


@pytest.mark.parametrize("qformat", FORMATS)
def test_every_batch_is_unpooled_alike(qformat: str) -> None:
    model, feeds = segnet()
    made = quantised.make(model, feeds, qformat=qformat).model
    (both,) = quantised.optimised(made, feeds[0])
    for index in range(2):
        (one,) = quantised.optimised(made, {"x": feeds[0]["x"][index : index + 1]})
        np.testing.assert_array_equal(both[index : index + 1], one)


@pytest.mark.slow
@pytest.mark.parametrize("node", ["MaxPool_2", "Conv_0", "Conv_7", "Equal", "Where", "MaxPool"])
def test_what_stands_beside_an_excluded_part_of_it_stays_right(node: str) -> None:
    model, feeds = segnet()
    for qformat in FORMATS:
        made = quantised.make(model, feeds, qformat=qformat, exclude=(node,))
        onnx.checker.check_model(onnx.load_from_string(to_bytes(made.model)), full_check=True)
        actual, expected = quantised.optimised(made.model, feeds[0])[0], graphs.run(model, feeds[0])[0]
        assert np.square(actual - expected).mean() <= np.square(expected).mean() * 10**-1.5


def test_a_pair_that_is_not_lowered_names_its_reason_in_the_plan() -> None:
    overlapping = POOL.replace("2,2], s", "3,3], s")
    body = f"""a = Conv(x, w1) p, i = MaxPool<{overlapping}>(a) c = Conv(p, w3)
        u = MaxUnpool<{overlapping}>(c, i) y = Conv(u, w4)"""
    weights = {"w1": kernel(8, 3, 1, 1), "w3": kernel(8, 8, 1, 1), "w4": kernel(4, 8, 1, 1)}
    model = graphs.graph(body, x="float[2,3,15,15]", **weights)
    feeds = [{"x": noise(2, 3, 15, 15)}]
    made = quantised.make(model, feeds)
    why = "the windows of its MaxPool overlap or leave gaps"
    (unpool,) = (node.name for node in made.plan.nodes if node.op_type == "MaxUnpool")
    (pool,) = (node.name for node in made.plan.nodes if node.op_type == "MaxPool")
    exact = f"Conv: {pool} reads it exactly, and rounding makes jumps there"
    assert made.plan.kept_float == {exact: 1, f"MaxUnpool: {why}": 1, f"MaxPool: for {unpool}: {why}": 1}
    actual, expected = quantised.optimised(made.model, feeds[0])[0], graphs.run(model, feeds[0])[0]
    assert (
        np.square(actual - expected).mean() <= np.square(expected).mean() / 10
    )  # windows that overlap write one place twice
