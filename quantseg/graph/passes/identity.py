"""Nodes that change nothing: Identity, Dropout at inference, and a Cast to the type that its input has."""

import onnx_ir as ir

from quantseg.graph.edit import bypass, constant, input_at
from quantseg.graph.passes.outcome import Change, RewriteOutcome


def remove_identities(model: ir.Model) -> RewriteOutcome:
    """Removes them from the main graph; one directly between a graph input and a graph output stays."""
    changes = []
    for node in list(model.graph):
        source = _same_as(node)
        if source is not None and bypass(node, source):
            changes.append(Change("remove_identities", str(node.name), f"{node.op_type} changes nothing"))
    return RewriteOutcome(tuple(changes))


def _same_as(node: ir.Node) -> ir.Value | None:
    """The value that holds the same numbers as the node's output, None where none does."""
    if node.domain != "":
        return None
    if node.op_type == "Identity" or (node.op_type == "Dropout" and _at_inference(node)):
        return node.inputs[0]
    if node.op_type == "Cast" and node.inputs[0] is not None:
        same = node.attributes.get_int("to", 0) == node.inputs[0].dtype
        return node.inputs[0] if same else None
    return None


def _at_inference(node: ir.Node) -> bool:
    """Whether training_mode is omitted or constant false, and nothing reads the mask."""
    mode = input_at(node, 2)
    known = constant(mode)
    off = mode is None or (known is not None and not known.any())
    return off and not any(mask.uses() or mask.is_graph_output() for mask in node.outputs[1:])
