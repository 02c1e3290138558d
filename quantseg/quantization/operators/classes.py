"""Operators that turn logits into classes: exact on integers, since a common grid keeps their order."""

import onnx_ir as ir

from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind


def argmax(node: ir.Node) -> IntegerForm:
    """ArgMax over classes: at ties the first, in integers as in float; onnxruntime has kernels for both."""
    return IntegerForm(Kind.HEAD)


def above(node: ir.Node) -> IntegerForm | KeptFloat:
    """Greater than a constant t of one number: integers greater than the largest one that represents at most t."""
    threshold = node.inputs[1]
    if threshold is None or threshold.const_value is None or threshold.const_value.size != 1:
        return KeptFloat("Greater: compares with something else than one constant number")
    return IntegerForm(Kind.HEAD)
