"""Every architecture: its size, its shapes, and that its ONNX form computes what torch computes."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from quantseg.data.recipe import OutputRecipe, Recipe

torch = pytest.importorskip("torch")

from reference_models.architectures import ARCHITECTURES  # noqa: E402
from reference_models.export import OPSET, export, multiply_accumulates, parameters  # noqa: E402
from reference_models.zoo import ZOO  # noqa: E402

CLASSES, SIZE = 5, (64, 128)

# What each is in the zoo for: operators that must be in its file.
SPECIAL = {
    "plain": {"ConvTranspose"},
    "unet": {"ConvTranspose", "Concat"},
    "unet_bilinear": {"Resize", "Concat"},
    "segnet": {"MaxPool", "MaxUnpool"},
    "linknet": {"ConvTranspose", "Add"},
    "fcn8s": {"ConvTranspose", "Add"},
    "pspnet": {"GlobalAveragePool", "AveragePool", "Resize", "Concat"},
    "fpn": {"Resize", "Add"},
    "deeplabv3plus": {"Clip", "Resize", "GlobalAveragePool"},
    "fc_densenet": {"ConvTranspose", "Concat", "BatchNormalization"},
    "mobile": {"HardSwish", "HardSigmoid", "PRelu", "GlobalAveragePool"},
    "wbc_unet": {"ConvTranspose", "Concat"},
    "cells_unet": {"ConvTranspose", "Concat"},
    "yolo_seg": {"Sigmoid", "ConvTranspose", "Split", "Softmax", "Resize", "MaxPool"},
    "mask_rcnn": {"RoiAlign", "NonMaxSuppression", "TopK", "NonZero", "GatherElements", "ConvTranspose"},
}

MASKS = [name for name in ARCHITECTURES if not ZOO[name].instances]


def lively(name):
    """A network whose BatchNorms have moments and weights of their own, in evaluation mode."""
    torch.manual_seed(7)
    network = ARCHITECTURES[name](CLASSES)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def test_zoo_and_architectures_name_the_same_models():
    assert list(ZOO) == list(ARCHITECTURES) == list(SPECIAL)


@pytest.mark.parametrize("name", MASKS)
def test_the_exported_model_computes_what_torch_computes(name, tmp_path):
    network = lively(name)
    recipe = Recipe(
        replace(ZOO[name].data.input, size=SIZE),
        OutputRecipe(name="logits", layout="NCHW", head="argmax", classes=tuple("abcde")),
    )
    path = tmp_path / f"{name}.onnx"
    export(network, recipe, path, data="none")
    model = onnx.load(path)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert {node.op_type for node in model.graph.node} >= SPECIAL[name]
    assert {tensor.data_type for tensor in model.graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    image = torch.randn(2, 3, *SIZE)
    with torch.inference_mode():
        expected = network(image).numpy()
    assert expected.shape == (2, CLASSES, *SIZE)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image.numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", MASKS)
def test_multiples_of_its_multiple_are_what_a_network_takes(name, tmp_path):
    network = ARCHITECTURES[name](CLASSES).eval()
    height, width = network.multiple, 3 * network.multiple
    recipe = Recipe(
        replace(ZOO[name].data.input, size=(height, width)),
        OutputRecipe(name="logits", layout="NCHW", head="argmax", classes=tuple("abcde")),
    )
    export(network, recipe, tmp_path / "net.onnx", data="none")
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, height, width)).shape == (1, CLASSES, height, width)
    # Zoo rows fit; what they are trained on, too.
    row = ZOO[name]
    assert not any(side % network.multiple for side in (*row.data.input.size, *(row.settings.crop or ())))


@pytest.mark.parametrize("name", [name for name in MASKS if name != "pspnet"])
def test_half_of_its_multiple_is_not_what_a_network_takes(name):
    network = ARCHITECTURES[name](CLASSES).eval()
    side = 3 * network.multiple // 2
    with torch.inference_mode():
        try:
            shape = network(torch.zeros(1, 3, side, side)).shape[2:]
        except RuntimeError:  # levels of two sizes cannot be joined
            return
    assert shape != (side, side)


@pytest.mark.parametrize("name", MASKS)
def test_every_network_is_small_and_every_parameter_learns(name):
    network = ARCHITECTURES[name](CLASSES).train()
    assert parameters(network) < 1_200_000
    # A parameter behind which nothing depends on the image would get no gradient.
    network(torch.randn(2, 3, *SIZE)).square().mean().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None] == []


def test_unpooling_is_torchs_own_and_so_are_its_gradients():
    from reference_models.architectures.unpooling import pool, unpool

    features = torch.randn(2, 3, 8, 6, requires_grad=True)
    twin = features.detach().clone().requires_grad_()
    values, places = pool(features)
    expected, indices = torch.nn.functional.max_pool2d(twin, 2, return_indices=True)
    assert torch.equal(values, expected)
    found, wanted = unpool(2 * values, places), torch.nn.functional.max_unpool2d(2 * expected, indices, 2)
    assert torch.equal(found, wanted)
    weights = torch.randn_like(found)
    (found * weights).sum().backward()
    (wanted * weights).sum().backward()
    assert torch.equal(features.grad, twin.grad)


def test_a_bilinear_climb_starts_as_interpolation():
    from reference_models.architectures.fcn8s import bilinear_climb

    image = torch.randn(1, 2, 6, 5)
    for factor in (2, 4, 8):
        found = bilinear_climb(2, factor)(image)
        wanted = torch.nn.functional.interpolate(image, scale_factor=factor, mode="bilinear", align_corners=False)
        inner = slice(factor, -factor)  # at the border the one fades into zero, the other repeats
        torch.testing.assert_close(found[..., inner, inner], wanted[..., inner, inner])


def test_multiply_accumulates_of_hand_counted_layers():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, kernel_size=3, padding=1),  # 8·8 pixels · 4·3·9
        torch.nn.MaxPool2d(2),
        torch.nn.ConvTranspose2d(4, 2, kernel_size=2, stride=2),  # 4·4 pixels · 4·2·4
        torch.nn.Flatten(),
        torch.nn.Linear(128, 3),  # 128·3
    )
    assert multiply_accumulates(network, torch.zeros(1, 3, 8, 8)) == 8 * 8 * 108 + 4 * 4 * 32 + 128 * 3
