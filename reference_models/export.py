"""From a trained network to an ONNX file that carries its recipe; and its size in figures."""

import io
import warnings
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from quantseg.data.recipe import METADATA_KEY, Recipe
from quantseg.evaluation.reference_models import DATA_KEY
from quantseg.files import write_bytes

OPSET = 17


def export(network: nn.Module, recipe: Recipe, path: Path, *, data: str) -> None:
    """Writes ONNX with a dynamic batch, the recipe's height and width, and BatchNormalization left unfolded.

    data: name of the data set that the network was trained on, for the metadata, as is the recipe.
    Raises OutputError where the file cannot be written.
    """
    assert recipe.input.size is not None
    output = recipe.output.name or "logits"
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter over TorchScript is deprecated, but needs no further package and keeps the graph plain.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, *recipe.input.size),),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=[output],
            dynamic_axes={"image": {0: "batch"}, output: {0: "batch"}},
            # PRESERVE leaves the network in evaluation mode and keeps BatchNorm out of the weights.
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, {METADATA_KEY: recipe.to_toml(), DATA_KEY: data})
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))


def largest_difference(network: nn.Module, path: Path, images: Tensor) -> float:
    """Between the outputs of the network and of its ONNX file in onnxruntime, for images (N, 3, H, W).

    Both channels first: another layout sums in another order, and where two pixels of a pooling window are equal up to
    the last bit, SegNet's unpooling then puts the value beside its place.
    """
    images, network = images.contiguous(), network.to(memory_format=torch.contiguous_format)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.inference_mode():
        return float((network(images) - torch.from_numpy(found)).abs().max())


def parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_accumulates(network: nn.Module, size: tuple[int, int]) -> int:
    """Multiplications of all convolutions for one image of `size`, from the shapes that really occur."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
        # Each output pixel of Conv, and each input pixel of ConvTranspose, meets the kernel once.
        pixels = output if isinstance(layer, nn.Conv2d) else inputs[0]
        total += layer.weight.numel() * pixels.shape[2] * pixels.shape[3]

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        network(torch.zeros(1, 3, *size))
    for hook in hooks:
        hook.remove()
    return total
