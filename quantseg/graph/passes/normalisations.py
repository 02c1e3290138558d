"""Layer, group, instance and RMS normalisation that an exporter decomposed into arithmetic.

    d = x − mean(x),   y = d/√(mean(d²) + ε)        RMS: y = x/√(mean(x²) + ε)
Eight bits resolve neither d² nor the root of its mean, so these nodes stay float, though some have integer kernels.
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
    """A refusal, which keeps it float, for each node of such a normalisation in the main graph; changes nothing."""
    found = normalising(model.graph)
    refusals = (Refusal("recognise_normalisations", str(node.name), _REASON) for node in model.graph if node in found)
    return RewriteOutcome(refusals=tuple(refusals))


def normalising(graph: ir.Graph) -> set[ir.Node]:
    """The nodes of all such normalisations in the graph, from the mean to the division by the deviation."""
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
    """Node sets from d² to the division of d by √(mean(d²) + ε), one for each matching path. maker: of d."""
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
