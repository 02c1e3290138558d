"""ConvTranspose as a sub-pixel convolution gives the same image as onnxruntime on the original."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

from quantseg.graph import infer_shapes
from quantseg.graph.passes import RewriteOutcome
from quantseg.graph.passes.conv_transpose import lower_conv_transposes
from quantseg.graph.passes.subpixel import Axis, phases
from tests.support.graphs import assert_same, graph, noise, op_types, run

REFUSED_BY_RUNTIME = (Fail, InvalidArgument, RuntimeException)


@dataclass(frozen=True)
class Case:
    """A ConvTranspose node: weight (inputs, outputs/groups, *kernel), `declared` the graph's own input shape."""

    shape: tuple[int, ...]
    declared: tuple[int | str, ...]
    weight: tuple[int, ...]
    bias: bool
    attributes: tuple[tuple[str, Any], ...]

    def model(self) -> ir.Model:
        attributes = dict(self.attributes)
        weights = {"w": noise(*self.weight)}
        if self.bias:
            weights["b"] = noise(self.weight[1] * attributes.get("group", 1), seed=1)
        node = helper.make_node("ConvTranspose", ["x", *weights], ["y"], name="up", **attributes)
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.declared)
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(self.shape))
        tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
        graph = helper.make_graph([node], "g", [x], [y], tensors)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
        onnx.checker.check_model(proto)
        return ir.serde.deserialize_model(proto)


def lowered(model: ir.Model) -> tuple[ir.Model, RewriteOutcome]:
    copy = model.clone()
    infer_shapes(copy)
    outcome = lower_conv_transposes(copy)
    infer_shapes(copy)
    return copy, outcome


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Attributes over their whole range; some contradict each other, which onnxruntime then says."""
    small = st.integers(1, 4)
    stride = draw(small)
    strides = (stride, draw(st.one_of(st.just(stride), small)))
    kernel = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    group = draw(st.integers(1, 3))
    shape = (draw(st.integers(1, 2)), group * draw(st.integers(1, 2)), draw(small), draw(small))
    attributes: dict[str, Any] = {"strides": strides, "group": group}
    extra = [draw(st.integers(0, step - 1)) for step in strides]
    if any(extra):
        attributes["output_padding"] = extra
    how = draw(st.sampled_from(["pads", "SAME_UPPER", "SAME_LOWER", "VALID", "shape", "shape, SAME_UPPER"]))
    if how == "pads":
        attributes["pads"] = [draw(st.integers(0, 4)) for _ in range(4)]
    elif how.startswith("shape"):
        sizes = zip(strides, shape[2:], kernel, extra, strict=True)
        full = [step * (size - 1) + width + more for step, size, width, more in sizes]
        attributes["output_shape"] = [draw(st.integers(max(1, size - 4), size + 1)) for size in full]
        if how.endswith("SAME_UPPER"):
            attributes["auto_pad"] = "SAME_UPPER"
    else:
        attributes["auto_pad"] = how
    dynamic = "output_shape" not in attributes and draw(st.booleans())
    declared = ("n", shape[1], "h", "w") if dynamic else shape
    weight = (shape[1], draw(st.integers(1, 2)), *kernel)
    return Case(shape, declared, weight, draw(st.booleans()), tuple(attributes.items()))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(cases())
def test_lowering_equals_the_original_for_drawn_attributes(case: Case) -> None:
    model, x = case.model(), noise(*case.shape, seed=2)
    try:
        expected = run(model, {"x": x})
    except REFUSED_BY_RUNTIME:
        assume(False)
    assume(all(array.size for array in expected))
    new, outcome = lowered(model)
    if outcome.refusals:
        event(outcome.refusals[0].reason.split(",")[0][:30])
        assert any(words in outcome.refusals[0].reason for words in ("multiplications", "size differently"))
        return
    assert "ConvTranspose" not in op_types(new)
    assert_same(run(new, {"x": x}), expected)


axes = st.builds(Axis, st.integers(1, 9), st.integers(1, 5), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))


@given(axes)
def test_every_tap_of_the_kernel_is_used_once(axis: Axis) -> None:
    taps = phases(axis).taps
    used = taps[taps >= 0]
    assert len(set(used.tolist())) == used.size
    assume(axis.pad_begin < axis.kernel)
    assert set(used.tolist()) == set(range(axis.kernel))


@given(axes, st.integers(1, 9))
def test_crops_leave_the_length_of_the_original(axis: Axis, size: int) -> None:
    assume(axis.length(size) > 0)
    found = phases(axis)
    positions = size + found.pad_begin + found.pad_end - found.count + 1
    assert positions * axis.stride - found.crop_begin - found.crop_end == axis.length(size)
    assert min(found.pad_begin, found.pad_end, found.crop_begin, found.crop_end) >= 0


@pytest.mark.parametrize(
    ("attributes", "kernel", "kinds"),
    [
        ("strides=[2,2]", 2, ["Conv", "DepthToSpace"]),
        ("strides=[4,4]", 4, ["Conv", "DepthToSpace"]),
        ("strides=[2,2], pads=[1,1,1,1]", 4, ["Conv", "DepthToSpace", "Slice"]),
        ("strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]", 3, ["Conv", "DepthToSpace"]),
        ("pads=[1,1,1,1]", 3, ["Conv"]),
        ("strides=[2,1]", 2, ["Conv", "Reshape", "Transpose", "Reshape"]),
    ],
)
def test_the_forms_that_decoders_use(attributes: str, kernel: int, kinds: list[str]) -> None:
    model = graph(f"y = ConvTranspose<{attributes}>(x, w, b)", w=noise(2, 3, kernel, kernel), b=noise(3))
    new, outcome = lowered(model)
    assert op_types(new) == kinds
    assert not outcome.refusals
    x = {"x": noise(1, 2, 6, 6)}
    assert_same(run(new, x), run(model, x))


def test_kernel_equal_to_stride_costs_nothing() -> None:
    found = phases(Axis(kernel=2, stride=2, pad_begin=0, pad_end=0, output_padding=0))
    assert (found.count, found.pad_begin, found.pad_end, found.crop_begin, found.crop_end) == (1, 0, 0, 0, 0)


def test_kernel_4_stride_2_takes_two_taps_by_cutting_one_pixel() -> None:
    found = phases(Axis(kernel=4, stride=2, pad_begin=1, pad_end=1, output_padding=0))
    assert (found.count, found.crop_begin, found.crop_end) == (2, 1, 1)


@pytest.mark.parametrize("size", [3, 7])
def test_one_lowered_graph_serves_any_image_size(size: int) -> None:
    body = "y = ConvTranspose<strides=[2,2], pads=[1,0,1,2], output_padding=[1,0]>(x, w)"
    model = graph(body, x="float[n,2,h,w]", w=noise(2, 3, 4, 5))
    new, _ = lowered(model)
    x = {"x": noise(2, 2, size, size + 1)}
    assert_same(run(new, x), run(model, x))


def test_unequal_strides_take_one_dynamic_size() -> None:
    model = graph("y = ConvTranspose<strides=[1,2]>(x, w)", x="float[n,2,6,6]", w=noise(2, 3, 2, 2))
    new, _ = lowered(model)
    x = {"x": noise(3, 2, 6, 6)}
    assert_same(run(new, x), run(model, x))


REFUSALS = {
    "arithmetic": (
        graph("y = ConvTranspose<strides=[3,3]>(x, w)", w=noise(2, 3, 1, 1)),
        "takes 54 multip.* the 6 of",
    ),
    "dilation": (graph("y = ConvTranspose<dilations=[2,2]>(x, w)", w=noise(2, 3, 3, 3)), "dilation 1"),
    "1-D": (
        graph("y = ConvTranspose(x, w)", x="float[1,2,9]", w=noise(2, 3, 3)),
        "two spatial axes are .*has 1",
    ),
    "3-D": (graph("y = ConvTranspose(x, w)", x="float[1,2,4,4,4]", w=noise(2, 3, 3, 3, 3)), "has 3"),
    "computed weights": (
        graph("k = Abs(w) y = ConvTranspose(x, k)", w=noise(2, 3, 3, 3)),
        "not float32 constants",
    ),
    "output_shape of a dynamic size": (
        graph("y = ConvTranspose<output_shape=[9,9]>(x, w)", x="float[1,2,h,w]", w=noise(2, 3, 4, 4)),
        "size is dynamic",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_says_why_and_changes_nothing(name: str) -> None:
    model, reason = REFUSALS[name]
    new, outcome = lowered(model)
    assert op_types(new) == op_types(model)
    assert list(new.graph.initializers) == list(model.graph.initializers)
    assert not outcome.changes
    (refusal,) = outcome.refusals
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(refusal.reason)


def test_weights_are_the_original_numbers() -> None:
    weight = noise(2, 3, 4, 4)
    new, _ = lowered(graph("y = ConvTranspose<strides=[2,2], pads=[1,1,1,1]>(x, w)", w=weight))
    held = new.graph.node(0).inputs[1].const_value.numpy()
    np.testing.assert_array_equal(np.sort(held, axis=None), np.sort(weight, axis=None))
