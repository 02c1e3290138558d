"""ONNX operators as differentiable torch functions, in one table.

A function takes the node and its inputs and returns the output, or a tuple of outputs. Source: the ONNX operator pages.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch.nn import functional as F

from quantseg.refinement.rounding.learned.resampling import resize
from quantseg.refinement.rounding.learned.windows import Tensors, average_pool, convolution, max_pool

Operator = Callable[[ir.Node, Tensors], Any]


def _plain(function: Callable[..., Any]) -> Operator:
    """An operator whose attributes do not matter, from a function of its inputs."""
    return lambda node, inputs: function(*inputs)


def _clip(node: ir.Node, inputs: Tensors) -> Any:
    x, low, high = (*inputs, None, None)[:3]
    return torch.clamp(x, None if low is None else float(low), None if high is None else float(high))


def _leaky(node: ir.Node, inputs: Tensors) -> Any:
    return F.leaky_relu(inputs[0], node.attributes.get_float("alpha", 0.01))


def _hard_sigmoid(node: ir.Node, inputs: Tensors) -> Any:
    alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
    return torch.clamp(alpha * inputs[0] + beta, 0.0, 1.0)


def _softmax(node: ir.Node, inputs: Tensors) -> Any:
    return torch.softmax(inputs[0], node.attributes.get_int("axis", -1))


def _gemm(node: ir.Node, inputs: Tensors) -> Any:
    a, b, c = (*inputs, None)[:3]
    a = a.T if node.attributes.get_int("transA", 0) else a
    b = b.T if node.attributes.get_int("transB", 0) else b
    product = node.attributes.get_float("alpha", 1.0) * (a @ b)
    return product if c is None else product + node.attributes.get_float("beta", 1.0) * c


def _concat(node: ir.Node, inputs: Tensors) -> Any:
    return torch.cat(list(inputs), node.attributes["axis"].as_int())


def _global(pool: Callable[..., Any]) -> Operator:
    return lambda node, inputs: pool(inputs[0], tuple(range(2, inputs[0].dim())), keepdim=True)


def _reduction(function: Callable[..., Any]) -> Operator:
    def reduced(node: ir.Node, inputs: Tensors) -> Any:
        x, axes = (*inputs, None)[:2]
        named = list(node.attributes["axes"].as_ints()) if "axes" in node.attributes else None
        wanted = named if axes is None else axes.tolist()
        places = tuple(range(x.dim())) if not wanted else tuple(wanted)
        return function(x, places, keepdim=bool(node.attributes.get_int("keepdims", 1)))

    return reduced


def _depth_to_space(node: ir.Node, inputs: Tensors) -> Any:
    (x,), side = inputs, node.attributes["blocksize"].as_int()
    n, c, h, w = x.shape
    if node.attributes.get_string("mode", "DCR") == "DCR":
        parts = x.reshape(n, side, side, c // side**2, h, w).permute(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(n, c // side**2, side, side, h, w).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, c // side**2, h * side, w * side)


def _space_to_depth(node: ir.Node, inputs: Tensors) -> Any:
    (x,), side = inputs, node.attributes["blocksize"].as_int()
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // side, side, w // side, side).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * side**2, h // side, w // side)


def _reshape(node: ir.Node, inputs: Tensors) -> Any:
    x, shape = inputs
    copied = not node.attributes.get_int("allowzero", 0)
    return x.reshape([x.shape[i] if size == 0 and copied else size for i, size in enumerate(shape.tolist())])


def _flatten(node: ir.Node, inputs: Tensors) -> Any:
    (x,), axis = inputs, node.attributes.get_int("axis", 1)
    return x.reshape(math.prod(x.shape[: axis if axis >= 0 else x.dim() + axis]), -1)


def _transpose(node: ir.Node, inputs: Tensors) -> Any:
    order = node.attributes["perm"].as_ints() if "perm" in node.attributes else range(inputs[0].dim())[::-1]
    return inputs[0].permute(*order)


def _squeeze(node: ir.Node, inputs: Tensors) -> Any:
    x, axes = (*inputs, None)[:2]
    return x.squeeze() if axes is None else x.squeeze(tuple(axes.tolist()))


def _unsqueeze(node: ir.Node, inputs: Tensors) -> Any:
    x, axes = inputs
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes.tolist()):
        x = x.unsqueeze(axis)
    return x


def _slice(node: ir.Node, inputs: Tensors) -> Any:
    x, starts, ends, axes, steps = (*inputs, None, None)[:5]
    places = range(len(starts)) if axes is None else axes.tolist()
    strides = [1] * len(starts) if steps is None else steps.tolist()
    for axis, start, end, step in zip(places, starts.tolist(), ends.tolist(), strides, strict=True):
        kept = range(x.shape[axis])[start:end:step]
        where = slice(kept.start, kept.stop, step)
        x = x.movedim(axis, 0)[where].movedim(0, axis) if step > 0 else x.index_select(axis, torch.tensor(list(kept)))
    return x


def _split(node: ir.Node, inputs: Tensors) -> Any:
    (x, sizes), axis = (*inputs, None)[:2], node.attributes.get_int("axis", 0)
    if sizes is None:
        return torch.split(x, math.ceil(x.shape[axis] / len(node.outputs)), axis)
    return torch.split(x, sizes.tolist(), axis)


def _gather(node: ir.Node, inputs: Tensors) -> Any:
    (x, where), axis = inputs, node.attributes.get_int("axis", 0)
    axis %= x.dim()
    picked = x.index_select(axis, where.reshape(-1) % x.shape[axis])
    return picked.reshape(*x.shape[:axis], *where.shape, *x.shape[axis + 1 :])


def _expand(node: ir.Node, inputs: Tensors) -> Any:
    x, shape = inputs
    return x.expand(torch.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _pad(node: ir.Node, inputs: Tensors) -> Any:
    x, pads, value, axes = (*inputs, None, None)[:4]
    places = list(range(x.dim())) if axes is None else [axis % x.dim() for axis in axes.tolist()]
    before, after = [0] * x.dim(), [0] * x.dim()
    for number, axis in enumerate(places):
        before[axis], after[axis] = int(pads[number]), int(pads[number + len(places)])
    widths = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}[
        str(node.attributes.get_string("mode", "constant"))
    ]
    if mode == "constant":
        return F.pad(x, widths, value=0.0 if value is None else float(value))
    return F.pad(x, widths[:4], mode=mode)


def _shape(node: ir.Node, inputs: Tensors) -> Any:
    start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", inputs[0].dim())
    return torch.tensor(list(inputs[0].shape)[start:end])


def _cast(node: ir.Node, inputs: Tensors) -> Any:
    wanted = ir.DataType(node.attributes["to"].as_int()).numpy()
    return inputs[0].to(torch.from_numpy(np.zeros(0, wanted)).dtype)


def _argmax(node: ir.Node, inputs: Tensors) -> Any:
    keep = bool(node.attributes.get_int("keepdims", 1))
    return torch.argmax(inputs[0], node.attributes.get_int("axis", 0), keepdim=keep)


OPERATORS: dict[str, Operator] = {
    "Conv": convolution,
    "Gemm": _gemm,
    "MatMul": _plain(torch.matmul),
    "Relu": _plain(torch.relu),
    "Clip": _clip,
    "LeakyRelu": _leaky,
    "PRelu": _plain(lambda x, slope: torch.where(x < 0, x * slope, x)),
    "Sigmoid": _plain(torch.sigmoid),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(F.hardswish),
    "Tanh": _plain(torch.tanh),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Sqrt": _plain(torch.sqrt),
    "Softplus": _plain(F.softplus),
    "Softmax": _softmax,
    "Add": _plain(torch.add),
    "Sub": _plain(torch.sub),
    "Mul": _plain(torch.mul),
    "Div": _plain(torch.div),
    "Pow": _plain(torch.pow),
    "Max": _plain(torch.maximum),
    "Min": _plain(torch.minimum),
    "Concat": _concat,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(torch.amax),
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMin": _reduction(torch.amin),
    "Resize": resize,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Expand": _expand,
    "Pad": _pad,
    "Shape": _shape,
    "Cast": _cast,
    "Identity": _plain(lambda x: x),
    "Equal": _plain(torch.eq),
    "Greater": _plain(torch.gt),
    "Where": _plain(torch.where),
    "ArgMax": _argmax,
}
