"""AveragePool with its padding before it, or as a convolution, in float and in onnxruntime's integer kernel."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes, to_bytes
from quantseg.graph.passes.average_pools import lower_average_pools
from quantseg.graph.preparation import prepare
from quantseg.quantization.operators import KeptFloat, integer_form
from quantseg.runtimes import RUNTIMES
from tests.support import quantised
from tests.support.graphs import assert_same, graph, noise, op_types, run


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(5, 12),
    width=st.integers(5, 12),
    window=st.integers(2, 5),
    stride=st.integers(1, 3),
    pads=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    counted=st.booleans(),
    up=st.booleans(),
)
def test_any_pool_gives_the_same_image(
    height: int, width: int, window: int, stride: int, pads: list[int], counted: bool, up: bool
) -> None:
    assume(max(pads) < window)
    attributes = f"kernel_shape=[{window},{window}], strides=[{stride},{stride}], pads={pads}"
    attributes += f", count_include_pad={int(counted)}, ceil_mode={int(up)}"
    shape, x = f"float[1,2,{height},{width}]", noise(1, 2, height, width)
    alone = graph(f"y = AveragePool<{attributes}>(x)", x=shape)
    model = alone.clone()
    infer_shapes(model)
    lower_average_pools(model)
    if counted and up:
        assert "count_include_pad" not in model.graph.node(-1).attributes
        assert "pads" not in model.graph.node(-1).attributes
    assert_same(run(model, {"x": x}), run(alone, {"x": x}))

    between = graph(f"a = Conv(x, w) b = AveragePool<{attributes}>(a) y = Conv(b, w)", x=shape, w=noise(2, 2, 1, 1))
    made = quantised.make(between, [{"x": x}])
    step = float(made.plan.tensors["y"].scale)
    (exact,), (rounded,) = run(prepare(between).model, {"x": x}), quantised.optimised(made.model, {"x": x})
    assert np.abs(rounded - exact).max() <= 16 * step  # of which half is room for weights that saturate no pair


def test_unknown_sizes_and_padding_by_name_say_why_they_stay() -> None:
    window = "kernel_shape=[3,3], strides=[2,2], count_include_pad=1, ceil_mode=1"
    for shape, more, part in (
        ("float[1,2,H,W]", "pads=[1,1,1,1]", "fixed sizes"),
        ("float[1,2,7,7]", 'auto_pad="SAME_UPPER"', "SAME_UPPER"),
    ):
        text = f"a = Conv(x, w) b = AveragePool<{window}, {more}>(a) y = Conv(b, w)"
        prepared = prepare(graph(text, x=shape, w=noise(2, 2, 1, 1)))
        assert [part in refusal.reason for refusal in prepared.refusals] == [True]
        (pool,) = (node for node in prepared.model.graph if node.op_type == "AveragePool")
        assert isinstance(integer_form(pool), KeptFloat)


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ("dilations=[1,1]", "AveragePool"),
        ("dilations=[2,3], strides=[2,1]", "Conv"),
        ("dilations=[2,2], pads=[2,1,2,1], count_include_pad=1", "Conv"),
        ("dilations=[2,2], pads=[2,2,2,2]", "AveragePool"),  # how many pixels count differs from place to place
    ],
)
def test_a_dilated_window_is_a_convolution(attributes: str, kind: str) -> None:
    alone = graph(f"y = AveragePool<kernel_shape=[3,3], {attributes}>(x)", x="float[1,3,12,14]", opset=19)
    model = alone.clone()
    infer_shapes(model)
    lower_average_pools(model)
    assert op_types(model) == [kind]
    x = {"x": noise(1, 3, 12, 14)}
    assert_same(run(model, x), run(alone, x))


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ("kernel_shape=[5,7]", "GlobalAveragePool"),
        ("kernel_shape=[5,7], strides=[5,7], pads=[0,0,0,0], ceil_mode=1, count_include_pad=1", "GlobalAveragePool"),
        ('kernel_shape=[5,7], auto_pad="VALID"', "GlobalAveragePool"),
        ("kernel_shape=[5,6]", "AveragePool"),
        ("kernel_shape=[5,7], pads=[1,1,1,1]", "AveragePool"),
        ('kernel_shape=[5,7], auto_pad="SAME_UPPER"', "AveragePool"),
    ],
)
def test_a_window_as_large_as_the_image_is_the_mean_of_it(attributes: str, kind: str) -> None:
    alone = graph(f"y = AveragePool<{attributes}>(x)", x="float[1,3,5,7]")
    model = alone.clone()
    infer_shapes(model)
    lower_average_pools(model)
    assert op_types(model) == [kind]
    x = {"x": noise(1, 3, 5, 7)}
    assert_same(run(model, x), run(alone, x))


def test_of_images_of_unknown_size_no_window_is_known_to_be_all() -> None:
    model = graph("y = AveragePool<kernel_shape=[5,7]>(x)", x="float[1,3,H,W]")
    infer_shapes(model)
    lower_average_pools(model)
    assert op_types(model) == ["AveragePool"]


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed: an extra")
@pytest.mark.parametrize("channels", [12, 32])
def test_openvino_gives_the_mean_of_a_whole_image_as_onnxruntime_does(channels: int) -> None:
    """Of few channels it did not on processors with AVX2 and without AVX-512, while the pool had a window."""
    text = "a = Conv(x, w) b = AveragePool<kernel_shape=[20,20]>(a) y = Conv(b, v)"
    weights = {"w": quantised.kernel(channels, 3, 1, 1), "v": quantised.kernel(4, channels, 1, 1, seed=1)}
    feeds = {"x": noise(1, 3, 20, 20) + np.float32(0.3)}
    made = quantised.make(graph(text, x="float[1,3,20,20]", **weights), [feeds])
    (expected,) = run(made.model, feeds)
    session = RUNTIMES["openvino"].open(to_bytes(made.model), threads=1)
    (found,) = session.run(feeds)
    session.close()
    assert np.abs(found - expected).max() <= 2 * float(made.plan.tensors["y"].scale)
