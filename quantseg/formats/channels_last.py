"""onnxruntime's integer operators on pictures as (N, H, W, C), as its kernels want them: nothing is transposed between.

A node works on pictures where its kernel wants that or where its input is one already, else on the model's own axes, as
in QOperator; the editor transposes where the two meet. A Transpose of the model that does what the editor would is no
node at all, so models that were converted from channels-last frameworks lose theirs.
Source: onnxruntime, ContribOperators.md (QLinearConv, NhwcMaxPool, QLinearAveragePool, QLinearGlobalAveragePool).
"""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from quantseg.formats import interpolation, pixels, qoperator
from quantseg.formats.editor import MICROSOFT, TO_CHANNELS_FIRST, TO_CHANNELS_LAST, ChannelsLast, GraphEditor
from quantseg.ops import IntegerForm, Kind
from quantseg.qtypes import INT8

Writer = Callable[[GraphEditor, ir.Node, IntegerForm], list[ir.Value] | None]
"""Inserts the node on pictures and gives its outputs; None, and nothing inserted, where it cannot."""

SYMMETRIC, SHIFTED = "symmetric", "shifted"
"""Two ways to write a convolution. With zero-point 0 of the weights onnxruntime takes its convolution kernel; with any
other it gathers the windows and takes its matrix product, which alone uses AMX."""


def variants(node: ir.Node) -> tuple[str, ...]:
    """The ways in which a convolution can be written; depthwise ones have a kernel of their own."""
    if node.op_type == "Conv" and pixels.is_picture(node.inputs[0]) and node.attributes.get_int("group", 1) == 1:
        return SYMMETRIC, SHIFTED
    return ()


def emit_node(editor: GraphEditor, node: ir.Node) -> Sequence[ir.Value]:
    """The node on pictures with the channels last; what has no such form, as in QOperator."""
    form = editor.form(node)
    if node.op_type == "Transpose":
        return _transpose(editor, node)
    if form.kind is Kind.INTERPOLATION:
        return interpolation.emit(editor, node, qoperator.calculated)
    if all(pixels.is_picture(value) for value in (node.inputs[form.data[0]], node.outputs[0])):
        on_kernel, anywhere = _KERNELS.get(node.op_type), _ANYWHERE.get(node.op_type)
        at_hand = any(editor.is_channels_last(value) for value in editor.inputs(node))
        writer = on_kernel or (anywhere if at_hand else None)
        written = None if writer is None else writer(editor, node, form)
        if written is not None:
            return ChannelsLast(written)
    return qoperator.emit_node(editor, node)


def _transpose(editor: GraphEditor, node: ir.Node) -> Sequence[ir.Value]:
    """Between the two layouts the integers stay where they are."""
    order, data = tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else (), editor.inputs(node)[0]
    if order == TO_CHANNELS_LAST:
        return [editor.channels_last(data)]
    if order == TO_CHANNELS_FIRST:
        return ChannelsLast([editor.stored(data)])
    return qoperator.emit_node(editor, node)


def _convolution(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    data, weight, *rest = editor.inputs(node)
    is_shifted = editor.plan.variants.get(str(node.name)) == SHIFTED and editor.plan.settings.weight is INT8
    operands = [
        *_operand(editor, data),
        *editor.weight(node, weight, shift=-1 if is_shifted else 0),
        *editor.grid(node.outputs[0]),
    ]
    if form.bias is not None:
        operands.append(editor.bias(node, data, rest[0])[0])
    return _inserted(editor, node, "QLinearConv", operands, channels_last=1)


def _average(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    operands = [*_operand(editor, editor.inputs(node)[0]), *editor.grid(node.outputs[0])]
    return _inserted(editor, node, f"QLinear{node.op_type}", operands, channels_last=1)


def _max_pool(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value] | None:
    if len(node.outputs) > 1 and node.outputs[1].uses():
        return None
    operands = [editor.channels_last(editor.inputs(node)[0])]
    return _inserted(editor, node, "NhwcMaxPool", operands, leave_out=("storage_order",))


def _elementwise(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value] | None:
    """Add, Mul and functions of one number, with broadcasting: any constant, but no tensor of fewer axes."""
    values = editor.inputs(node)
    if not all(pixels.can_be_picture(value) for value in values):
        return None
    operands = [part for value in values for part in _operand(editor, value)]
    return _inserted(editor, node, f"QLinear{node.op_type}", [*operands, *editor.grid(node.outputs[0])])


def _softmax(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value]:
    operands = [*_operand(editor, editor.inputs(node)[0]), *editor.grid(node.outputs[0])]
    axis = pixels.AXES[node.attributes.get_int("axis", -1)]
    return _inserted(editor, node, "QLinearSoftmax", operands, axis=axis, opset=editor.opset)


def _concat(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[ir.Value] | None:
    values, grid = editor.inputs(node), editor.params(node.outputs[0])
    if not all(pixels.can_be_picture(value) for value in values):
        return None
    if all(editor.params(value) == grid for value in values):
        return pixels.concat(editor, node, form)
    operands = [*editor.grid(node.outputs[0]), *(part for value in values for part in _operand(editor, value))]
    return _inserted(editor, node, "QLinearConcat", operands, axis=pixels.AXES[node.attributes["axis"].as_int()])


def _operand(editor: GraphEditor, value: ir.Value | None) -> tuple[ir.Value, ir.Value, ir.Value]:
    return editor.channels_last(value), *editor.grid(value)


def _inserted(
    editor: GraphEditor,
    node: ir.Node,
    op_type: str,
    operands: Sequence[ir.Value | None],
    *,
    leave_out: tuple[str, ...] = (),
    **more: int,
) -> list[ir.Value]:
    """Inserts onnxruntime's operator in the node's name, with its attributes and `more`."""
    kept = {name: attribute for name, attribute in node.attributes.items() if name not in leave_out}
    attributes = kept | {name: ir.AttrInt64(name, number) for name, number in more.items()}
    name = f"{node.outputs[0].name}_quantized"
    return editor.insert(
        op_type, operands, name, domain=MICROSOFT, name=node.name, attributes=tuple(attributes.values())
    )


_KERNELS: dict[str, Writer] = {
    "Conv": _convolution,
    "AveragePool": _average,
    "GlobalAveragePool": _average,
    "MaxPool": _max_pool,
    "DepthToSpace": pixels.depth_to_space,
}
"""Worth two transpositions where the picture is not there yet."""

_ANYWHERE: dict[str, Writer] = {
    "Add": _elementwise,
    "Mul": _elementwise,
    "LeakyRelu": _elementwise,
    "Sigmoid": _elementwise,
    "Softmax": _softmax,
    "Concat": _concat,
    "Pad": pixels.pad,
    "Resize": pixels.nearest,
    "Slice": pixels.cut,
    "Split": pixels.split,
}
"""As good in either layout: they take the one that is there."""
