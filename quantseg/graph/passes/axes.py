"""Pad and Resize with an `axes` input or attribute (opset 18), rewritten to name all axes.

    Pad(x, [p, q], axes=[2]) = Pad(x, [0, 0, p, 0, 0, 0, q, 0])        Resize likewise, with scale 1 elsewhere
onnxruntime 1.31 moves Transposes past these nodes as if they named all axes, and then fails at run time.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, initializer, input_at, ints, owner, rank, static_shape
from quantseg.graph.passes.outcome import Change, RewriteOutcome
from quantseg.graph.passes.pad import widths


def write_all_axes(model: ir.Model) -> RewriteOutcome:
    """Rewrites them in the main graph where pads, scales and sizes are constant. Needs inferred shapes."""
    changes = []
    for node in model.graph:
        rewrite = {"Pad": _pad, "Resize": _resize}.get(node.op_type) if node.domain == "" else None
        if rewrite is not None and rewrite(node):
            changes.append(Change("write_all_axes", str(node.name), f"{node.op_type} names every axis"))
    return RewriteOutcome(tuple(changes))


def _pad(node: ir.Node) -> bool:
    axes = rank(node.inputs[0])
    added = None if axes is None or input_at(node, 3) is None else widths(node, axes)
    if added is None:
        return False
    node.replace_input_with(1, ints(owner(node), f"{node.name}_pads", [*added[0], *added[1]]))
    node.resize_inputs(3)
    return True


def _resize(node: ir.Node) -> bool:
    """Only without a region of interest (roi)."""
    named, before = node.attributes.get("axes"), static_shape(node.inputs[0])
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    if (named is None and policy == "stretch") or before is None or input_at(node, 1):
        return False
    scales, sizes = constant(input_at(node, 2)), constant(input_at(node, 3))
    places = list(range(len(before))) if named is None else [axis % len(before) for axis in named.as_ints()]
    if policy != "stretch" and scales is None and sizes is not None:
        resolved = _resolved(policy, [before[place] for place in places], sizes.tolist())
        aligned = node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "align_corners"
        if resolved is None or not (resolved.is_exact or aligned):
            return False
        sizes = np.array(resolved.sizes, np.int64)
        del node.attributes["keep_aspect_ratio_policy"]
    if scales is not None:
        every: NDArray[Any] = np.ones(len(before), np.float32)
        every[places] = scales
        node.replace_input_with(2, initializer(owner(node), f"{node.name}_scales", every))
    elif sizes is not None:
        every = np.array(before, np.int64)
        every[places] = sizes
        node.replace_input_with(3, initializer(owner(node), f"{node.name}_sizes", every))
    else:
        return False
    node.attributes.pop("axes", None)
    return True


@dataclass(frozen=True)
class _Resolved:
    """Sizes that keep proportions. is_exact: whether each is its axis times one and the same scale, unrounded."""

    sizes: tuple[int, ...]
    is_exact: bool


def _resolved(policy: str, before: list[int], wanted: list[int]) -> _Resolved | None:
    """The sizes of a keep_aspect_ratio_policy; source: ONNX's documentation of Resize, since opset 18."""
    if policy not in ("not_larger", "not_smaller") or not all(before):
        return None
    choose = min if policy == "not_larger" else max
    scale = choose(Fraction(size, axis) for size, axis in zip(wanted, before, strict=True))
    whole = tuple(math.floor(scale * axis + Fraction(1, 2)) for axis in before)
    return _Resolved(whole, all(scale * axis == size for axis, size in zip(before, whole, strict=True)))
