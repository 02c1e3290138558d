"""Convolutions and matrix products: integer operands, int32 accumulators, one requantisation."""

import onnx_ir as ir

from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind


def convolution(node: ir.Node) -> IntegerForm | KeptFloat:
    """Conv: weights (M, C/group, k…), per-channel on axis 0; bias (M,)."""
    return constant_operands(node, weight_axis=0)


def transposed_convolution(node: ir.Node) -> KeptFloat:
    """ConvTranspose that could not be lowered: ONNX has no quantised form of it."""
    return KeptFloat("ConvTranspose: no runtime kernel computes it in integers and it was not lowered")


def gemm(node: ir.Node) -> IntegerForm | KeptFloat:
    """Gemm: A (M, K) · B (K, N), or B (N, K) with transB; weights per-channel along N."""
    if node.attributes.get_int("transA", 0):
        return KeptFloat("Gemm: transA has no integer kernel")
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    if alpha != 1.0 or (beta != 1.0 and len(node.inputs) > 2):
        return KeptFloat(f"Gemm: alpha {alpha:g} and beta {beta:g}; the integer kernel knows 1 and 1 alone")
    form = constant_operands(node, weight_axis=0 if node.attributes.get_int("transB", 0) else 1)
    if isinstance(form, IntegerForm) and form.bias is not None and _has_rows(node.inputs[form.bias]):
        return KeptFloat("Gemm: its bias differs from row to row; the integer kernel adds one number per column")
    return form


def matmul(node: ir.Node) -> IntegerForm:
    """MatMul: a constant right operand is a weight, per-channel by column; else both are activations (attention)."""
    right = node.inputs[1]
    if right is not None and right.is_initializer() and right.const_value is not None:
        rank = len(right.const_value.shape)
        return IntegerForm(Kind.PRODUCT, weight=1, weight_axis=1 if rank == 2 else None)
    return IntegerForm(Kind.PRODUCT, data=(0, 1))


def _has_rows(bias: ir.Value | None) -> bool:
    """Whether the bias of a Gemm, which may be (M, N), has more than one row."""
    return bias is not None and bias.shape is not None and any(size != 1 for size in bias.shape[:-1])


def constant_operands(node: ir.Node, *, weight_axis: int | None) -> IntegerForm | KeptFloat:
    """The form of a product with a constant weight and bias; float where one of them is computed at run time."""
    bias = 2 if len(node.inputs) > 2 and node.inputs[2] is not None else None
    for index, what in ((1, "weights are"), (bias, "bias is")):
        value = None if index is None else node.inputs[index]
        if index is not None and (value is None or not value.is_initializer() or value.const_value is None):
            return KeptFloat(f"{node.op_type}: its {what} computed at run time")
    return IntegerForm(Kind.PRODUCT, weight=1, weight_axis=weight_axis, bias=bias)
