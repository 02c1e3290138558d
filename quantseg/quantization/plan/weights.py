"""Scales of constant weights, chosen so that pair sums do not saturate and the bias fits int32."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.errors import PlanError
from quantseg.graph.operators import PRODUCTS
from quantseg.quantization.affine import F32, Ints, QuantParams, integer_limits, params_of_weights
from quantseg.quantization.operators import IntegerForm, KeptFloat
from quantseg.quantization.pairs import pulled, rows_of, safe_scale
from quantseg.quantization.plan.settings import QuantSettings
from quantseg.quantization.qtypes import INT8, INT32, QType

Number = TypeVar("Number", bound=np.generic)

LARGEST_BIAS = 1 << 30
"""Bias integers stay within ±2^30, half of int32; the other half is for the products in the accumulator."""


def weight_types(
    decisions: Mapping[ir.Node, IntegerForm | KeptFloat], settings: QuantSettings
) -> tuple[Mapping[ir.Node, QType], tuple[str, ...]]:
    """The type of each constant weight, and a note where some keep 8 bits although fewer were asked for.

    Fewer than 8 bits are for products inside the network, which have nearly all the bytes. 8 bits are kept by the first
    products (that read the image) and the last (before an output, where no later layer makes up for errors); by
    depthwise convolutions, which are small and lose most accuracy (2 % of the bytes and 3 dB of the reference model
    `mobile`); and by products without per-channel scales.
    """
    weighted = {
        node: form for node, form in decisions.items() if isinstance(form, IntegerForm) and form.weight is not None
    }
    if settings.weight.bits >= 8:
        return dict.fromkeys(weighted, settings.weight), ()
    outer = _reading_the_image(decisions) | _feeding_the_head(decisions)
    plain = {node for node, form in weighted.items() if form.weight_axis is None or _reads_one_channel(node)}
    wide = outer & set(weighted) | plain
    note = f"{len(wide)} of {len(weighted)} weights keep 8 bits: next to the image or the output head, or depthwise"
    types = {node: settings.wide_weight if node in wide else settings.weight for node in weighted}
    return types, (note,) if wide else ()


def _reading_the_image(nodes: Mapping[ir.Node, object]) -> set[ir.Node]:
    """The nodes that read a graph input, directly or through nodes other than products."""
    found: set[ir.Node] = set()
    for node in nodes:
        read = [value for value in node.inputs if value is not None and not value.is_initializer()]
        makers = [value.producer() for value in read]
        if any(maker is None or (maker in found and maker.op_type not in PRODUCTS) for maker in makers):
            found.add(node)
    return found


def _feeding_the_head(nodes: Mapping[ir.Node, object]) -> set[ir.Node]:
    """The nodes from which a graph output is reached without another product between."""
    found: set[ir.Node] = set()
    for node in reversed(list(nodes)):
        readers = [user for output in node.outputs for user, _ in output.uses()]
        last = any(output.is_graph_output() for output in node.outputs)
        if last or any(user in found and user.op_type not in PRODUCTS for user in readers):
            found.add(node)
    return found


def _reads_one_channel(node: ir.Node) -> bool:
    grouped = node.op_type == "Conv" and node.attributes.get_int("group", 1) > 1
    return grouped and weight_shape(node)[1] == 1


def weight_params(
    node: ir.Node,
    form: IntegerForm,
    data: QuantParams,
    qtype: QType,
    settings: QuantSettings,
    known: QuantParams | None = None,
) -> tuple[QuantParams, tuple[str, ...]]:
    """Scale and zero-point of the node's weight, and notes where the bias made a channel's scale larger.

    qtype: from `weight_types`. known: the grid of a weight that is rounded already; None: from its extrema.
    The bias has scale S_x·S_w. Where weights are tiny (a dead channel) but the bias is not, its integers would exceed
    int32; S_w is then enlarged until they fit. S_w is also enlarged where a pair sum could saturate at 16 bits, see
    pairs.py. Per-channel uint8 weights are symmetric around 128, as kernels need one zero-point for all channels.
    """
    assert form.weight is not None
    weights = constant(node.inputs[form.weight])
    axis = form.weight_axis if settings.per_channel else None
    params = known or params_of_weights(
        weights,
        qtype,
        axis=axis,
        symmetric=qtype.signed or settings.symmetric or axis is not None,
        reduced=settings.reduce_range and qtype.bits >= 8,
    )
    params = _reduced(params, weights, settings.reduced_channels_of(str(node.name)), str(node.name))
    params, notes = _fitting_bias(params, node, form, data)
    rows = pair_rows(node, weights) if bounds_pairs(params.qtype, settings) else None
    return (params if rows is None else replace(params, scale=safe_scale(rows, params.scale))), notes


def bounds_pairs(qtype: QType, settings: QuantSettings) -> bool:
    """Whether weights of this type are chosen so that no pair sum can saturate; those of 4-bit weights never do."""
    return settings.bounds_pairs and qtype is INT8


def pair_rows(node: ir.Node, weights: NDArray[Number]) -> NDArray[Number] | None:
    """The weights as (output channels, input channels of a group, taps), as in pairs.py.

    weights: real or integer, in the operand's own shape. None for a depthwise convolution, whose kernels add in wider
    registers, and for a ConvTranspose, which no kernel that adds in 16 bits computes.
    """
    if node.op_type == "ConvTranspose":
        return None
    outputs_first = node.attributes.get_int("transB", 0) != 0
    groups = node.attributes.get_int("group", 1) if node.op_type == "Conv" else None
    return rows_of(weights, groups=groups, outputs_first=outputs_first)


def safe_integers(node: ir.Node, integers: NDArray[Number]) -> NDArray[Number]:
    """The integers of the node's weight with pairs beyond their limits moved towards zero; see `pairs.pulled`."""
    rows = pair_rows(node, integers)
    if rows is None:
        return integers
    safe = pulled(rows.astype(np.int64)).astype(integers.dtype)
    if node.op_type == "Conv" or node.attributes.get_int("transB", 0) != 0 or integers.ndim == 1:
        return safe.reshape(integers.shape)
    *stack, inner, outer = integers.shape
    return np.ascontiguousarray(np.swapaxes(safe.reshape(*stack, outer, inner), -1, -2))


def _fitting_bias(
    params: QuantParams, node: ir.Node, form: IntegerForm, data: QuantParams
) -> tuple[QuantParams, tuple[str, ...]]:
    """The grid with scales large enough for the bias to fit int32, and a note where that changed any."""
    if form.bias is None:
        return params, ()
    bias = np.abs(constant(node.inputs[form.bias]).astype(np.float64)).reshape(-1)
    least = bias / (float(data.scale) * LARGEST_BIAS)
    if params.axis is None:
        least = least.max(initial=0.0)
    scale = np.maximum(params.scale, least).astype(np.float32)
    raised = int(np.count_nonzero(scale > params.scale))
    notes = () if not raised else (f"{node.name}: {raised} weight scales raised so that the bias fits int32",)
    return replace(params, scale=scale), notes


def _reduced(params: QuantParams, weights: F32, channels: tuple[int, ...], node: str) -> QuantParams:
    """The grid with scales so large in these channels that their weights fit 7 bits.

    A per-tensor scale changes for all channels. Raises PlanError for a channel that the weight does not have.
    """
    if not channels or params.qtype.bits < 8:
        return params
    _, most = integer_limits(params.qtype, symmetric=True, reduced=True)
    count = weights.shape[params.axis] if params.axis is not None else max(channels) + 1
    if max(channels) >= count:
        raise PlanError(
            f"{node}: has {count} output channels, and channel {max(channels)} is to be reduced; simulate it again"
        )
    if params.axis is None:
        largest = np.abs(weights).max(initial=0)
        return replace(params, scale=np.asarray(np.maximum(params.scale, largest / most), np.float32))
    rows = np.abs(np.moveaxis(weights, params.axis, 0)).reshape(count, -1).max(axis=1, initial=0)
    wanted = np.zeros(count, bool)
    wanted[list(channels)] = True
    return replace(
        params, scale=np.where(wanted, np.maximum(params.scale, rows / most), params.scale).astype(np.float32)
    )


def weight_limits(node: str, params: QuantParams, settings: QuantSettings, channels: int) -> tuple[Ints, Ints]:
    """The least and the greatest integer allowed for the weights of each output channel, each (channels,)."""
    symmetric = params.qtype.signed
    eight_bits = params.qtype.bits >= 8
    whole = integer_limits(params.qtype, symmetric=symmetric, reduced=settings.reduce_range and eight_bits)
    low, high = (np.full(channels, limit) for limit in whole)
    reduced = settings.reduced_channels_of(node)
    if reduced and eight_bits:
        places = slice(None) if params.axis is None else list(reduced)
        low[places], high[places] = integer_limits(params.qtype, symmetric=symmetric, reduced=True)
    return low, high


def bias_params(data: QuantParams, weight: QuantParams) -> QuantParams:
    """The grid of an int32 bias: scale S_x·S_w, zero-point 0, per channel or per tensor as the weight's."""
    scale = (data.scale * weight.scale).astype(np.float32)
    axis = None if weight.axis is None else 0
    return QuantParams(scale, np.zeros(scale.shape, np.int32), INT32, axis)


def weight_shape(node: ir.Node) -> tuple[int, ...]:
    """The shape of the constant weight of a product."""
    weight = node.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    return tuple(weight.const_value.shape.numpy())


def constant(value: ir.Value | None) -> F32:
    """The elements of a constant operand."""
    assert value is not None
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy(), np.float32)
