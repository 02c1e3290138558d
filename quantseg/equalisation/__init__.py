"""Cross-layer equalisation: channels of one tensor are scaled until they share its grid well; the network stays equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from quantseg.affine import F32
from quantseg.equalisation.channels import Channels, Product, channel_classes
from quantseg.equalisation.factors import F64, Grid, Reader, solve
from quantseg.lowering.edit import constant, initializer
from quantseg.observation import ChannelExtrema
from quantseg.ops.activation import clamp_bounds
from quantseg.prepare import Prepared

HEADROOM = 0.85
"""How near to the bound of a clamp a channel may be scaled: other images reach further than those that were seen."""

ACTIVE = 1e-3
"""A clamp is active on a channel that comes as near to its bound as this, relative to it."""


def equalise(prepared: Prepared, extrema: Mapping[str, ChannelExtrema], rounded: tuple[str, ...]) -> tuple[Prepared, F64]:
    model = prepared.model.clone()
    channels = channel_classes(model.graph)
    values = {str(v.name): v for v in channels.of}
    ceilings: dict[int, float] = {}
    for node, ids in channels.clamps:
        _limit(channels, node, ids, extrema, ceilings)
    count = len(channels.parent)
    roots = channels.roots(np.arange(count))
    reach = np.zeros(count)
    grids = []
    low, high = np.zeros(count), np.zeros(count)
    known = {}
    for name, value in values.items():
        seen, ids = extrema.get(name), roots[channels.of[value]]
        if seen is not None and len(seen.minima) == len(ids):
            known[name] = np.maximum(-seen.minima, 0).astype(np.float64), np.maximum(seen.maxima, 0).astype(np.float64)
            np.maximum.at(low, ids, known[name][0])
            np.maximum.at(high, ids, known[name][1])
    reach = low + high
    for name, value in values.items():
        ids = roots[channels.of[value]]
        if name in rounded:
            grids.append(Grid(ids, *known.get(name, (low[ids], high[ids]))))
    free = np.zeros(count, np.bool_)
    free[list(channels.free())] = True
    readers = [_reader(product, roots) for product in channels.products]
    seen_ids = np.zeros(count, np.bool_)
    for g in grids: seen_ids[g.ids] = True
    free &= seen_ids
    logs = solve(count, readers, grids, reach, free, {int(roots[n]): v for n, v in ceilings.items()})
    _apply(model.graph, channels, np.exp(logs[roots]))
    return replace(prepared, model=model), logs


def _limit(channels: Channels, node: ir.Node, ids, extrema, ceilings) -> None:
    low, high = clamp_bounds(node)
    seen = extrema.get(str(node.outputs[0].name))
    if seen is None or len(seen.maxima) != len(ids):
        if np.isfinite(high) or low not in (0.0, -np.inf):
            channels.pin(ids)
        return
    for number, least, most in zip(ids, seen.minima, seen.maxima, strict=True):
        if (np.isfinite(high) and most >= high * (1 - ACTIVE)) or (np.isfinite(low) and low != 0 and least <= low * (1 - ACTIVE)):
            channels.pin(np.array([number]))
        elif np.isfinite(high) and most > 0:
            root = channels.root(int(number))
            ceilings[root] = min(ceilings.get(root, np.inf), max(0.0, float(np.log(HEADROOM * high / most))))


def _reader(product: Product, roots) -> Reader:
    weight = product.weight.astype(np.float64)
    return Reader(np.abs(weight).max(axis=2), np.square(weight).sum(axis=2), weight.shape[2], product.groups, roots[product.read], roots[product.made])


def _apply(graph: ir.Graph, channels: Channels, factors: F64) -> None:
    for product in channels.products:
        node = product.node
        made, read = factors[product.made], factors[product.read]
        weight = np.asarray(constant(node.inputs[1]), np.float64)
        columns = read.reshape(product.groups, -1).repeat(len(made) // product.groups, axis=0)  # (out, in/group)
        change = made[:, None] / columns
        if node.op_type == "Conv":
            change = change.reshape(change.shape + (1,) * (weight.ndim - 2))
        elif not node.attributes.get_int("transB", 0):
            change = change.T
        node.replace_input_with(1, initializer(graph, f"{node.inputs[1].name}", (weight * change).astype(np.float32)))
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            bias = np.asarray(constant(node.inputs[2]), np.float64)
            node.replace_input_with(2, initializer(graph, f"{node.inputs[2].name}", (bias * made.reshape(bias.shape)).astype(np.float32)))
    for node, index, ids in channels.summands:
        old = np.asarray(constant(node.inputs[index]), np.float64)
        dims = len(node.outputs[0].shape)
        shape = (1, len(ids)) + (1,) * (dims - 2)
        node.replace_input_with(index, initializer(graph, f"{node.inputs[index].name}", (old.reshape(shape) * factors[ids].reshape(shape)).astype(np.float32)))
