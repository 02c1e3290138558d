"""Convolutions of NHWC tensors: which channel slots they read and fill, and the variants for onnxruntime's kernels.

The weights follow the channel slots: padding gets zero weights, another order of channels reordered weights, and groups
become blocks of one dense weight. The results stay the same.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.errors import PlanError
from quantseg.quantization.affine import quantize
from quantseg.quantization.formats.editor import GraphEditor
from quantseg.quantization.formats.slots import PADDING, SlotTensor, compact, count_of, filled, is_image, spread
from quantseg.quantization.formats.writer import MICROSOFT, packed
from quantseg.quantization.operators import IntegerForm
from quantseg.quantization.pairs import rows_of, unsafe
from quantseg.quantization.plan import bias_params, bounds_pairs, constant, weight_shape

SYMMETRIC, SHIFTED = "symmetric", "shifted"
"""Variants of a convolution of one group. With weight zero-point 0, onnxruntime uses its convolution kernel; with any
other, im2col and its matrix product, the only one that uses AMX."""
DENSE, GROUPED = "dense", "grouped"
"""Variants of a grouped convolution: as blocks of a single group, or as it is."""

READ_BY, GIVEN_BY = 4, 16
"""Input and output channels must be multiples of these for onnxruntime's fastest convolution kernel (convsym.cpp)."""
MOST_DENSE = 1 << 20
"""Most input times output channels of groups that are written as one dense weight, to bound its size."""
DENSE_CHANNELS, DENSE_POINTWISE = 64, 48
"""Most channels for which one dense weight is faster than groups, and than a 1x1 depthwise convolution."""


def variants(node: ir.Node) -> tuple[str, ...]:
    """The variants of a convolution of NHWC tensors, the default first; see Format."""
    if node.op_type != "Conv" or not is_image(node.inputs[0]) or not is_image(node.outputs[0]):
        return ()
    groups = node.attributes.get_int("group", 1)
    if groups == 1:
        return SYMMETRIC, SHIFTED
    channels, outputs = count_of(node.inputs[0]), count_of(node.outputs[0])
    if groups == channels == outputs and not _is_pointwise(node):
        return ()
    if channels * outputs > MOST_DENSE:
        return ()
    pays = max(channels, outputs) <= (DENSE_POINTWISE if groups == channels else DENSE_CHANNELS)
    return (DENSE, GROUPED) if pays else (GROUPED, DENSE)


def emit(editor: GraphEditor, node: ir.Node, form: IntegerForm) -> list[SlotTensor]:
    """QLinearConv on an NHWC tensor."""
    data, weight, *rest = editor.inputs(node)
    laid = _laid_out(editor, node)
    params = editor.plan.weights[str(node.name)]
    shift = laid.shift
    scale, zero_point = params.scale, (params.zero_point + shift).astype(params.qtype.dtype)
    if params.axis is not None:
        zero = int(params.zero_point.flat[0])
        scale = spread(scale, laid.given, 0, 1)
        zero_point = np.full(len(laid.given), zero + shift, params.qtype.dtype)
    operands = [
        laid.read.value,
        *editor.grid(data),
        *editor.weight_constants(node, weight, packed(laid.stored, params.qtype), scale, zero_point),
        *editor.grid(node.outputs[0]),
    ]
    if form.bias is not None:
        bias = quantize(constant(rest[0]).reshape(-1), bias_params(editor.params(data), params))
        operands.append(editor.constant(f"{node.name}_bias_quantized", spread(bias, laid.given, 0, 0)))
    written = editor.stand_in(node, "QLinearConv", operands, domain=MICROSOFT, channels_last=1, group=laid.groups)
    return [SlotTensor(written[0], laid.given)]


@dataclass(frozen=True, eq=False)
class _Layout:
    """How a convolution is written. read: its input. given: the channel slots of its output. stored: the weight.

    shift: what was added to each of the weight's integers and to its zero-point.
    """

    read: SlotTensor
    given: tuple[int, ...]
    groups: int
    stored: NDArray[Any]
    shift: int


def _laid_out(editor: GraphEditor, node: ir.Node) -> _Layout:
    """The fastest way to write the convolution in which no pair sum of its weights can saturate at 16 bits.

    Other channel slots pair other weights than those that the plan made safe; channels in their own order do not.
    """
    way = editor.plan.variants.get(str(node.name)) or (*variants(node), GROUPED)[0]
    qtype, settings = editor.plan.weights[str(node.name)].qtype, editor.plan.settings
    own_order = SYMMETRIC if node.attributes.get_int("group", 1) == 1 else GROUPED
    for chosen, places in ((way, True), (way, False), (own_order, False)):
        laid = _as(chosen, editor, node, own_places=places)
        rows = rows_of(laid.stored, groups=laid.groups)
        if rows is None or not bounds_pairs(qtype, settings) or not unsafe(rows).any():
            return laid
    raise PlanError(f"{node.name}: its pair sums do not fit 16 bits in any layout; leave it float with exclude=…")


def _as(way: str, editor: GraphEditor, node: ir.Node, *, own_places: bool) -> _Layout:
    """The convolution in one variant. own_places: whether it reads the input's slots as they are, else compact."""
    data, weight, *_ = editor.inputs(node)
    groups, outputs = node.attributes.get_int("group", 1), count_of(node.outputs[0])
    params = editor.plan.weights[str(node.name)]
    zero = int(params.zero_point.flat[0])
    kernel = quantize(constant(weight), params)
    depthwise = groups == outputs == count_of(data)
    if groups > 1 and way == GROUPED:
        placed = depthwise and own_places
        tensor = editor.tensor(data) if placed else compact(editor.channels_last(data), count_of(data))
        given = tensor.channels if depthwise else tuple(range(outputs))
        groups = len(given) if depthwise else groups
    else:
        in_order = compact(editor.channels_last(data), count_of(data)) if not own_places else None
        tensor = in_order or editor.tensor(data, filled_up=True)
        given = _given(editor, node, tensor, as_read=groups > 1 and depthwise)
        kernel, groups = spread(_as_one_group(kernel, groups, zero), tensor.channels, 1, zero), 1
    settings = editor.plan.settings
    reduced = settings.reduce_range or bool(settings.reduced_channels_of(str(node.name)))
    wide = params.qtype.signed and not reduced  # a weight one lower might not fit 7 bits
    shift = -1 if way == SHIFTED and wide else 0
    stored = (spread(kernel, given, 0, zero) + shift).astype(params.qtype.dtype)
    return _Layout(tensor, given, groups, stored, shift)


def _is_pointwise(node: ir.Node) -> bool:
    return math.prod(weight_shape(node)[2:]) == 1


def _as_one_group(kernel: NDArray[Any], groups: int, zero: int) -> NDArray[Any]:
    """Weights (M, C/groups, …) as (M, C, …): each block of outputs has zero weights for the other groups' channels."""
    if groups == 1:
        return kernel
    outputs, inputs = kernel.shape[:2]
    whole = np.full((outputs, inputs * groups, *kernel.shape[2:]), zero, kernel.dtype)
    for group, block in enumerate(np.split(kernel, groups)):
        rows = slice(group * len(block), (group + 1) * len(block))
        whole[rows, group * inputs : (group + 1) * inputs] = block
    return whole


def _given(editor: GraphEditor, node: ir.Node, read: SlotTensor, *, as_read: bool) -> tuple[int, ...]:
    """The channel slots of the convolution's output: padded to whole registers, or as other operands are laid out.

    as_read: whether output channel c depends on input channel c alone (depthwise).
    """
    outputs = count_of(node.outputs[0])
    channels = tuple(range(outputs))
    if len(read.channels) % READ_BY:
        return channels  # the fast kernel does not take such an input
    if as_read and len(read.channels) >= GIVEN_BY:
        return read.channels
    readers = editor.readers(node.outputs[0])
    shuffled = [reader for reader in readers if reader.op_type == "DepthToSpace"]
    if shuffled and len(readers) == 1:
        return _by_phase(shuffled[0], outputs)
    if outputs >= GIVEN_BY and not outputs % READ_BY and all(reader.op_type == "Concat" for reader in readers):
        return channels
    for reader in readers:
        if reader.op_type in ("Add", "Mul"):
            for other in editor.inputs_of(reader):
                if editor.is_channels_last(other) and count_of(other) == outputs:
                    return editor.tensor(other).channels
    return filled(outputs, GIVEN_BY)


def _by_phase(shuffle: ir.Node, outputs: int) -> tuple[int, ...]:
    """Channel slots for a pixel shuffle: the same in each phase, so that whole pixels are copied."""
    size = shuffle.attributes["blocksize"].as_int()
    count = outputs // size**2
    if shuffle.attributes.get_string("mode", "DCR") != "DCR":
        return tuple(range(outputs))
    pixel = filled(count, GIVEN_BY // math.gcd(GIVEN_BY, size**2))
    return tuple(c if c == PADDING else phase * count + c for phase in range(size**2) for c in pixel)
