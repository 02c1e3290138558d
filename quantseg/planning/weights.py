"""Scales of constant weights, and the bias that has to fit beside them in int32."""

import numpy as np
import onnx_ir as ir

from quantseg.affine import F32, QuantParams, params_of_weights
from quantseg.ops import IntegerForm
from quantseg.planning.settings import QuantSettings
from quantseg.qtypes import INT32

LARGEST_BIAS = 1 << 30
"""Bias integers stay within ±2^30, half of int32: the other half is left to the products that are added to them."""


def weight_params(
    node: ir.Node, form: IntegerForm, data: QuantParams, settings: QuantSettings, known: QuantParams | None = None
) -> tuple[QuantParams, tuple[str, ...]]:
    """Scale and zero-point of the node's weight, and notes where a bias forced a channel's scale up.

    known: the grid that the weight lies on, where that is not the one that its extrema give.
    The bias is stored in steps of S_x·S_w. Where weights are tiny (a dead channel) and the bias is not, that step
    would need more than int32 has; then S_w grows until it does not, and the weights get a coarser grid.
    """
    assert form.weight is not None
    weights = constant(node.inputs[form.weight])
    axis = form.weight_axis if settings.per_channel else None
    params = known or params_of_weights(
        weights,
        settings.weight,
        axis=axis,
        symmetric=settings.weight.signed or settings.symmetric,
        reduced=settings.reduce_range,
    )
    if form.bias is None:
        return params, ()
    bias = np.abs(constant(node.inputs[form.bias]).astype(np.float64)).reshape(-1)
    least = bias / (float(data.scale) * LARGEST_BIAS)
    if axis is None:
        least = least.max(initial=0.0)
    scale = np.maximum(params.scale, least).astype(np.float32)
    raised = int(np.count_nonzero(scale > params.scale))
    notes = () if not raised else (f"{node.name}: {raised} weight scales raised so that the bias fits int32",)
    return QuantParams(scale, params.zero_point, params.qtype, params.axis), notes


def bias_params(data: QuantParams, weight: QuantParams) -> QuantParams:
    """The grid of an int32 bias: step S_x·S_w, zero-point 0, one for each output channel or one for all."""
    scale = (data.scale * weight.scale).astype(np.float32)
    axis = None if weight.axis is None else 0
    return QuantParams(scale, np.zeros(scale.shape, np.int32), INT32, axis)


def constant(value: ir.Value | None) -> F32:
    """The numbers of a constant operand."""
    assert value is not None
    assert value.const_value is not None
    return np.asarray(value.const_value.numpy(), np.float32)
