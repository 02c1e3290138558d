"""Unique names for all nodes and values: plans, reports and the user's patterns refer to them."""

from collections.abc import Container, Iterator

import onnx_ir as ir


def make_unique(model: ir.Model) -> None:
    """Names nameless nodes and values, and renames all but the first of those that share a name.

    A nameless node is named after its operator type and its index in the graph (Conv_12). Names that are unique
    already, and those of graph inputs and outputs, never change. Names are unique over all subgraphs too, since ONNX
    scopes names across them.
    """
    graphs = list(model.graphs())
    nodes = [node for graph in graphs for node in graph]
    taken = {node.name for node in nodes if node.name}
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        if not node.name or node.name in seen:
            node.name = _free(node.name or f"{node.op_type}_{index}", taken)
        taken.add(node.name)
        seen.add(node.name)
    _name_values(graphs)


def _name_values(graphs: list[ir.Graph]) -> None:
    fixed = [value for graph in graphs for value in (*graph.inputs, *graph.outputs)]
    values = [value for graph in graphs for value in _inner_values(graph)]
    taken = {value.name for value in (*fixed, *values) if value.name}
    seen = {value.name for value in fixed}
    kept = set(fixed)
    for value in values:
        if value in kept:
            continue
        if not value.name or value.name in seen:
            producer = value.producer()
            stem = value.name or (f"{producer.name}_out" if producer else "constant")
            value.name = _free(stem, taken)
        taken.add(value.name)
        seen.add(value.name)


def _inner_values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from list(graph.initializers.values())
    for node in graph:
        yield from (value for value in node.outputs if value.name or value.uses())  # neither: an omitted output


def _free(stem: str, taken: Container[str | None]) -> str:
    if stem not in taken:
        return stem
    number = 1
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"
