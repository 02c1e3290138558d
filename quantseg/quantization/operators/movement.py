"""Operators that move, repeat or select values without computing new ones."""

import onnx_ir as ir

from quantseg.graph.operators import REARRANGEMENTS, SELECTIONS
from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind

_PLAIN = (REARRANGEMENTS | SELECTIONS) - {"DepthToSpace", "GlobalMaxPool", "SpaceToDepth"}
"""Operators whose output elements are elements of the first input, without those that have a rule of their own."""


def first_input(node: ir.Node) -> IntegerForm:
    """Reshape, Transpose, Slice, DepthToSpace, ReduceMax and the like: only input 0 is an activation."""
    return IntegerForm(Kind.MOVEMENT)


def max_pool(node: ir.Node) -> IntegerForm | KeptFloat:
    """MaxPool; float where its indices (output 1, for MaxUnpool) are read, as integers have more ties."""
    if any(indices.uses() or indices.is_graph_output() for indices in node.outputs[1:]):
        return KeptFloat("MaxPool: its indices are read, and integers tie where floats do not")
    return IntegerForm(Kind.MOVEMENT)


def max_unpool(node: ir.Node) -> KeptFloat:
    """MaxUnpool that could not be lowered to Equal and Where."""
    return KeptFloat("MaxUnpool: no integer kernel in onnxruntime")


def equal(node: ir.Node) -> IntegerForm | KeptFloat:
    """Equal of a tensor and its own maxima: both have one grid, on which elements that are equal in float are equal."""
    if len({_origin(value) for value in node.inputs}) > 1:
        return KeptFloat("Equal: compares values of two tensors, which integers round to equal ones")
    return IntegerForm(Kind.COMPARISON, data=(0, 1))


def _origin(value: ir.Value | None) -> ir.Value | None:
    """The tensor that the value's elements come from, through movements and selections."""
    while value is not None and (maker := value.producer()) is not None:
        if maker.domain not in ("", "ai.onnx") or maker.op_type not in _PLAIN:
            break
        value = maker.inputs[0]
    return value


def where(node: ir.Node) -> IntegerForm | KeptFloat:
    """Where that chooses between a tensor and zero, which every grid represents."""
    zero = [_is_zero(value) for value in node.inputs[1:]]
    if zero.count(True) != 1:
        return KeptFloat("Where: chooses between two tensors, which need not share a grid")
    return IntegerForm(Kind.MOVEMENT, data=(2 if zero[0] else 1,))


def pad(node: ir.Node) -> IntegerForm | KeptFloat:
    """Pad with zero, which every grid represents, or by reflection or repetition; float for other constants."""
    if node.attributes.get_string("mode", "constant") != "constant":
        return IntegerForm(Kind.MOVEMENT)
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None or _is_zero(value):
        return IntegerForm(Kind.MOVEMENT)
    return KeptFloat("Pad: pads with a value other than zero")


def _is_zero(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None and not value.const_value.numpy().any()
