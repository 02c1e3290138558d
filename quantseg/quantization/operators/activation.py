"""Activation functions: replaced by the saturation of a grid, with an integer kernel, or without one."""

import onnx_ir as ir

from quantseg.quantization.affine import Range
from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind

FEW_IN_SOFTMAX = 32
"""Most elements of a Softmax on the grid of [0, 1]: if they are equal, each is 8 steps, 29 dB above the rounding."""


def clamp(node: ir.Node) -> IntegerForm | KeptFloat:
    """Relu and Clip with constant bounds: max(low, min(x, high))."""
    for bound in node.inputs[1:]:
        if bound is not None and bound.const_value is None:
            return KeptFloat(f"{node.op_type}: its bounds are computed at run time")
    return IntegerForm(Kind.CLAMP)


def clamp_bounds(node: ir.Node) -> tuple[float, float]:
    """The bounds, possibly infinite, of a node that `clamp` accepts."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    low, high = (*node.inputs[1:], None, None)[:2]
    return (
        float("-inf") if low is None or low.const_value is None else float(low.const_value.numpy().item()),
        float("inf") if high is None or high.const_value is None else float(high.const_value.numpy().item()),
    )


def unary(node: ir.Node) -> IntegerForm:
    """LeakyRelu: a lookup table of 256 entries, with an output grid of its own."""
    return IntegerForm(Kind.ARITHMETIC)


def bounded(node: ir.Node) -> IntegerForm:
    """Sigmoid: the output's range is always [0, 1], without calibration."""
    return IntegerForm(Kind.ARITHMETIC, fixed=Range(0.0, 1.0))


def softmax(node: ir.Node) -> IntegerForm | KeptFloat:
    """Softmax: over few elements the output's range is [0, 1]; over many (n) it is calibrated, as their mean is 1/n.

    A range that ends below 2/n overflows onnxruntime's kernel (1.31), which then writes zeros; 4/n is large enough.
    """
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    size = None if shape is None else shape[node.attributes.get_int("axis", -1)]
    if not isinstance(size, int):
        return KeptFloat("Softmax: over an axis of unknown length; export with fixed sizes")
    if size <= FEW_IN_SOFTMAX:
        return IntegerForm(Kind.ARITHMETIC, fixed=Range(0.0, 1.0))
    return IntegerForm(Kind.ARITHMETIC, least=Range(0.0, 4 / size))


def without_kernel(node: ir.Node) -> KeptFloat:
    """Activation functions without an integer kernel in onnxruntime, unless a lowering has rewritten them."""
    return KeptFloat(f"{node.op_type}: no integer kernel in onnxruntime")
