"""The roof: the MACs per second of this machine's fastest matrix product, with which convolutions are compared.

The roof is measured, not taken from a data sheet: matrix products of several sizes, in the same runtime, with as many
threads, right before and after the convolutions. A convolution is a matrix product with indirect addressing, so the gap
to the roof is the cost of its shape or of its kernel.
Source: Williams, Waterman and Patterson, "Roofline", Communications of the ACM 52(4), 2009. Only the compute roof is
used, not the bandwidth roof, since convolutions reuse their data.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from quantseg.runtimes import Runtime
from quantseg.runtimes.execution import ExecutedNode, Kind

SIZES = ((512, 512, 512), (1024, 1024, 1024), (2048, 1024, 512), (4096, 576, 64), (4096, 2304, 256))
"""(rows, inner dimension, columns). 4096 rows correspond to 3x3 convolutions over 64x64 pixels."""
_RUNS = 4
_SECONDS = 0.25
"""How long the products of one kind are repeated, so that other programs on the machine do not lower the roof."""
_INT8, _FLOAT = "int8", "float"

Array = NDArray[Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Roof:
    """The fastest matrix product of one kind. kind: "int8" or "float". size: (rows, inner dimension, columns)."""

    kind: str
    macs_per_second: float
    size: tuple[int, int, int]


@dataclass(frozen=True)
class Roofs:
    """The roofs of int8 products (uint8 by int8, requantised to uint8) and of float32 products."""

    int8: Roof
    float32: Roof

    def over(self, kind: Kind) -> Roof:
        """The roof for nodes of a kind: `int8` for "int8", else `float32`."""
        return self.int8 if kind == "int8" else self.float32


def measure_roofs(runtime: Runtime, *, threads: int) -> Roofs:
    """Times every size in both types, in rounds; a roof is the fastest size in its fastest round, by median of runs.

    Takes about half a second. Raises ModelError where the runtime lacks one of the operators.
    """
    return Roofs(*(_best(kind, runtime, threads) for kind in (_INT8, _FLOAT)))


def beside_roofs(work: Callable[[], T], runtime: Runtime, *, threads: int) -> tuple[T, Roofs]:
    """The result of `work`, and the higher of the roofs measured before and after: so a busy moment does not matter."""
    before = measure_roofs(runtime, threads=threads)
    done = work()
    after = measure_roofs(runtime, threads=threads)
    return done, Roofs(_higher(before.int8, after.int8), _higher(before.float32, after.float32))


def convolutions(nodes: Iterable[ExecutedNode]) -> tuple[ExecutedNode, ...]:
    """The convolutions among the nodes, the slowest first."""
    found = [node for node in nodes if node.is_convolution]
    return tuple(sorted(found, key=lambda node: (-node.seconds, node.name)))


def fraction_of_roof(nodes: Iterable[ExecutedNode], roofs: Roofs) -> float | None:
    """The nodes' time at the roof divided by their measured time; above 1 if they are faster than the roof.

    Nodes whose shapes are unknown are left out; None if there are no others.
    """
    known = [(node, node.product) for node in nodes if node.product is not None]
    spent = sum(node.seconds for node, _ in known)
    least = sum(product.macs / roofs.over(node.kind).macs_per_second for node, product in known)
    return least / spent if spent else None


def _best(kind: str, runtime: Runtime, threads: int) -> Roof:
    model, feeds = _products(kind)
    content, best, start = model.SerializeToString(), dict.fromkeys(SIZES, math.inf), time.perf_counter()
    while math.inf in best.values() or time.perf_counter() - start < _SECONDS:
        nodes = runtime.executed(content, feeds, threads=threads, runs=_RUNS)
        seconds = {node.name: node.seconds for node in nodes}
        best = {size: min(before, seconds[f"y{place}"]) for place, (size, before) in enumerate(best.items())}
    return _higher(*(Roof(kind, math.prod(size) / least, size) for size, least in best.items()))


def _higher(*roofs: Roof) -> Roof:
    return max(roofs, key=lambda roof: roof.macs_per_second)


def _products(kind: str) -> tuple[ModelProto, dict[str, Array]]:
    """A model with one matrix product for each size, in parallel, with constant weights; and its feeds."""
    rng = np.random.default_rng(0)
    element = TensorProto.UINT8 if kind == _INT8 else TensorProto.FLOAT
    inputs, outputs, nodes, feeds = [], [], [], {}
    weights = {"one": np.float32(1), "scale": np.float32(0.02), "centre": np.uint8(128)} if kind == _INT8 else {}
    for place, (rows, depth, columns) in enumerate(SIZES):
        x, w, y = f"x{place}", f"w{place}", f"y{place}"
        if kind == _INT8:
            feeds[x] = rng.integers(0, 256, (rows, depth), np.uint8)
            weights[w] = rng.integers(-127, 128, (depth, columns), np.int8)
            weights |= {f"{w}_scale": np.full(columns, 0.01, np.float32), f"{w}_zero": np.zeros(columns, np.int8)}
            terms = [x, "scale", "centre", w, f"{w}_scale", f"{w}_zero", "one", "centre"]
            nodes.append(helper.make_node("QLinearMatMul", terms, [y], name=y))
        else:
            feeds[x] = rng.standard_normal((rows, depth), np.float32)
            weights[w] = rng.standard_normal((depth, columns), np.float32)
            nodes.append(helper.make_node("MatMul", [x, w], [y], name=y))
        inputs.append(helper.make_tensor_value_info(x, element, [rows, depth]))
        outputs.append(helper.make_tensor_value_info(y, element, [rows, columns]))
    stored = [numpy_helper.from_array(np.asarray(values), name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "products", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), feeds
