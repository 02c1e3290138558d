"""First-layer weights for pixels and constant channels, from the weights for preprocessed images."""

import math
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from quantseg.graph.passes.linear import linear
from quantseg.quantization.affine import QuantParams, Range, dequantize, params_of_weights, quantize
from quantseg.quantization.folding.image_view import F64, View
from quantseg.quantization.pairs import safe_scale
from quantseg.quantization.plan import QuantSettings, bounds_pairs

INSIDE = 255
"""The value of a constant channel: the largest pixel, so that its weights, on the pixel weights' grid, are smallest."""

LARGEST_RATIO = 2.0
"""Largest ratio of a constant channel's weight to the largest pixel weight; beyond it, more channels share the load."""

PIXEL_RANGE = Range(0.0, 255.0)
"""In uint8 its grid has scale 1 and zero-point 0, so that the integers are the pixels."""


@dataclass(frozen=True, eq=False)
class PixelWeights:
    """A first convolution rewritten for pixels: kernel·p + offset + bias, the offset only inside the image.

    kernel: (outputs, image channels, …). offset: (outputs, …), what each tap adds at pixels inside the image.
    bias: (outputs,). grey: (image channels,), the pixel value that preprocessing maps to zero. is_padded: whether the
    convolution pads with zeros.
    """

    kernel: F64
    offset: F64
    bias: F64
    grey: F64
    is_padded: bool

    @staticmethod
    def of(node: ir.Node, view: View, channels: int) -> "PixelWeights":
        """The weights for pixels of a convolution that reads `view`. channels: of the image.

        Of Σ W·(a·p + b), W·a belongs to the source channel of p. Groups are written as one dense kernel, as an image
        has few channels.
        """
        found = linear(node)
        assert found is not None
        groups, outputs, inputs, *taps = found.kernel.shape
        dense = np.zeros((groups * outputs, channels, *taps))
        offset = np.zeros((groups * outputs, *taps))
        for place, source in enumerate(view.source):
            group, inner = divmod(place, inputs)
            rows = slice(group * outputs, (group + 1) * outputs)
            dense[rows, source] += found.kernel[group, :, inner] * view.scale[place]
            offset[rows] += found.kernel[group, :, inner] * view.shift[place]
        zeros = np.zeros(channels)
        zeros[list(view.source)] = -view.shift / np.where(view.scale, view.scale, 1.0)
        return PixelWeights(dense, offset, found.bias, np.clip(zeros, 0, INSIDE), _pads(node))

    @property
    def carriers(self) -> int:
        """Number of constant channels that the offset is spread over, so that their weights keep to LARGEST_RATIO.

        No more than needed: each one's weights are rounded, and their errors add up.
        """
        if not self.is_padded:
            return 0
        pixels, planes = (np.abs(w).reshape(len(self.bias), -1).max(axis=1) for w in (self.kernel, self.offset))
        ratio = float(np.max(planes[pixels > 0] / pixels[pixels > 0], initial=0.0)) / INSIDE
        return max(1, math.ceil(ratio / LARGEST_RATIO))

    def stacked(self, planes: int) -> tuple[F64, F64]:
        """The kernel for the image with `planes` constant channels appended, and the bias.

        Without padding the sum of the offsets is the same at every pixel, so it goes into the bias, exactly.
        """
        taps = self.offset.shape[1:]
        shape = (len(self.bias), planes, *taps)
        if not self.is_padded:
            whole = self.bias + self.offset.reshape(len(self.bias), -1).sum(axis=1)
            return np.concatenate([self.kernel, np.zeros(shape)], axis=1), whole
        carriers = min(self.carriers, planes)
        shares = np.zeros(shape)
        shares[:, :carriers] = self.offset[:, None] / (carriers * INSIDE)
        return np.concatenate([self.kernel, shares], axis=1), self.bias


def settle(kernel: F64, bias: F64, pixels: F64, settings: QuantSettings) -> tuple[F64, F64, QuantParams]:
    """The rounded kernel, the bias corrected for the rounding at `pixels`, and the kernel's grid.

    Preprocessed images are centred at zero, so that the rounding errors of weights average out; pixels are positive, so
    that the same errors shift the output. Adding (w − w_rounded)·p to the bias, for the pixels p that preprocessing
    maps to zero, makes the errors the same again. pixels: (input channels,), constant channels included.
    """
    params = params_of_weights(
        kernel.astype(np.float32),
        settings.wide_weight,
        axis=0 if settings.per_channel else None,
        symmetric=settings.wide_weight.signed or settings.symmetric,
        reduced=settings.reduce_range,
    )
    if bounds_pairs(params.qtype, settings):
        rows = kernel.astype(np.float32).reshape(*kernel.shape[:2], math.prod(kernel.shape[2:]))
        params = replace(params, scale=safe_scale(rows, params.scale))
    rounded = dequantize(quantize(kernel.astype(np.float32), params), params).astype(np.float64)
    error = (kernel - rounded).reshape(*kernel.shape[:2], -1).sum(axis=2)
    return rounded, bias + error @ pixels, params


def _pads(node: ir.Node) -> bool:
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    own = node.attributes["pads"].as_ints() if "pads" in node.attributes else ()
    return str(auto).startswith("SAME") or (auto == "NOTSET" and any(own))
