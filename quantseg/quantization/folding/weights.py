"""Weights for pixels and constant channels, from those for what the recipe made of pixels."""

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
"""What a constant channel holds. The largest pixel leaves its weights the smallest: they share the pixels' grid."""

LARGEST_RATIO = 2.0
"""How many times the largest weight of a pixel that of a constant channel may be; above that there are more of them."""

PIXEL_RANGE = Range(0.0, 255.0)
"""In uint8, its grid has scale 1 and zero-point 0: integers are pixels."""


@dataclass(frozen=True, eq=False)
class PixelWeights:
    """A convolution that reads pixels p and sees the offset only inside the image, which it pads with zeros or not.

    kernel: (outputs, image channels, …) for p. offset: (outputs, …), what each tap adds where it meets no border.
    bias: (outputs,). grey: (image channels,), the pixels that the float model sees as zero.
    """

    kernel: F64
    offset: F64
    bias: F64
    grey: F64
    is_padded: bool

    @staticmethod
    def of(node: ir.Node, view: View, channels: int) -> "PixelWeights":
        """The weights of a convolution that reads the view of an image with so many channels, for the image itself.

        Σ W·(a·p + b): a goes to the channel that p comes from. Groups are written out, as an image has few channels.
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
        """How many constant channels the offset is spread over, so that none needs weights far beyond those of pixels.

        No more than that: each of them is rounded, and what all of them err adds up.
        """
        if not self.is_padded:
            return 0
        pixels, planes = (np.abs(w).reshape(len(self.bias), -1).max(axis=1) for w in (self.kernel, self.offset))
        ratio = float(np.max(planes[pixels > 0] / pixels[pixels > 0], initial=0.0)) / INSIDE
        return max(1, math.ceil(ratio / LARGEST_RATIO))

    def stacked(self, planes: int) -> tuple[F64, F64]:
        """Kernel for the image with so many constant channels behind its own, and bias.

        Without a border all offsets are the same everywhere, so that the bias holds them, at no loss.
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
    """The kernel as integers will hold it, the bias that makes up for the rounding at `pixels`, and the kernel's grid.

    Float images are around zero, so the error of a weight is seldom multiplied by much; pixels are all positive, and
    the same error moves the whole output. With (w − w_rounded)·p of the pixels that were zero in the bias, both err
    alike. pixels: (input channels,), the constant ones among them.
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
