"""Tensors that are integers before anything is quantised: the image itself."""

import onnx_ir as ir

from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind


def stored(node: ir.Node) -> IntegerForm | KeptFloat:
    """DequantizeLinear of uint8 pixels in steps of one from zero: what it reads is what it would be stored as.

    Its input needs the range 0…255 in the plan's ranges; the grid of that range is exactly scale 1, zero-point 0.
    """
    pixels, scale, zero_point = (*node.inputs, None)[:3]
    numbers = [None if v is None or v.const_value is None else v.const_value.numpy() for v in (scale, zero_point)]
    plain = numbers[0] is not None and numbers[0].size == 1 and float(numbers[0].item()) == 1
    from_zero = zero_point is None or (numbers[1] is not None and not numbers[1].any())
    if pixels is None or pixels.dtype != ir.DataType.UINT8 or not (plain and from_zero):
        return KeptFloat("DequantizeLinear: its integers are no uint8 pixels")
    return IntegerForm(Kind.MOVEMENT)
