"""ConvTranspose becomes Conv + DepthToSpace + Slice, which have integer kernels; the arithmetic is in subpixel.py.

There is no Slice where nothing is cropped, and no DepthToSpace where the stride is 1. Unequal strides are interleaved
by Reshape, Transpose, Reshape where at most one size is dynamic, else axis by axis.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, initializer, input_at, ints, owner, replace
from quantseg.graph.passes.conv_transpose_axes import NotLowered, known_sizes, spatial_axes
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of
from quantseg.graph.passes.subpixel import Axis, Phases, phase_weights, phases

COST_LIMIT = 3.0
"""Largest ratio of MACs, lowered form to original, at which lowering pays: with dot-product instructions (AVX-VNNI),
integer convolutions run three to four times as fast as float ones."""

SHALLOW = 64
"""Products for each output value up to which the pixel shuffle takes longer than integers save in WebAssembly, where it
takes 2 ns a value and a product in integers 0.05 ns less than in float."""

_TO_THE_END = np.iinfo(np.int64).max


def lower_conv_transposes(model: ir.Model) -> RewriteOutcome:
    """Lowers every ConvTranspose of the main graph, or says why not. Needs inferred shapes."""
    notes: list[Change | Refusal] = []
    for node in list(model.graph):
        if node.op_type == "ConvTranspose" and node.domain == "":
            name = str(node.name)
            try:
                notes.append(Change("lower_conv_transposes", name, _lower(node)))
            except NotLowered as reason:
                notes.append(Refusal("lower_conv_transposes", name, str(reason)))
    return outcome_of(*notes)


def lower_deep_conv_transposes(model: ir.Model) -> RewriteOutcome:
    """Lowers those of more than SHALLOW products for each output value; the others, as at heads, are left as they are.

    Refusals are left to `lower_conv_transposes`, which comes next where it is not left out.
    """
    nodes = [node for node in model.graph if node.op_type == "ConvTranspose" and node.domain == ""]
    notes: list[Change | Refusal] = []
    for node in nodes:
        if _depth(node) > SHALLOW:
            with suppress(NotLowered):
                notes.append(Change("lower_conv_transposes", str(node.name), _lower(node)))
    return outcome_of(*notes)


def _depth(node: ir.Node) -> float:
    """Products for each output value; 0 where the weights are not constant."""
    weight = constant(input_at(node, 1))
    if weight is None or not weight.size:
        return 0.0
    strides = math.prod(int(step) for step in node.attributes.get_ints("strides", ()))
    per_value = weight.size / weight.shape[1] / node.attributes.get_int("group", 1)
    return float(per_value / max(1, strides))


def _lower(node: ir.Node) -> str:
    """Replaces the node by its lowered form and describes that in words. Raises NotLowered before any edit."""
    weight, bias = constant(input_at(node, 1)), constant(input_at(node, 2))
    if weight is None or weight.dtype != np.float32 or (bias is None and input_at(node, 2) is not None):
        raise NotLowered("its weights are not float32 constants")
    axes = spatial_axes(node, weight.shape)
    found = (phases(axes[0]), phases(axes[1]))
    _check_cost(weight, axes, found)
    groups = node.attributes["group"].as_int() if "group" in node.attributes else 1
    form = _Form(node, groups * weight.shape[1], groups, (axes[0].stride, axes[1].stride), found)
    weights = phase_weights(weight, groups, *found, phases_first=form.phases_first)
    new = form.interleave(form.convolution(weights, bias))
    new += form.crop(new[-1].outputs[0])
    replace(node, new)
    return f"{found[0].count}x{found[1].count} " + " + ".join(step.op_type for step in new)


def _check_cost(weight: NDArray[Any], axes: tuple[Axis, Axis], cheapest: tuple[Phases, Phases]) -> None:
    """Raises NotLowered beyond COST_LIMIT. Compares MACs per input pixel: of the kernel, and of all phases."""
    pairs = weight.shape[0] * weight.shape[1]
    before = pairs * axes[0].kernel * axes[1].kernel
    after = pairs
    for axis, found in zip(axes, cheapest, strict=True):
        after *= found.count * axis.stride
    if after > COST_LIMIT * before:
        raise NotLowered(
            f"as a sub-pixel convolution it takes {after} multiplications for each input pixel, "
            f"more than {COST_LIMIT:g} times the {before} of the original"
        )


@dataclass(frozen=True)
class _Form:
    """The nodes that replace a ConvTranspose. channels: its output channels. Pairs are (vertical, horizontal)."""

    node: ir.Node
    channels: int
    groups: int
    strides: tuple[int, int]
    found: tuple[Phases, Phases]

    @property
    def phases_first(self) -> bool:
        """Whether the channels of one phase are adjacent; in an NHWC tensor the shuffle then copies whole pixels."""
        return self.groups == 1 and self.strides[0] == self.strides[1]

    def convolution(self, weight: NDArray[np.float32], bias: NDArray[Any] | None) -> ir.Node:
        """The convolution that computes all phases, side by side on the channel axis."""
        graph, stem = owner(self.node), str(self.node.name)
        inputs = [self.node.inputs[0], initializer(graph, f"{stem}_phases", weight)]
        if bias is not None:
            count = math.prod(self.strides)
            every = np.tile(bias, count) if self.phases_first else np.repeat(bias, count)
            inputs.append(initializer(graph, f"{stem}_bias", every))
        attributes: dict[str, int | list[int]] = {
            "kernel_shape": [axis.count for axis in self.found],
            "pads": [axis.pad_begin for axis in self.found] + [axis.pad_end for axis in self.found],
            "group": self.groups,
        }
        return ir.node("Conv", inputs, attributes, name=stem)

    def interleave(self, conv: ir.Node) -> list[ir.Node]:
        """The convolution and the nodes that interleave its phases; channels are ordered as in `phase_weights`."""
        stem, value = str(self.node.name), conv.outputs[0]
        if self.strides == (1, 1):
            return [conv]
        if self.strides[0] == self.strides[1]:
            mode = "DCR" if self.phases_first else "CRD"
            attributes: dict[str, int | str] = {"blocksize": self.strides[0], "mode": mode}
            return [conv, ir.node("DepthToSpace", [value], attributes, name=f"{stem}_shuffle")]
        if known_sizes(self.node).count(None) > 1:
            return [conv, *self._moved(value, self._by_axis())]
        apart, together = self._shapes()
        return [
            conv,
            *self._moved(value, [("Reshape", apart), ("Transpose", [0, 1, 4, 2, 5, 3]), ("Reshape", together)]),
        ]

    def _by_axis(self) -> list[tuple[str, list[int]]]:
        """The interleaving where several sizes are dynamic.

        A Reshape can infer one size (-1) and copy others from the same axis (0). In NHWC order this is enough to split
        the channels, (N, H, W, C, s, s), and then to merge the phases into one spatial axis at a time.
        """
        return [
            ("Transpose", [0, 2, 3, 1]),
            ("Reshape", [0, 0, 0, self.channels, *self.strides]),
            ("Transpose", [0, 3, 1, 4, 2, 5]),
            ("Reshape", [0, 0, 0, 0, -1]),
            ("Transpose", [0, 1, 4, 2, 3]),
            ("Reshape", [0, 0, 0, -1]),
            ("Transpose", [0, 1, 3, 2]),
        ]

    def _moved(self, value: ir.Value, steps: list[tuple[str, list[int]]]) -> list[ir.Node]:
        """A chain of Transposes and Reshapes. steps: operator type with its perm or its shape."""
        graph = owner(self.node)
        nodes: list[ir.Node] = []
        for number, (op_type, numbers) in enumerate(steps):
            name = f"{self.node.name}_shuffle_{number}"
            if op_type == "Transpose":
                nodes.append(ir.node(op_type, [value], {"perm": numbers}, name=name))
            else:
                nodes.append(ir.node(op_type, [value, ints(graph, f"{name}_shape", numbers)], name=name))
            value = nodes[-1].outputs[0]
        return nodes

    def crop(self, value: ir.Value) -> list[ir.Node]:
        """A Slice that removes what lies outside the original's output; none where nothing does."""
        cut = [(axis, one) for axis, one in zip((2, 3), self.found, strict=True) if one.crop_begin or one.crop_end]
        if not cut:
            return []
        graph, stem = owner(self.node), str(self.node.name)
        limits = {
            "starts": [one.crop_begin for _, one in cut],
            "ends": [-one.crop_end or _TO_THE_END for _, one in cut],
            "axes": [axis for axis, _ in cut],
        }
        inputs = [ints(graph, f"{stem}_{key}", numbers) for key, numbers in limits.items()]
        return [ir.node("Slice", [value, *inputs], name=f"{stem}_crop")]

    def _shapes(self) -> tuple[list[int], list[int]]:
        """Shapes (N, C, s, s, H, W) and (N, C, s·H, s·W) of the interleaving, −1 for the one dynamic size."""
        batch, height, width = known_sizes(self.node)
        positions = [
            -1 if size is None else size + one.pad_begin + one.pad_end - one.count + 1
            for size, one in zip((height, width), self.found, strict=True)
        ]
        pixels = [-1 if size == -1 else size * stride for size, stride in zip(positions, self.strides, strict=True)]
        first = -1 if batch is None else batch
        return [first, self.channels, *self.strides, *positions], [first, self.channels, *pixels]
