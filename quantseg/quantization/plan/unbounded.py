"""Tensors that no grid fits: which may hold an infinity, and which nodes stay float around those that do.

Attention masks by −inf, a MaxPool's padding of −inf, and a quotient that a Min bounds later are meant so; an infinite
image, output, or result of a convolution or matrix product is a fault of the model or of its input.
"""

from collections.abc import Collection

import onnx_ir as ir

from quantseg.graph.operators import PRODUCTS
from quantseg.quantization.operators import IntegerForm, Kind, integer_form

REASON = "an infinity, or numbers that mask, are in a tensor of it, beside which no grid holds the others"


def finite_tensors(graph: ir.Graph) -> frozenset[str]:
    """Names of the tensors in which an infinity is an error: inputs, outputs, and results of products, also clamped."""
    found = {str(value.name) for value in (*graph.inputs, *graph.outputs)}
    for node in graph:
        form = integer_form(node)
        clamps = isinstance(form, IntegerForm) and form.kind is Kind.CLAMP
        first = node.inputs[0] if node.inputs else None
        if node.op_type in PRODUCTS or (clamps and first is not None and first.name in found):
            found.update(str(value.name) for value in node.outputs)
    return frozenset(found)


def around_unbounded(graph: ir.Graph, unbounded: Collection[str]) -> dict[str, str]:
    """Each node that reads or writes one of these tensors, or such a tensor moved → why it stays float."""
    if not unbounded:
        return {}
    found, names = {}, set(unbounded)
    for node in graph:
        form = integer_form(node)
        given = [value for value in node.inputs if value is not None and value.name in names]
        if given and isinstance(form, IntegerForm) and (form.shares_grid or form.kind is Kind.JOIN):
            names.update(str(value.name) for value in node.outputs)
        if given or any(value.name in names for value in node.outputs):
            found[str(node.name)] = f"{node.op_type}: {REASON}"
    return found
