"""A ConvTranspose's attributes, resolved for each axis. Source: ONNX's operator documentation, ConvTranspose."""

from collections.abc import Sequence

import onnx_ir as ir

from quantseg.graph.passes.subpixel import Axis


class NotLowered(Exception):
    """Why a node is not lowered, in words for the plan."""


def spatial_axes(node: ir.Node, weight_shape: Sequence[int]) -> tuple[Axis, Axis]:
    """The vertical and the horizontal axis, with auto_pad and output_shape resolved to pads.

    Raises NotLowered for 1-D and 3-D, dilation, negative pads, and output_shape where the input's size is
    dynamic.
    """
    if len(weight_shape) != 4:
        raise NotLowered(f"only two spatial axes are lowered, it has {len(weight_shape) - 2}")
    if any(dilation != 1 for dilation in _ints(node, "dilations", (1, 1))):
        raise NotLowered("only dilation 1 is lowered")
    kernel = weight_shape[2:]
    strides = _ints(node, "strides", (1, 1))
    extra = _ints(node, "output_padding", (0, 0))
    pads = _ints(node, "pads", (0, 0, 0, 0))
    auto = node.attributes["auto_pad"].as_string() if "auto_pad" in node.attributes else "NOTSET"
    if min(pads) < 0:
        raise NotLowered("it has negative pads")
    if auto != "NOTSET":
        pads = (0, 0, 0, 0)
    axes = tuple(Axis(kernel[i], strides[i], pads[i], pads[i + 2], extra[i]) for i in range(2))
    wanted = _wanted_sizes(node, axes, auto)
    if wanted is not None:
        asked = "output_shape" in node.attributes
        axes = tuple(_fitted(axis, *sizes, auto, asked=asked) for axis, sizes in zip(axes, wanted, strict=True))
    return axes[0], axes[1]


def known_sizes(node: ir.Node) -> tuple[int | None, int | None, int | None]:
    """Batch, height and width of the node's input, None where dynamic."""
    value = node.inputs[0]
    dims = list(value.shape) if value is not None and value.shape is not None else [None] * 4
    batch, _, height, width = (dim if isinstance(dim, int) else None for dim in dims)
    return batch, height, width


def _wanted_sizes(node: ir.Node, axes: Sequence[Axis], auto: str) -> list[tuple[int, int]] | None:
    """(input, output) pixels of each axis where pads follow from output_shape or auto_pad, else None."""
    if "output_shape" in node.attributes:
        _, height, width = known_sizes(node)
        if height is None or width is None:
            raise NotLowered("it asks for an output_shape, and the input's size is dynamic")
        return list(zip((height, width), node.attributes["output_shape"].as_ints()[-2:], strict=True))
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return [(1, axis.stride) for axis in axes]  # stride times as large, at any size
    return None


def _fitted(axis: Axis, size: int, wanted: int, auto: str, *, asked: bool) -> Axis:
    """The axis with pads that give `wanted` output pixels; with output padding where that is more than without pads."""
    bare = Axis(axis.kernel, axis.stride, 0, 0, axis.output_padding)
    total = bare.length(size) - wanted
    if total < 0 and not asked:
        raise NotLowered(f"auto_pad {auto} with a kernel smaller than the stride, which runtimes size differently")
    if total < 0:
        return Axis(axis.kernel, axis.stride, 0, 0, axis.output_padding - total)
    begin = total // 2 if auto == "SAME_UPPER" else total - total // 2
    return Axis(axis.kernel, axis.stride, begin, total - begin, axis.output_padding)


def _ints(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return node.attributes[name].as_ints() if name in node.attributes else default
