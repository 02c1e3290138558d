"""Functions of single elements, and of elements at the same index of several tensors."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from quantseg.files.tflite.schema import NONE
from quantseg.quantization.affine import QuantParams, quantize
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.layout import Order, PlacedTensor, of_image, plain
from quantseg.quantization.formats.litert.network import Tensor
from quantseg.quantization.formats.litert.writers.attributes import numbers
from quantseg.quantization.operators.activation import clamp_bounds
from quantseg.quantization.qtypes import INT8

Writer = Callable[[Editor, ir.Node], None]

ONTO_UNIT = QuantParams(np.array(1 / 256, np.float32), np.array(-128, np.int8), INT8)
"""The grid that LiteRT's LOGISTIC and SOFTMAX write, for [0, 1)."""
ONTO_SIGNED_UNIT = QuantParams(np.array(1 / 128, np.float32), np.array(0, np.int8), INT8)
"""The grid that its TANH writes, for [−1, 1)."""
_TYPE_OF_CLAMP = {(0.0, float("inf")): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}


def unary(kind: str, **options: Any) -> Writer:
    """The writer of an operator with one input, one output, and a grid of its own."""

    def write(editor: Editor, node: ir.Node) -> None:
        integer = editor.is_integer(node)
        source = editor.at_hand(node.inputs[0], integer=integer)
        editor.insert(kind, [source.tensor], editor.result(node.outputs[0], source.order, integer=integer), options)

    return write


def on_fixed_grid(kind: str, grid: QuantParams) -> Writer:
    """The writer of an operator whose kernel writes integers on one grid alone; another one is reached by QUANTIZE."""

    def write(editor: Editor, node: ir.Node) -> None:
        source = editor.at_hand(node.inputs[0], integer=editor.is_integer(node))
        written_on(editor, node, source, kind, grid)

    return write


def written_on(
    editor: Editor,
    node: ir.Node,
    source: PlacedTensor,
    kind: str,
    grid: QuantParams,
    options: dict[str, Any] | None = None,
) -> None:
    """The operator, requantised from `grid` to the output's own where the two differ."""
    integer = editor.is_integer(node)
    result = editor.result(node.outputs[0], source.order, integer=integer)
    if not integer or result.params == grid:
        editor.insert(kind, [source.tensor], result, options)
        return
    made = editor.like(result, f"{result.name}_before", params=grid)
    editor.insert("QUANTIZE", [editor.insert(kind, [source.tensor], made, options)], result)


def leaky_relu(editor: Editor, node: ir.Node) -> None:
    """LeakyRelu."""
    unary("LEAKY_RELU", alpha=node.attributes.get_float("alpha", 0.01))(editor, node)


def gelu(editor: Editor, node: ir.Node) -> None:
    """Gelu."""
    unary("GELU", approximate=node.attributes.get_string("approximate", "none") == "tanh")(editor, node)


def clamp(editor: Editor, node: ir.Node) -> None:
    """Relu and Clip: an operator for the usual bounds, else MAXIMUM and MINIMUM with the bounds."""
    integer, (low, high) = editor.is_integer(node), clamp_bounds(node)
    source = editor.at_hand(node.inputs[0], integer=integer)
    result = editor.result(node.outputs[0], source.order, integer=integer)
    known = _TYPE_OF_CLAMP.get((low, high))
    if known is not None:
        editor.insert(known, [source.tensor], result)
        return
    value = source.tensor
    if integer:
        assert result.params is not None
        value = editor.on_grid(value, result.params)
    bounded(editor, value, result, (low, high))


def bounded(editor: Editor, value: Tensor, result: Tensor, bounds: tuple[float, float]) -> None:
    """min(max(value, low), high) as `result`, on the value's grid. A bound that the grid cannot pass is left out."""
    steps: list[tuple[str, Tensor]] = []
    for kind, bound, end in (("MAXIMUM", bounds[0], -np.inf), ("MINIMUM", bounds[1], np.inf)):
        number = np.float32(bound)
        if result.params is not None:
            stored = quantize(number.reshape(()), result.params)
            limit = result.params.qtype.qmin if end < 0 else result.params.qtype.qmax
            if int(stored) != limit:
                steps.append((kind, editor.constant(stored, result.params)))
        elif number != end:
            steps.append((kind, editor.constant(number.reshape(()))))
    if not steps:
        editor.insert("RESHAPE", [value, editor.ints(value.shape)], result)
    for number_of, (kind, bound_of) in enumerate(steps, start=1):
        made = result if number_of == len(steps) else editor.like(result, f"{result.name}_below")
        value = editor.insert(kind, [value, bound_of], made)


def hard_sigmoid(editor: Editor, node: ir.Node) -> None:
    """HardSigmoid in float: min(max(α·x + β, 0), 1)."""
    source = editor.at_hand(node.inputs[0], integer=False)
    result = editor.result(node.outputs[0], source.order, integer=False)
    alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    value = source.tensor
    for kind, number in (("MUL", alpha), ("ADD", beta)):
        operand = editor.constant(np.array(number, np.float32))
        made = editor.like(result, f"{result.name}_line")
        value = editor.insert(kind, [value, operand], made, {"fused_activation_function": NONE})
    bounded(editor, value, result, (0.0, 1.0))


def reciprocal(editor: Editor, node: ir.Node) -> None:
    """1/x in float."""
    source = editor.at_hand(node.inputs[0], integer=False)
    one = editor.constant(np.array(1, np.float32))
    result = editor.result(node.outputs[0], source.order, integer=False)
    editor.insert("DIV", [one, source.tensor], result, {"fused_activation_function": NONE})


def prelu(editor: Editor, node: ir.Node) -> None:
    """PRelu with constant slopes. PRELU takes them without the axis of images."""
    integer, rank = editor.is_integer(node), len(editor.shape(node.inputs[0]))
    source = editor.at_hand(node.inputs[0], integer=integer)
    slopes = numbers(node, 1)
    assert slopes is not None
    grid = editor.grid(node.inputs[1]) if integer else None
    kept = slopes if grid is None else quantize(np.asarray(slopes, np.float32), grid)
    turned = kept.reshape((1,) * (rank - kept.ndim) + kept.shape).transpose(source.order)
    if rank > 1 and turned.shape[0] == 1:
        turned = turned[0]
    result = editor.result(node.outputs[0], source.order, integer=integer)
    editor.insert("PRELU", [source.tensor, editor.constant(turned, grid)], result)


def binary(kind: str, *, fuses: bool = True) -> Writer:
    """The writer of an operator with two inputs that broadcast. fuses: whether it has an option of activation."""
    return partial(_binary, kind=kind, options={"fused_activation_function": NONE} if fuses else {})


def _binary(editor: Editor, node: ir.Node, *, kind: str, options: dict[str, Any]) -> None:
    integer = editor.is_integer(node)
    order, operands = aligned(editor, node, node.inputs, integer=integer)
    result = editor.result(node.outputs[0], order, integer=integer)
    editor.insert(kind, operands, result, options)


def aligned(
    editor: Editor, node: ir.Node, values: Sequence[ir.Value | None], *, integer: bool
) -> tuple[Order, list[Tensor]]:
    """The operands in one order of axes, of the rank of the output; also that order.

    It is the order of the largest operand: nothing is moved where all have it already.
    """
    rank = len(editor.shape(node.outputs[0]))
    full = [v for v in values if v is not None and v.const_value is None and len(editor.shape(v)) == rank]
    full.sort(key=lambda v: -int(np.prod(editor.shape(v))))
    order = editor.at_hand(full[0], integer=_stored(editor, full[0], integer)).order if full else of_image(rank)
    return order, [_in_order(editor, value, order, integer=integer) for value in values]


def _stored(editor: Editor, value: ir.Value, integer: bool) -> bool:
    """Whether the integers of the value are meant: a comparison's booleans have none."""
    return integer and editor.has_grid(value)


def _in_order(editor: Editor, value: ir.Value | None, order: Order, *, integer: bool) -> Tensor:
    assert value is not None
    rank, own = len(order), len(editor.shape(value))
    stored = _stored(editor, value, integer)
    if own == rank:
        return editor.read(value, order, integer=stored)
    if value.const_value is not None:
        if own == 0 or editor.shape(value) == (1,):
            return editor.read(value, plain(own), integer=stored)
        found = editor.read(value, plain(own), integer=stored)
        assert found.data is not None
        turned = found.data.reshape((1,) * (rank - own) + found.data.shape).transpose(order)
        return editor.constant(turned, found.params)
    widened = editor.reshaped(editor.read(value, plain(own), integer=stored), (1,) * (rank - own) + editor.shape(value))
    return editor.reordered(PlacedTensor(widened, plain(rank)), order)
