"""Concatenation."""

import onnx_ir as ir

from quantseg.quantization.operators.form import IntegerForm, Kind


def concat(node: ir.Node) -> IntegerForm:
    """Concat of any number of tensors, constants among them."""
    return IntegerForm(Kind.JOIN, data=tuple(range(len(node.inputs))))
