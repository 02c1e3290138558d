"""LiteRT's file format (.tflite): a network written from a candidate's plan, without a converter.

The integers are those of the other formats: the same grids (uint8 becomes int8 with a zero-point 128 less), the same
weights, the same biases. Images lie in NHWC order.
"""

from typing import Any

from quantseg.data.recipe import METADATA_KEY, Recipe, concrete
from quantseg.errors import PlanError
from quantseg.files.tflite import SUFFIX
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.formats.litert.file import to_bytes
from quantseg.quantization.formats.litert.writing import Interface, network

__all__ = ["SUFFIX", "float_to_tflite", "to_tflite"]


DIGEST_KEY = "quantseg.float_sha256"


def to_tflite(candidate: Candidate) -> bytes:
    """The .tflite file of a candidate's int8 network. The same candidate gives the same bytes.

    A graph that was prepared for target litert keeps operators that LiteRT has kernels for; that of the portable target
    is written too. Raises ModelError, with the node's name, for an operator or a type that LiteRT lacks; PlanError for
    a graph of target openvino.
    """
    if candidate.prepared.fused is not None:
        raise PlanError("tflite: activations are fused into products, as OpenVINO does; quantise for target='litert'")
    model = candidate.model
    return to_bytes(network(candidate.prepared.model, candidate.plan, _interface(model)))


def float_to_tflite(model: FloatModel) -> bytes:
    """The .tflite file of a float model, all in float32: to compare with. Raises ModelError as `to_tflite` does."""
    return to_bytes(network(model.prepared.model, None, _interface(model)))


def _interface(model: FloatModel) -> Interface:
    (image,) = concrete([model.input], model.recipe.input)
    sizes = model.inputs.shapes([1 if size is None else size for size in image.shape])
    channels_last = frozenset({model.input.name} if model.recipe.input.layout == "NCHW" else ())
    kept = model.prepared.model.metadata_props
    properties = {key: value for key, value in kept.items() if key.startswith("quantseg.")}
    properties |= {METADATA_KEY: model.recipe.to_toml(), DIGEST_KEY: model.digest}
    return Interface(sizes, channels_last, properties, _for_apps(model.recipe))


def _for_apps(recipe: Recipe) -> dict[str, Any]:
    """What an app needs that does not read TOML."""
    image = recipe.input
    return {
        "labels": list(recipe.output.classes),
        "preprocessing": {
            "channels": image.channels,
            "size": image.size,
            "scale": image.scale,
            "mean": image.mean,
            "std": image.std,
        },
    }
