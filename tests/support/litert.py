"""Networks of LiteRT for tests: of the rows of operators, and of one operator with random integers."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph.preparation import prepare
from quantseg.mixed_precision.target_facts import KERNELS_OF_LITERT
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.formats.litert.file import to_bytes
from quantseg.quantization.formats.litert.network import LiteRtNetwork, Tensor
from quantseg.quantization.formats.litert.writing import Interface, network
from quantseg.quantization.plan import QuantPlan, QuantSettings, plan
from quantseg.quantization.qtypes import INT8, INT32
from quantseg.runtimes import RUNTIMES
from tests.support import quantised
from tests.support.quantised import Array

WITHOUT = "ai-edge-litert is not installed"


def grid(scale: float, zero: int = 0) -> QuantParams:
    """An int8 grid for a whole tensor."""
    return QuantParams(np.asarray(scale, np.float32), np.asarray(zero, np.int8), INT8)


def by_channel(scales: Sequence[float] | NDArray[np.float32], axis: int) -> QuantParams:
    """A symmetric int8 grid for each channel; one for the tensor where there is one channel."""
    values = np.asarray(scales, np.float32)
    if len(values) == 1:
        return grid(float(values[0]))
    return QuantParams(values, np.zeros(len(values), np.int8), INT8, axis)


def of_bias(scales: NDArray[np.float32]) -> QuantParams:
    """The grid of a bias."""
    return QuantParams(np.asarray(scales, np.float32), np.zeros(len(scales), np.int32), INT32, 0)


def constant(data: NDArray[np.generic], params: QuantParams | None = None) -> Tensor:
    """A tensor whose numbers are in the file."""
    return Tensor("", data.shape, data.dtype.name, params, data)


def networks(model: ir.Model, feeds: Sequence[Mapping[str, Array]]) -> tuple[LiteRtNetwork, LiteRtNetwork, QuantPlan]:
    """The float and the int8 network of a model whose input x is an image, and the plan of the latter."""
    prepared = prepare(model, fusing=KERNELS_OF_LITERT)
    decided = plan(prepared, quantised.extrema(prepared.model, feeds), QuantSettings())
    interface = Interface({"x": feeds[0]["x"].shape}, frozenset({"x"}))
    return network(prepared.model, None, interface), network(prepared.model, decided, interface), decided


def outputs(of: LiteRtNetwork, feeds: Mapping[str, Array], runtime: str = "litert") -> list[Array]:
    """What LiteRT computes."""
    session = RUNTIMES[runtime].open(to_bytes(of), threads=1)
    try:
        return session.run(feeds)
    finally:
        session.close()
