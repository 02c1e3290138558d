"""Samples of the inputs that a layer's weights multiply: an output is w·x, with x the patch that the kernel covers."""

import math

import numpy as np

from quantseg.quantization.affine import F32
from quantseg.refinement.layers import Array, Layer

SAMPLES = 512
"""Approximate number of patches that are sampled from one image, evenly spread."""

LARGEST_GRAM = 1 << 20
"""Most elements of the matrix E[x xᵀ] of a layer, over all groups."""


def patches(layer: Layer, x: Array) -> F32:
    """Patches of the layer's input x, sampled evenly over the image: (groups, patches, inputs of a row)."""
    if layer.node.op_type != "Conv":
        rows = x.reshape(1, -1, x.shape[-1])
        return np.ascontiguousarray(rows[:, _spread(rows.shape[1])], np.float32)
    kernel = layer.weight.shape[2:]
    strides, dilations = (_ints(layer, name, [1] * len(kernel)) for name in ("strides", "dilations"))
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    padded = np.pad(x, [(0, 0), (0, 0), *_pads(layer, x.shape[2:], spans, strides)])
    spatial = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=spatial)
    every = [slice(None, None, stride) for stride in strides] + [slice(None, None, d) for d in dilations]
    placed = np.moveaxis(windows[tuple([slice(None)] * 2 + every)], 1, len(kernel) + 1)  # (n, places…, c, kernel…)
    places = placed.shape[: len(kernel) + 1]
    taken = placed[np.unravel_index(_spread(math.prod(places)), places)]
    return np.ascontiguousarray(taken.reshape(len(taken), layer.groups, -1).transpose(1, 0, 2), np.float32)


def _spread(total: int) -> Array:
    """About SAMPLES indices below `total`, by a step coprime to it, so that samples spread over all columns."""
    step = max(total // SAMPLES, 1)
    while math.gcd(step, total) != 1:
        step -= 1
    return np.arange(0, total, step)


def _ints(layer: Layer, name: str, default: list[int]) -> list[int]:
    attribute = layer.node.attributes.get(name)
    return default if attribute is None else [int(number) for number in attribute.as_ints()]


def _pads(layer: Layer, sizes: tuple[int, ...], spans: list[int], strides: list[int]) -> list[tuple[int, int]]:
    """Padding (before, after) of each spatial axis, with auto_pad resolved. Source: ONNX operator page of Conv."""
    axes, auto = len(sizes), layer.node.attributes.get_string("auto_pad", "NOTSET")
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0] * (2 * axes) if auto == "VALID" else _ints(layer, "pads", [0] * (2 * axes))
        return list(zip(pads[:axes], pads[axes:], strict=True))
    totals = [max((-(-n // s) - 1) * s + span - n, 0) for n, s, span in zip(sizes, strides, spans, strict=True)]
    less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return list(zip(less, more, strict=True) if auto == "SAME_UPPER" else zip(more, less, strict=True))
