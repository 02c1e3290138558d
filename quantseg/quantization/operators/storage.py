"""Tensors that are integers before quantization: the pixels of a folded model."""

import onnx_ir as ir

from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind


def stored(node: ir.Node) -> IntegerForm | KeptFloat:
    """DequantizeLinear of uint8 pixels with scale 1 and zero-point 0: its input is the integers of its output.

    In the plan's ranges its input must have the range 0…255, whose grid has exactly scale 1 and zero-point 0.
    """
    pixels, scale, zero_point = (*node.inputs, None)[:3]
    numbers = [None if v is None or v.const_value is None else v.const_value.numpy() for v in (scale, zero_point)]
    plain = numbers[0] is not None and numbers[0].size == 1 and float(numbers[0].item()) == 1
    from_zero = zero_point is None or (numbers[1] is not None and not numbers[1].any())
    if pixels is None or pixels.dtype != ir.DataType.UINT8 or not (plain and from_zero):
        return KeptFloat("DequantizeLinear: its integers are no uint8 pixels")
    return IntegerForm(Kind.MOVEMENT)
