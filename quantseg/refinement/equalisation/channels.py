"""Classes of channels that must have the same factor, found by union-find over the graph.

A positive factor of a channel passes through every operator f with f(s·x) = s·f(x). A convolution or product starts new
classes, since its weights can divide by any input factor and multiply by any output factor. Operators that are not
known to pass a factor on pin the factors of their inputs to one. Channels are on axis 1.
"""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from quantseg.refinement.equalisation import moving, passing
from quantseg.refinement.equalisation.classes import Channels, Ids, known

_HANDLERS: Mapping[str, Callable[[Channels, ir.Node], Ids | None]] = {
    "Conv": passing.product,
    "Gemm": passing.product,
    "MatMul": passing.product,
    **dict.fromkeys(("Relu", "LeakyRelu", "PRelu", "Identity"), passing.through),
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Expand"), passing.through),
    "Resize": passing.resize,
    "Clip": passing.clamp,
    "Add": passing.total,
    "Sub": passing.total,
    "Mul": passing.scaling,
    "Concat": moving.concat,
    "Split": moving.split,
    "Slice": moving.sliced,
    "Gather": moving.gather,
    "DepthToSpace": moving.depth_to_space,
    "Reshape": moving.reshape,
    "Flatten": moving.reshape,
    "Transpose": moving.transpose,
    "Pad": passing.pad,
    "Equal": passing.equal,
    "Where": passing.where,
}


def channel_classes(graph: ir.Graph) -> Channels:
    """The classes of all channels of a prepared graph. Needs inferred shapes.

    Pinned to one are the channels of the graph's inputs and outputs, of tensors that subgraphs read, and of the inputs
    of nodes that are not known to pass a factor on, because of their operator or of a shape that cannot be inferred.
    """
    channels = Channels()
    for node in graph:
        handler = _HANDLERS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        ids = handler(channels, node) if handler is not None else None
        if ids is None:
            for value in node.inputs:
                channels.pin(known(channels, value))
            continue
        channels.of[node.outputs[0]] = ids
    for value, ids in channels.of.items():
        if value.is_graph_output() or any(user.graph is not graph for user, _ in value.uses()):
            channels.pin(ids)
    return channels
