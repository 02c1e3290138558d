"""Writes ONNX graphs node by node, with weights drawn as He et al. (arXiv:1502.01852) do."""

from itertools import count
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Builder:
    """Nodes and weights of a graph; each method returns the name of the tensor that it adds."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.numbers = count(1)

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{next(self.numbers)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def nodes_of(self, op_type: str, *inputs: str, outputs: int = 1, name: str = "", **attributes: Any) -> list[str]:
        stem = name or f"{op_type.lower()}{next(self.numbers)}"
        made = [stem, *(f"{stem}_{number}" for number in range(1, outputs))]
        self.nodes.append(helper.make_node(op_type, list(inputs), made, name=stem, **attributes))
        return made

    def node(self, op_type: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        return self.nodes_of(op_type, *inputs, name=name, **attributes)[0]

    def drawn(self, *shape: int, fan_in: int, gain: float = 2.0) -> str:
        return self.constant(self.rng.standard_normal(shape) * np.sqrt(gain / fan_in))

    def conv(self, x: str, before: int, after: int, size: int = 3, stride: int = 1, name: str = "", **how: Any) -> str:
        """how: gain of the weights, bias of each output channel."""
        weight = self.drawn(after, before, size, size, fan_in=before * size * size, gain=how.get("gain", 2.0))
        bias = self.constant(how.get("bias", np.zeros(after)))
        pads = [size // 2] * 4
        return self.node("Conv", x, weight, bias, name=name, kernel_shape=[size] * 2, strides=[stride] * 2, pads=pads)

    def upsampling(self, x: str, before: int, after: int, name: str = "") -> str:
        weight = self.drawn(before, after, 2, 2, fan_in=before)
        bias = self.constant(np.zeros(after))
        return self.node("ConvTranspose", x, weight, bias, name=name, kernel_shape=[2, 2], strides=[2, 2])

    def silu(self, x: str) -> str:
        return self.node("Mul", x, self.node("Sigmoid", x))

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def gemm(self, x: str, before: int, after: int, name: str = "", gain: float = 2.0, bias: Any = 0.0) -> str:
        weight = self.drawn(after, before, fan_in=before, gain=gain)
        return self.node("Gemm", x, weight, self.constant(np.zeros(after) + bias), name=name, transB=1)

    def reshape(self, x: str, *shape: int) -> str:
        return self.node("Reshape", x, self.ints(*shape))

    def part(self, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
        """x[start:end:step] along an axis."""
        return self.node("Slice", x, self.ints(start), self.ints(end), self.ints(axis), self.ints(step))

    def model(self, shape: tuple[int, ...], outputs: dict[str, tuple[str, int, tuple[Any, ...]]]) -> onnx.ModelProto:
        """outputs: name → tensor that it renames, element type, shape."""
        for name, (tensor, _, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [tensor], [name], name=f"{name}_out"))
        declared = [helper.make_tensor_value_info(name, kind, sizes) for name, (_, kind, sizes) in outputs.items()]
        inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self.nodes, "detector", inputs, declared, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(model)
        return model


Array = NDArray[np.float32]
