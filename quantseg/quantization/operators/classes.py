"""Operators that turn numbers into classes. On one grid integers are ordered as the numbers that they stand for."""

import onnx_ir as ir

from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind


def argmax(node: ir.Node) -> IntegerForm:
    """ArgMax over classes: of equal ones the first, in integers as in float; onnxruntime has kernels for both."""
    return IntegerForm(Kind.ANSWER)


def above(node: ir.Node) -> IntegerForm | KeptFloat:
    """Greater than one constant number: the integers above the last one that stands for no more than it."""
    threshold = node.inputs[1]
    if threshold is None or threshold.const_value is None or threshold.const_value.size != 1:
        return KeptFloat("Greater: compares with something else than one constant number")
    return IntegerForm(Kind.ANSWER)
