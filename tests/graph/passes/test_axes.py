import numpy as np
import pytest

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
        'y = Resize<axes=[2,3], keep_aspect_ratio_policy="not_larger">(x, , , sizes)',
        'y = Resize<axes=[2,3], mode="linear", coordinate_transformation_mode="tf_crop_and_resize">(x, roi, scales)',
    ],
)
def test_what_is_written_out_or_unknown_is_left_alone(body: str) -> None:
    floats = {"scales": [2.0, 1.5], "every": [1, 1, 2, 2], "one": [1.0], "roi": [0, 0, 0.5, 0.5]}
    arrays = {name: np.array(values, np.float32) for name, values in floats.items()}
    model = graphs.graph(body, opset=18, pads=ints(0, 0, 1, 1, 0, 0, 1, 1), sizes=ints(12, 9), **arrays)
    infer_shapes(model)
    assert not write_all_axes(model).changes
