"""Small float models made int8 in memory: the ranges are onnxruntime's own extrema, so nothing else is under test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph import expose, to_bytes
from quantseg.graph.preparation import prepare
from quantseg.quantization import formats
from quantseg.quantization.affine import Range
from quantseg.quantization.plan import QuantPlan, QuantSettings, observable, plan
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.execution import ExecutedNode
from tests.support import graphs

Array = NDArray[Any]


@dataclass(frozen=True)
class Made:
    """A quantised model and the plan that it follows."""

    plan: QuantPlan
    model: ir.Model

    def reason(self, name: str) -> str | None:
        """Why the node stays float; None where it computes in integers."""
        (node,) = (node for node in self.plan.nodes if node.name == name)
        return getattr(node.decision, "reason", None)


def extrema(model: ir.Model, feeds: Sequence[Mapping[str, Array]]) -> dict[str, Range]:
    """Minimum and maximum of each tensor that a plan may need, over the feeds. model: prepared."""
    names = observable(model.graph)
    computed = [name for name in names if name not in feeds[0]]
    exposed = expose(model, names)
    runs = [dict(zip(computed, graphs.run(exposed, feed), strict=True)) | dict(feed) for feed in feeds]
    return {
        name: Range(min(float(r[name].min()) for r in runs), max(float(r[name].max()) for r in runs)) for name in names
    }


def make(model: ir.Model, feeds: Sequence[Mapping[str, Array]], *, qformat: str = "qdq", **settings: Any) -> Made:
    """The model quantised with minimum and maximum over the feeds."""
    prepared = prepare(model)
    decided = plan(prepared, extrema(prepared.model, feeds), QuantSettings(**settings))
    return Made(decided, formats.emit(prepared.model, decided, qformat=qformat, metadata={}))


def optimised(model: ir.Model, feeds: Mapping[str, Array]) -> list[Array]:
    """All outputs, by onnxruntime as users run it: with its rewrites on."""
    session = RUNTIMES["onnxruntime"].open(to_bytes(model), threads=1, spinning=False)
    try:
        return session.run(feeds)
    finally:
        session.close()


def executed(model: ir.Model, feeds: Mapping[str, Array]) -> tuple[ExecutedNode, ...]:
    """The nodes that onnxruntime really runs."""
    return RUNTIMES["onnxruntime"].executed(to_bytes(model), feeds, threads=1, runs=1)


def initializers(model: ir.Model) -> dict[str, Array]:
    """Every stored constant, by name."""
    return {name: value.const_value.numpy() for name, value in model.graph.initializers.items()}


def noise(*shape: int, seed: int = 0) -> Array:
    """Normal float32 noise."""
    return graphs.noise(*shape, seed=seed)


def kernel(*shape: int, seed: int = 0) -> Array:
    """Weights that keep the magnitude of what they multiply (He et al., arXiv:1502.01852)."""
    fan_in = np.prod(shape[1:])
    return (noise(*shape, seed=seed) * np.sqrt(2 / fan_in)).astype(np.float32)
