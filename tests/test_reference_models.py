"""The reference models: the committed weights do what their card says, and the training path works."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from quantseg.data.cells import CLASSES, cell_image
from quantseg.metrics.confusion import ConfusionMatrix
from quantseg.recipe import METADATA_KEY, TensorSpec, complete, recipe_from_toml
from reference_models import WEIGHTS

CARDS = sorted(WEIGHTS.glob("*.json"))


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.stem)
def test_weights_are_small_checked_and_carry_a_recipe_that_fits(card):
    path = card.with_suffix(".onnx")
    assert path.stat().st_size < 2_000_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    recipe = recipe_from_toml(metadata[METADATA_KEY], source=path.name)
    opened = session(path)
    inputs, outputs = (
        [TensorSpec(v.name, "float32", tuple(d if isinstance(d, int) else None for d in v.shape)) for v in values]
        for values in (opened.get_inputs(), opened.get_outputs())
    )
    assert complete(recipe, inputs, outputs, model=path.name) == recipe
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    normalisations = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    moments = {name for node in normalisations for name in node.input[3:]}
    trained = sum(int(np.prod(dims)) for name, dims in weights.items() if name not in moments)
    assert trained == json.loads(card.read_text())["parameters"]


def test_the_cells_unet_finds_the_cells_of_pictures_that_it_never_saw():
    path = WEIGHTS / "cells_unet.onnx"
    opened = session(path)
    recipe = recipe_from_toml(opened.get_modelmeta().custom_metadata_map[METADATA_KEY], source=path.name)
    total = ConfusionMatrix.empty(len(CLASSES))
    for seed in range(6):
        image, mask = cell_image(seed)
        x = (image * np.float32(recipe.input.scale) - recipe.input.mean) / recipe.input.std
        (logits,) = opened.run(None, {"image": x.transpose(2, 0, 1)[None].astype(np.float32)})
        total += ConfusionMatrix.from_masks(mask, logits[0].argmax(axis=0), len(CLASSES))
    assert total.mean_iou() > 0.94
    assert total.mean_iou() == pytest.approx(
        json.loads(path.with_suffix(".json").read_text())["validation_mean_iou"], abs=0.03
    )


def test_importing_the_package_imports_no_torch():
    code = "import sys, reference_models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def tiny():
    """Two training steps of the real network on tiny pictures: network, losses, architecture."""
    pytest.importorskip("torch")
    from dataclasses import replace

    from reference_models.architectures import ARCHITECTURES
    from reference_models.train import train

    row = ARCHITECTURES["cells_unet"]
    size = (32, 48)
    recipe = replace(row.recipe, input=replace(row.recipe.input, size=size))
    architecture = replace(row, recipe=recipe, crop=(32, 32))
    return *train(architecture, steps=2, seed=3, batch=2), architecture


def test_the_same_seed_trains_to_the_same_losses_and_another_does_not(tiny):
    from reference_models.train import train

    _, losses, architecture = tiny
    assert np.isfinite(losses).all()
    assert train(architecture, steps=2, seed=3, batch=2)[1] == losses
    assert train(architecture, steps=2, seed=4, batch=2)[1] != losses


def test_the_exported_model_computes_what_torch_computes(tiny, tmp_path):
    import torch

    from reference_models.export import export, parameters
    from reference_models.train import tensors

    network, _, architecture = tiny
    export(network, architecture, tmp_path / "tiny.onnx")
    batch, _ = tensors([architecture.draw(k, architecture.size) for k in range(3)], architecture.recipe)
    with torch.inference_mode():
        expected = network(batch).numpy()
    (found,) = session(tmp_path / "tiny.onnx").run(None, {"image": batch.contiguous().numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-4)
    kinds = {node.op_type for node in onnx.load(tmp_path / "tiny.onnx").graph.node}
    assert {"BatchNormalization", "ConvTranspose", "Concat"} <= kinds
    assert parameters(network) == 391_524


def test_training_pictures_are_prepared_as_the_recipe_prepares_them(tiny):
    from PIL import Image

    from quantseg.data.preprocess import to_tensor
    from reference_models.train import tensors

    _, _, architecture = tiny
    sample = architecture.draw(5, architecture.size)
    batch, _ = tensors([sample], architecture.recipe)
    expected = to_tensor(Image.fromarray(sample[0]), architecture.recipe.input, "float32")
    np.testing.assert_allclose(batch.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_validation_counts_every_pixel(tiny):
    from reference_models.train import validate

    network, _, architecture = tiny
    assert validate(network, architecture, pictures=2).counts.sum() == 2 * 32 * 48


def test_multiply_accumulates_of_hand_counted_layers():
    torch = pytest.importorskip("torch")
    from reference_models.export import multiply_accumulates

    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, kernel_size=3, padding=1),  # 8·8 pixels · 4·3·9
        torch.nn.MaxPool2d(2),
        torch.nn.ConvTranspose2d(4, 2, kernel_size=2, stride=2),  # 4·4 pixels · 4·2·4
    )
    assert multiply_accumulates(network, (8, 8)) == 8 * 8 * 108 + 4 * 4 * 32


def test_a_loss_of_perfect_logits_is_nearly_zero_and_of_wrong_ones_is_not():
    torch = pytest.importorskip("torch")
    from reference_models.losses import segmentation_loss, soft_dice_loss

    target = torch.tensor([[[0, 1], [2, 2]]])
    right = 50.0 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1)
    assert segmentation_loss(right, target) < 1e-6
    assert segmentation_loss(-right, target) > 1
    # By hand, for uniform logits: p = 1/3; class 0: (2·1/3 + 1) / (4/3 + 1 + 1), class 2 with two pixels.
    by_hand = 1 - (2 * (5 / 3) / (10 / 3) + (4 / 3 + 1) / (4 / 3 + 3)) / 3
    assert float(soft_dice_loss(0 * right, target)) == pytest.approx(by_hand)
