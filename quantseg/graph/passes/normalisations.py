"""Normalisations that an exporter wrote as arithmetic: layer, group and instance normalisation before their operators.

    d = x − mean(x),   y = d/√(mean(d²) + ε)        or of x itself, by its root mean square: y = x/√(mean(x²) + ε)
Eight bits hold neither d² nor the root of its mean, so these nodes compute in float, whatever each could do alone.
Sources of the patterns: Ba et al., arXiv:1607.06450; Zhang and Sennrich, arXiv:1910.07467.
"""

from collections.abc import Iterator

import onnx_ir as ir

from quantseg.graph.passes.outcome import Refusal, RewriteOutcome

_REASON = "part of a normalisation whose statistics are computed from each image, which needs float"
_SQUARE = ("Pow", "Mul")
_ROOT = ("Sqrt", "Pow")
_SCALE = ("Div", "Mul")


def recognise_normalisations(model: ir.Model) -> RewriteOutcome:
    """Names the reason at each node of such a normalisation in the main graph; changes nothing."""
    found = normalising(model.graph)
    refusals = (Refusal("recognise_normalisations", str(node.name), _REASON) for node in model.graph if node in found)
    return RewriteOutcome(refusals=tuple(refusals))


def normalising(graph: ir.Graph) -> set[ir.Node]:
    """The nodes of the graph from the mean to the division by the deviation."""
    found: set[ir.Node] = set()
    for node in graph:
        if _is(node, "Sub") and (mean := _own_mean(node)) is not None:
            chains = [chain for chain in _deviations(node) if chain]
            found.update(*chains)
            if chains:
                found |= {mean, node}
        maker = node.inputs[0].producer() if _is(node, *_SQUARE) and node.inputs[0] is not None else None
        if maker is not None:
            found.update(*_deviations(maker))
    return found


def _own_mean(difference: ir.Node) -> ir.Node | None:
    """The ReduceMean of x in x − mean(x)."""
    x, mean = difference.inputs
    maker = mean.producer() if mean is not None else None
    return maker if maker is not None and _is(maker, "ReduceMean") and maker.inputs[0] is x else None


def _deviations(maker: ir.Node) -> Iterator[set[ir.Node]]:
    """The nodes from d² to the division of d by a root of its mean, for each way from d's maker to there."""
    d = maker.outputs[0]
    for square in _users(maker, *_SQUARE):
        if square.op_type == "Mul" and any(value is not d for value in square.inputs):
            continue
        for mean in _users(square, "ReduceMean"):
            for steadied in _users(mean, "Add"):
                for root in _users(steadied, *_ROOT):
                    turned = set(_users(root, "Reciprocal"))
                    last = [user for maker in (root, *turned) for user in _users(maker, *_SCALE) if d in user.inputs]
                    yield {square, mean, steadied, root, *turned, *last} if last else set()


def _users(node: ir.Node, *op_types: str) -> list[ir.Node]:
    users = dict.fromkeys(user for user, _ in node.outputs[0].uses())
    return [user for user in users if _is(user, *op_types) and user.graph is node.graph]


def _is(node: ir.Node, *op_types: str) -> bool:
    return node.domain == "" and node.op_type in op_types
