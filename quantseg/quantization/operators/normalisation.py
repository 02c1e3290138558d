"""Normalisations that remain after the lowering."""

import onnx_ir as ir

from quantseg.quantization.operators.form import KeptFloat


def batch(node: ir.Node) -> KeptFloat:
    """BatchNormalization that could not be folded."""
    return KeptFloat("BatchNormalization: no convolution beside it to fold it into")


def at_run_time(node: ir.Node) -> KeptFloat:
    """Normalisations with mean and variance of the input itself: eight bits cannot represent sums of squares."""
    return KeptFloat(f"{node.op_type}: its statistics are computed from each image, which needs float")
