"""A Transpose behind an enlarging Resize moves before it: equal numbers, and only where there is something to gain."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes, to_bytes
from quantseg.quantization.formats.endings import transpose_before_enlarging
from quantseg.runtimes import RUNTIMES
from tests.support import graphs
from tests.support.quantised import executed, kernel, make, noise

MODES = ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel")


def ending(factors, *, by_sizes=False, mode="linear", coordinates="half_pixel", order=(0, 2, 3, 1), more=""):
    """x (1, 3, 5, 4), enlarged by the factors of rows and columns, then its channels last."""
    all_factors = np.array([1, 1, *factors], np.float32)
    given_ = {"scales": all_factors} if not by_sizes else {"sizes": (all_factors * (1, 3, 5, 4)).astype(np.int64)}
    places = "r, scales" if not by_sizes else "r, e, sizes"
    body = f"""
        a = Relu(x)
        b = Resize <mode = "{mode}", coordinate_transformation_mode = "{coordinates}"> (a, {places})
        y = Transpose <perm = [{", ".join(map(str, order))}]> (b)
        {more}
    """
    empty = np.zeros(0, np.float32)
    model = graphs.graph(body, x="float[1,3,5,4]", r=empty, **({"e": empty} if by_sizes else {}), **given_)
    infer_shapes(model)
    return model


def moved(model):
    before = graphs.op_types(model)
    transpose_before_enlarging(model)
    return graphs.op_types(model) != before


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.integers(1, 4), st.integers(1, 4)), st.booleans(), st.sampled_from(MODES))
def test_the_numbers_stay(factors, by_sizes, coordinates):
    model = ending(factors, by_sizes=by_sizes, coordinates=coordinates)
    x = {"x": noise(1, 3, 5, 4)}
    before = graphs.run(model, x)
    assert moved(model) == (factors != (1, 1))
    graphs.assert_same(graphs.run(model, x), before)
    assert [value.name for value in model.graph.outputs] == ["y"]


@pytest.mark.parametrize("by_sizes", [False, True])
def test_it_stands_before_the_resize_which_names_its_axes(by_sizes):
    model = ending((2, 3), by_sizes=by_sizes)
    assert moved(model)
    assert graphs.op_types(model) == ["Relu", "Transpose", "Resize"]
    resize = list(model.graph)[-1]
    assert resize.attributes["axes"].as_ints() == (1, 2)
    assert resize.inputs[-1].const_value.numpy().tolist() == ([10, 12] if by_sizes else [2, 3])
    assert model.opset_imports[""] == 18


@pytest.mark.parametrize(
    "model",
    [
        ending((0.5, 0.5)),
        ending((2, 0.75)),
        ending((2, 2), mode="nearest", coordinates="asymmetric"),
        ending((2, 2), mode="cubic"),
        ending((2, 2), order=(0, 3, 1, 2)),
        ending((2, 2), coordinates="tf_crop_and_resize"),
        ending((2, 2), more="z = Relu(b)"),
    ],
    ids=["smaller", "fewer columns", "nearest", "cubic", "another order", "of a region", "read by others"],
)
def test_what_would_gain_nothing_or_is_another_thing_is_left_alone(model):
    assert not moved(model)


ENDING = """
    a = Conv <pads = [1,1,1,1]> (x, w)
    b = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (a, r, s)
    y = Transpose <perm = [0,2,3,1]> (b)
"""


def answers(size=8, factor=2.5, channels=5):
    """A convolution, its answer enlarged, its channels last."""
    scales = np.array([1, 1, factor, factor], np.float32)
    given_ = {"w": kernel(channels, 3, 3, 3), "r": np.zeros(0, np.float32), "s": scales}
    return graphs.graph(ENDING, x=f"float[1,3,{size},{size}]", **given_)


def test_behind_integers_onnxruntime_moves_it_by_itself():
    """Nothing is transposed behind the Resize as it runs; and the file stays of its opset."""
    feeds = {"x": noise(1, 3, 8, 8)}
    made = make(answers(), [feeds]).model
    assert graphs.op_types(made)[-2:] == ["Resize", "Transpose"]
    assert made.opset_imports[""] < 18
    assert [node.op_type for node in executed(made, feeds)][-1] == "Resize"


@pytest.mark.parametrize("qformat", ["qdq", "qoperator", "channels-last"])
def test_a_quantised_model_that_ends_so_answers_alike_in_every_format(qformat):
    model, feeds = answers(), {"x": noise(1, 3, 8, 8)}
    (wanted,) = graphs.run(model, feeds)
    (found,) = graphs.run(make(model, [feeds], qformat=qformat).model, feeds)
    assert np.abs(found - wanted).max() < 0.03 * np.abs(wanted).max()


@pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed: an extra")
@pytest.mark.parametrize("behind", ["integers", "a float convolution"])
def test_openvino_enlarges_as_fast_as_in_the_float_model(behind):
    """Told of four axes with channels last it takes twelve times as long."""
    model, feeds = answers(64, 8.0, 21), {"x": noise(1, 3, 64, 64)}
    if behind == "integers":
        ours = make(model, [feeds]).model
    else:
        infer_shapes(ours := model.clone())
        assert moved(ours)
    written, plain = (_openvino_seconds(each, feeds, "Interpolate") for each in (ours, model))
    assert written < 5 * plain


def _openvino_seconds(model, feeds, op_type):
    nodes = RUNTIMES["openvino"].executed(to_bytes(model), feeds, threads=1, runs=15)
    (seconds,) = (node.seconds for node in nodes if node.op_type == op_type)
    return seconds
