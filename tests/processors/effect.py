"""What a processor's u8·s8 kernels do with a pair of products that is too large for 16 bits."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

EXACT = 2 * 255 * 127
SATURATED = 2**15 - 1


def pair_model() -> bytes:
    """a (16, 16) uint8 times a weight with one pair of 127: fed with 255 each product is EXACT, or SATURATED."""
    weight = np.zeros((16, 16), np.int8)
    weight[:2] = 127
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "pair",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [16, 16])],
        [numpy_helper.from_array(weight, "b")],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content
