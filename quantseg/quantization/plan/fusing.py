"""Activations that the runtime fuses, in float, into the kernel of the product before them.

    y = round(f(conv(x)))  instead of  y = round(f(round(conv(x))))
The tensor between product and activation gets no grid: a Q/DQ pair there would keep the runtime from fusing the two
with the requantisation after them. Only this rounding is omitted; the grids of all other tensors and weights stay.
"""

from collections.abc import Container, Mapping

import onnx_ir as ir

from quantseg.quantization.operators import IntegerForm, KeptFloat, Kind

FUSED = "computes in float within the product before it"
"""Why such a node is listed as float: it is fused, at no cost."""


def fused_inputs(
    decisions: Mapping[ir.Node, IntegerForm | KeptFloat], operators: Container[str] | None
) -> dict[ir.Node, str]:
    """Each activation of these types that is the only consumer of an integer product → the name of its input."""
    if operators is None:
        return {}
    found: dict[ir.Node, str] = {}
    for node in decisions:
        value = node.inputs[0] if node.inputs else None
        producer = None if value is None else value.producer()
        form = None if producer is None else decisions.get(producer)
        product = isinstance(form, IntegerForm) and form.kind is Kind.PRODUCT
        if value is None or node.domain != "" or node.op_type not in operators or not product:
            continue
        if len(value.uses()) == 1 and not value.is_graph_output():
            found[node] = str(value.name)
    return found


def note_of(fused: Mapping[ir.Node, str], operators: Container[str] | None) -> tuple[str, ...]:
    """The plan's notes on fusion; none where the plan is not for a single runtime."""
    if operators is None:
        return ()
    if not fused:
        return ("made for OpenVINO, which has no activation to fuse here",)
    return (
        f"made for OpenVINO, which fuses {len(fused)} activations into the products before them; onnxruntime does "
        "not, and is slower with this model than with the portable one",
    )
