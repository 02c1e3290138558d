"""AveragePool in the forms that integer kernels compute correctly: no dilations, no ceil_mode with count_include_pad.

    pool(x, pads=p, count_include_pad) = pool(Pad(x, p))
With ceil_mode a last window may reach beyond the padding. ONNX does not count the pixels beyond it, but onnxruntime's
integer kernel (1.31) does, together with the padding; a pool without padding of its own is right. So the padding
becomes a Pad. ONNX leaves out a last window that would begin in the padding, so the Pad ends with the last window.
A dilated window, which opset 19 allows, becomes a depthwise Conv of equal weights; dilations of 1 are dropped.

A window as large as the image becomes a GlobalAveragePool: on AVX2, OpenVINO (2026.4) requantises the mean of few
channels twice, which changes it; a GlobalAveragePool is a ReduceMean there, which is right.
"""

import math

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import initializer, ints, owner, replace, static_shape
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of

MOST_WEIGHTS = 1 << 24
"""Most weights (window times channels) of a Conv that replaces a dilated pool, which itself has none in the file."""


def lower_average_pools(model: ir.Model) -> RewriteOutcome:
    """Rewrites every such AveragePool of the main graph. Needs inferred shapes."""
    pools = [node for node in model.graph if node.op_type == "AveragePool" and node.domain == ""]
    changes = [change for node in pools if (change := _undilate(node) or _globalise(node)) is not None]
    left = [node for node in pools if node.graph is not None and _counts_beyond(node)]
    return outcome_of(*changes, *(_separate(node) for node in left))


def _undilate(node: ir.Node) -> Change | None:
    """Drops dilations of 1; turns a dilated pool into a Conv, if it counts its padding or has none."""
    spread = node.attributes.pop("dilations", None)
    if spread is None or set(spread.as_ints()) == {1}:
        return None
    shape, window = node.inputs[0].shape if node.inputs[0] is not None else None, node.attributes["kernel_shape"]
    channels = shape[1] if shape is not None else None
    pads = node.attributes.get("pads")
    counted = node.attributes.get_int("count_include_pad", 0) == 1 or pads is None or not any(pads.as_ints())
    by_name = node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    too_large = isinstance(channels, int) and channels * math.prod(window.as_ints()) > MOST_WEIGHTS
    if (
        not isinstance(channels, int)
        or too_large
        or not counted
        or by_name
        or node.attributes.get_int("ceil_mode", 0) == 1
    ):
        node.attributes["dilations"] = spread
        return None
    sizes, name = window.as_ints(), str(node.name)
    weight = np.full((channels, 1, *sizes), 1 / np.prod(sizes), np.float32)
    kept = [node.attributes[key] for key in ("auto_pad", "kernel_shape", "pads", "strides") if key in node.attributes]
    inputs = [node.inputs[0], initializer(owner(node), f"{name}_weight", weight)]
    replace(node, [ir.Node("", "Conv", inputs, [*kept, spread, ir.AttrInt64("group", channels)], name=name)])
    return Change("lower_average_pools", name, "its window is dilated: now a depthwise Conv")


def _globalise(node: ir.Node) -> Change | None:
    """Turns a pool whose only window is the whole image into a GlobalAveragePool."""
    sizes, attributes = static_shape(node.inputs[0]), node.attributes
    pads, auto = attributes.get("pads"), attributes.get_string("auto_pad", "NOTSET")
    padded = auto.startswith("SAME") or (auto == "NOTSET" and pads is not None and any(pads.as_ints()))
    window = tuple(attributes["kernel_shape"].as_ints())
    if sizes is None or sizes[2:] != window or padded or "dilations" in attributes:
        return None
    replace(node, [ir.node("GlobalAveragePool", [node.inputs[0]], name=node.name)])
    return Change("lower_average_pools", str(node.name), "its window is the image: now a GlobalAveragePool")


def _counts_beyond(node: ir.Node) -> bool:
    return bool(node.attributes.get_int("ceil_mode", 0) and node.attributes.get_int("count_include_pad", 0))


def _separate(node: ir.Node) -> Change | Refusal:
    name, added = str(node.name), _widths(node)
    if isinstance(added, str):
        return Refusal("lower_average_pools", name, added)
    kept = [value for key, value in node.attributes.items() if key not in ("pads", "count_include_pad", "auto_pad")]
    nodes, source = [], node.inputs[0]
    if any(any(side) for side in added):
        before, after = added
        widths = ints(owner(node), f"{name}_pads", [0, 0, *before, 0, 0, *after])
        nodes = [ir.node("Pad", [source, widths], name=f"{name}_padded")]
        source = nodes[0].outputs[0]
    replace(node, [*nodes, ir.Node("", "AveragePool", [source], kept, name=name)])
    return Change("lower_average_pools", name, "its padding stands before it" if nodes else "has no padding to count")


def _widths(node: ir.Node) -> tuple[list[int], list[int]] | str:
    """The padding before and after each spatial axis, or why it is not known."""
    window = node.attributes["kernel_shape"].as_ints()
    auto, ones = node.attributes.get_string("auto_pad", "NOTSET"), [1] * len(window)
    own = node.attributes.get("pads") if auto == "NOTSET" else None
    if auto.startswith("SAME"):
        return f"counts padding by auto_pad {auto} and rounds its size up"
    if own is None or not any(own.as_ints()):
        return [0] * len(window), [0] * len(window)
    steps = node.attributes["strides"].as_ints() if "strides" in node.attributes else ones
    spread = node.attributes["dilations"].as_ints() if "dilations" in node.attributes else ones
    sizes = static_shape(node.inputs[0])
    if sizes is None:
        return "counts its padding and rounds its size up, which needs fixed sizes of images; export with those"
    pads = own.as_ints()
    before, after = list(pads[: len(window)]), list(pads[len(window) :])
    for axis, size in enumerate(sizes[2:]):
        reach = (window[axis] - 1) * spread[axis] + 1
        last = -(-(before[axis] + size + after[axis] - reach) // steps[axis]) * steps[axis]
        if last >= before[axis] + size:
            last -= steps[axis]
        after[axis] = min(after[axis], last + reach - before[axis] - size)
    return before, after
