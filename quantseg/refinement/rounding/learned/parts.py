"""Cuts a network into parts that are learned one after another, preferably where it is one tensor wide.

Source of learning block by block: BRECQ, Li et al., arXiv:2102.05426, section 3.2.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True)
class LearnedPart:
    """A part: consecutive nodes of the quantised graph.

    plain: the same nodes in the float graph. carried: the tensors, graph inputs included, that later nodes read.
    compared: the float tensors among these that this part writes. learned: names of nodes whose weights are learned.
    """

    nodes: tuple[ir.Node, ...]
    plain: tuple[ir.Node, ...]
    carried: tuple[str, ...]
    compared: tuple[str, ...]
    learned: tuple[str, ...]


def parts_of(rounded: ir.Graph, plain: ir.Graph, learned: Collection[str], *, largest: int) -> tuple[LearnedPart, ...]:
    """The parts of the fake-quantised graph `rounded`, those without a learned weight left out.

    plain: the float graph. learned: names of the nodes whose weights are learned. A part ends where all later nodes
    depend on a single tensor, and at the latest after `largest` learned weights; largest = 1 is layer by layer.
    """
    nodes = list(rounded)
    same = {str(node.name): node for node in plain}
    known = {str(value.name): value for node in plain for value in node.outputs} | {
        str(value.name): value for value in plain.inputs
    }
    outputs, inputs = ([str(value.name) for value in values] for values in (rounded.outputs, rounded.inputs))
    last = _last_reads(nodes, outputs)
    alive = _alive(nodes, last)
    parts: list[LearnedPart] = []
    start = 0
    for end in range(1, len(nodes) + 1):
        names = alive[end - 1]
        if not all(name in known for name in names):
            continue  # between the two nodes that round a tensor
        here = nodes[start:end]
        weights = tuple(str(node.name) for node in here if node.name in learned)
        numbers = [name for name in names if known[name].dtype == ir.DataType.FLOAT]
        if end < len(nodes) and (not weights or (len(numbers) > 1 and len(weights) < largest)):
            continue
        made = {str(value.name) for node in here for value in node.outputs}
        parts.append(
            LearnedPart(
                nodes=tuple(here),
                plain=tuple(same[str(node.name)] for node in here if node.name in same),
                carried=(*names, *(name for name in inputs if name not in names and last.get(name, -1) >= end)),
                compared=tuple(name for name in numbers if name in made),
                learned=weights,
            )
        )
        start = end
    return tuple(part for part in parts if part.learned)


def _last_reads(nodes: Sequence[ir.Node], outputs: Sequence[str]) -> dict[str, int]:
    """Tensor → the index of the last node that reads it; an output's is behind all nodes."""
    last = {name: len(nodes) for name in outputs}
    for index, node in enumerate(nodes):
        for value in node.inputs:
            if value is not None and not value.is_initializer():
                last[str(value.name)] = max(last.get(str(value.name), 0), index)
    return last


def _alive(nodes: Sequence[ir.Node], last: Mapping[str, int]) -> list[list[str]]:
    """For each node, the tensors that exist after it and that later nodes read or that are outputs; see _last_reads."""
    found: list[list[str]] = []
    current: dict[str, None] = {}
    for index, node in enumerate(nodes):
        for value in node.inputs:  # inputs of the graph appear where they are first read
            if value is not None and not value.is_initializer():
                current[str(value.name)] = None
        current.update({str(value.name): None for value in node.outputs})
        current = {name: None for name in current if last.get(name, -1) > index}
        found.append(list(current))
    return found
