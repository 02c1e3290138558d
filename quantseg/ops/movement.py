"""Operators that move, repeat or select values without computing new ones."""

import onnx_ir as ir

from quantseg.ops.form import IntegerForm, KeptFloat, Kind


def first_input(node: ir.Node) -> IntegerForm:
    """Reshape, Transpose, Slice, Split, DepthToSpace and the like: pixels are input 0, the rest says where they go."""
    return IntegerForm(Kind.MOVEMENT)


def max_pool(node: ir.Node) -> IntegerForm | KeptFloat:
    """MaxPool; with the second output (the indices that MaxUnpool reads) there is no integer kernel."""
    if any(indices.uses() or indices.is_graph_output() for indices in node.outputs[1:]):
        return KeptFloat("MaxPool: with indices it has no integer kernel")
    return IntegerForm(Kind.MOVEMENT)


def pad(node: ir.Node) -> IntegerForm | KeptFloat:
    """Pad with zeros, or by reflection or repetition: zero is on every grid. Another constant might not be."""
    if node.attributes.get_string("mode", "constant") != "constant":
        return IntegerForm(Kind.MOVEMENT)
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is None or (value.const_value is not None and not value.const_value.numpy().any()):
        return IntegerForm(Kind.MOVEMENT)
    return KeptFloat("Pad: pads with a value other than zero")
