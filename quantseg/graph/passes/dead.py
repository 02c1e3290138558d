"""Removal of nodes and initializers that nothing reads."""

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from quantseg.graph.passes.outcome import Change, RewriteOutcome


def remove_dead(model: ir.Model) -> RewriteOutcome:
    """Removes them, subgraphs included, by onnx-ir's pass; inputs and outputs of the model stay."""
    nodes = list(model.graph)
    RemoveUnusedNodesPass()(model)
    gone = [node for node in nodes if node.graph is None]
    return RewriteOutcome(
        tuple(Change("remove_dead", str(node.name), f"{node.op_type}: its result is not read") for node in gone)
    )
