"""Cross-layer equalisation: scales channels of a tensor so that they use a common grid well; outputs stay equal.

The weights of one layer multiply a channel by a factor and those of the next divide by it; between them are operators
that a positive factor passes through. Source: Nagel et al., arXiv:1906.04721, section 4.1; here all factors of the
graph are chosen together.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.calibration.observation import ChannelExtrema
from quantseg.graph import as_session_source
from quantseg.graph.edit import constant, initializer, rank
from quantseg.graph.preparation import Prepared
from quantseg.quantization.operators.activation import clamp_bounds
from quantseg.refinement.equalisation.channels import channel_classes
from quantseg.refinement.equalisation.classes import Channels, Ids, LinearProduct
from quantseg.refinement.equalisation.factors import F64, TensorGrid, WeightReader, solve
from quantseg.runtimes import Runtime

__all__ = ["Equalised", "deviation", "equalise"]

HEADROOM = 0.85
"""How near to the bound of a clamp a channel may be scaled, since unseen images may have larger values."""

_ACTIVE = 1e-3
"""A clamp counts as active on a channel whose values come this near to its bound, relative to the bound."""


@dataclass(frozen=True)
class Equalised:
    """The scaled graph. classes: number of classes of channels with a factor. least, most: the extreme factors."""

    prepared: Prepared
    classes: int
    least: float
    most: float


def equalise(prepared: Prepared, extrema: Mapping[str, ChannelExtrema], rounded: Sequence[str]) -> Equalised | None:
    """An equivalent float network with the factors of least rounding noise; None where no channel can be scaled.

    extrema: of the observed tensors of this model. rounded: names of the tensors that the plan rounds. A channel may
    also be scaled through a clamp (such as ReLU6) if no image reached its bounds; then the networks are equal only
    while none does. Weights must not be rounded yet.
    """
    model = prepared.model.clone()
    channels = channel_classes(model.graph)
    ceilings = _ceilings(channels, extrema)
    roots = channels.roots(np.arange(len(channels.parent), dtype=np.int64))
    grids, reach = _grids(channels, roots, extrema, frozenset(rounded))
    free = np.zeros(len(roots), np.bool_)
    free[sorted(channels.free())] = True
    free &= reach > 0  # channels that were always zero have no best factor
    if not free.any():
        return None
    readers = [_reader(product, roots) for product in channels.products]
    logs = solve(readers, grids, reach, free, ceilings)
    factors = np.exp(logs)
    _scale(model.graph, channels, factors[roots])
    changed = factors[free]
    return Equalised(replace(prepared, model=model), len(changed), float(changed.min()), float(changed.max()))


def deviation(
    models: tuple[ir.Model, ir.Model],
    feeds: Sequence[Mapping[str, NDArray[Any]]],
    outputs: Sequence[str],
    *,
    runtime: Runtime,
    threads: int,
) -> float:
    """The largest difference of the two models' outputs, over the first model's largest output, on all `feeds`."""
    most, largest = 0.0, 0.0
    with (
        as_session_source(models[0]) as first,
        as_session_source(models[1]) as second,
        closing(runtime.open(first, threads=threads, spinning=False)) as told,
        closing(runtime.open(second, threads=threads, spinning=False)) as given,
    ):
        for feed in feeds:
            for a, b in zip(told.run(feed, outputs), given.run(feed, outputs), strict=True):
                most = max(most, float(np.abs(a.astype(np.float64) - b).max(initial=0.0)))
                largest = max(largest, float(np.abs(a.astype(np.float64)).max(initial=0.0)))
    return most / largest if largest else most


def _ceilings(channels: Channels, extrema: Mapping[str, ChannelExtrema]) -> dict[int, float]:
    """Class → the most that the log of its factor may be without reaching a clamp. Active clamps pin their classes."""
    found = dict[int, float]()
    for node, ids in channels.clamps:
        low, high = clamp_bounds(node)
        seen = extrema.get(str(node.outputs[0].name))
        if low in (0.0, -np.inf) and high == np.inf:
            continue
        if not low <= 0 <= high or seen is None or len(seen.maxima) != len(ids):
            channels.pin(ids)
            continue
        nearness = _nearness(seen, low, high)
        channels.pin(ids[nearness > 1 - _ACTIVE])
        for number, near in zip(ids, nearness, strict=True):
            root, room = channels.root(int(number)), float(np.log(HEADROOM / near)) if near > 0 else 0.0
            found[root] = min(found.get(root, np.inf), max(0.0, room))
    return found


def _nearness(seen: ChannelExtrema, low: float, high: float) -> F64:
    """How near each channel comes to the bounds of a clamp, 1 where it reaches one; a bound of zero does not count."""
    reached = [(seen.maxima, high), (seen.minima, low)]
    shares = [values.astype(np.float64) / bound for values, bound in reached if bound and np.isfinite(bound)]
    nearness: F64 = np.maximum.reduce([*shares, np.zeros(len(seen.maxima))])
    return nearness


def _grids(
    channels: Channels, roots: Ids, extrema: Mapping[str, ChannelExtrema], rounded: frozenset[str]
) -> tuple[list[TensorGrid], F64]:
    """The rounded tensors with the ranges of their channels, and for each class the width of its channels' range.

    A tensor that was not observed, since its range follows from others, takes the ranges of its channels' classes.
    """
    below, above = np.zeros(len(roots)), np.zeros(len(roots))
    seen = dict[str, tuple[F64, F64]]()
    for value, numbers in channels.of.items():
        name, ids = str(value.name), roots[numbers]
        if name in extrema and len(extrema[name].minima) == len(ids):
            seen[name] = (
                np.maximum(-extrema[name].minima, 0).astype(np.float64),
                np.maximum(extrema[name].maxima, 0).astype(np.float64),
            )
            np.maximum.at(below, ids, seen[name][0])
            np.maximum.at(above, ids, seen[name][1])
    grids = []
    for value, numbers in channels.of.items():
        name, ids = str(value.name), roots[numbers]
        if name in rounded:
            grids.append(TensorGrid(ids, *seen.get(name, (below[ids], above[ids]))))
    return grids, below + above


def _reader(product: LinearProduct, roots: Ids) -> WeightReader:
    weight = product.weight.astype(np.float64)
    return WeightReader(
        np.abs(weight).max(axis=2),
        np.square(weight).sum(axis=2),
        weight.shape[2],
        product.groups,
        roots[product.read],
        roots[product.made],
    )


def _scale(graph: ir.Graph, channels: Channels, factors: F64) -> None:
    """Multiplies weights, biases and constant summands by the factors. factors: by channel number."""
    for product in channels.products:
        node = product.node
        made, read = factors[product.made], factors[product.read]
        columns = read.reshape(product.groups, -1).repeat(len(made) // product.groups, axis=0)  # (out, in/group)
        change = made[:, None] / columns
        if node.op_type == "Conv":
            kernel = rank(node.inputs[1])
            assert kernel is not None
            change = change.reshape(change.shape + (1,) * (kernel - 2))
        elif not node.attributes.get_int("transB", 0):
            change = change.T
        _multiply(graph, node, 1, change)
        if len(node.inputs) > 2 and node.inputs[2] is not None:
            _multiply(graph, node, 2, made)
    for node, index, ids in channels.summands:
        dims = rank(node.outputs[0])
        assert dims is not None
        _multiply(graph, node, index, factors[ids].reshape(1, -1, *(1,) * (dims - 2)))


def _multiply(graph: ir.Graph, node: ir.Node, index: int, change: F64) -> None:
    old = constant(node.inputs[index])
    assert old is not None
    shape = old.shape if old.size == change.size and old.ndim <= change.ndim else change.shape
    new = (old.astype(np.float64) * change.reshape(shape)).astype(np.float32)
    node.replace_input_with(index, initializer(graph, f"{node.name}_equalised_{index}", new))
