"""Transposed convolutions of integers: scattered, in phases, lowered and in torch they are the same numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from quantseg.errors import ModelError
from quantseg.graph import infer_shapes
from quantseg.graph.passes.conv_transpose import lower_conv_transposes
from quantseg.simulation.arithmetic.transposed import geometry, phases, scattered
from tests.support import models
from tests.support.operators import Array, assert_equal, integers, judged, simulated

F = np.float32


@dataclass(frozen=True)
class Shapes:
    """An image (N, C, …), a weight (C, M/groups, …), and attributes that fit them."""

    image: tuple[int, ...]
    weight: tuple[int, ...]
    attributes: dict[str, Any]

    @property
    def groups(self) -> int:
        return int(self.attributes["group"])

    @property
    def outputs(self) -> int:
        return self.groups * self.weight[1]


@st.composite
def shapes(
    draw: st.DrawFn, axes: tuple[int, ...] = (1, 2, 2, 3), *, dilated: bool = True, wide: bool = False
) -> Shapes:
    """Any kernel, strides, dilations, pads and output_padding that leave an image.

    wide: output_padding up to the dilation too, which ONNX and torch allow and onnxruntime refuses.
    """
    count = draw(st.sampled_from(axes))
    kernel = draw(st.lists(st.integers(1, 5), min_size=count, max_size=count))
    strides = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    dilations = draw(st.lists(st.integers(1, 3 if dilated else 1), min_size=count, max_size=count))
    most = [max(pair) if wide else pair[0] for pair in zip(strides, dilations, strict=True)]
    extra = [draw(st.integers(0, size - 1)) for size in most]
    sizes = draw(st.lists(st.integers(1, 5), min_size=count, max_size=count))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    each = zip(strides, sizes, kernel, dilations, extra, strict=True)
    full = [stride * (size - 1) + (far - 1) * step + 1 + more for stride, size, far, step, more in each]
    low = [draw(st.integers(0, min(3, size - 1))) for size in full]
    high = [draw(st.integers(0, min(3, size - 1 - cut))) for size, cut in zip(full, low, strict=True)]
    attributes = {"strides": strides, "pads": low + high, "output_padding": extra, "group": groups}
    if dilated:
        attributes["dilations"] = dilations
    image = (draw(st.integers(1, 2)), groups * draw(st.integers(1, 3)), *sizes)
    return Shapes(image, (image[1], draw(st.integers(1, 3)), *kernel), attributes)


seeds = st.integers(0, 2**32 - 1)


def by_torch(x: Array, weight: Array, case: Shapes) -> NDArray[np.float64]:
    """In float64, where whole numbers of this size are exact. torch pads both ends alike, so it is cropped here."""
    torch = pytest.importorskip("torch")
    axes, attributes = x.ndim - 2, case.attributes
    found = getattr(torch.nn.functional, f"conv_transpose{axes}d")(
        torch.tensor(x.astype(np.float64)),
        torch.tensor(weight.astype(np.float64)),
        stride=attributes["strides"],
        output_padding=attributes["output_padding"],
        dilation=attributes["dilations"],
        groups=case.groups,
    ).numpy()
    pads = zip(attributes["pads"][:axes], attributes["pads"][axes:], found.shape[2:], strict=True)
    return found[(..., *(slice(low, size - high) for low, high, size in pads))]


@settings(max_examples=100, deadline=None)
@given(shapes(wide=True), st.sampled_from([9, 255, 40000]), seeds)
def test_scattered_and_phases_are_torchs_numbers(case: Shapes, largest: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x = random.integers(-largest, largest + 1, case.image).astype(F)
    weight = random.integers(-127, 128, case.weight).astype(F)
    place = geometry(x, weight.shape, case.attributes)
    one, other = (way(x, weight, case.groups, place) for way in (scattered, phases))
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, by_torch(x, weight, case))


@pytest.mark.parametrize("way", [scattered, phases])
def test_sums_beyond_what_float32_holds_are_exact(way: Any) -> None:
    random = np.random.default_rng(0)
    x, weight = random.integers(200, 256, (1, 900, 3, 3)), random.integers(120, 128, (900, 2, 3, 3))
    case = Shapes(x.shape, weight.shape, {
        "strides": [2, 1], "pads": [1, 0, 0, 1], "output_padding": [1, 0], "group": 1, "dilations": [1, 1]
    })  # fmt: skip
    place = geometry(x, weight.shape, case.attributes)
    found = way(x.astype(F), weight.astype(F), 1, place)
    assert found.max() > 1 << 24
    np.testing.assert_array_equal(found, by_torch(x, weight, case))


@settings(max_examples=100, deadline=None)
@given(shapes(), seeds)
def test_a_float_one_is_onnxruntimes_but_for_the_order_of_its_sums(case: Shapes, seed: int) -> None:
    random = np.random.default_rng(seed)
    operands = [random.normal(size=shape).astype(F) for shape in (case.image, case.weight, (case.outputs,))]
    operands = operands[: random.integers(2, 4)]
    (found,), (expected,) = (run("ConvTranspose", *operands, **case.attributes) for run in (simulated, judged))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(shapes((1, 2)), st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER"]), st.booleans(), seeds)
def test_pads_that_follow_from_the_size_of_the_result_are_onnxruntimes(
    case: Shapes, mode: str, sized: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    x, weight = (random.normal(size=shape).astype(F) for shape in (case.image, case.weight))
    attributes = {key: value for key, value in case.attributes.items() if key != "pads"} | {"auto_pad": mode}
    assume(sized or mode != "NOTSET")
    if sized:
        full = geometry(x, weight.shape, {k: v for k, v in attributes.items() if k != "auto_pad"}).shape
        attributes["output_shape"] = [int(random.integers(max(1, size - 4), size + 1)) for size in full]
    (found,), (expected,) = (run("ConvTranspose", x, weight, **attributes) for run in (simulated, judged))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def power(random: np.random.Generator, low: int, high: int, count: int | None = None) -> Array:
    """Powers of two: scales with which float arithmetic is exact."""
    return np.asarray(np.exp2(random.integers(low, high, count)), F)


@dataclass(frozen=True)
class Operands:
    """Those of a QLinearConvTranspose whose scales are powers of two."""

    x: Array
    x_scale: Array
    x_zero: Array
    weight: Array
    w_scale: Array
    w_zero: Array
    y_scale: Array
    y_zero: Array
    bias: Array | None

    @classmethod
    def drawn(cls, case: Shapes, kinds: tuple[Any, Any], seed: int) -> "Operands":
        random = np.random.default_rng(seed)
        zeros = [integers(random, kind, ()) for kind in (kinds[0], kinds[1], kinds[0])]
        w_scale = power(random, -6, -3, case.outputs if random.integers(2) else None)
        if w_scale.size > 1 and random.integers(2):
            zeros[1] = integers(random, kinds[1], w_scale.shape)
        return cls(
            integers(random, kinds[0], case.image), power(random, -6, -3), zeros[0],
            integers(random, kinds[1], case.weight), w_scale, zeros[1], power(random, 0, 4), zeros[2],
            random.integers(-5000, 5000, case.outputs).astype(np.int32) if random.integers(2) else None,
        )  # fmt: skip

    def result(self, attributes: dict[str, Any]) -> Array:
        """The simulator's."""
        (found,) = simulated("QLinearConvTranspose", *vars(self).values(), **attributes)
        return found

    def real_weight(self, groups: int) -> Array:
        """S (w − Z), a scale and a zero-point for each output channel."""
        spread = (
            np.broadcast_to(part, (groups * self.weight.shape[1],)).reshape(groups, 1, -1, *[1] * (self.x.ndim - 2))
            for part in (self.w_scale, self.w_zero.astype(np.int64))
        )
        scale, zero = spread
        split = self.weight.astype(np.int64).reshape(groups, -1, *self.weight.shape[1:])
        return ((split - zero) * scale).reshape(self.weight.shape).astype(F)


KINDS = [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8), (np.int8, np.uint8)]


@settings(max_examples=100, deadline=None)
@given(shapes(), st.sampled_from(KINDS), seeds)
def test_the_integer_form_is_onnxruntimes_between_dequantize_and_quantize(
    case: Shapes, kinds: tuple[Any, Any], seed: int
) -> None:
    held = Operands.drawn(case, kinds, seed)
    constants = {"x": held.x, "sx": held.x_scale, "zx": held.x_zero, "w": held.real_weight(case.groups)}
    constants |= {"sy": held.y_scale, "zy": held.y_zero}
    if held.bias is not None:
        constants["b"] = (held.bias * held.x_scale * held.w_scale).astype(F)
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["real"]),
        helper.make_node("ConvTranspose", ["real", "w", "b"][: 2 + ("b" in constants)], ["sum"], **case.attributes),
        helper.make_node("QuantizeLinear", ["sum", "sy", "zy"], ["y"]),
    ]
    y = helper.make_tensor_value_info("y", helper.np_dtype_to_tensor_dtype(held.y_zero.dtype), None)
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [], [y], tensors)
    expected = models.run(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), {})
    assert_equal([held.result(case.attributes)], expected)


def float_graph(case: Shapes, weight: Array, bias: Array) -> ir.Model:
    """One ConvTranspose."""
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], name="up", **case.attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, case.image)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * len(case.image))
    tensors = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")]
    made = helper.make_model(
        helper.make_graph([node], "g", [x], [y], tensors), opset_imports=[helper.make_opsetid("", 13)], ir_version=7
    )
    return ir.serde.deserialize_model(made)


def in_integers(lowered: ir.Model, held: Operands) -> Array:
    """A lowered graph on integers: its convolution as QLinearConv, the rest moves them.

    The graph's weights are the integers without zero-point, and its biases the numbers of the output channels.
    """
    values = {"x": held.x}
    for node in lowered.graph:
        constants = [None if value is None or value.const_value is None else value.const_value.numpy()
                     for value in node.inputs]  # fmt: skip
        attributes = {name: attribute.value for name, attribute in node.attributes.items()}
        if node.op_type == "Conv":
            _, weight, channels = constants
            whole = channels.astype(int)
            scale = held.w_scale if held.w_scale.size == 1 else held.w_scale[whole]
            bias = None if held.bias is None else held.bias[whole]
            operands = [values["x"], held.x_scale, held.x_zero, weight.astype(np.int8), scale, np.int8(0)]
            operands += [held.y_scale, held.y_zero, bias]
            found = simulated("QLinearConv", *operands, opset=13, **attributes)
        else:
            operands = [values[str(node.inputs[0].name)], *constants[1:]]
            found = simulated(node.op_type, *operands, opset=13, **attributes)
        values[str(node.outputs[0].name)] = found[0]
    return values[str(lowered.graph.outputs[0].name)]


@settings(max_examples=100, deadline=None)
@given(shapes((2,), dilated=False), st.sampled_from([np.uint8, np.int8]), seeds)
def test_direct_is_lowered(case: Shapes, kind: Any, seed: int) -> None:
    held = Operands.drawn(case, (kind, np.int8), seed)
    held = Operands(**vars(held) | {"w_zero": np.zeros((), np.int8)})
    model = float_graph(case, held.weight.astype(F), np.arange(case.outputs, dtype=F))
    infer_shapes(model)
    assume(not lower_conv_transposes(model).refusals)
    assert "ConvTranspose" not in {node.op_type for node in model.graph}
    assert_equal([in_integers(model, held)], [held.result(case.attributes)])


X, W = np.zeros((1, 4, 5, 5), np.uint8), np.zeros((4, 2, 3, 3), np.int8)


@pytest.mark.parametrize(
    ("x", "weight", "attributes", "words"),
    [
        (X[:, :3], W, {}, r"\[1, 3, 5, 5\] and weight \[4, 2, 3, 3\] do not fit in 1 groups"),
        (X, W, {"group": 3}, r"do not fit in 3 groups"),
        (X[0], W, {}, r"\[4, 5, 5\] and weight \[4, 2, 3, 3\]"),
        (X, W, {"strides": [0, 1]}, r"strides \[0, 1\]"),
        (X, W, {"pads": [9, 9, 9, 9]}, r"shape \[-11, -11\]"),
        (X, W, {"output_padding": [1]}, r"output_padding \[1\] should be 2 numbers"),
        (X, W, {"strides": [1 << 20, 1 << 20]}, "more than 4 GiB"),
    ],
)
def test_operands_that_do_not_fit_are_named(x: Array, weight: Array, attributes: dict[str, Any], words: str) -> None:
    one = F(1)
    with pytest.raises(ModelError, match=words):
        simulated("QLinearConvTranspose", x, one, None, weight, one, None, one, None, **attributes)
