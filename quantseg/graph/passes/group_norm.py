"""GroupNormalization as an InstanceNormalization over groups, with scale and bias for each channel behind it.

    y = γ · (x − mean_g) / √(var_g + ε) + β        mean and variance over the channels of group g and all pixels
Runtimes unfold GroupNormalization into a dozen operators; InstanceNormalization is one kernel, and γ and β are then
arithmetic for each channel, which has integer kernels. Until opset 21, γ and β are for each group, not each channel.
Source: Wu and He, arXiv:1803.08494; ONNX's documentation of GroupNormalization.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.edit import constant, initializer, ints, owner, replace, static_shape
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of

PER_CHANNEL = 21
"""The first opset in which scale and bias are for each channel."""


def lower_group_norms(model: ir.Model) -> RewriteOutcome:
    """Rewrites them in the main graph where scale, bias and the number of channels are known. Needs inferred shapes."""
    notes: list[Change | Refusal] = []
    for node in list(model.graph):
        if node.op_type == "GroupNormalization" and node.domain == "":
            new = _rewritten(node, model.opset_imports[""])
            if isinstance(new, str):
                notes.append(Refusal("lower_group_norms", str(node.name), new))
            else:
                replace(node, new)
                notes.append(Change("lower_group_norms", str(node.name), "now an InstanceNormalization over groups"))
    return outcome_of(*notes)


def _rewritten(node: ir.Node, opset: int) -> list[ir.Node] | str:
    x, name, graph = node.inputs[0], str(node.name), owner(node)
    groups, scale, bias = node.attributes.get_int("num_groups", 0), constant(node.inputs[1]), constant(node.inputs[2])
    shape = x.shape if x is not None else None
    channels = shape[1] if shape is not None and len(shape) > 2 else None
    if scale is None or bias is None:
        return "its scale or bias is computed at run time"
    if shape is None or not isinstance(channels, int) or groups < 1 or channels % groups:
        return "its number of channels is not known"
    if opset < PER_CHANNEL:
        scale, bias = (np.repeat(array, channels // groups) for array in (scale, bias))
    if {scale.size, bias.size} != {channels}:
        return "its scale and bias are not one number for each channel"
    ones = initializer(graph, f"{name}_ones", np.ones(groups, np.float32))
    zeros = initializer(graph, f"{name}_zeros", np.zeros(groups, np.float32))
    epsilon = {"epsilon": node.attributes.get_float("epsilon", 1e-5)}
    apart = ir.node("Reshape", [x, ints(graph, f"{name}_groups", [0, groups, -1])], name=f"{name}_apart")
    normal = ir.node("InstanceNormalization", [apart.outputs[0], ones, zeros], epsilon, name=name)
    together, sizes = f"{name}_together", static_shape(x)
    if sizes is None:
        shown = ir.node("Shape", [x], name=f"{name}_shape")
        nodes = [apart, normal, shown, ir.node("Reshape", [normal.outputs[0], shown.outputs[0]], name=together)]
    else:
        whole = ints(graph, f"{name}_sizes", [0, *sizes[1:]])
        nodes = [apart, normal, ir.node("Reshape", [normal.outputs[0], whole], name=together)]
    for op_type, array, neutral in (("Mul", scale, 1.0), ("Add", bias, 0.0)):
        if not (array == neutral).all():
            operand = initializer(graph, f"{name}_{op_type.lower()}_by", _for_channels(array, len(shape)))
            nodes.append(ir.node(op_type, [nodes[-1].outputs[0], operand], name=f"{name}_{op_type.lower()}"))
    return nodes


def _for_channels(array: NDArray[np.float32], axes: int) -> NDArray[np.float32]:
    return array.reshape(1, -1, *[1] * (axes - 2)).astype(np.float32)
