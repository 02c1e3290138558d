"""The committed models: their cards tell the truth, they carry their recipe, and they go through the tool."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from quantseg.data import open_samples
from quantseg.data.drawn_cells import CLASSES, cell_image, draw, write_cells
from quantseg.data.heads.instances import INSTANCE_HEADS
from quantseg.data.recipe import METADATA_KEY, complete, recipe_from_toml
from quantseg.data.sources import opener
from quantseg.evaluation.reference_models import DATA_KEY, INSTANCE_MODELS
from quantseg.graph import TensorSpec
from quantseg.quantization.writing import written
from quantseg.runtimes import RUNTIMES
from quantseg.simulation import saturation
from reference_models import WEIGHTS
from reference_models import __main__ as command
from reference_models.cards import markdown, read_cards
from tests.support import candidates
from tests.support.places import SHARED

REAL = SHARED / "data"
CARDS = read_cards(WEIGHTS)

MASKS = (
    *("cells_unet", "deeplabv3plus", "fc_densenet", "fcn8s", "fpn", "linknet", "mobile", "plain", "pspnet", "segnet"),
    *("unet", "unet_bilinear", "wbc_unet"),
)
MODELS = tuple(sorted((*MASKS, *INSTANCE_MODELS)))

TYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}

# What may still run in float: enlarging the logits behind the last convolution, where rounding costs accuracy and
# integers save nothing.
FLOAT = {name: {"Resize"} for name in ("pspnet", "fpn", "deeplabv3plus")}
# Indices of a pooling are of its float input: rounding makes ties, and another pixel wins.
FLOAT["segnet"] = {"Conv", "MaxPool", "MaxUnpool"}


def session(model, *, unsigned_weights=False):
    """unsigned_weights: onnxruntime's own switch for exact sums without VNNI, at 1.5 to 2 times the latency."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if unsigned_weights:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def recipe_of(path):
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    return recipe_from_toml(metadata[METADATA_KEY], source=path.name), metadata[DATA_KEY]


def prepared(image, recipe):
    x = (image * np.float32(recipe.input.scale) - recipe.input.mean) / recipe.input.std
    return x.transpose(2, 0, 1)[None].astype(np.float32)


def test_every_model_is_there_and_all_together_are_small():
    assert tuple(CARDS) == MODELS
    assert sum((WEIGHTS / f"{name}.onnx").stat().st_size for name in MODELS) < 48_000_000


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_checked_and_carry_a_recipe_that_fits(name):
    path = WEIGHTS / f"{name}.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert onnx.TensorProto.FLOAT16 not in {tensor.data_type for tensor in model.graph.initializer}
    recipe, data = recipe_of(path)
    opened = session(path)
    inputs, outputs = (
        [TensorSpec(v.name, TYPES[v.type], tuple(d if isinstance(d, int) else None for d in v.shape)) for v in values]
        for values in (opened.get_inputs(), opened.get_outputs())
    )
    assert complete(recipe, inputs, outputs, model=path.name) == recipe
    card = CARDS[name]
    assert (card["architecture"], card["data"]) == (name, data)
    assert card["onnx_difference"] < (1e-3 if name in INSTANCE_MODELS else 1e-4)  # boxes are in pixels
    keys = ("ap_by_class", "ap") if name in INSTANCE_MODELS else ("iou", "mean_iou")
    of_classes, mean = (card[f"validation_{key}"] for key in keys)
    assert tuple(of_classes) == recipe.output.classes
    assert np.mean(list(of_classes.values())) == pytest.approx(mean)
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer if tensor.data_type == 1}
    weights.pop("bins", None)  # the numbers 0…7, with which YOLO-seg takes a mean
    # Counted where they are read: the exporter keeps equal tensors once, and the two normalisations that a shortcut
    # adds up have the same shift, since they always had the same gradient.
    # A convolution that reads several levels is one all the same.
    read = [name for node in model.graph.node if node.op_type != "Conv" for name in node.input]
    read += {name for node in model.graph.node if node.op_type == "Conv" for name in node.input}
    moments = [name for node in model.graph.node if node.op_type == "BatchNormalization" for name in node.input[3:]]
    trained = sum(weights.get(name, 0) for name in read) - sum(weights[name] for name in moments)
    assert trained == card["parameters"] < 1_200_000


@pytest.fixture(scope="module")
def smears(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    write_cells(folder, 4, seed=7)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", MASKS)
def test_every_model_is_quantised_and_what_its_decoder_executes_is_int8(name, smears, tmp_path):
    path = WEIGHTS / f"{name}.onnx"
    candidate = candidates.of_file(path, smears)
    model, target = candidate.model, written(candidate).save(tmp_path / "int8.onnx")
    feeds = {model.input.name: opener(smears)(model.recipe, model.input).load(0).tensor}
    nodes = RUNTIMES["onnxruntime"].executed(target, feeds, threads=1, runs=1)
    in_float = {node.op_type for node in nodes if node.kind == "float"}
    assert in_float <= FLOAT.get(name, set())
    assert sum(node.op_type == "QLinearConv" for node in nodes) >= 6
    assert target.stat().st_size < 0.5 * path.stat().st_size
    (expected,), (found,) = (session(file).run(None, feeds) for file in (path, target))
    assert found.shape == expected.shape
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.8
    # It opens only where each weight and its zero-point are a node's own; safe weights need no other kernel.
    (unsigned,) = session(target, unsigned_weights=True).run(None, feeds)
    np.testing.assert_array_equal(unsigned, found)
    assert saturation.verdict_of(target).is_exact


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MASKS if name != "cells_unet"])
def test_the_card_tells_the_mean_iou_on_images_that_training_never_saw(name):
    data = CARDS[name]["data"]
    if not (REAL / data).is_dir():
        pytest.skip("the shared folder of real images is not here")
    from PIL import Image

    path = WEIGHTS / f"{name}.onnx"
    recipe, _ = recipe_of(path)
    camvid = data == "camvid"
    samples = open_samples(REAL / data, dataset="camvid" if camvid else "images", split="val" if camvid else None)
    opened, classes = session(path), len(recipe.output.classes)
    height, width = recipe.input.size
    both, true, found = np.zeros((3, classes))
    # Every fourth image of the validation split, or the held-out fifth.
    for index in range(0, len(samples), 4) if camvid else range(4, len(samples), 5):
        image, mask = samples.read(index)
        resized = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        rows, columns = (np.arange(n) * 2 + 1 for n in (height, width))
        truth = mask[rows[:, None] * mask.shape[0] // (2 * height), columns * mask.shape[1] // (2 * width)]
        (logits,) = opened.run(None, {"image": prepared(resized, recipe)})
        seen = logits[0].argmax(axis=0)
        for k in range(classes):
            both[k] += ((truth == k) & (seen == k)).sum()
            true[k] += (truth == k).sum()
            found[k] += ((seen == k) & (truth < classes)).sum()
    mean_iou = np.mean(both / (true + found - both))
    assert mean_iou == pytest.approx(CARDS[name]["validation_mean_iou"], abs=0.03 if camvid else 1e-3)


def test_the_cells_unet_finds_the_cells_of_images_that_it_never_saw():
    path = WEIGHTS / "cells_unet.onnx"
    recipe, _ = recipe_of(path)
    opened = session(path)
    agreeing = [
        np.mean(opened.run(None, {"image": prepared(image, recipe)})[0][0].argmax(axis=0) == mask)
        for image, mask in map(cell_image, range(6))
    ]
    assert min(agreeing) > 0.97
    assert recipe.output.classes == CLASSES


@pytest.mark.parametrize("name", INSTANCE_MODELS)
def test_the_instance_models_find_the_cells_of_images_that_they_never_saw(name):
    path = WEIGHTS / f"{name}.onnx"
    recipe, _ = recipe_of(path)
    opened, kept, true, found = session(path), 0, 0, 0
    for seed in range(6):
        drawing = draw(seed)
        image, truth = drawing.image, drawing.instances()
        outputs = opened.run(None, {"image": prepared(image, recipe)})
        (seen,) = INSTANCE_HEADS[recipe.output.head].instances(outputs, recipe.output, recipe.output.threshold)
        for number in range(len(recipe.output.classes)):
            a, b = (one.masks[one.classes == number].reshape(-1, 192 * 192).astype(np.float32) for one in (truth, seen))
            both = a @ b.T
            iou = both / (a.sum(axis=1)[:, None] + b.sum(axis=1) - both)
            kept += int((iou >= 0.5).sum())  # at most one pair of an instance, as true ones do not overlap
            true, found = true + len(a), found + len(b)
    assert kept > 0.85 * max(true, found)
    assert opened.run(None, {"image": np.zeros((1, 3, 192, 192), np.float32)})  # the mean image: perhaps no instance


def test_the_table_in_the_readme_is_the_one_that_the_command_prints():
    readme = (WEIGHTS.parent / "README.md").read_text(encoding="utf-8")
    assert markdown(CARDS) in readme


def test_importing_the_package_imports_no_torch():
    code = (
        "import sys, reference_models, reference_models.zoo, reference_models.cards; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_card_that_is_missing_or_damaged_is_one_line(tmp_path, monkeypatch, capsys):
    def table(folder):
        monkeypatch.setattr(sys, "argv", ["reference_models", "table", str(folder)])
        with pytest.raises(SystemExit) as end:
            command.main()
        return end.value.code, *capsys.readouterr()

    (tmp_path / "net.onnx").touch()
    for text in (None, "{", "[]", "{}", '{"data": 1}', "[" * 100_000):
        if text is not None:
            (tmp_path / "net.json").write_text(text)
        code, _, told = table(tmp_path)
        assert code == 2
        assert "net.json: no card of a trained model" in told
        assert told.count("\n") == 1
    code, _, told = table(tmp_path / "none")
    assert code == 2
    assert "none: no trained models in it" in told
    (tmp_path / "net.json").write_text(json.dumps(CARDS["cells_unet"]))
    code, out, _ = table(tmp_path)
    assert code == 0
    assert "391,524" in out
    assert CARDS["cells_unet"]["command"] in out.splitlines()
