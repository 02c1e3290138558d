"""Small ONNX models for the tests, and onnxruntime as the oracle that runs them."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser


def text(source: str) -> onnx.ModelProto:
    """A checked model from ONNX's textual syntax."""
    model = parser.parse_model(source)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(
    model: onnx.ModelProto | bytes, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
) -> list[NDArray[Any]]:
    """The outputs that onnxruntime computes with its graph optimisations off: every node runs as written."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    results: list[NDArray[Any]] = session.run(outputs, dict(feeds))
    return results


def unet(
    base: int = 32, depth: int = 4, classes: int = 11, size: int = 256, seed: int = 0, opset: int = 17
) -> onnx.ModelProto:
    """A U-Net with ConvTranspose 2x2 stride 2 and Concat skips.

    x (1, 3, size, size) -> y (1, classes, size, size). Weights are drawn as He et al. (arXiv:1502.01852) do,
    so activations neither vanish nor explode with depth. `size` is a multiple of 2**depth.
    """
    rng = np.random.default_rng(seed)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    numbers = count(1)

    def initializer(name: str, values: NDArray[Any]) -> str:
        weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(op_type: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{op_type.lower()}{next(numbers)}"
        nodes.append(helper.make_node(op_type, inputs, [name], name=name, **attributes))
        return name

    def weighted(op_type: str, x: str, shape: tuple[int, ...], fan_in: int, **attributes: Any) -> str:
        channels = shape[1] if op_type == "ConvTranspose" else shape[0]
        serial = len(weights)
        w = initializer(f"w{serial}", rng.standard_normal(shape) * np.sqrt(2 / fan_in))
        b = initializer(f"b{serial}", rng.standard_normal(channels) * 0.1)
        return node(op_type, [x, w, b], kernel_shape=list(shape[2:]), **attributes)

    def block(x: str, before: int, after: int) -> str:
        for channels in (before, after):
            x = weighted("Conv", x, (after, channels, 3, 3), channels * 9, pads=[1, 1, 1, 1])
            x = node("Relu", [x])
        return x

    x, channels, skips = "x", 3, []
    for level in range(depth):
        x = block(x, channels, base << level)
        channels = base << level
        skips.append((x, channels))
        x = node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = block(x, channels, base << depth)
    channels = base << depth
    for skip, width in reversed(skips):
        x = weighted("ConvTranspose", x, (channels, width, 2, 2), channels, strides=[2, 2])
        x = block(node("Concat", [skip, x], axis=1), 2 * width, width)
        channels = width
    weighted("Conv", x, (classes, channels, 1, 1), channels)
    nodes[-1].output[0] = "y"

    graph = helper.make_graph(
        nodes,
        "unet",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, classes, size, size])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
