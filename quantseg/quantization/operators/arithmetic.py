"""Elementwise sums and products, and averages: their outputs have grids of their own."""

import onnx_ir as ir

from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind


def binary(node: ir.Node) -> IntegerForm:
    """Add, Sub and Mul, with broadcasting; a constant operand is quantised by its own extrema."""
    return IntegerForm(Kind.ARITHMETIC, data=(0, 1))


def average(node: ir.Node) -> IntegerForm | KeptFloat:
    """AveragePool and GlobalAveragePool."""
    if node.attributes.get_int("ceil_mode", 0) and node.attributes.get_int("count_include_pad", 0):
        return KeptFloat("AveragePool: onnxruntime's integer kernel counts what lies beyond the padding")
    if "dilations" in node.attributes:
        return KeptFloat("AveragePool: no integer kernel of onnxruntime takes dilations")
    return IntegerForm(Kind.ARITHMETIC)


def without_kernel(node: ir.Node) -> KeptFloat:
    """Arithmetic for which onnxruntime has no integer kernel."""
    return KeptFloat(f"{node.op_type}: no integer kernel in onnxruntime")
