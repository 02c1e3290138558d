"""Quotients, negation, squares, sums and magnitudes as operators that runtimes have integer kernels for.

    x/c = x·(1/c)      −x = (−1)·x      x² = x·x      sum(a, b, …) = a + b + …      |x| = LeakyRelu(x), slope −1
A Mul by one number costs nothing where scales.py folds it into a weight.
"""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, initializer, owner, rank, replace
from quantseg.graph.passes.normalisations import normalising
from quantseg.graph.passes.outcome import Change, RewriteOutcome
from quantseg.graph.passes.reach import leading_to_product


def lower_arithmetic(model: ir.Model) -> RewriteOutcome:
    """Rewrites them in the main graph where a convolution or matrix product follows. Needs inferred shapes."""
    useful, kept = leading_to_product(model.graph), normalising(model.graph)
    changes = []
    for node in list(model.graph):
        if node.domain != "" or node not in useful or node in kept or not _on_pixels(node):
            continue
        rewrite = _REWRITES.get(node.op_type)
        new = rewrite(node) if rewrite is not None else None
        if new is not None:
            replace(node, new)
            changes.append(Change("lower_arithmetic", str(node.name), f"now {' and '.join(n.op_type for n in new)}"))
    return RewriteOutcome(tuple(changes))


def _on_pixels(node: ir.Node) -> bool:
    """Whether the node computes floats from outputs of other nodes; arithmetic on the graph's inputs is left alone."""
    variable = [value for value in node.inputs if constant(value) is None]
    computed = all(value is not None and value.producer() is not None for value in variable)
    return computed and node.outputs[0].dtype == ir.DataType.FLOAT


def _quotient(node: ir.Node) -> list[ir.Node] | None:
    divisor, name = _finite(node.inputs[1]), str(node.name)
    if divisor is None or not (divisor != 0).all():
        return None
    inverse = np.divide(1, divisor, dtype=np.float64).astype(np.float32)
    if not np.isfinite(inverse).all():
        return None
    return [ir.node("Mul", [node.inputs[0], initializer(owner(node), f"{name}_factor", inverse)], name=name)]


def _negative(node: ir.Node) -> list[ir.Node]:
    factor = initializer(owner(node), f"{node.name}_factor", np.array(-1, np.float32))
    return [ir.node("Mul", [node.inputs[0], factor], name=node.name)]


def _sum(node: ir.Node) -> list[ir.Node] | None:
    if len(node.inputs) < 2:
        return None
    name, nodes, total = str(node.name), [], node.inputs[0]
    for number, value in enumerate(node.inputs[1:], start=1):
        last = number == len(node.inputs) - 1
        nodes.append(ir.node("Add", [total, value], name=name if last else f"{name}_{number}"))
        total = nodes[-1].outputs[0]
    return nodes


def _square(node: ir.Node) -> list[ir.Node] | None:
    exponent, x = constant(node.inputs[1]), node.inputs[0]
    if exponent is None or exponent.size != 1 or exponent.reshape(()) != 2 or exponent.ndim > (rank(x) or 0):
        return None
    return [ir.node("Mul", [x, x], name=node.name)]


def _magnitude(node: ir.Node) -> list[ir.Node]:
    return [ir.node("LeakyRelu", [node.inputs[0]], {"alpha": -1.0}, name=node.name)]


_REWRITES = {"Div": _quotient, "Neg": _negative, "Abs": _magnitude, "Sum": _sum, "Pow": _square}


def _finite(value: ir.Value | None) -> NDArray[Any] | None:
    array = constant(value)
    return array if array is not None and array.dtype == np.float32 and np.isfinite(array).all() else None
