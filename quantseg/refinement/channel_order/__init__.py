"""Channel reordering: permutes input channels so that large weights of one sign are not paired by int8 kernels.

An int8 kernel gives the same sums on every processor if no pair of neighbouring weights exceeds a bound (see
quantization/pairs.py). Where a pair does, the scale of its output channel has to grow, and bits are lost. Channels can
be permuted, and so paired differently, wherever the node that writes them can write them in another order.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, initializer
from quantseg.graph.operators import INTEGER_PRODUCTS
from quantseg.graph.preparation import Prepared
from quantseg.quantization.affine import F32, F64
from quantseg.quantization.plan.weights import pair_rows
from quantseg.refinement.channel_order.blocks import blocks_of, ties_of
from quantseg.refinement.channel_order.search import RowReader, bits, ordered
from quantseg.refinement.channel_order.ties import Ids, Ties

__all__ = ["Lost", "Order", "Reordered", "lost", "reorder"]

_MOST = 127.0


@dataclass(frozen=True, eq=False)
class Lost:
    """Bits lost to the bound on pair sums. of: node → bits of each output channel, (output channels,)."""

    of: Mapping[str, F64]

    @property
    def mean(self) -> float:
        """The mean over all output channels of all products; zero where there are none."""
        return float(np.concatenate([np.zeros(0), *self.of.values()]).mean()) if self.channels else 0.0

    @property
    def channels(self) -> int:
        """The number of output channels of all products."""
        return sum(len(values) for values in self.of.values())


@dataclass(frozen=True, eq=False)
class Order:
    """The new order of a tensor's channels. places: new position → old position. axis: of the channels."""

    places: Ids
    axis: int


@dataclass(frozen=True, eq=False)
class Reordered:
    """The model with its channels reordered. before, after: the bits that its products lose.

    orders: tensor → its new order, for the tensors whose order changes.
    """

    prepared: Prepared
    orders: Mapping[str, Order]
    before: Lost
    after: Lost


def reorder(prepared: Prepared, kept_float: Container[str] = ()) -> Reordered | None:
    """An equivalent float network (but for the order of summation); None where no order loses fewer bits.

    Inputs and outputs of the graph keep the order of their channels, and all tensors and nodes their names. Weights
    must not be rounded yet. kept_float: nodes that stay float, whose bits do not count.
    """
    before = lost(prepared, kept_float)
    if not before.mean:
        return None
    model = prepared.model.clone()
    ties = ties_of(model.graph)
    roots = ties.roots(np.arange(len(ties.parent), dtype=np.int64))
    blocks = blocks_of(ties)
    paired = [one for one in ties.products if str(one.node.name) in before.of]
    readers = [RowReader(_steps(one.weight), one.groups, roots[one.read]) for one in paired]
    moves = np.zeros(len(roots), np.int64)  # class → old minus new position of the channel that takes its place
    for block, order in zip(blocks, ordered(readers, blocks), strict=True):
        moves[block] = order - np.arange(len(block))
    if not moves.any():
        return None
    moves = moves[roots]
    _lay_out(model.graph, ties, moves)
    orders = {
        str(value.name): Order(np.arange(len(ids)) + moves[ids], ties.axes[value])
        for value, ids in ties.of.items()
        if moves[ids].any()
    }
    done = replace(prepared, model=model)
    return Reordered(done, orders, before, lost(done, kept_float))


def lost(prepared: Prepared, kept_float: Container[str] = ()) -> Lost:
    """The bits lost by products with constant weights and pair sums. kept_float: nodes that are left out."""
    found = {str(node.name): rows for node, rows in _products(prepared.model.graph)}
    return Lost({name: bits(_steps(rows)) for name, rows in found.items() if name not in kept_float})


def _products(graph: ir.Graph) -> Iterator[tuple[ir.Node, F32]]:
    """The products that have pair sums, with their weights as (output channels, in/group, taps)."""
    for node in graph:
        if node.domain in ("", "ai.onnx") and node.op_type in INTEGER_PRODUCTS:
            weight = constant(node.inputs[1])
            rows = None if weight is None or weight.dtype != np.float32 else pair_rows(node, weight)
            if rows is not None:
                yield node, rows


def _steps(rows: F32) -> F32:
    """Weights in steps of the grid that follows from their extrema; rows of zeros stay zero."""
    largest = np.abs(rows).max(axis=(1, 2), initial=0.0, keepdims=True)
    shares = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)  # 127 / largest may overflow
    steps: F32 = shares * np.float32(_MOST)
    return steps


def _lay_out(graph: ir.Graph, ties: Ties, moves: Ids) -> None:
    """Permutes weights, biases and constants. moves: by channel number, old minus new position."""
    for product in ties.products:
        node, made = product.node, np.arange(len(product.made)) + moves[product.made]
        within = product.weight.shape[1]
        columns = np.arange(len(product.read)) + moves[product.read]
        columns = columns.reshape(product.groups, within) - np.arange(product.groups)[:, None] * within
        weight = constant(node.inputs[1])
        assert weight is not None
        if moves[product.made].any() or (within > 1 and moves[product.read].any()):
            turned = node.op_type != "Conv" and not node.attributes.get_int("transB", 0)
            rows = (weight.T if turned else weight)[made]
            if within > 1:  # a depthwise kernel goes with its channel
                by_group = rows.reshape(product.groups, -1, *rows.shape[1:])
                rows = np.concatenate([of[:, places] for of, places in zip(by_group, columns, strict=True)])
            _store(graph, node, 1, rows.T if turned else rows)
        bias = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if bias is not None and moves[product.made].any():
            _store(graph, node, 2, np.take(bias, made, axis=-1))
    for one in ties.constants:
        values = constant(one.node.inputs[one.index])
        assert values is not None
        if moves[one.ids].any():
            order = np.arange(len(one.ids)) + moves[one.ids]
            _store(graph, one.node, one.index, np.take(values, order, axis=one.axis))


def _store(graph: ir.Graph, node: ir.Node, index: int, values: NDArray[np.generic]) -> None:
    """Replaces a constant operand of the node; it keeps its name unless another node reads the old one."""
    old = node.inputs[index]
    assert old is not None
    alone = len(list(old.uses())) == 1 and not old.is_graph_output() and old.name in graph.initializers
    if alone and graph.initializers[str(old.name)] is old:
        old.const_value = ir.tensor(np.ascontiguousarray(values), name=old.name)
    else:
        node.replace_input_with(index, initializer(graph, f"{node.name}_reordered_{index}", values))
