"""Output channels of a written model, QDQ or QOperator, whose pair sums may saturate: read from the file."""

import onnx_ir as ir

from quantseg.pairs import is_safe
from quantseg.simulation.program import program

_WEIGHT = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3, "ConvInteger": 1, "MatMulInteger": 1}
"""Which input holds the weight."""


def unsafe_channels(model: ir.Model) -> tuple[int, int]:
    """Output channels with a pair that may saturate, and all, of constant int8 weights; depthwise ones are left out."""
    steps = program(model)
    unsafe = total = 0
    for step in steps.steps:
        weight = steps.constants.get(step.inputs[_WEIGHT[step.op_type]]) if step.op_type in _WEIGHT else None
        if weight is None or weight.dtype.name != "int8" or weight.ndim < 2:
            continue
        if "Conv" in step.op_type:
            if weight.shape[1] == 1 and step.attributes.get("group", 1) > 1:
                continue
            rows = weight.reshape(*weight.shape[:2], -1)
        elif step.attributes.get("transB", 0):
            rows = weight[:, :, None]
        else:
            rows = weight.swapaxes(-1, -2).reshape(-1, weight.shape[-2], 1)
        total += len(rows)
        unsafe += int((~is_safe(rows)).sum())
    return unsafe, total
