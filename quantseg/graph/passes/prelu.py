"""PRelu, which onnxruntime has no integer kernel for, as operators that have one.

    PRelu(x) = x for x >= 0, a·x below      one slope a for all:  LeakyRelu, or Relu where a = 0
    every a <= 1:      x + Relu((a − 1)·x)  (a − 1)·x is positive only where x is negative
    some a > 1:        x + (1 − a)·Relu(−x)
    where a convolution so cheap that it may run twice produces x, and nothing else reads x:
    no a < 0:          Relu(x) + min(a·x, 0),  a·x by the second convolution
    no a > 0:          Relu(x) + Relu(a·x)
    both signs:        Relu(x) − a·Relu(−x),   −x by the second convolution
The products are 1x1 depthwise Convs where there is one slope per channel, else Muls by a constant. A Relu or Clip costs
nothing in integers: the saturation of its input's grid clamps. The two halves are the most precise: each has its own
grid, finer than that of x, which makes up for rounding the sum. The other forms lose 0.1 to 1 dB against a float PRelu
between integer nodes. Why not LeakyRelu with the largest slope and a correction: x would be rounded twice.
Source of PRelu: He et al., arXiv:1502.01852; the identities are derived here.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import bypass, constant, initializer, input_at, only_producer, owner, rank, replace
from quantseg.graph.passes.depthwise import depthwise
from quantseg.graph.passes.linear import Linear, linear
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of
from quantseg.graph.passes.reach import ONLY_THE_HEAD, leading_to_product

_TAPS, _INPUTS = 9, 64
"""A Conv may run twice if it is depthwise with at most so many taps, or 1x1 with at most so many input channels: as
measured, it then costs about as much as the 1x1 depthwise Conv that it saves."""

Array = NDArray[Any]


@dataclass(frozen=True)
class _PRelu:
    """A PRelu, its input and slopes. by_channel: the slopes as (1, channels, 1, …); None where they are not such."""

    node: ir.Node
    x: ir.Value
    slopes: Array
    by_channel: Array | None

    @property
    def name(self) -> str:
        return str(self.node.name)


def lower_prelus(model: ir.Model) -> RewriteOutcome:
    """Rewrites every PRelu of the main graph with constant slopes before some convolution or matrix product.

    Needs inferred shapes.
    """
    useful = leading_to_product(model.graph)
    prelus = [node for node in model.graph if node.op_type == "PRelu" and node.domain == ""]
    return outcome_of(*(_lower(node, useful=node in useful) for node in prelus))


def _lower(node: ir.Node, *, useful: bool) -> Change | Refusal:
    name, x, slopes = str(node.name), node.inputs[0], constant(input_at(node, 1))
    if x is None or slopes is None:
        return Refusal("lower_prelus", name, "its slopes are computed at run time")
    if slopes.dtype != np.float32 or not np.isfinite(slopes).all():
        return Refusal("lower_prelus", name, "its slopes are not finite float32 numbers")
    if slopes.size and (slopes == slopes.flat[0]).all():
        return _with_one_slope(node, x, float(slopes.flat[0]))
    if not useful:
        return Refusal("lower_prelus", name, ONLY_THE_HEAD)
    prelu = _PRelu(node, x, slopes, _by_channel(x, slopes))
    parts, detail = _halves(prelu) or _bend(prelu)
    replace(node, parts)
    return Change("lower_prelus", name, f"now {detail}")


def _with_one_slope(node: ir.Node, x: ir.Value, slope: float) -> Change:
    name = str(node.name)
    if slope == 1.0 and bypass(node, x):
        return Change("lower_prelus", name, "slope 1 changes nothing")
    new = ir.node("LeakyRelu", [x], {"alpha": slope}, name=name) if slope else ir.node("Relu", [x], name=name)
    replace(node, [new])
    return Change("lower_prelus", name, f"one slope: now {new.op_type}")


def _bend(prelu: _PRelu) -> tuple[list[ir.Node], str]:
    """The nodes for x + Relu((a − 1)·x) or x + (1 − a)·Relu(−x), and which of the two in words."""
    name, one = prelu.name, np.float32(1)
    if (prelu.slopes <= 1).all():
        line = _scaled(prelu, prelu.x, prelu.slopes - one, f"{name}_line")
        bend = [line, ir.node("Relu", line.outputs, name=f"{name}_bend")]
        detail = "x + Relu((a − 1)·x)"
    else:
        turned = _scaled(prelu, prelu.x, np.full_like(prelu.slopes, -1), f"{name}_turned")
        below = ir.node("Relu", turned.outputs, name=f"{name}_below")
        bend = [turned, below, _scaled(prelu, below.outputs[0], one - prelu.slopes, f"{name}_bend")]
        detail = "x + (1 − a)·Relu(−x)"
    return [*bend, ir.node("Add", [prelu.x, bend[-1].outputs[0]], name=name)], detail


def _halves(prelu: _PRelu) -> tuple[list[ir.Node], str] | None:
    """The nodes for both halves, from two convolutions; None where a second convolution is too costly."""
    conv = only_producer(prelu.x, prelu.node, "Conv")
    kernel = linear(conv) if conv is not None else None
    if conv is None or kernel is None or prelu.by_channel is None or not _is_cheap(kernel):
        return None
    name, slopes = prelu.name, prelu.by_channel.reshape(-1)
    falling, rising = bool((slopes <= 0).all()), bool((slopes >= 0).all())
    second = _copy(conv, kernel, slopes if falling or rising else np.full_like(slopes, -1), f"{name}_second")
    if rising:
        zero = initializer(owner(prelu.node), f"{name}_zero", np.array(0, np.float32))
        below = [ir.node("Clip", [second.outputs[0], None, zero], name=f"{name}_below")]
    else:
        below = [ir.node("Relu", second.outputs, name=f"{name}_below")]
    if not (falling or rising):
        below.append(_scaled(prelu, below[0].outputs[0], -prelu.slopes, f"{name}_scaled"))
    above = ir.node("Relu", [prelu.x], name=f"{name}_above")
    total = ir.node("Add", [above.outputs[0], below[-1].outputs[0]], name=name)
    return [above, second, *below, total], f"two halves, {conv.name} run twice"


def _is_cheap(kernel: Linear) -> bool:
    inputs, taps = kernel.kernel.shape[2], math.prod(kernel.kernel.shape[3:])
    return (inputs == 1 and taps <= _TAPS) or (taps == 1 and inputs <= _INPUTS)


def _copy(conv: ir.Node, kernel: Linear, factors: Array, name: str) -> ir.Node:
    """A node for factors·conv, not yet inserted. factors: (channels,)."""
    scaled, graph = kernel.scaled(factors.astype(np.float64), np.zeros(kernel.outputs)), owner(conv)
    weight = scaled.kernel.reshape(-1, *scaled.kernel.shape[2:]).astype(np.float32)
    inputs = [
        conv.inputs[0],
        initializer(graph, f"{name}_weight", weight),
        initializer(graph, f"{name}_bias", scaled.bias.astype(np.float32)),
    ]
    return ir.Node("", "Conv", inputs, tuple(conv.attributes.values()), name=name)


def _scaled(prelu: _PRelu, value: ir.Value, factors: Array, name: str) -> ir.Node:
    """A node for factors·value: a depthwise Conv where factors, shaped as the slopes, are per channel; else Mul."""
    graph, by_channel = owner(prelu.node), _by_channel(prelu.x, factors)
    if by_channel is not None:
        return depthwise(graph, value, by_channel, name=name)
    return ir.node("Mul", [value, initializer(graph, f"{name}_factors", factors)], name=name)


def _by_channel(x: ir.Value, factors: Array) -> Array | None:
    axes = rank(x)
    if x.shape is None or axes is None or axes < 3 or factors.ndim > axes:
        return None
    channels = x.shape[1]
    sizes = (1,) * (axes - factors.ndim) + factors.shape
    if not isinstance(channels, int) or sizes[1] != channels or math.prod(sizes) != channels:
        return None
    return factors.reshape(sizes)
