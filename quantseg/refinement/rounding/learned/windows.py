"""Convolutions and pools in torch, with ONNX's paddings.

torch pads both sides alike and has no auto_pad; where that is not enough, the image is padded first.
Source: ONNX operator pages of Conv, MaxPool, AveragePool.
"""

import math
from collections.abc import Sequence
from typing import Any

import onnx_ir as ir
import torch
from torch.nn import functional as F

Tensors = Sequence[Any]
"""The inputs of a node, in their order; None for an optional one that is left out."""

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def convolution(node: ir.Node, inputs: Tensors) -> Any:
    """Conv."""
    x, weight, bias = (*inputs, None)[:3]
    kernel = list(weight.shape[2:])
    strides, dilations = _ints(node, "strides", len(kernel)), _ints(node, "dilations", len(kernel))
    before, after = _pads(node, x, kernel, strides, dilations)
    x, padding = (x, before) if before == after else (F.pad(x, _of_torch(before, after)), [0] * len(kernel))
    groups = node.attributes.get_int("group", 1)
    return _CONVOLUTIONS[len(kernel)](x, weight, bias, strides, padding, dilations, groups)


def max_pool(node: ir.Node, inputs: Tensors) -> Any:
    """MaxPool, without its second output (indices)."""
    (x,) = inputs
    kernel = list(node.attributes["kernel_shape"].as_ints())
    strides, dilations = _ints(node, "strides", len(kernel)), _ints(node, "dilations", len(kernel))
    before, after = _pads(node, x, kernel, strides, dilations)
    after = [
        a + more for a, more in zip(after, _beyond(node, x, (before, after), kernel, strides, dilations), strict=True)
    ]
    if any(before) or any(after):
        x = F.pad(x, _of_torch(before, after), value=-math.inf)
    return _MAX_POOLS[len(kernel)](x, kernel, strides, 0, dilations)


def average_pool(node: ir.Node, inputs: Tensors) -> Any:
    """AveragePool: the sum over the window divided by the number of its elements that count."""
    (x,) = inputs
    kernel = list(node.attributes["kernel_shape"].as_ints())
    strides, dilations = _ints(node, "strides", len(kernel)), [1] * len(kernel)
    before, after = _pads(node, x, kernel, strides, dilations)
    beyond = _beyond(node, x, (before, after), kernel, strides, dilations)
    pool = _AVERAGE_POOLS[len(kernel)]
    if not any((*before, *after, *beyond)):
        return pool(x, kernel, strides)
    counted = torch.ones((1, 1, *x.shape[2:]))
    own = _of_torch(before, after)
    counted = F.pad(counted, own, value=float(node.attributes.get_int("count_include_pad", 0)))
    outside = _of_torch([0] * len(kernel), beyond)
    x, counted = F.pad(F.pad(x, own), outside), F.pad(counted, outside)
    return pool(x, kernel, strides) / pool(counted, kernel, strides)


def _ints(node: ir.Node, name: str, count: int) -> list[int]:
    return list(node.attributes[name].as_ints()) if name in node.attributes else [1] * count


def _pads(
    node: ir.Node, x: Any, kernel: list[int], strides: list[int], dilations: list[int]
) -> tuple[list[int], list[int]]:
    """Padding before and after, per axis."""
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto == "VALID":
        return [0] * len(kernel), [0] * len(kernel)
    if auto == "NOTSET":
        both = list(node.attributes["pads"].as_ints()) if "pads" in node.attributes else [0] * 2 * len(kernel)
        return both[: len(kernel)], both[len(kernel) :]
    total = [
        max(0, (math.ceil(size / stride) - 1) * stride + dilation * (side - 1) + 1 - size)
        for size, side, stride, dilation in zip(x.shape[2:], kernel, strides, dilations, strict=True)
    ]
    less, more = [t // 2 for t in total], [t - t // 2 for t in total]
    return (less, more) if auto == "SAME_UPPER" else (more, less)


def _beyond(
    node: ir.Node,
    x: Any,
    pads: tuple[list[int], list[int]],
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
) -> list[int]:
    """With ceil_mode, how far the last window reaches beyond the padding, per axis; it must start inside."""
    if not node.attributes.get_int("ceil_mode", 0):
        return [0] * len(kernel)
    found = []
    for size, left, right, side, stride, dilation in zip(x.shape[2:], *pads, kernel, strides, dilations, strict=True):
        reach = dilation * (side - 1) + 1
        steps = math.ceil((size + left + right - reach) / stride)
        if steps * stride >= size + left:
            steps -= 1
        found.append(max(0, steps * stride + reach - size - left - right))
    return found


def _of_torch(before: list[int], after: list[int]) -> list[int]:
    """Padding in the order of torch: the last axis first."""
    return [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
