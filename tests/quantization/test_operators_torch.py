"""What torch's own exporter writes for the parts of segmentation networks is all in integers, by old opsets and new."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from tests.support import graphs, quantised
from tests.support.quantised import noise

torch = pytest.importorskip("torch", reason="torch writes these models; install quantseg[train]")
nn, functional = torch.nn, torch.nn.functional

FEEDS = [{"x": noise(1, 3, 12, 12, seed=seed)} for seed in range(3)]


class Part(nn.Module):  # type: ignore[misc, name-defined]
    """A function of an image and some layers."""

    def __init__(self, function: Callable[..., Any], *layers: Any) -> None:
        super().__init__()
        self._function, self._layers = function, nn.ModuleList(layers)

    def forward(self, x: Any) -> Any:
        return self._function(x, *self._layers)


def conv(before: int, after: int, size: int = 1) -> Any:
    return nn.Conv2d(before, after, size, padding=size // 2)


def gated(x: Any, *layers: Any) -> Any:
    first, second = layers
    return x * torch.sigmoid(second(torch.relu(first(x.mean((2, 3), keepdim=True)))))


def gated_by_vectors(x: Any, *layers: Any) -> Any:
    first, second = layers
    pooled = functional.adaptive_avg_pool2d(x, 1).flatten(1)
    return x * functional.hardsigmoid(second(torch.relu(first(pooled))))[:, :, None, None]


def gated_by_pixels(x: Any, layer: Any) -> Any:
    return x * torch.sigmoid(layer(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


def gated_by_rows(x: Any, layer: Any) -> Any:
    rows, columns = functional.adaptive_avg_pool2d(x, (None, 1)), functional.adaptive_avg_pool2d(x, (1, None))
    return x * torch.sigmoid(layer(rows)) * torch.sigmoid(layer(columns))


def attended(x: Any, *layers: Any) -> Any:
    batch, channels, height, width = x.shape
    query, key, value = (layer(x).flatten(2) for layer in layers)
    pairs = torch.softmax(torch.bmm(query.transpose(1, 2), key) / 2, -1)
    return torch.bmm(value, pairs.transpose(1, 2)).view(batch, channels, height, width) * 0.5 + x


PARTS: dict[str, Callable[[], Any]] = {
    "ReLU6": nn.ReLU6,
    "Hardtanh": nn.Hardtanh,
    "LeakyReLU": lambda: nn.LeakyReLU(0.1),
    "PReLU": lambda: nn.PReLU(8),
    "Hardswish": nn.Hardswish,
    "Hardsigmoid": nn.Hardsigmoid,
    "SiLU": nn.SiLU,
    "Tanh": nn.Tanh,
    "x·relu6(x + 3)/6": lambda: Part(lambda x: x * functional.relu6(x + 3) / 6),
    "x·clamp(x + 3, 0, 6)/6": lambda: Part(lambda x: x * (torch.clamp(x + 3, 0, 6) / 6)),
    "AdaptiveAvgPool2d 1": lambda: Part(lambda x: x + functional.adaptive_avg_pool2d(x, 1)),
    "AdaptiveAvgPool2d 3": lambda: nn.AdaptiveAvgPool2d(3),
    "AdaptiveMaxPool2d 1": lambda: Part(lambda x: x + functional.adaptive_max_pool2d(x, 1)),
    "AvgPool2d, rounded up": lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "AvgPool2d, padding left out": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "Upsample": lambda: nn.Upsample(scale_factor=2),
    "Upsample, bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "Upsample, corners aligned": lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    "interpolate to an image's size": lambda: Part(
        lambda x: functional.interpolate(functional.max_pool2d(x, 2), size=x.shape[2:])
    ),
    "PixelShuffle": lambda: nn.PixelShuffle(2),
    "PixelUnshuffle": lambda: nn.PixelUnshuffle(2),
    "ReflectionPad2d": lambda: nn.ReflectionPad2d(1),
    "ZeroPad2d": lambda: nn.ZeroPad2d((1, 2, 0, 1)),
    "two means": lambda: Part(lambda x: x * x.mean(3, keepdim=True).mean(2, keepdim=True)),
    "chunks": lambda: Part(lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)),
    "GLU": lambda: nn.GLU(1),
    "what the gate leaves": lambda: Part(lambda x: x * (1 - torch.sigmoid(x))),
    "difference": lambda: Part(lambda x, layer: x - layer(x), conv(8, 8)),
    "third of a sum": lambda: Part(lambda x, layer: (x + layer(x)) / 3, conv(8, 8)),
    "squeeze-excite": lambda: Part(gated, conv(8, 4), conv(4, 8)),
    "squeeze-excite by Linear": lambda: Part(gated_by_vectors, nn.Linear(8, 4), nn.Linear(4, 8)),
    "attention over pixels": lambda: Part(gated_by_pixels, conv(2, 1, 7)),
    "attention over rows": lambda: Part(gated_by_rows, conv(8, 8)),
    "self-attention": lambda: Part(attended, conv(8, 4), conv(8, 4), conv(8, 8)),
    "BatchNorm2d of a sum": lambda: Part(lambda x, layer: layer(x + x), nn.BatchNorm2d(8)),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(8, 8, 4, 2, 1),
}


def exported(part: Any, opset: int) -> ir.Model:
    """The part between two convolutions, as torch writes it."""
    channels = part(torch.zeros(1, 8, 12, 12)).shape[1]
    network = nn.Sequential(conv(3, 8), part, conv(channels, 4, 3)).eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, of tracing
        torch.onnx.export(
            network, torch.zeros(1, 3, 12, 12), file, opset_version=opset, dynamo=False,
            input_names=["x"], output_names=["y"],
        )  # fmt: skip
    return ir.serde.deserialize_model(onnx.load_from_string(file.getvalue()))


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize("name", PARTS)
def test_all_of_it_is_in_integers(name: str, opset: int) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        model = exported(PARTS[name]().eval(), opset)
    made = quantised.make(model, FEEDS)
    assert made.plan.kept_float == {}
    assert not [node.op_type for node in quantised.executed(made.model, FEEDS[0]) if node.kind == "float"]
    exact, rounded = graphs.run(model, FEEDS[0])[0], quantised.optimised(made.model, FEEDS[0])[0]
    assert 10 * np.log10(np.square(exact).mean() / np.square(rounded - exact).mean()) > 28
