"""Folding in float: the folded graph is the model, from pixels to classes, as onnxruntime computes both."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quantseg.data.heads import class_map
from quantseg.data.preprocess import to_tensor
from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe, complete
from quantseg.errors import PlanError
from quantseg.graph import check, signature, to_bytes
from quantseg.quantization.affine import Range, dequantize, quantize
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.folding import FLOAT_RECIPE_KEY, Fold, float_recipe, fold
from quantseg.quantization.pairs import unsafe
from quantseg.quantization.plan import NO_OVERRIDES, Overrides, QuantSettings
from quantseg.quantization.qtypes import INT8
from tests.support import graphs
from tests.support.candidates import candidate
from tests.support.graphs import Array
from tests.support.quantised import kernel, noise

SIZE = (7, 9)
BOTH = Fold(preprocess=True, argmax=True)


def pixels(channels: int = 3, size: tuple[int, int] = SIZE, seed: int = 0) -> Array:
    """An image (1, H, W, C) as image readers give it."""
    return np.random.default_rng(seed).integers(0, 256, (1, *size, channels), np.uint8)


def fed(image: Array, recipe: Recipe) -> Array:
    """What the float model is fed for the image, by the data room."""
    image = Image.fromarray(image[0, ..., 0] if image.shape[-1] == 1 else image[0])
    return to_tensor(image, recipe.input, "float32")


def completed(model: ir.Model, given_input: InputRecipe, given_output: OutputRecipe | None = None) -> Recipe:
    return complete(Recipe(given_input, given_output or OutputRecipe()), *signature(model), model="m.onnx")


def folded(model: ir.Model, recipe: Recipe, wanted: Fold, plan: QuantSettings | None = None) -> Candidate:
    """The model folded, exactly in float where no settings are given."""
    given_ = candidate(model, {"x": Range(-3.0, 3.0)}, plan, recipe=recipe)
    made = fold(given_, wanted, rounded=plan is not None)
    check(made.prepared.model, full=True)
    return made


def answers(made: Candidate, image: Array) -> Array:
    (name,) = (value.name for value in made.prepared.model.graph.inputs)
    return graphs.run(made.prepared.model, {str(name): image})[0]


def text(body: str, *, x: str, y: str, opset: int = 13, **weights: Array) -> ir.Model:
    return graphs.graph(body, opset=opset, x=x, y=y, **weights)


def number(value: float) -> Array:
    return np.array(value, np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


# The image in.

NUMBERS = {
    "plain": InputRecipe(),
    "raw": InputRecipe(scale=1.0),
    "−1…1": InputRecipe(scale=1 / 127.5, mean=(1.0,)),
    "ImageNet": InputRecipe(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "Caffe": InputRecipe(scale=1.0, mean=(103.9, 116.8, 123.7), channels="BGR"),
}
NCHW, NHWC = "float[1,3,7,9]", "float[1,7,9,3]"
W = kernel(4, 3, 3, 3, seed=1)


def same_in_float(model: ir.Model, given_input: InputRecipe, *, tolerance: float = 2e-6) -> Candidate:
    """Folds the preprocessing; the outputs are those of the model, to float32's rounding, borders included."""
    recipe = completed(model, given_input)
    made = folded(model, recipe, Fold(preprocess=True))
    channels = 1 if recipe.input.channels == "GRAY" else 3
    for seed in range(2):
        image = pixels(channels, recipe.input.size or SIZE, seed)
        expected = graphs.run(model, {"x": fed(image, recipe)})
        (name,) = (value.name for value in made.prepared.model.graph.inputs)
        actual = graphs.run(made.prepared.model, {str(name): image})
        graphs.assert_same(actual, expected, tolerance)
    return made


@st.composite
def recipes(draw: st.DrawFn) -> InputRecipe:
    channels = draw(st.sampled_from(["RGB", "BGR", "GRAY"]))
    count = 1 if channels == "GRAY" else draw(st.sampled_from([1, 3]))
    return InputRecipe(
        size=SIZE,
        layout=draw(st.sampled_from(["NCHW", "NHWC"])),
        channels=channels,
        scale=draw(st.sampled_from([1.0, 1 / 255, 1 / 127.5, 0.017])),
        mean=tuple(draw(st.lists(st.floats(-1, 2), min_size=count, max_size=count))),
        std=tuple(draw(st.lists(st.floats(0.1, 70), min_size=count, max_size=count))),
    )


@settings(max_examples=40)
@given(
    recipes(),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.integers(1, 2),
    st.sampled_from([(1, 1), (3, 3), (2, 3)]),
    st.booleans(),
    st.integers(0, 3),
)
def test_the_folded_convolution_is_the_same_at_every_pixel(
    recipe: InputRecipe,
    pads: tuple[int, ...],
    strides: tuple[int, int],
    dilation: int,
    taps: tuple[int, int],
    is_depthwise: bool,
    seed: int,
) -> None:
    """Any scale, mean, std, channel order, layout, padding, stride, dilation and grouping; static and free sizes."""
    count = 1 if recipe.channels == "GRAY" else 3
    first = kernel(2 * count, 1 if is_depthwise else count, *taps, seed=seed)
    before = "" if recipe.layout == "NCHW" else "t = Transpose<perm=[0,3,1,2]>(x)"
    conv = (
        f"Conv<pads={list(pads)}, strides={list(strides)}, dilations=[{dilation},{dilation}], "
        f"group={count if is_depthwise else 1}>({'t' if before else 'x'}, w, b)"
    )
    dims = ["N", str(count), "H", "W"] if seed % 2 else ["1", str(count), *map(str, SIZE)]
    shape = dims if recipe.layout == "NCHW" else [dims[0], *dims[2:], dims[1]]
    model = text(f"{before} y = {conv}", x=f"float[{','.join(shape)}]", y="float[N,M,P,Q]", w=first, b=noise(2 * count))
    made = same_in_float(model, recipe, tolerance=1e-5)
    ops = graphs.op_types(made.prepared.model)
    assert ops.count("Transpose") == 1
    assert ops[-3:] == ["DequantizeLinear", "Transpose", "Conv"]


BEFORE = {
    "nothing": ("y = Conv<pads=[1,1,1,1]>(x, w)", NCHW, {}),
    "arithmetic": (
        "a = Mul(x, s) b = Sub(a, m) c = Div(b, d) e = Add(c, m) f = Sub(s, e) y = Conv<pads=[1,1,1,1]>(f, w)",
        NCHW,
        {"s": number(1.7), "m": noise(3, 1, 1), "d": noise(1, 3, 1, 1) + 4},
    ),
    "arithmetic with channels last": (
        "a = Div(x, s) b = Sub(a, m) t = Transpose<perm=[0,3,1,2]>(b) y = Conv<pads=[1,1,1,1]>(t, w)",
        NHWC,
        {"s": number(0.5), "m": noise(3)},
    ),
    "batch-norm": (
        "n = BatchNormalization(x, g, b, m, v) y = Conv<pads=[1,1,1,1]>(n, w)",
        NCHW,
        {"g": noise(3), "b": noise(3, seed=1), "m": noise(3, seed=2), "v": noise(3, seed=3) ** 2 + 0.1},
    ),
    "channels swapped": (
        "g = Gather<axis=1>(x, i) s = Sub(g, m) y = Conv<pads=[1,1,1,1]>(s, w)",
        NCHW,
        {"i": ints(2, 1, 0), "m": noise(3, 1, 1)},
    ),
    "automatic padding": ('y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)', NCHW, {}),
    "a Pad": (
        "p = Pad(x, q) y = Conv(p, w)",
        NCHW,
        {"q": ints(0, 0, 1, 2, 0, 0, 2, 1)},
    ),
    "two convolutions": (
        "a = Conv<pads=[1,1,1,1]>(x, w) b = Conv(x, v) y = Mul(a, b)",
        NCHW,
        {"v": kernel(4, 3, 1, 1)},
    ),
    "another scale for each": (
        "z = Mul(x, s) a = Conv<pads=[1,1,1,1]>(x, w) b = Conv<pads=[1,1,1,1]>(z, w) y = Sub(a, b)",
        NCHW,
        {"s": number(-2)},
    ),
    "turned": ("t = Transpose<perm=[0,1,3,2]>(x) y = Conv<pads=[1,1,0,0]>(t, w)", NCHW, {}),
}  # fmt: skip


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("name", BEFORE)
def test_what_stands_before_the_convolution_folds_too(name: str, numbers: str) -> None:
    body, x, weights = BEFORE[name]
    made = same_in_float(text(body, x=x, y="float[A,B,C,D]", w=W, **weights), NUMBERS[numbers], tolerance=2e-5)
    ops = graphs.op_types(made.prepared.model)
    assert set(ops) <= {"Expand", "Concat", "DequantizeLinear", "Transpose", "Conv", "Mul", "Sub"}
    assert ops.index("Conv") == ops.index("DequantizeLinear") + 2


OTHERS = {
    "pooled beside": (
        "a = Conv<pads=[1,1,1,1]>(x, w) p = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(x) y = Concat<axis=1>(a, p)",
        NCHW,
    ),
    "shown": ("a = Conv<pads=[1,1,1,1]>(x, w) y = Concat<axis=1>(a, x)", NCHW),
    "pooled, channels last": (
        "t = Transpose<perm=[0,3,1,2]>(x) p = MaxPool<kernel_shape=[2,2]>(t) y = Conv<pads=[1,1,1,1]>(p, w)", NHWC
    ),
    "padded with another value": ("p = Pad(x, q, v) y = Conv(p, w)", NCHW),
    "as weights": ("y = Conv(k, x)", "float[4,3,7,9]"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_readers_get_what_a_small_convolution_scales(name: str, caplog: pytest.LogCaptureFixture) -> None:
    body, x = OTHERS[name]
    model = text(body, x=x, y="float[A,B,C,D]", w=W, q=ints(0, 0, 1, 1, 0, 0, 1, 1), v=number(1), k=noise(1, 3, 9, 9))
    with caplog.at_level(logging.INFO):
        recipe = completed(model, NUMBERS["ImageNet"], OutputRecipe(layout="NCHW", head="argmax"))
        made = folded(model, recipe, Fold(preprocess=True))
    assert [r.message for r in caplog.records if "1x1 convolution" in r.message]
    image = np.concatenate([pixels(seed=k) for k in range(4 if x.startswith("float[4") else 1)])
    tensor = np.concatenate([fed(part[None], recipe) for part in image])
    graphs.assert_same(graphs.run(made.prepared.model, {"pixels": image}), graphs.run(model, {"x": tensor}), 1e-5)


@pytest.mark.parametrize("plan", [QuantSettings(symmetric=True), QuantSettings(activation=INT8)])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_integers_that_are_no_pixels_leave_the_scaling_to_float(
    plan: QuantSettings, layout: str, caplog: pytest.LogCaptureFixture
) -> None:
    """To the last bit what the data room computes."""
    before = "" if layout == "NCHW" else "t = Transpose<perm=[0,3,1,2]>(x)"
    x = NCHW if layout == "NCHW" else NHWC
    model = text(f"{before} y = Conv<pads=[1,1,1,1]>({'t' if before else 'x'}, w)", x=x, y="float[1,4,7,9]", w=W)
    recipe = completed(model, NUMBERS["Caffe"])
    with caplog.at_level(logging.INFO):
        made = folded(model, recipe, Fold(preprocess=True), plan)
    assert "pixels are uint8 from zero" in caplog.text
    image = pixels()
    np.testing.assert_array_equal(answers(made, image), graphs.run(model, {"x": fed(image, recipe)})[0])


def test_offsets_far_beyond_the_weights_take_more_channels() -> None:
    """Then they do not widen the grid of the weights beside them."""
    model = text("y = Conv<pads=[1,1,1,1]>(x, w)", x=NCHW, y="float[1,4,7,9]", w=np.abs(W))
    made = same_in_float(model, InputRecipe(scale=1.0, mean=(800.0,)))
    (conv,) = (node for node in made.prepared.model.graph if node.op_type == "Conv")
    weights = conv.inputs[1].const_value.numpy()
    assert weights.shape == (4, 8, 3, 3)
    assert np.abs(weights[:, 3:]).max() < 2 * np.abs(weights[:, :3]).max()


@pytest.mark.parametrize(("channels", "grey"), [("RGB", (100, 110, 120)), ("BGR", (120, 110, 100))])
def test_rounded_weights_err_no_more_on_the_image_that_the_model_sees_as_zero(
    channels: str, grey: tuple[int, ...]
) -> None:
    """Grey pixels that stand for x = 0, all of them with the same neighbours: the output is the bias, as in float."""
    model = text("y = Conv(x, w, b)", x=NCHW, y="float[1,4,5,7]", w=W, b=noise(4))
    recipe = completed(model, InputRecipe(None, None, channels, 1.0, (100.0, 110.0, 120.0), (60.0,)))
    made = folded(model, recipe, Fold(preprocess=True), QuantSettings())
    image = np.broadcast_to(np.array(grey, np.uint8), (1, *SIZE, 3))
    expected = np.broadcast_to(noise(4)[:, None, None], (1, 4, 5, 7))
    np.testing.assert_allclose(answers(made, np.ascontiguousarray(image)), expected, atol=2e-4)
    (conv,) = (node for node in made.prepared.model.graph if node.op_type == "Conv")
    weights, grid = conv.inputs[1].const_value.numpy(), made.overrides.weights[conv.name]
    np.testing.assert_array_equal(weights, dequantize(quantize(weights, grid), grid))
    assert not unsafe(quantize(weights, grid).reshape(*weights.shape[:2], -1)).any()


# The mask out.

HEADS = {
    "logits": ("y = Conv(x, w)", "argmax", ["ArgMax", "Cast"]),
    "softmax": ("a = Conv(x, w) y = Softmax<axis=1>(a)", "argmax", ["ArgMax", "Cast"]),
    "logsoftmax over the last axis": (
        "a = Conv(x, w) t = Transpose<perm=[0,2,3,1]>(a) y = LogSoftmax(t)", "argmax", ["ArgMax", "Cast"]
    ),
    "softmax over rows is no head": (
        "a = Conv(x, w) y = Softmax<axis=2>(a)", "argmax", ["Softmax", "ArgMax", "Cast"]
    ),
    "sigmoids": ("a = Conv(x, w) b = Sigmoid(a) y = Tanh(b)", "argmax", ["ArgMax", "Cast"]),
    "nearest": (
        'a = Conv(x, w) b = Softmax<axis=1>(a) y = Resize<mode="nearest">(b, , s)', "argmax",
        ["ArgMax", "Cast", "Unsqueeze", "Resize", "Squeeze"],
    ),
    "nearest to sizes, channels last": (
        'a = Conv(x, w) b = Resize<mode="nearest">(a, , , z) y = Transpose<perm=[0,2,3,1]>(b)', "argmax",
        ["ArgMax", "Cast", "Unsqueeze", "Resize", "Squeeze"],
    ),
    "nearest to sizes of the image": (
        'a = Conv(x, w) h = Shape(a) i = Mul(h, m) y = Resize<mode="nearest">(a, , , i)', "argmax",
        ["ArgMax", "Cast", "Unsqueeze", "Resize", "Squeeze"],
    ),
    "linear": (
        'a = Conv(x, w) b = Resize<mode="linear">(a, , s) y = Softmax<axis=1>(b)', "argmax",
        ["Resize", "ArgMax", "Cast"],
    ),
    "flat and back": (
        "a = Conv(x, w) b = Reshape(a, f) c = Softmax<axis=1>(b) y = Reshape(c, u)", "argmax",
        ["ArgMax", "Cast", "Reshape", "Reshape"],
    ),
    "one logit": ("y = Conv(x, w1)", "threshold", ["Greater", "Cast", "Squeeze"]),
    "one probability": ("a = Conv(x, w1) y = Sigmoid(a)", "threshold", ["Greater", "Cast", "Squeeze"]),
    "one probability, resized": (
        'a = Conv(x, w1) b = Sigmoid(a) y = Resize<mode="nearest">(b, , s)', "threshold",
        ["Greater", "Cast", "Squeeze", "Unsqueeze", "Resize", "Squeeze"],
    ),
    "no channel": ("a = Conv(x, w1) b = Sigmoid(a) y = Squeeze(b, k)", "threshold", ["Greater", "Cast", "Squeeze"]),
    "many": ("a = Conv(x, w) y = Sigmoid(a)", "multilabel", ["Greater", "Cast"]),
    "many, resized": (
        'a = Conv(x, w) b = Sigmoid(a) c = Resize<mode="nearest">(b, , s) y = Transpose<perm=[0,2,3,1]>(c)',
        "multilabel", ["Greater", "Cast", "Resize", "Transpose"],
    ),
    "labels": ("a = Conv(x, w) y = ArgMax<axis=1, keepdims=0>(a)", "labels", ["ArgMax", "Cast"]),
    "labels with a channel": ("a = Conv(x, w) y = ArgMax<axis=1>(a)", "labels", ["ArgMax", "Cast", "Squeeze"]),
}  # fmt: skip
CONSTANTS = {
    "w": kernel(5, 3, 1, 1, seed=4), "w1": kernel(1, 3, 1, 1, seed=5), "s": np.array([1, 1, 2, 3], np.float32),
    "z": ints(1, 5, 14, 9), "m": ints(1, 1, 2, 2), "f": ints(1, 5, 63), "u": ints(1, 5, 7, 9), "k": ints(1),
}  # fmt: skip


def head_model(name: str) -> tuple[ir.Model, Recipe]:
    body, head, _ = HEADS[name]
    axes = {"no channel": 3, "labels": 3}.get(name, 4)
    kind = "int64" if head == "labels" else "float"
    model = text(body, x=NCHW, y=f"{kind}[{','.join('ABCD'[:axes])}]", **CONSTANTS)
    last = "channels last" in name or "last axis" in name or name == "many, resized"
    layout = "NHW" if axes == 3 else "NHWC" if last else "NCHW"
    classes = tuple("abcde") if head in ("labels", "argmax", "multilabel") else ()
    return model, completed(
        model, InputRecipe(), OutputRecipe(layout=layout, head=head, threshold=0.3, classes=classes)
    )


@pytest.mark.parametrize("name", HEADS)
def test_every_head_gives_the_masks_of_the_outputs(name: str) -> None:
    model, recipe = head_model(name)
    made = folded(model, recipe, Fold(argmax=True))
    ops = graphs.op_types(made.prepared.model)
    assert [op for op in ops[ops.index("Conv") + 1 :] if op not in ("Shape", "Mul", "Where")] == HEADS[name][2]
    assert completed(made.prepared.model, made.model.recipe.input, made.model.recipe.output) == made.model.recipe
    for seed in range(3):
        tensor = noise(1, 3, 7, 9, seed=seed)
        expected = class_map(graphs.run(model, {"x": tensor}), recipe.output)
        (mask,) = graphs.run(made.prepared.model, {"x": tensor})
        assert mask.dtype == np.uint8
        found = class_map((mask,), made.model.recipe.output)
        np.testing.assert_array_equal(found, expected)
        assert mask.ndim == (4 if recipe.output.head == "multilabel" else 3)


@given(st.floats(-0.5, 1.5))
def test_a_sigmoid_moves_into_any_threshold(threshold: float) -> None:
    model = text("a = Conv(x, w1) y = Sigmoid(a)", x=NCHW, y="float[1,1,7,9]", **CONSTANTS)
    recipe = completed(model, InputRecipe(), OutputRecipe(threshold=threshold))
    made = folded(model, recipe, Fold(argmax=True))
    tensor = noise(1, 3, 7, 9)
    (probability,) = graphs.run(model, {"x": tensor})
    (mask,) = graphs.run(made.prepared.model, {"x": tensor})
    clear = np.abs(probability[:, 0] - threshold) > 1e-6
    np.testing.assert_array_equal(mask[clear], (probability[:, 0] > threshold)[clear])


def test_image_in_and_mask_out_at_once_is_described_by_the_new_recipe() -> None:
    model = text("a = Conv<pads=[1,1,1,1]>(x, w) y = Softmax<axis=1>(a)", x="float[N,3,H,W]", y="float[N,4,H,W]", w=W)
    recipe = completed(model, InputRecipe(size=SIZE, mean=(0.5,), std=(0.2,), channels="BGR", resize="box"))
    made = folded(model, recipe, BOTH)
    inputs, outputs = signature(made.prepared.model)
    assert (inputs[0].name, inputs[0].dtype, inputs[0].shape) == ("pixels", "uint8", (None, None, None, 3))
    assert (outputs[0].name, outputs[0].dtype, len(outputs[0].shape)) == ("mask", "uint8", 3)
    assert made.model.recipe.input == InputRecipe(SIZE, "NHWC", "RGB", 1.0, (0.0,), (1.0,), "box")
    assert made.model.recipe.output == OutputRecipe("mask", "NHW", "labels", 0.5, recipe.output.classes)
    assert complete(made.model.recipe, inputs, outputs, model="m.onnx") == made.model.recipe
    kept = float_recipe(made.prepared.model.metadata_props, made.model.recipe, source="m.onnx")
    assert kept == recipe
    assert FLOAT_RECIPE_KEY in made.prepared.model.metadata_props
    for size in ((7, 9), (12, 5)):
        image = np.concatenate([pixels(size=size, seed=k) for k in range(2)])
        tensor = np.concatenate([fed(part[None], recipe) for part in image])
        expected = graphs.run(model, {"x": tensor})[0].argmax(1)
        np.testing.assert_array_equal(answers(made, image), expected)


def test_nothing_wanted_changes_nothing() -> None:
    model, recipe = head_model("logits")
    given_ = candidate(model, {}, recipe=recipe)
    assert fold(given_, Fold()) is given_


def test_the_model_given_is_not_changed() -> None:
    model, recipe = head_model("nearest")
    given_ = candidate(model, {"x": Range(-3.0, 3.0)}, recipe=recipe)
    before, prepared = to_bytes(given_.prepared.model), given_.prepared
    made = fold(given_, BOTH)
    assert to_bytes(prepared.model) == before != to_bytes(made.prepared.model)
    assert (given_.prepared, given_.model.recipe, given_.overrides) == (prepared, recipe, NO_OVERRIDES)


def test_what_was_decided_stays_but_for_weights_that_folding_rounds() -> None:
    """Ranges of a graph stay true, nodes stay float, and the grid of a weight that is written anew is a new one."""
    model = text("a = Conv<pads=[1,1,1,1]>(x, w) y = Conv(a, v)", x=NCHW, y="float[1,5,7,9]", w=W, v=kernel(5, 4, 1, 1))
    recipe, ranges = completed(model, InputRecipe()), {name: Range(-3.0, 3.0) for name in "xay"}
    plain = candidate(model, ranges, recipe=recipe)
    first, second = plain.plan.weights
    overrides = Overrides(kept_float={"none": "a reason"}, weights=dict(plain.plan.weights))
    made = fold(replace(plain, overrides=overrides, notes=("a note",)), BOTH)
    assert made.overrides.kept_float == {"none": "a reason"}
    assert made.overrides.weights[second] == plain.plan.weights[second]
    assert made.overrides.weights[first] != plain.plan.weights[first]
    assert (made.settings, made.notes, made.model.digest) == (plain.settings, ("a note",), plain.model.digest)
    assert {name: made.ranges.ranges[name] for name in ranges} == ranges


# Bad input.


def refused(model: ir.Model, recipe: Recipe, wanted: Fold) -> str:
    with pytest.raises(PlanError) as error:
        folded(model, recipe, wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_more_classes_than_uint8_holds_are_refused() -> None:
    model = text("y = Conv(x, w)", x=NCHW, y="float[1,300,7,9]", w=kernel(300, 3, 1, 1))
    reason = refused(model, completed(model, InputRecipe()), Fold(argmax=True))
    assert reason == "fold='argmax': 300 classes do not fit uint8, which holds 256; leave it out"


def test_labels_of_unknown_number_are_refused() -> None:
    model = text("a = Conv(x, w) y = ArgMax<axis=1, keepdims=0>(a)", x=NCHW, y="int64[1,7,9]", w=W)
    reason = refused(model, completed(model, InputRecipe()), Fold(argmax=True))
    assert reason == "fold='argmax': output 'y' does not tell how many classes it has; give classes=…"


def test_an_input_that_no_image_fits_is_refused() -> None:
    model = text("y = Conv(x, w)", x="float[1,7,6,8]", y="float[1,4,6,8]", w=kernel(4, 7, 1, 1))
    recipe = completed(model, InputRecipe(layout="NCHW"))
    reason = refused(model, recipe, Fold(preprocess=True))
    assert reason.startswith("fold='preprocess': input 'x' float32 1x7x6x8 takes no float image of 1 or 3 channels")


def test_names_of_the_model_are_left_to_it() -> None:
    """A model that calls its own tensors `pixels` and `mask` keeps them, and their ranges."""
    model = text("pixels = Conv(x, w) mask = Relu(pixels) y = Conv(mask, v)", x=NCHW, y="float[1,5,7,9]",
                 w=kernel(4, 3, 1, 1), v=kernel(5, 4, 1, 1))  # fmt: skip
    made: Any = folded(model, completed(model, InputRecipe()), BOTH).prepared.model.graph
    assert [value.name for value in (*made.inputs, *made.outputs)] == ["pixels_1", "mask_1"]
    assert {"pixels", "mask"} <= {value.name for node in made for value in node.outputs}
