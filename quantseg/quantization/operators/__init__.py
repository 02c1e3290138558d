"""What each operator needs to compute in integers: one rule per operator family, all in one table.

A rule takes one node and returns an `IntegerForm`, or `KeptFloat` with the reason why it stays float. An operator
without a rule stays float.
"""

from collections.abc import Callable, Mapping

import onnx_ir as ir

from quantseg.graph.operators import MOVEMENTS, REDUCTIONS, SELECTIONS
from quantseg.graph.preparation import KERNELS
from quantseg.quantization.operators import (
    activation,
    arithmetic,
    classes,
    joining,
    litert,
    movement,
    normalisation,
    product,
    resampling,
    storage,
)
from quantseg.quantization.operators.form import IntegerForm, KeptFloat, Kind

__all__ = ["KERNEL_SETS", "RULES", "IntegerForm", "KeptFloat", "Kind", "integer_form", "planned_for_others"]

Rule = Callable[[ir.Node], IntegerForm | KeptFloat]

RULES: dict[str, Rule] = {
    "Conv": product.convolution,
    "ConvTranspose": product.transposed_convolution,
    "Gemm": product.gemm,
    "MatMul": product.matmul,
    "Relu": activation.clamp,
    "Clip": activation.clamp,
    "LeakyRelu": activation.unary,
    "Sigmoid": activation.bounded,
    "Softmax": activation.softmax,
    "PRelu": activation.without_kernel,
    "HardSigmoid": activation.without_kernel,
    "HardSwish": activation.without_kernel,
    "Tanh": activation.without_kernel,
    "Erf": activation.without_kernel,
    "Elu": activation.without_kernel,
    "Exp": activation.without_kernel,
    "Celu": activation.without_kernel,
    "Gelu": activation.without_kernel,
    "LogSoftmax": activation.without_kernel,
    "Mish": activation.without_kernel,
    "Selu": activation.without_kernel,
    "Softplus": activation.without_kernel,
    "Softsign": activation.without_kernel,
    "Swish": activation.without_kernel,
    "ThresholdedRelu": activation.without_kernel,
    "Add": arithmetic.binary,
    "Mul": arithmetic.binary,
    "Sub": arithmetic.binary,
    "Div": arithmetic.without_kernel,
    "Neg": arithmetic.without_kernel,
    "Sum": arithmetic.without_kernel,
    "Pow": arithmetic.without_kernel,
    "Abs": arithmetic.without_kernel,
    "Sqrt": arithmetic.without_kernel,
    "Reciprocal": arithmetic.without_kernel,
    "Max": arithmetic.without_kernel,
    "Min": arithmetic.without_kernel,
    "AveragePool": arithmetic.average,
    "GlobalAveragePool": arithmetic.average,
    "GlobalMaxPool": arithmetic.without_kernel,
    "ReduceMean": arithmetic.without_kernel,
    "ReduceSum": arithmetic.without_kernel,
    "ReduceL2": arithmetic.without_kernel,
    "BatchNormalization": normalisation.batch,
    "InstanceNormalization": normalisation.at_run_time,
    "GroupNormalization": normalisation.at_run_time,
    "LayerNormalization": normalisation.at_run_time,
    "Concat": joining.concat,
    "MaxPool": movement.max_pool,
    "MaxUnpool": movement.max_unpool,
    "Equal": movement.equal,
    "Where": movement.where,
    "ArgMax": classes.argmax,
    "Greater": classes.above,
    "DequantizeLinear": storage.stored,
    **dict.fromkeys(sorted(MOVEMENTS | (SELECTIONS & REDUCTIONS)), movement.first_input),
    "Pad": movement.pad,
    "Resize": resampling.resize,
}

KERNEL_SETS: Mapping[str, Mapping[str, Rule]] = {"litert": litert.RULES}
"""Set of integer kernels that a node's note names → the rules that differ from those for onnxruntime's."""

_WHOLE_NUMBERS = (ir.DataType.BOOL, ir.DataType.INT64, ir.DataType.UINT8)


def integer_form(node: ir.Node) -> IntegerForm | KeptFloat:
    """The node's integer form, or the reason why it has none."""
    if node.domain not in ("", "ai.onnx"):
        return KeptFloat(f"{node.domain}.{node.op_type}: not a standard ONNX operator")
    if any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attribute in node.attributes.values()
    ):
        return KeptFloat(f"{node.op_type}: control flow, its subgraphs are left alone")
    own = KERNEL_SETS.get(str(node.meta.get(KERNELS)), {})
    rule = own.get(node.op_type) or RULES.get(node.op_type)
    if rule is None and node.inputs and (first := node.inputs[0]) is not None and first.dtype in _WHOLE_NUMBERS:
        return KeptFloat(f"{node.op_type}: works on {first.dtype}, not on float pixels")
    if rule is None:
        return KeptFloat(f"{node.op_type}: no integer rule")
    form = rule(node)
    if isinstance(form, KeptFloat) or node.op_type == "DequantizeLinear":  # the only one whose input is integers
        return form
    for index in form.data:
        value = node.inputs[index]
        if value is None or value.dtype != ir.DataType.FLOAT:
            return KeptFloat(
                f"{node.op_type}: works on {'nothing' if value is None else value.dtype}, not on float pixels"
            )
    return form


def planned_for_others(node: ir.Node) -> bool:
    """Whether the node is planned for other kernels than onnxruntime's, so that its ONNX form only stands for it."""
    return KERNELS in node.meta
