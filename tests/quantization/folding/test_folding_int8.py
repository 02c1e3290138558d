"""Folding in integers: pixels in, classes out, no float tensor between, and masks as good as without folding."""

import functools
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg import api, graph
from quantseg.data.heads import class_map
from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe
from quantseg.data.sources import opener
from quantseg.evaluation import agreement as evaluation
from quantseg.evaluation.model_files import taken
from quantseg.evaluation.reference_models import reference_models
from quantseg.graph.preparation import prepare
from quantseg.mixed_precision import feeds as measuring
from quantseg.quantization.float_model import RecipeSource
from quantseg.quantization.folding import Fold, fold
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.formats.classes import MOST_PLANES
from quantseg.quantization.plan import KeptFloat, QuantPlan, QuantSettings
from quantseg.quantization.qtypes import INT8
from quantseg.quantization.writing import written
from quantseg.refinement.options import Options
from quantseg.runtimes import RUNTIMES
from tests.quantization.folding.test_folding import BOTH, completed, fed, pixels, text
from tests.support import graphs, models, quantised
from tests.support.candidates import candidate
from tests.support.command_line import Command
from tests.support.graphs import Array
from tests.support.places import SHARED
from tests.support.quantised import kernel

SIZE = (32, 32)
IMAGES = [pixels(size=SIZE, seed=seed) for seed in range(4)]
IMAGENET = InputRecipe(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Int8:
    """A model quantised with the extrema over IMAGES, folded or not."""

    plan: QuantPlan
    model: ir.Model
    recipe: Recipe

    def run(self, feed: Array) -> Array:
        (name,) = (value.name for value in self.model.graph.inputs)
        return quantised.optimised(self.model, {str(name): feed})[0]


def int8(model: ir.Model, recipe: Recipe, wanted: Fold, qformat: str, **chosen: Any) -> Int8:
    prepared = prepare(model)
    ranges = quantised.extrema(prepared.model, [{"x": fed(image, recipe)} for image in IMAGES])
    made = written(fold(candidate(prepared, ranges, QuantSettings(**chosen), recipe=recipe), wanted), qformat)
    onnx.checker.check_model(onnx.load_from_string(graph.to_bytes(made.model)), full_check=True)
    return Int8(made.plan, made.model, made.candidate.model.recipe)


def types(model: ir.Model) -> dict[str, str]:
    """The type of every tensor that a node makes, as onnxruntime sees it."""
    proto = onnx.load_from_string(graph.to_bytes(model))
    known = {value.name for value in proto.graph.output}
    made = (name for node in proto.graph.node for name in node.output if name and name not in known)
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return {value.name: value.type for value in session.get_outputs()}


def floats(model: ir.Model) -> set[str]:
    return {
        name for name, kind in types(model).items() if kind not in ("tensor(uint8)", "tensor(int64)", "tensor(bool)")
    }


@functools.cache
def unet() -> ir.Model:
    return ir.serde.deserialize_model(models.unet(base=8, depth=2, classes=5, size=SIZE[0]))


@functools.cache
def unet_int8(qformat: str, wanted: Fold) -> Int8:
    return int8(unet(), completed(unet(), IMAGENET), wanted, qformat)


@pytest.mark.parametrize("qformat", ["qoperator", "channels-last"])
def test_no_float_tensor_is_left(qformat: str) -> None:
    made = unet_int8(qformat, BOTH).model
    assert floats(made) == set()
    assert {value.dtype for value in (*made.graph.inputs, *made.graph.outputs)} == {ir.DataType.UINT8}
    scales = [value for value in made.graph.initializers.values() if value.dtype == ir.DataType.FLOAT]
    assert all("scale" in str(value.name) and len(value.shape or ()) <= 1 for value in scales)


def test_qdq_runs_without_floats_once_it_is_fused() -> None:
    nodes = quantised.executed(unet_int8("qdq", BOTH).model, {"pixels": IMAGES[0]})
    assert not [node for node in nodes if node.kind == "float"]
    assert not [node for node in nodes if node.op_type in ("QuantizeLinear", "DequantizeLinear")]


@pytest.mark.parametrize("qformat", FORMATS)
def test_masks_are_as_near_to_float_as_without_folding(qformat: str) -> None:
    recipe = completed(unet(), IMAGENET)
    expected = [graphs.run(unet(), {"x": fed(image, recipe)})[0].argmax(1) for image in IMAGES]
    found = [unet_int8(qformat, BOTH).run(image) for image in IMAGES]
    plain = [unet_int8(qformat, Fold()).run(fed(image, recipe)).argmax(1) for image in IMAGES]
    assert np.mean(np.equal(found, expected)) >= np.mean(np.equal(plain, expected)) - 0.005


@pytest.mark.parametrize("qformat", FORMATS)
def test_the_class_map_is_that_of_the_integers(qformat: str) -> None:
    """Ties among them included: of equal classes the first, as numpy takes it of the numbers they stand for."""
    recipe = completed(unet(), IMAGENET)
    tensor = fed(IMAGES[0], recipe)
    logits = unet_int8(qformat, Fold()).run(tensor)
    assert (np.sort(logits, axis=1)[:, -1] == np.sort(logits, axis=1)[:, -2]).any()
    np.testing.assert_array_equal(unet_int8(qformat, Fold(argmax=True)).run(tensor), logits.argmax(1))


def test_all_formats_give_the_same_masks() -> None:
    first, *rest = ([unet_int8(qformat, BOTH).run(image) for image in IMAGES] for qformat in FORMATS)
    for other in rest:
        assert np.mean(np.equal(first, other)) > 0.99


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("count", [2, 5, MOST_PLANES + 1])
def test_any_number_of_classes(count: int, qformat: str) -> None:
    """Plane by plane where they are few, else onnxruntime's ArgMax; the first of equal classes in both."""
    twice = np.concatenate([kernel(count, 3, 1, 1)[:-1], kernel(count, 3, 1, 1)[:1]])  # the last class is the first
    for opset in (13, 18):
        model = text("y = Conv(x, w)", x="float[N,3,H,W]", y=f"float[N,{count},H,W]", w=twice, opset=opset)
        recipe = completed(model, replace(IMAGENET, size=SIZE))
        made = int8(model, recipe, BOTH, qformat)
        assert ("ArgMax" in graphs.op_types(made.model)) == (qformat == "qdq" or count > MOST_PLANES)
        expected = graphs.run(model, {"x": fed(IMAGES[0], recipe)})[0].argmax(1)
        assert np.mean(made.run(IMAGES[0]) == expected) > 0.97
        assert made.run(IMAGES[0]).max() < count - 1 or count == 2


@settings(max_examples=20)
@given(st.sampled_from([-1e9, 1e9, None]), st.floats(-2, 2, width=32), st.sampled_from(list(FORMATS)))
def test_a_threshold_is_exact_on_the_integers(far: float | None, near: float, qformat: str) -> None:
    """The mask of a threshold on the numbers that the integers stand for, beyond either end of their grid too."""
    threshold = near if far is None else far
    model = text("y = Conv(x, w)", x="float[1,3,32,32]", y="float[1,1,32,32]", w=kernel(1, 3, 1, 1))
    recipe = completed(model, IMAGENET, OutputRecipe(threshold=threshold))
    tensor = fed(IMAGES[0], recipe)
    numbers = int8(model, recipe, Fold(), qformat).run(tensor)
    mask = int8(model, recipe, Fold(argmax=True), qformat).run(tensor)
    np.testing.assert_array_equal(mask, numbers[:, 0] > np.float32(threshold))


HEADS = {
    "softmax, nearest": ('a = Conv(x, w) b = Softmax<axis=1>(a) y = Resize<mode="nearest">(b, , s)', "argmax", 64),
    "linear": ('a = Conv(x, w) y = Resize<mode="linear">(a, , s)', "argmax", 64),
    "sigmoid": ("a = Conv(x, w1) y = Sigmoid(a)", "threshold", 32),
    "sigmoid, linear": ('a = Conv(x, w1) b = Resize<mode="linear">(a, , s) y = Sigmoid(b)', "threshold", 64),
    "sigmoids": ("a = Conv(x, w) y = Sigmoid(a)", "multilabel", 32),
}


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", HEADS)
def test_every_head_in_every_format(name: str, qformat: str) -> None:
    body, head, side = HEADS[name]
    count = 1 if head == "threshold" else 4
    scales = np.array([1, 1, 2, 2], np.float32)
    weights = {"w": kernel(4, 3, 1, 1), "w1": kernel(1, 3, 1, 1), "s": scales}
    model = text(body, x="float[1,3,32,32]", y=f"float[1,{count},{side},{side}]", **weights)
    recipe = completed(model, IMAGENET, OutputRecipe(head=head))
    made = int8(model, recipe, BOTH, qformat)
    if qformat != "qdq":
        assert floats(made.model) == set()
    expected = class_map(graphs.run(model, {"x": fed(IMAGES[0], recipe)}), recipe.output)
    assert np.mean(class_map((made.run(IMAGES[0]),), made.recipe.output) == expected) > 0.97


@pytest.mark.parametrize("qformat", FORMATS)
def test_a_model_with_channels_last_has_no_transpose_left(qformat: str) -> None:
    model = text(
        "t = Transpose<perm=[0,3,1,2]>(x) a = Conv<pads=[1,1,1,1]>(t, w) r = Relu(a) c = Conv(r, v) "
        "y = Transpose<perm=[0,2,3,1]>(c)",
        x="float[1,32,32,3]", y="float[1,32,32,9]", w=kernel(8, 3, 3, 3), v=kernel(9, 8, 1, 1),
    )  # fmt: skip
    recipe = completed(model, InputRecipe(scale=1 / 127.5, mean=(1.0,), channels="BGR"))
    made = int8(model, recipe, BOTH, qformat)
    expected = graphs.run(model, {"x": fed(IMAGES[0], recipe)})[0].argmax(3)
    assert np.mean(made.run(IMAGES[0]) == expected) > 0.95
    if qformat == "channels-last":  # one, from images to the planes of classes
        assert graphs.op_types(made.model).count("Transpose") == 1


@pytest.mark.slow
@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("chosen", [{"symmetric": True}, {"activation": INT8}, {"activation": INT8, "symmetric": True}])
def test_other_integers_than_pixels_follow_float_nodes(chosen: dict[str, Any], qformat: str) -> None:
    recipe = completed(unet(), IMAGENET)
    made = int8(unet(), recipe, BOTH, qformat, **chosen)
    plain = int8(unet(), recipe, Fold(argmax=True), qformat, **chosen)
    for image in IMAGES:
        np.testing.assert_array_equal(made.run(image), plain.run(fed(image, recipe)))


@pytest.mark.parametrize("qformat", FORMATS)
def test_a_first_convolution_in_float_reads_the_pixels_too(qformat: str) -> None:
    name = next(str(node.name) for node in prepare(unet()).model.graph if node.op_type == "Conv")
    recipe = completed(unet(), IMAGENET)
    made = int8(unet(), recipe, BOTH, qformat, exclude=(name,))
    (decision,) = (node.decision for node in made.plan.nodes if node.op_type == "DequantizeLinear")
    assert isinstance(decision, KeptFloat)
    expected = graphs.run(unet(), {"x": fed(IMAGES[0], recipe)})[0].argmax(1)
    assert np.mean(made.run(IMAGES[0]) == expected) > 0.9


@pytest.mark.parametrize("qformat", FORMATS)
def test_the_first_convolution_is_as_exact_as_on_float_images(qformat: str) -> None:
    """On images brighter than those that normalising is for, whose pixels multiply every weight's rounding."""
    weights = np.concatenate([kernel(15, 3, 3, 3), 1e-9 * kernel(1, 3, 3, 3)])  # the last channel is dead, but for b
    model = text("y = Conv<pads=[1,1,1,1]>(x, w, b)", x="float[1,3,32,32]", y="float[1,16,32,32]",
                 w=weights, b=np.full(16, 0.3, np.float32))  # fmt: skip
    recipe = completed(model, IMAGENET)
    folded, plain = (int8(model, recipe, wanted, qformat) for wanted in (Fold(preprocess=True), Fold()))
    errors: dict[str, list[float]] = {"folded": [], "plain": []}
    for image in IMAGES:
        tensor = fed(image, recipe)
        (expected,) = graphs.run(model, {"x": tensor})
        step = float(folded.plan.tensors["y"].scale)
        assert np.abs(folded.run(image) - expected)[:, -1].max() < step
        for name, found in (("folded", folded.run(image)), ("plain", plain.run(tensor))):
            errors[name].append(float(np.square(found - expected).mean()))
    assert np.mean(errors["folded"]) < 1.05 * np.mean(errors["plain"])


# Real models.


@dataclass(frozen=True)
class Real:
    """A trained model, how it takes images, and where some are. loss: of equal pixels, that folding may cost."""

    model: Path
    data: Path
    flags: dict[str, object]
    loss: float = 0.0


REAL = {
    "cells_unet": Real(reference_models()["cells_unet"], Path("cells:8@96x96"), {}),
    "deeplab": Real(
        SHARED / "models/deeplab_v3_mbv2_voc.onnx", SHARED / "data/camvid/val",
        {"scale": 1 / 127.5, "mean": (1.0,)}, 0.001,
    ),
    "ppocr": Real(
        SHARED / "models/ppocr_mobile_v2_det.onnx", SHARED / "data/camvid/val",
        {"channels": "BGR", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "size": (192, 256)},
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_models_lose_nothing(name: str, tmp_path: Path) -> None:
    """Folded as against not, both beside float. What a final linear Resize on integers costs is in `loss`."""
    real = REAL[name]
    if not real.model.is_file():
        pytest.skip(f"{real.model.name} is not here")
    loaded = api.load(real.model, RecipeSource(flags=real.flags))
    images = opener(real.data, limit=8)
    data = images(loaded.recipe, loaded.input)
    options = Options(effort="fast", qformat="channels-last", threads=1)
    given_ = api.calibrate(loaded, data, options=options)
    agreement = {}
    for wanted in (Fold(), BOTH):
        made = api.quantize(loaded, given_, options=replace(options, fold=wanted))
        target, folded = made.save(tmp_path / f"{wanted.argmax}.onnx"), taken(made, loaded, images)
        assert (folded is None) == (wanted == Fold())
        runtime = RUNTIMES["onnxruntime"]
        with (
            closing(runtime.open(real.model, threads=1, spinning=False)) as reference,
            closing(runtime.open(target, threads=1, spinning=False)) as candidate,
        ):
            found = evaluation.evaluate(reference, candidate, data, loaded.recipe, folded=folded)
        agreement[wanted] = found.pixel_agreement
        assert (found.sqnr_db is None) == wanted.argmax
    assert agreement[BOTH] >= agreement[Fold()] - real.loss - 0.0005


# The command line.


def made_by_command(quantseg: Command, model: Path, images: Path, folder: Path, *words: str) -> Path:
    target = folder / "folded.onnx"
    done = quantseg("quantize", model, "--data", images, "--effort", "fast", "--threads", 1, "-o", target, *words)
    assert done.code == 0, done.err
    assert "takes 'pixels' uint8" in done.out
    assert "gives 'mask' uint8" in done.out
    return target


PREPROCESSING = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225", "--channels", "BGR")


@pytest.mark.slow
@pytest.mark.parametrize("qformat", FORMATS)
def test_a_folded_model_needs_no_flags(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, qformat: str
) -> None:
    folds = ("--fold-preprocess", "--fold-argmax", "--format", qformat)
    target = made_by_command(quantseg, float_model, images, tmp_path, *PREPROCESSING, *folds)
    done = quantseg("evaluate", target, "--data", images, "--reference", float_model, "--threads", 1)
    assert (done.code, done.err) == (0, ""), done.err
    (line,) = (line for line in done.out.splitlines() if "equal pixels" in line)
    assert float(line.split()[-2]) > 95
    (line,) = (line for line in done.out.splitlines() if "output SQNR" in line)
    assert line.split()[-1] == "–"
    alone = quantseg("evaluate", target, "--data", images, "--threads", 1)
    assert (alone.code, alone.err) == (0, "")
    assert "mean IoU" in alone.out
    for words in (("benchmark", float_model, target, "--rounds", 1, "--runs", 1), ("inspect", target, "--runs", 1)):
        done = quantseg(*words, "--threads", 1)
        assert (done.code, done.err) == (0, ""), done.err


def test_a_model_of_any_size_keeps_the_size_of_its_recipe(quantseg: Command, images: Path, tmp_path: Path) -> None:
    model = text("a = Conv<pads=[1,1,1,1]>(x, w) y = Sigmoid(a)", x="float[N,3,H,W]", y="float[N,4,H,W]",
                 w=kernel(4, 3, 3, 3))  # fmt: skip
    (tmp_path / "m.onnx").write_bytes(graph.to_bytes(model))
    folds = ("--size", "24x40", "--head", "multilabel", "--fold-preprocess", "--fold-argmax")
    target = made_by_command(quantseg, tmp_path / "m.onnx", images, tmp_path, *folds)
    shapes = {name: array.shape for name, array in measuring.feeds_for(target, RecipeSource()).items()}
    assert shapes == {"pixels": (1, 24, 40, 3)}
    flags = ("--data", images, "--no-masks", "--reference", tmp_path / "m.onnx", "--threads", 1)
    done = quantseg("evaluate", target, *flags)
    assert (done.code, done.err) == (0, ""), done.err
    (line,) = (line for line in done.out.splitlines() if "equal pixels" in line)
    assert float(line.split()[-2]) > 90


def test_a_mask_smaller_than_the_image(quantseg: Command, images: Path, tmp_path: Path) -> None:
    model = text("y = Conv<pads=[1,1,1,1], strides=[4,4]>(x, w)", x="float[1,3,32,32]", y="float[1,4,8,8]",
                 w=kernel(4, 3, 3, 3))  # fmt: skip
    (tmp_path / "m.onnx").write_bytes(graph.to_bytes(model))
    target = made_by_command(quantseg, tmp_path / "m.onnx", images, tmp_path, "--fold-preprocess", "--fold-argmax")
    flags = ("--data", images, "--reference", tmp_path / "m.onnx", "--threads", 1)
    done = quantseg("evaluate", target, *flags)
    assert (done.code, done.err) == (0, ""), done.err


def test_one_fold_without_the_other(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    """Pixels in, numbers out: then there is an SQNR."""
    target = tmp_path / "folded.onnx"
    words = ("--data", images, "--threads", 1)
    done = quantseg("quantize", float_model, *words, *PREPROCESSING, "-o", target, "--fold-preprocess")
    assert done.code == 0, done.err
    done = quantseg("evaluate", target, *words, "--reference", float_model)
    assert (done.code, done.err) == (0, ""), done.err
    (line,) = (line for line in done.out.splitlines() if "output SQNR" in line)
    assert float(line.split()[-2]) > 20


def test_the_target_that_is_measured_takes_folded_models(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    made_by_command(
        quantseg, float_model, images, tmp_path, "--fold-preprocess", "--fold-argmax", "--target", "ort-cpu",
        "--no-cache", "--no-timing",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--fold-argmax",), "300 classes do not fit uint8, which holds 256; leave it out"),
        (("--fold-preprocess", "--exclude", "Conv"), "every node stays float"),
    ],
)
def test_what_cannot_be_folded_is_said_in_one_line(
    quantseg: Command, images: Path, tmp_path: Path, words: Sequence[str], reason: str
) -> None:
    model = text("y = Conv(x, w)", x="float[1,3,32,32]", y="float[1,300,32,32]", w=kernel(300, 3, 1, 1))
    (tmp_path / "m.onnx").write_bytes(graph.to_bytes(model))
    done = quantseg("quantize", tmp_path / "m.onnx", "--data", images, "--threads", 1, *words)
    assert done.code == 2
    assert reason in done.err.splitlines()[-1]


def test_flags_for_the_float_model_are_refused_on_the_folded_one(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    target = made_by_command(quantseg, float_model, images, tmp_path, "--fold-preprocess", "--fold-argmax")
    done = quantseg("evaluate", target, "--data", images, *PREPROCESSING)
    assert done.code == 2
    assert "takes raw pixels; leave scale, mean and std out" in done.err


def test_the_same_input_gives_the_same_bytes() -> None:
    recipe = completed(unet(), IMAGENET)
    for qformat in FORMATS:
        again = int8(unet(), recipe, BOTH, qformat)
        assert graph.to_bytes(again.model) == graph.to_bytes(unet_int8(qformat, BOTH).model)
