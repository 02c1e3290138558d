"""A runtime whose kernels take the times that a test gives them; what they compute is onnxruntime's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.graph import TensorSpec
from quantseg.runtimes import RUNTIMES, Session
from quantseg.runtimes.execution import ExecutedNode

ORT = RUNTIMES["onnxruntime"]


@dataclass
class Fake:
    """A runtime in which every node of a type takes so many milliseconds; counts what it is asked for."""

    milliseconds: Mapping[str, float] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    """Operators and domains that it has no kernel for."""
    answer: float = 1.0
    """What the sums of real sessions are multiplied by."""
    asked: int = 0
    name: str = "fake"
    version: str = "1"

    def open(self, model: Path | bytes, *, threads: int, spinning: bool = True) -> Session:
        self._check(model)
        return _Scaled(ORT.open(model, threads=threads, spinning=spinning), self.answer)

    def executed(
        self, model: Path | bytes, feeds: Mapping[str, NDArray[Any]], *, threads: int, runs: int
    ) -> tuple[ExecutedNode, ...]:
        self.asked += 1
        return tuple(
            ExecutedNode(str(n.name), n.op_type, n.domain, "other", 1e-3 * self.milliseconds.get(_kernel(n), 0.0), 0.0)
            for n in self._check(model)
        )

    def _check(self, model: Path | bytes) -> ir.Graph:
        assert isinstance(model, bytes)
        graph = ir.serde.deserialize_model(ir.serde.onnx.ModelProto.FromString(model)).graph
        for node in graph:
            if node.op_type in self.lacks or (node.domain and node.domain in self.lacks):
                raise ModelError(f"no kernel for {node.op_type}")
        return graph


def _kernel(node: ir.Node) -> str:
    """What runs: a float operator between DequantizeLinear and QuantizeLinear is fused into an integer one."""
    maker = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
    if maker is None or maker.op_type != "DequantizeLinear" or node.op_type == "QuantizeLinear":
        return node.op_type
    return f"QLinear{node.op_type}"


@dataclass
class _Scaled:
    session: Session
    factor: float

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.session.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self.session.outputs

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        return [array * np.float32(self.factor) for array in self.session.run(feeds, outputs)]

    def close(self) -> None:
        self.session.close()


FAST_INTEGERS = {
    **{"Conv": 9.0, "MaxPool": 2.0, "Add": 2.0, "Sigmoid": 2.0},
    **{"QLinearConv": 1.0, "NhwcMaxPool": 0.1, "QLinearAdd": 0.1, "QLinearSigmoid": 0.1},
    **{"QuantizeLinear": 0.2, "DequantizeLinear": 0.2, "Transpose": 0.1},
}
