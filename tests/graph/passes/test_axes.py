import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from quantseg.graph import infer_shapes
from quantseg.graph.passes.axes import write_all_axes
from tests.support import graphs

FEED = {"x": graphs.noise(1, 2, 6, 6)}


def ints(*values: int) -> graphs.Array:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    "body",
    [
        "y = Pad(x, pads, , axes)",
        "y = Pad(x, pads, fill, axes)",
        'y = Pad<mode="reflect">(x, pads, , axes)',
        "y = Resize<axes=[2,3]>(x, , scales)",
        'y = Resize<axes=[-1,2], mode="linear">(x, , scales)',
        "y = Resize<axes=[3,2]>(x, , , sizes)",
    ],
)
def test_all_axes_say_the_same_as_some(body: str) -> None:
    constants = {"pads": ints(1, 0, 2, 3), "axes": ints(3, -2), "sizes": ints(12, 9), "fill": np.array(2, np.float32)}
    model = graphs.graph(body, opset=18, scales=np.array([2, 1.5], np.float32), **constants)
    before = graphs.run(model, FEED)
    infer_shapes(model)
    (change,) = write_all_axes(model).changes
    node = model.graph.node(0)
    assert change.detail == f"{node.op_type} names every axis"
    assert len(node.inputs) < 4 or node.op_type == "Resize"
    assert "axes" not in node.attributes
    graphs.assert_same(graphs.run(model, FEED), before)


@pytest.mark.parametrize(
    "body",
    [
        "y = Pad(x, pads)",
        "y = Resize(x, , every)",
        "s = Add(scales, one) y = Resize<axes=[2,3]>(x, , s)",
        'y = Resize<axes=[2,3], mode="linear", coordinate_transformation_mode="tf_crop_and_resize">(x, roi, scales)',
    ],
)
def test_what_is_written_out_or_unknown_is_left_alone(body: str) -> None:
    floats = {"scales": [2.0, 1.5], "every": [1, 1, 2, 2], "one": [1.0], "roi": [0, 0, 0.5, 0.5]}
    arrays = {name: np.array(values, np.float32) for name, values in floats.items()}
    model = graphs.graph(body, opset=18, pads=ints(0, 0, 1, 1, 0, 0, 1, 1), sizes=ints(12, 9), **arrays)
    infer_shapes(model)
    assert not write_all_axes(model).changes


@given(
    before=st.tuples(st.integers(1, 12), st.integers(1, 12)), wanted=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    policy=st.sampled_from(["not_larger", "not_smaller"]), mode=st.sampled_from(["nearest", "linear"]),
    where=st.sampled_from(["half_pixel", "asymmetric", "align_corners"]),
)  # fmt: skip
def test_sizes_that_keep_proportions_are_resolved_where_that_is_exact(
    before: tuple[int, int], wanted: tuple[int, int], policy: str, mode: str, where: str
) -> None:
    choose = min if policy == "not_larger" else max
    scale = choose(size / axis for size, axis in zip(wanted, before, strict=True))
    assume(all(scale * axis >= 0.6 for axis in before))  # a size of 0 is no Resize
    about = f'keep_aspect_ratio_policy="{policy}", mode="{mode}", coordinate_transformation_mode="{where}"'
    shape = f"float[1,2,{before[0]},{before[1]}]"
    model = graphs.graph(f"y = Resize<{about}, axes=[2,3]>(x, , , sizes)", opset=18, x=shape, sizes=ints(*wanted))
    feed = {"x": graphs.noise(1, 2, *before)}
    expected = graphs.run(model, feed)
    infer_shapes(model)
    outcome = write_all_axes(model)
    node = model.graph.node(0)
    assert bool(outcome.changes) == ("keep_aspect_ratio_policy" not in node.attributes)
    if outcome.changes:
        assert "axes" not in node.attributes
    graphs.assert_same(graphs.run(model, feed), expected)
