"""Operators that every format writes directly on integers, since no runtime fuses their QDQ form."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from quantseg.quantization.affine import dequantize, quantize
from quantseg.quantization.formats.editor import GraphEditor
from quantseg.quantization.operators import Kind
from quantseg.quantization.operators.activation import clamp_bounds


def moved(editor: GraphEditor, node: ir.Node) -> list[ir.Value]:
    """The same operator on the integers of its data inputs."""
    form = editor.form(node)
    inputs = list(editor.inputs(node))
    for index in form.data:
        inputs[index] = editor.stored(inputs[index])
    return editor.stand_in(node, node.op_type, inputs)


def _where(editor: GraphEditor, node: ir.Node) -> list[ir.Value]:
    """Where, with the zero-point instead of real zero, in the same shape."""
    form = editor.form(node)
    kept = form.data[0]
    inputs = [node.inputs[0], *editor.inputs(node)[1:]]  # the condition may come from a replaced node
    zero = inputs[3 - kept]
    assert zero is not None
    assert zero.const_value is not None
    zero_point = editor.params(inputs[kept]).zero_point
    inputs[3 - kept] = editor.zero_point(np.broadcast_to(zero_point, zero.const_value.shape.numpy()))
    inputs[kept] = editor.stored(inputs[kept])
    return editor.stand_in(node, node.op_type, inputs)


def _pad(editor: GraphEditor, node: ir.Node) -> list[ir.Value]:
    """Pad with real zero, which is the integer zero-point."""
    data, pads, _, *axes = (*editor.inputs(node), None, None)[:4]
    _, zero_point = editor.grid(data)
    inputs = [editor.stored(data), pads, zero_point, *axes]
    while inputs[-1] is None:
        inputs.pop()
    return editor.stand_in(node, node.op_type, inputs)


def is_clamp_on_one_grid(editor: GraphEditor, node: ir.Node) -> bool:
    """Whether a Relu or Clip can compare integers: its input and output have the same grid."""
    if editor.form(node).kind is not Kind.CLAMP:
        return False
    return editor.params(editor.inputs(node)[0]) == editor.params(node.outputs[0])


def clamped(editor: GraphEditor, node: ir.Node, integers: ir.Value) -> list[ir.Value]:
    """Clip of integers, between those that represent the bounds."""
    params = editor.params(node.outputs[0])
    low, high = (quantize(np.float32(bound), params) for bound in clamp_bounds(node))
    bounds = [editor.shared(f"{node.name}_{what}", np.asarray(value)) for what, value in (("low", low), ("high", high))]
    return editor.insert("Clip", [integers, *bounds], f"{node.outputs[0].name}_quantized", name=node.name)


def _above(editor: GraphEditor, node: ir.Node) -> list[ir.Value]:
    """Greater than a constant t, on integers: greater than the largest integer that represents at most t."""
    data, threshold = editor.inputs(node)
    assert threshold is not None
    assert threshold.const_value is not None
    params = editor.params(data)
    grid = np.arange(params.qtype.qmin, params.qtype.qmax + 1).astype(params.qtype.dtype)
    below = grid[dequantize(grid, params) <= threshold.const_value.numpy().reshape(())]
    # Where every integer represents more than t, the result is always true, which no Greater on integers expresses.
    op_type, bound = ("Greater", below[-1:]) if below.size else ("GreaterOrEqual", grid[:1])
    name = str(node.outputs[0].name)
    inputs = [editor.stored(data), editor.constant(f"{name}_bound", bound.reshape(()))]
    return editor.insert(op_type, inputs, f"{name}_quantized", name=node.name)


def _already_stored(editor: GraphEditor, node: ir.Node) -> list[ir.Value]:
    """A DequantizeLinear: its input already is the integers of its output."""
    pixels = editor.inputs(node)[0]
    assert pixels is not None
    return [pixels]


WRITERS: dict[str, Callable[[GraphEditor, ir.Node], list[ir.Value]]] = {
    "ArgMax": moved,
    "DequantizeLinear": _already_stored,
    "Equal": moved,
    "Greater": _above,
    "Pad": _pad,
    "ReduceMax": moved,
    "ReduceMin": moved,
    "SpaceToDepth": moved,
    "Split": moved,  # a runtime fuses it only if every output is read
    "Where": _where,
}
