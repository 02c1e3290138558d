"""onnxruntime's integer operators on NHWC tensors, as its kernels compute: no Transposes between them.

A node is written on NHWC tensors where its kernel needs that or its input exists so already, else on the model's own
axes, as in QOperator; the editor transposes between the two. A Transpose of the model between these two layouts becomes
no node at all, so models converted from channels-last frameworks lose theirs.
Source: onnxruntime, ContribOperators.md (NhwcMaxPool, QLinearAveragePool, QLinearGlobalAveragePool and the like).
"""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from quantseg.quantization.formats import convolution, direct, interpolation, qoperator
from quantseg.quantization.formats.channels_last import movement as pixels
from quantseg.quantization.formats.editor import TO_CHANNELS_FIRST, TO_CHANNELS_LAST, GraphEditor, Stored
from quantseg.quantization.formats.slots import AXES, LAST, SlotTensor, compact, count_of, is_image
from quantseg.quantization.formats.writer import MICROSOFT
from quantseg.quantization.operators import IntegerForm, Kind

Writer = Callable[[GraphEditor, ir.Node, IntegerForm], list[SlotTensor] | None]
"""Inserts the node on NHWC tensors and returns its outputs; None, and nothing inserted, where it cannot."""

variants = convolution.variants


def emit_node(editor: GraphEditor, node: ir.Node) -> Sequence[Stored]:
    """The node on NHWC tensors; as in QOperator where it has no such form."""
    form = editor.form(node)
    if node.op_type == "Transpose":
        return _transpose(editor, node)
    if form.kind is Kind.INTERPOLATION:
        return interpolation.emit(editor, node, qoperator.calculated)
    if all(is_image(value) for value in (node.inputs[form.data[0]], node.outputs[0])):
        at_hand = any(editor.is_channels_last(value) for value in editor.inputs(node))
        writer = _KERNELS.get(node.op_type) or (_ANYWHERE.get(node.op_type) if at_hand else None)
        written = None if writer is None else writer(editor, node, form)
        if written is not None:
            return written
    return qoperator.emit_node(editor, node)


def _transpose(editor: GraphEditor, node: ir.Node) -> Sequence[Stored]:
    """A Transpose between NCHW and NHWC only relabels the integers; any other is written as in QOperator."""
    order, data = tuple(node.attributes["perm"].as_ints()) if "perm" in node.attributes else (), editor.inputs(node)[0]
    if order == TO_CHANNELS_LAST and is_image(node.inputs[0]):
        return [editor.channels_last(data)]
    if order == TO_CHANNELS_FIRST and is_image(node.outputs[0]):
        return [compact(editor.stored(data), count_of(node.outputs[0]))]
    return qoperator.emit_node(editor, node)


def _average(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor]:
    data = editor.inputs(node)[0]
    tensor = editor.tensor(data)
    operands = [tensor.value, *editor.grid(data), *editor.grid(node.outputs[0])]
    return [tensor.with_value(_inserted(editor, node, operands, channels_last=1))]


def _max_pool(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor] | None:
    if len(node.outputs) > 1 and node.outputs[1].uses():
        return None
    tensor = editor.tensor(editor.inputs(node)[0])
    written = editor.stand_in(node, "NhwcMaxPool", [tensor.value], domain=MICROSOFT, leave_out=("storage_order",))
    return [tensor.with_value(value) for value in written]


def _elementwise(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor] | None:
    """Add, Mul and unary functions, with broadcasting of any constant, but not of a tensor of lower rank."""
    values = editor.inputs(node)
    tensors = pixels.aligned(editor, values)
    if tensors is None:
        return None
    operands = [
        part for tensor, value in zip(tensors, values, strict=True) for part in (tensor.value, *editor.grid(value))
    ]
    written = _inserted(editor, node, [*operands, *editor.grid(node.outputs[0])])
    return [max(tensors, key=lambda tensor: len(tensor.channels)).with_value(written)]


def _clamp(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor] | None:
    if not direct.is_clamp_on_one_grid(editor, node):
        return None
    tensor = editor.tensor(editor.inputs(node)[0])
    return [tensor.with_value(direct.clamped(editor, node, tensor.value)[0])]


def _softmax(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor]:
    """Over any axis, on a compact tensor."""
    data = editor.inputs(node)[0]
    operands = [editor.channels_last(data), *editor.grid(data), *editor.grid(node.outputs[0])]
    axis = AXES[node.attributes.get_int("axis", -1)]
    written = _inserted(editor, node, operands, axis=axis, opset=editor.opset)
    return [compact(written, count_of(data))]


def _concat(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor] | None:
    """Channel slots are concatenated as they are, padding included."""
    values = editor.inputs(node)
    axis = AXES[node.attributes["axis"].as_int()]
    tensors = pixels.side_by_side(editor, values) if axis == LAST else pixels.aligned(editor, values)
    if tensors is None:
        return None
    joined = pixels.concat_places(tensors) if axis == LAST else tensors[0].channels
    pairs = zip(tensors, values, strict=True)
    operands = [qoperator.on_grid_of(editor, tensor.value, value, node.outputs[0]) for tensor, value in pairs]
    return [SlotTensor(editor.stand_in(node, "Concat", operands, axis=axis)[0], joined)]


def _inserted(editor: GraphEditor, node: ir.Node, operands: Sequence[ir.Value], **changed: int) -> ir.Value:
    return editor.stand_in(node, f"QLinear{node.op_type}", operands, domain=MICROSOFT, leave_out=(), **changed)[0]


_KERNELS: dict[str, Writer] = {
    "Conv": convolution.emit,
    "AveragePool": _average,
    "GlobalAveragePool": _average,
    "MaxPool": _max_pool,
    "DepthToSpace": pixels.depth_to_space,
}
"""Operators whose NHWC kernel is worth two Transposes where the NHWC tensor does not exist yet."""

_ANYWHERE: dict[str, Writer] = {
    "Add": _elementwise,
    "Mul": _elementwise,
    "LeakyRelu": _elementwise,
    "Relu": _clamp,
    "Clip": _clamp,
    "Sigmoid": _elementwise,
    "Softmax": _softmax,
    "Concat": _concat,
    "Pad": pixels.pad,
    "Resize": pixels.nearest,
    "Slice": pixels.cut,
    "Split": pixels.split,
    "Gather": pixels.chosen,
}
"""Operators that are as fast in either layout: they take the one that exists."""
