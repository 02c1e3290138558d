"""Blocks: sequences of channels that are adjacent and in the same order in every tensor that holds them.

Two channels a, b are consecutive in a block if b follows a in every tensor that holds either. Operators then move a
block only as a whole, so the channels of a block can be permuted, in all tensors alike, without changing the network.
"""

from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.operators import BROADCAST, POOLS, REDUCTIONS, UNARY
from quantseg.refinement.channel_order import movement, operators
from quantseg.refinement.channel_order.ties import Ids, Lane, Ties, fits, lane

_HANDLERS: Mapping[str, Callable[[Ties, ir.Node], Lane | None]] = {
    **dict.fromkeys(("Conv", "Gemm", "MatMul"), operators.product),
    **dict.fromkeys(BROADCAST, operators.elementwise),
    **dict.fromkeys(UNARY | {"Expand"}, operators.through),
    **dict.fromkeys(POOLS, operators.images),
    **dict.fromkeys(("BatchNormalization", "InstanceNormalization"), operators.normalisation),
    **dict.fromkeys(REDUCTIONS, operators.reduction),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), operators.reshape),
    "Resize": operators.resize,
    "Pad": operators.pad,
    "Transpose": operators.transpose,
    "Concat": movement.concat,
    "Split": movement.split,
    "Slice": movement.sliced,
    "Gather": movement.gather,
    "DepthToSpace": movement.depth_to_space,
    "SpaceToDepth": movement.space_to_depth,
}
_BLIND = frozenset({"Shape", "Size"})
"""Operators that read only the shape of their input."""


def ties_of(graph: ir.Graph) -> Ties:
    """The classes of all channels of a prepared graph. Needs inferred shapes.

    Pinned to their order are the channels of the graph's inputs and outputs, of tensors that subgraphs read, and of the
    inputs of nodes that have no rule here, or none for these shapes.
    """
    ties = Ties()
    for node in graph:
        plain = node.domain in ("", "ai.onnx")
        if plain and node.op_type in _BLIND:
            continue
        handler = _HANDLERS.get(node.op_type) if plain else None
        found = handler(ties, node) if handler is not None else None
        if found is not None and fits(node.outputs[0], found):
            ties.put(node.outputs[0], found)
            continue
        for value in node.inputs:
            known = lane(ties, value)
            ties.pin(None if known is None else known.ids)
        for output in node.outputs:
            if output in ties.of:
                ties.pin(ties.of[output])
    for value, ids in ties.of.items():
        if value.is_graph_output() or any(user.graph is not graph for user, _ in value.uses()):
            ties.pin(ids)
    return ties


def blocks_of(ties: Ties) -> tuple[Ids, ...]:
    """The blocks, each as the classes of its channels in order; blocks of a single channel are left out."""
    count = len(ties.parent)
    roots = ties.roots(np.arange(count, dtype=np.int64))
    after, before = _neighbours(ties, roots)
    free = np.zeros(count, np.bool_)
    free[sorted(ties.free())] = True
    stopped = np.zeros(count, np.bool_)
    stopped[roots[sorted(ties.stops)]] = True
    follows = np.full(count, -1, np.int64)
    for a in np.flatnonzero(free & ~stopped & (after >= 0)):
        b = after[a]
        if free[b] and before[b] == a and b != a:
            follows[a] = b
    led = np.zeros(count, np.bool_)
    led[follows[follows >= 0]] = True
    blocks = []
    for start in np.flatnonzero((follows >= 0) & ~led):
        run = [int(start)]
        while follows[run[-1]] >= 0:
            run.append(int(follows[run[-1]]))
        blocks.append(np.array(run, np.int64))
    return tuple(blocks)


def _neighbours(ties: Ties, roots: Ids) -> tuple[Ids, Ids]:
    """For each class the class that follows it in every tensor, and the one that precedes it; -1 where it varies."""
    pairs = [np.stack([np.append(-1, line), np.append(line, -1)]) for line in (roots[ids] for ids in ties.of.values())]
    first, second = np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1)
    return _only(first, second, len(roots)), _only(second, first, len(roots))


def _only(keys: Ids, values: Ids, count: int) -> Ids:
    """For each key 0…count−1 its value, if all its occurrences have the same; else -1."""
    least, most = np.full(count, count), np.full(count, -1)
    inside: NDArray[np.bool_] = keys >= 0
    np.minimum.at(least, keys[inside], values[inside])
    np.maximum.at(most, keys[inside], values[inside])
    return np.where(least == most, most, -1)
