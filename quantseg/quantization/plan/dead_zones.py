"""Dead zones: values of a tensor that all its readers treat alike, which its grid therefore need not tell apart.

    hard-swish, x·clip(α·x + β, 0, 1), is 0 for all x ≤ −β/α; SiLU, x·sigmoid(x), nears 0 for x far below 0
The tensor before such an activation often reaches far into its dead zone: cut off there by saturation, its grid has up
to twice the resolution for all other values, and the network computes the same. A value may be taken for dead where the
activation's result differs from 0 by less than a quarter of a step of the result's own grid, so that it is rounded to 0
as before.
"""

import math
from collections.abc import Mapping

import onnx_ir as ir

from quantseg.graph.edit import scalar
from quantseg.quantization.affine import Range

LEVELS = 255
"""Steps of the grids that are reckoned with: those of 8 bits."""


def without_dead_zone(value: ir.Value, span: Range, ranges: Mapping[str, Range]) -> Range:
    """The range of a tensor without what lies in the dead zone of all its readers; else as it is.

    span: the range of `value`, ranges: of all observed tensors. A step more than needed is kept below, since rounding
    the zero-point may move the grid's least value up by half a step.
    """
    if value.is_graph_output() or span.maximum <= 0:
        return span
    start = _start(value, ranges)
    if start is None:
        return span
    return Range(max(span.minimum, start - (span.maximum - start) / (LEVELS - 1)), span.maximum)


def _start(value: ir.Value, ranges: Mapping[str, Range]) -> float | None:
    """Where the dead zone of a tensor begins, going down; None where it has none."""
    users = {user for user, _ in value.uses()}
    if len(users) == 1:
        (only,) = users
        return -3.0 if only.op_type == "HardSwish" and only.domain == "" else None
    products = [user for user in users if user.op_type == "Mul" and user.domain == ""]
    if len(users) != 2 or len(products) != 1:
        return None
    (product,), (gate,) = products, users - {*products}
    factors = [factor for factor in product.inputs if factor is not value]
    if len(factors) != 1 or gate.domain != "":
        return None
    if gate.op_type == "Sigmoid" and factors[0] is gate.outputs[0]:
        result = ranges.get(str(product.outputs[0].name))
        return None if result is None else _faint(result.with_zero().width / LEVELS / 4)
    return _gate_closes(gate, value, factors[0])


def _gate_closes(line: ir.Node, value: ir.Value, gated: ir.Value | None) -> float | None:
    """Below which x the gate clip(x + offset, 0, …) is 0, if `line` is its Add and `gated` its result."""
    if line.op_type != "Add" or gated is None:
        return None
    offset = next((scalar(given) for given in line.inputs if given is not value), None)
    clip = gated.producer()
    is_clip = clip is not None and clip.op_type in ("Clip", "Relu") and clip.inputs[0] is line.outputs[0]
    if clip is None or not is_clip or offset is None or offset <= 0:
        return None
    least = 0.0 if clip.op_type == "Relu" else scalar(clip.inputs[1] if len(clip.inputs) > 1 else None)
    return -offset if least == 0 else None


def _faint(limit: float) -> float | None:
    """The x below which |x·sigmoid(x)| is under the limit: the branch below its minimum at −1.278, by bisection."""
    low, high = -80.0, -1.2785
    if not 0 < limit < -_silu(high):
        return None
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if -_silu(middle) < limit else (low, middle)
    return low


def _silu(x: float) -> float:
    return x / (1 + math.exp(-x))
