"""Output heads and what turns numbers into others: classes, probabilities, types."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from quantseg.files.tflite.schema import NONE, TYPES
from quantseg.quantization.affine import dequantize
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.layout import NHWC, PlacedTensor, plain
from quantseg.quantization.formats.litert.network import Tensor
from quantseg.quantization.formats.litert.writers.attributes import numbers, refused
from quantseg.quantization.formats.litert.writers.elementwise import ONTO_UNIT, written_on
from quantseg.quantization.formats.litert.writers.pooling import without


def argmax(editor: Editor, node: ir.Node) -> None:
    """ArgMax: at ties the first class. int32 inside the network, where ONNX has int64."""
    if node.attributes.get_int("select_last_index", 0):
        raise refused(node, "takes the last of equal classes, LiteRT the first")
    integer, output = editor.is_integer(node), node.outputs[0]
    source = editor.at_hand(node.inputs[0], integer=integer)
    axis, keeps = node.attributes.get_int("axis", 0), bool(node.attributes.get_int("keepdims", 1))
    order = without(source, [axis])
    sizes = tuple(size for place, size in enumerate(source.tensor.shape) if place != source.axis(axis))
    dtype = "int64" if output.is_graph_output() else "int32"
    made = Tensor(editor.own_name(output), sizes, dtype)
    editor.insert("ARG_MAX", [source.tensor, editor.ints(source.axis(axis))], made, {"output_type": TYPES[dtype]})
    if keeps:
        shape = tuple(1 if place == source.axis(axis) else size for place, size in enumerate(source.tensor.shape))
        made, order = editor.reshaped(made, shape), source.order
    editor.put(output, PlacedTensor(made, order), stored=False)


def cast(editor: Editor, node: ir.Node) -> None:
    """Cast: CAST, nothing where the type stays."""
    source, output = editor.at_hand(node.inputs[0], integer=False), node.outputs[0]
    if source.tensor.dtype == editor.dtype(output):
        editor.put(output, source, stored=False)
        return
    result = editor.result(output, source.order, integer=False)
    types = {"in_data_type": TYPES[source.tensor.dtype], "out_data_type": TYPES[result.dtype]}
    editor.insert("CAST", [source.tensor], result, types)


def identity(editor: Editor, node: ir.Node) -> None:
    """Identity, Dropout: nothing."""
    assert node.inputs[0] is not None
    editor.at_hand(node.inputs[0], integer=False)
    editor.pass_on(node.inputs[0], node.outputs[0])


def above(editor: Editor, node: ir.Node) -> None:
    """Greater than a constant; in integers, than the largest that represents at most the constant."""
    integer = editor.is_integer(node)
    source = editor.at_hand(node.inputs[0], integer=integer)
    if not integer:
        other = numbers(node, 1)
        assert other is not None
        kind, bound = "GREATER", editor.constant(np.asarray(other, np.float32).reshape(()))
    else:
        grid, threshold = source.tensor.params, numbers(node, 1)
        assert grid is not None
        assert threshold is not None
        every = np.arange(grid.qtype.qmin, grid.qtype.qmax + 1).astype(grid.qtype.dtype)
        below = every[dequantize(every, grid) <= threshold.reshape(())]
        kind, number = ("GREATER", below[-1]) if below.size else ("GREATER_EQUAL", every[0])
        bound = editor.constant(np.asarray(number), grid)
    editor.insert(kind, [source.tensor, bound], editor.result(node.outputs[0], source.order, integer=False))


def softmax(editor: Editor, node: ir.Node) -> None:
    """Softmax over any axis: LiteRT's is over the last one that lies in memory."""
    integer, rank = editor.is_integer(node), len(editor.shape(node.inputs[0]))
    axis = node.attributes.get_int("axis", -1) % rank
    order = NHWC if rank == len(NHWC) and axis == 1 else (*(one for one in plain(rank) if one != axis), axis)
    source = PlacedTensor(editor.read(node.inputs[0], order, integer=integer), order)
    written_on(editor, node, source, "SOFTMAX", ONTO_UNIT, {"beta": 1.0})


def stored_pixels(editor: Editor, node: ir.Node) -> None:
    """DequantizeLinear of uint8 pixels: their int8 integers, 128 less."""
    source = editor.at_hand(node.inputs[0], integer=False)
    result = editor.result(node.outputs[0], source.order, integer=True)
    editor.insert("QUANTIZE", [source.tensor], result)


def normalisation(axes: Callable[[Editor, ir.Node], tuple[int, ...]]) -> Callable[[Editor, ir.Node], None]:
    """The writer of (x − mean)/√(variance + ε)·scale + bias, in float. axes: over which statistics are computed."""

    def write(editor: Editor, node: ir.Node) -> None:
        source = editor.at_hand(node.inputs[0], integer=False)
        over = axes(editor, node)
        places = editor.ints(sorted(source.axis(axis) for axis in over))
        few = tuple(1 if source.order[place] in over else size for place, size in enumerate(source.tensor.shape))
        result = editor.result(node.outputs[0], source.order, integer=False)
        number = 0

        def step(kind: str, inputs: list[Tensor], shape: tuple[int, ...] | None = None) -> Tensor:
            nonlocal number
            number += 1
            made = editor.like(result, f"{result.name}_{number}", shape=shape or result.shape)
            if kind == "MEAN":
                return editor.insert(kind, [*inputs, places], made, {"keep_dims": True})
            return editor.insert(kind, inputs, made, {} if kind == "RSQRT" else {"fused_activation_function": NONE})

        apart = step("SUB", [source.tensor, step("MEAN", [source.tensor], few)])
        variance = step("MEAN", [step("MUL", [apart, apart])], few)
        epsilon = editor.constant(np.array(node.attributes.get_float("epsilon", 1e-5), np.float32))
        steady = step("RSQRT", [step("ADD", [variance, epsilon], few)], few)
        value = step("MUL", [apart, steady])
        scale, bias = (_along(editor, node, index, source) for index in (1, 2))
        value = value if scale is None else step("MUL", [value, scale])
        zero = editor.constant(np.zeros((), np.float32))
        editor.insert("ADD", [value, zero if bias is None else bias], result, {"fused_activation_function": NONE})

    return write


def _along(editor: Editor, node: ir.Node, index: int, source: PlacedTensor) -> Tensor | None:
    """Scale or bias, broadcast against the tensor in its order."""
    found = numbers(node, index)
    if found is None:
        return None
    rank = len(source.order)
    by_channel = node.op_type != "LayerNormalization"
    shape = (1, -1, *(1,) * (rank - 2)) if by_channel else (1,) * (rank - found.ndim) + found.shape
    return editor.constant(np.asarray(found, np.float32).reshape(shape).transpose(source.order))


def over_instance(editor: Editor, node: ir.Node) -> tuple[int, ...]:
    """All pixels of a channel."""
    return tuple(range(2, len(editor.shape(node.inputs[0]))))


def over_layer(editor: Editor, node: ir.Node) -> tuple[int, ...]:
    """The last axes, from the attribute `axis` on."""
    rank = len(editor.shape(node.inputs[0]))
    return tuple(range(node.attributes.get_int("axis", -1) % rank, rank))


def batch_normalisation(editor: Editor, node: ir.Node) -> None:
    """BatchNormalization that no convolution took: one product and one sum, in float."""
    source = editor.at_hand(node.inputs[0], integer=False)
    scale, bias, mean, variance = (numbers(node, index) for index in range(1, 5))
    assert scale is not None and bias is not None and mean is not None and variance is not None  # noqa: PT018
    factor = scale / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    result = editor.result(node.outputs[0], source.order, integer=False)
    rank = len(source.order)

    def along(values: object) -> Tensor:
        shaped = np.asarray(values, np.float32).reshape(1, -1, *(1,) * (rank - 2))
        return editor.constant(shaped.transpose(source.order))

    options = {"fused_activation_function": NONE}
    scaled = editor.insert("MUL", [source.tensor, along(factor)], editor.like(result, f"{result.name}_1"), options)
    editor.insert("ADD", [scaled, along(bias - mean * factor)], result, options)
