"""From a trained network to an ONNX file that carries its recipe; and its size in figures."""

import io
import warnings
from collections.abc import Mapping, Sequence
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
    """Writes ONNX with the recipe's height and width, and BatchNormalization left unfolded.

    The batch is dynamic, but for networks that take one image. Those with several outputs name them and their first
    axes in an attribute `outputs`.

    data: name of the data set that the network was trained on, for the metadata, as is the recipe.
    Raises OutputError where the file cannot be written.
    """
    assert recipe.input.size is not None
    outputs: Mapping[str, str] = getattr(network, "outputs", {recipe.output.name or "logits": "batch"})
    axes = {name: {0: axis} for name, axis in outputs.items()}
    if "batch" in outputs.values():
        axes["image"] = {0: "batch"}
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
            output_names=list(outputs),
            dynamic_axes=axes,
            # PRESERVE leaves the network in evaluation mode and keeps BatchNorm out of the weights.
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    model = onnx.load_from_string(buffer.getvalue())
    _name_axes(model, network, recipe.input.size)
    onnx.helper.set_model_props(model, {METADATA_KEY: recipe.to_toml(), DATA_KEY: data})
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))


def _name_axes(model: onnx.ModelProto, network: nn.Module, size: tuple[int, int]) -> None:
    """Only the first axis of an output depends on the image; the exporter gives names to others, too."""
    with torch.inference_mode():
        found = network(torch.zeros(1, 3, *size))
    for value, tensor in zip(model.graph.output, (found,) if isinstance(found, Tensor) else found, strict=True):
        for axis, side in list(zip(value.type.tensor_type.shape.dim, tensor.shape, strict=True))[1:]:
            axis.dim_value = side


def largest_difference(network: nn.Module, path: Path, images: Tensor) -> float:
    """Between the outputs of the network and of its ONNX file in onnxruntime, for images (N, 3, H, W).

    Both channels first: another layout sums in another order, and where two pixels of a pooling window are equal up to
    the last bit, SegNet's unpooling then puts the value beside its place.
    """
    images, network = images.contiguous(), network.to(memory_format=torch.contiguous_format)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = [torch.from_numpy(out) for out in session.run(None, {session.get_inputs()[0].name: images.numpy()})]
    with torch.inference_mode():
        outputs = network(images)
    expected = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    if "detections" in getattr(network, "outputs", {}).values():
        return max(_unlike(expected, found), _unlike(found, expected))
    return max(float((a - b).abs().max()) for a, b in zip(expected, found, strict=True))


def _unlike(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """The largest difference between instances and the nearest of others; 1 where there are no others.

    The last bit of two scores may change the order of rows, so those of one label are compared by their boxes.
    """
    if not len(some[0]) or not len(others[0]):
        return float(len(some[0]) > 0)
    keys = (torch.cat((boxes, 1e4 * labels[:, None].to(boxes.dtype)), dim=1) for boxes, labels, *_ in (some, others))
    nearest = torch.cdist(*keys, compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)
    return max(float((a - b[nearest]).abs().max()) for a, b in zip(some, others, strict=True))


def parameters(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_accumulates(network: nn.Module, image: Tensor) -> int:
    """Multiplications of all convolutions and linear layers for an image (1, 3, H, W), from the shapes that occur.

    Of a network that looks at regions, this image's regions count.
    """
    total = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))
        # Each output pixel of Conv, and each input pixel of ConvTranspose, meets the kernel once.
        pixels = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        total += layer.weight.numel() * pixels.numel() // pixels.shape[1]

    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.inference_mode():
        network(image)
    for hook in hooks:
        hook.remove()
    return total
