"""Resize in its modes."""

import onnx_ir as ir

from quantseg.ops.form import IntegerForm, KeptFloat, Kind


def resize(node: ir.Node) -> IntegerForm | KeptFloat:
    """Nearest copies values, linear averages them within their range; cubic overshoots it."""
    mode = node.attributes.get_string("mode", "nearest")
    if mode == "nearest":
        return IntegerForm(Kind.MOVEMENT)
    if mode == "linear":
        return IntegerForm(Kind.INTERPOLATION)
    return KeptFloat(f"Resize: {mode} interpolation overshoots the range of its input")
