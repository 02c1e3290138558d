"""Operators that move, repeat or select values without computing new ones."""

import onnx_ir as ir

from quantseg.graph.operators import REARRANGEMENTS, SELECTIONS
from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind

_PLAIN = (REARRANGEMENTS | SELECTIONS) - {"DepthToSpace", "GlobalMaxPool", "SpaceToDepth"}
"""Operators whose outputs hold nothing but values of their first input."""


def first_input(node: ir.Node) -> IntegerForm:
    """Reshape, Transpose, Slice, DepthToSpace, ReduceMax and the like: input 0 is pixels, the rest says where to."""
    return IntegerForm(Kind.MOVEMENT)


def max_pool(node: ir.Node) -> IntegerForm | KeptFloat:
    """MaxPool; where the second output (the indices that MaxUnpool reads) is read, ties would move it."""
    if any(indices.uses() or indices.is_graph_output() for indices in node.outputs[1:]):
        return KeptFloat("MaxPool: its indices are read, and integers tie where floats do not")
    return IntegerForm(Kind.MOVEMENT)


def max_unpool(node: ir.Node) -> KeptFloat:
    """MaxUnpool that was not lowered to Equal and Where."""
    return KeptFloat("MaxUnpool: no integer kernel in onnxruntime")


def equal(node: ir.Node) -> IntegerForm | KeptFloat:
    """Equal of values of one tensor, a image with its maxima: they are on one grid, and equal there if in float."""
    if len({_origin(value) for value in node.inputs}) > 1:
        return KeptFloat("Equal: compares values of two tensors, which integers round to equal ones")
    return IntegerForm(Kind.COMPARISON, data=(0, 1))


def _origin(value: ir.Value | None) -> ir.Value | None:
    """The tensor that the value's numbers were taken from."""
    while value is not None and (maker := value.producer()) is not None:
        if maker.domain not in ("", "ai.onnx") or maker.op_type not in _PLAIN:
            break
        value = maker.inputs[0]
    return value


def where(node: ir.Node) -> IntegerForm | KeptFloat:
    """Where that keeps values or writes zero, which is on every grid."""
    zero = [_is_zero(value) for value in node.inputs[1:]]
    if zero.count(True) != 1:
        return KeptFloat("Where: chooses between two tensors, which need not share a grid")
    return IntegerForm(Kind.MOVEMENT, data=(2 if zero[0] else 1,))


def pad(node: ir.Node) -> IntegerForm | KeptFloat:
    """Pad with zeros, or by reflection or repetition: zero is on every grid. Another constant might not be."""
    if node.attributes.get_string("mode", "constant") != "constant":
        return IntegerForm(Kind.MOVEMENT)
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None or _is_zero(value):
        return IntegerForm(Kind.MOVEMENT)
    return KeptFloat("Pad: pads with a value other than zero")


def _is_zero(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None and not value.const_value.numpy().any()
