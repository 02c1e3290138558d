"""Normalisations that are still there after the lowering."""

import onnx_ir as ir

from quantseg.quantization.operators.form import KeptFloat


def batch(node: ir.Node) -> KeptFloat:
    """BatchNormalization that could not be folded into a neighbour."""
    return KeptFloat("BatchNormalization: no convolution beside it to fold it into")


def at_run_time(node: ir.Node) -> KeptFloat:
    """Normalisations whose mean and variance come from the image itself; eight bits cannot hold the sums of squares."""
    return KeptFloat(f"{node.op_type}: its statistics are computed from each image, which needs float")
