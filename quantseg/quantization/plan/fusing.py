"""Activations that the runtime computes in float within the kernel of the product before them.

    y = round(f(conv(x)))  instead of  y = round(f(round(conv(x))))
The tensor between a product and its activation has no grid, so that nothing is written there that would keep the
runtime from fusing the two with the rounding behind them. One rounding less is all that changes: every other tensor
keeps its grid, and every weight.
"""

from collections.abc import Container, Mapping

import onnx_ir as ir

from quantseg.quantization.operators import IntegerForm, KeptFloat, Kind

FUSED = "computes in float within the product before it"
"""Why a node stays float at no cost."""


def fused_inputs(
    decisions: Mapping[ir.Node, IntegerForm | KeptFloat], operators: Container[str] | None
) -> dict[ir.Node, str]:
    """Each activation of these operators that alone reads an integer product → the name of what it reads."""
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
    """What a plan for one runtime says of it; nothing where it is for any."""
    if operators is None:
        return ()
    if not fused:
        return ("made for OpenVINO, which has no activation to fuse here",)
    return (
        f"made for OpenVINO, which fuses {len(fused)} activations into the products before them; onnxruntime does "
        "not, and is slower with this model than with the portable one",
    )
