"""Activation functions: those that a grid's saturation replaces, those with an integer kernel, those without."""

import onnx_ir as ir

from quantseg.quantization.affine import Range
from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind

FEW_IN_SOFTMAX = 32
"""Numbers that a Softmax goes over on the grid of [0, 1]: all alike, they are 8 steps each, 29 dB above rounding."""


def clamp(node: ir.Node) -> IntegerForm | KeptFloat:
    """Relu and Clip with constant bounds: max(low, min(x, high))."""
    for bound in node.inputs[1:]:
        if bound is not None and bound.const_value is None:
            return KeptFloat(f"{node.op_type}: its bounds are computed at run time")
    return IntegerForm(Kind.CLAMP)


def clamp_bounds(node: ir.Node) -> tuple[float, float]:
    """The interval, possibly infinite, that a node accepted by `clamp` leaves."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    low, high = (*node.inputs[1:], None, None)[:2]
    return (
        float("-inf") if low is None or low.const_value is None else float(low.const_value.numpy().item()),
        float("inf") if high is None or high.const_value is None else float(high.const_value.numpy().item()),
    )


def unary(node: ir.Node) -> IntegerForm:
    """LeakyRelu: a table of 256 entries on its own grid."""
    return IntegerForm(Kind.ARITHMETIC)


def bounded(node: ir.Node) -> IntegerForm:
    """Sigmoid: the output lies in [0, 1] whatever the data, so no calibration is needed."""
    return IntegerForm(Kind.ARITHMETIC, fixed=Range(0.0, 1.0))


def softmax(node: ir.Node) -> IntegerForm | KeptFloat:
    """Softmax: over few numbers its grid is [0, 1] whatever the data; over many it is calibrated, as their mean is 1/n.

    A grid that ends below 2/n overflows onnxruntime's kernel (1.31), which then writes zeros; 4/n is far enough.
    """
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    size = None if shape is None else shape[node.attributes.get_int("axis", -1)]
    if not isinstance(size, int):
        return KeptFloat("Softmax: over an axis of unknown length; export with fixed sizes")
    if size <= FEW_IN_SOFTMAX:
        return IntegerForm(Kind.ARITHMETIC, fixed=Range(0.0, 1.0))
    return IntegerForm(Kind.ARITHMETIC, least=Range(0.0, 4 / size))


def without_kernel(node: ir.Node) -> KeptFloat:
    """Activation functions without integer kernel in onnxruntime; of some, the lowering leaves only what it refuses."""
    return KeptFloat(f"{node.op_type}: no integer kernel in onnxruntime")
