"""Which channels of which tensors must be scaled alike: classes of channels, found by union over the graph.

A positive factor per channel passes through every operator f with f(s·x) = s·f(x); a convolution or product starts a
new one, since its weights take any factor in and give any factor out. What is not known to pass a factor on pins it to
one. Channels stand on axis 1.
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

    Pinned are the graph's inputs and outputs, what subgraphs read, and what a node reads that is not known to pass a
    factor on, be it for its operator or for a shape that cannot be inferred.
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
