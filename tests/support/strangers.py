"""Small models as people bring them: each has one oddity of a kind that public bug reports describe, and its inputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
SIDE = 32
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def weight(*shape: int, seed: int = 0) -> Array:
    """Normal numbers of the size at which a layer keeps the size of its input."""
    fan = max(int(np.prod(shape[1:])), 1)
    return np.random.default_rng(seed + fan).normal(0, 1.6 / fan**0.5, shape).astype(np.float32)


def smooth(*shape: int, seed: int = 0) -> Array:
    """Blocks of eight pixels with a little noise, as images are, around zero."""
    rng, blocks = np.random.default_rng(seed), [*shape[:2], *(max(size // 8, 2) for size in shape[2:])]
    coarse = np.kron(rng.random(blocks), np.ones([1, 1, *[8] * (len(shape) - 2)]))
    fine = coarse[tuple(slice(size) for size in shape)]
    return np.ascontiguousarray(0.8 * fine + 0.2 * rng.random(shape) - 0.5, np.float32)


@dataclass(frozen=True)
class Stranger:
    """nodes: ONNX text of the nodes from x to y. weights: initializers. shape: declared of x; data: of the arrays."""

    nodes: str
    weights: Mapping[str, Array] = field(default_factory=dict)
    opset: int = 17
    shape: tuple[int | str, ...] = (1, 3, SIDE, SIDE)
    output: tuple[int | str, ...] = (1, 4, "h", "w")
    data: tuple[int, ...] = (1, 3, SIDE, SIDE)
    element: int = FLOAT
    domains: tuple[str, ...] = ()
    change: Callable[[onnx.ModelProto], None] = lambda model: None

    def model(self) -> onnx.ModelProto:
        """The model, unchecked."""
        imports = "".join(f', "{domain}": 1' for domain in self.domains)
        ir_version = 8 if self.opset < 21 else 10
        header = f'<ir_version: {ir_version}, opset_import: ["": {self.opset}{imports}]>'
        found = onnx.parser.parse_model(f"{header} g (float[1] x) => (float[1] y) {{ {self.nodes} }}")
        del found.graph.input[:], found.graph.output[:]
        found.graph.input.append(helper.make_tensor_value_info("x", self.element, self.shape))
        found.graph.output.append(helper.make_tensor_value_info("y", self.element, self.output))
        found.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in self.weights.items())
        self.change(found)
        return found

    def arrays(self, count: int = 4) -> list[Array]:
        """Inputs of the model."""
        kind = np.float16 if self.element == HALF else np.float32
        return [smooth(*self.data, seed=seed).astype(kind) for seed in range(count)]


def between(node: str, *, channels: int = 16, **more: Any) -> Stranger:
    """A convolution, an operator from c to m, and three convolutions behind it."""
    layers = {
        "w0": weight(16, 3, 3, 3),
        "w1": weight(16, channels, 3, 3),
        "w2": weight(16, 16, 3, 3, seed=1),
        "w3": weight(4, 16, 1, 1),
    }
    nodes = f"""c = Conv<pads=[1,1,1,1]>(x, w0) {node} a = Conv<pads=[1,1,1,1]>(m, w1) b = Relu(a)
        d = Conv<pads=[1,1,1,1]>(b, w2) e = Relu(d) y = Conv(e, w3)"""
    return Stranger(nodes, {**layers, **more.pop("weights", {})}, **more)


def alone(node: str, **more: Any) -> Stranger:
    """A convolution, an operator from c to m, and a convolution."""
    layers = {"w0": weight(16, 3, 3, 3), "w1": weight(4, 16, 3, 3)}
    nodes = f"c = Conv<pads=[1,1,1,1]>(x, w0) {node} y = Conv<pads=[1,1,1,1]>(m, w1)"
    return Stranger(nodes, {**layers, **more.pop("weights", {})}, **more)


def attention(scores: str, **weights: Array) -> Stranger:
    """One head of attention over 64 tokens; `scores` makes z of s before the Softmax."""
    layers = {
        "w0": weight(16, 3, 3, 3),
        "wq": weight(16, 16),
        "wk": weight(16, 16, seed=1),
        "wv": weight(16, 16, seed=2),
        "wt": weight(16, 4, 2, 2),
        "r": np.array([1, 16, 64]),
        "r2": np.array([1, 16, 8, 8]),
    }
    nodes = f"""c = Conv<strides=[2,2], pads=[1,1,1,1]>(x, w0) f = Reshape(c, r) t = Transpose<perm=[0,2,1]>(f)
        q = MatMul(t, wq) k = MatMul(t, wk) v = MatMul(t, wv) kt = Transpose<perm=[0,2,1]>(k) s = MatMul(q, kt)
        {scores} p = Softmax<axis=-1>(z) o = MatMul(p, v) u = Add(o, t) ut = Transpose<perm=[0,2,1]>(u)
        g = Reshape(ut, r2) y = ConvTranspose<strides=[2,2]>(g, wt)"""
    sizes = (1, 3, 16, 16)
    return Stranger(nodes, {**layers, **weights}, shape=sizes, data=sizes, output=(1, 4, 16, 16))


def blocked(value: float) -> Array:
    """An additive mask that keeps the tokens of two halves apart."""
    mask = np.zeros((1, 64, 64), np.float32)
    mask[:, :32, 32:] = mask[:, 32:, :32] = value
    return mask


def resize(attributes: str, opset: int = 18, **sizes: Array) -> Stranger:
    """A Resize from c to m."""
    given = "c, , scales" if "scales" in sizes else "c, , , sizes"
    return alone(f"m = Resize<{attributes}>({given})", weights=sizes, opset=opset)
