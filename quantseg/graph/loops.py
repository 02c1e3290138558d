"""How often the bodies of an untrusted model's loops run, where the file says so: a Loop of 2^62 trips never ends.

Loops whose condition is computed, or whose number of trips is, end by their data; for them runtimes have a time limit.
"""

import math

import numpy as np
import onnx_ir as ir

from quantseg.errors import ModelError
from quantseg.files import limits
from quantseg.graph.edit import constant, input_at


def check_loops(model: ir.Model) -> None:
    """Raises ModelError for a Loop whose body certainly runs more often than limits.LOOP_TRIPS."""
    for nodes in (model.graph, *(function.graph for function in model.functions.values())):
        _check(nodes, times=1)


def _check(graph: ir.Graph, times: float) -> None:
    """times: how often the graph itself runs, by loops around it."""
    for node in graph:
        trips = times * _trips(node) if node.op_type == "Loop" and node.domain == "" else times
        if trips > limits.LOOP_TRIPS:
            often = "without end" if math.isinf(trips) else f"{int(trips):,} times"
            raise ModelError(f"node {node.name!r} (Loop) runs its body {often}; export it with fewer trips")
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
                _check(attribute.as_graph(), trips)
            elif attribute.type == ir.AttributeType.GRAPHS and not attribute.is_ref():
                for inner in attribute.as_graphs():
                    _check(inner, trips)


def _trips(node: ir.Node) -> float:
    """How often a Loop's body runs at least, as far as constants tell; 1 where they do not."""
    limit, start, attribute = input_at(node, 0), input_at(node, 1), node.attributes["body"]
    if attribute.is_ref():
        return 1
    body = attribute.as_graph()
    if len(body.inputs) < 2 or not body.outputs or not _holds(start, body) or not _holds(body.outputs[0], body):
        return 1
    if limit is None:
        return math.inf
    number = constant(limit)
    return 1 if number is None or number.size != 1 or number.dtype != np.int64 else max(0, int(number.item()))


def _holds(condition: ir.Value | None, body: ir.Graph) -> bool:
    """Whether a condition is always true: left out, a true constant, or the condition that the body was given."""
    value = condition
    while value is not None and (maker := value.producer()) is not None and maker.op_type == "Identity":
        value = maker.inputs[0]
    if value is None or value is body.inputs[1]:
        return True
    found = constant(value)
    return found is not None and found.size == 1 and bool(found.item())
