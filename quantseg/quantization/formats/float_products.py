"""Keeps a product in float whose input is dequantised.

onnxruntime (from 1.22 on) quantises the float weight of such a Conv, ConvTranspose or Gemm when it loads the model, one
scale for all channels, and then runs an integer kernel, whatever the plan says. It does not where the input has a scale
for each channel: the same number as often as there are channels, which changes no value.
Source: onnxruntime, core/optimizer/qdq_transformer/weight_bias_quantization.cc.
"""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, initializer, input_at

_SCALE, _ZERO_POINT = 1, 2


def keep_float(model: ir.Model) -> None:
    """Gives the DequantizeLinear before each product with constant float weights in the main graph such scales."""
    for node in list(model.graph):
        channels = _channels(node)
        value = input_at(node, 0)
        maker = None if value is None else value.producer()
        if channels is not None and maker is not None and maker.op_type == "DequantizeLinear" and maker.domain == "":
            _by_channel(model.graph, maker, channels)


def _channels(node: ir.Node) -> int | None:
    """The channels of the input of a product with constant weights; None for any other node."""
    weight = constant(input_at(node, 1)) if node.op_type in ("Conv", "ConvTranspose", "Gemm") else None
    if weight is None:
        return None
    if node.op_type == "Conv":
        return int(weight.shape[1]) * node.attributes.get_int("group", 1)
    turned = node.op_type == "Gemm" and node.attributes.get_int("transB", 0) != 0
    return int(weight.shape[1 if turned else 0])


def _by_channel(graph: ir.Graph, dequantize: ir.Node, channels: int) -> None:
    for index in (_SCALE, _ZERO_POINT):
        number = constant(input_at(dequantize, index))
        if number is None or number.size != 1:
            return
        value = initializer(graph, f"{dequantize.name}_by_channel", np.repeat(number.reshape(-1), channels))
        dequantize.replace_input_with(index, value)
