"""Whether this machine's integer convolutions saturate: found by trying, since processor and runtime decide it.

Without VNNI an x86 processor adds two products of uint8 and int8 in 16 bits, which saturate: 2·255·127 > 32767.
Source: onnxruntime's documentation, "Quantize ONNX models".
"""

import numpy as np
import onnx_ir as ir

from quantseg import formats
from quantseg.affine import Range
from quantseg.errors import ModelError
from quantseg.graph import to_bytes
from quantseg.planning import Placement, QuantSettings, plan
from quantseg.prepare import Prepared
from quantseg.runtimes import Runtime

_CHANNELS, _SIZE = 64, 8
_KERNELS = (1, 3)
"""Sides of the convolutions that are tried: runtimes have a path of its own for single pixels."""


def saturates(runtime: Runtime) -> bool:
    """Whether a sum of products of the largest integers comes out wrong, in any way that a format can write it."""
    return any(
        _is_wrong(runtime, qformat, side, variant)
        for side in _KERNELS
        for qformat, form in formats.FORMATS.items()
        for variant in form.variants(next(iter(_sum_of_ones(side).graph))) or (None,)
    )


def _is_wrong(runtime: Runtime, qformat: str, side: int, variant: str | None) -> bool:
    exact = _CHANNELS * side * side
    ranges = {"x": Range(0.0, 1.0), "y": Range(0.0, float(exact))}
    placement = Placement(variants={} if variant is None else {"sum": variant})
    model = _sum_of_ones(side)
    decided = plan(Prepared(model, (), ()), ranges, QuantSettings(full_range_weights=True), placement)
    written = formats.emit(model, decided, qformat=qformat, metadata={})
    try:
        session = runtime.open(to_bytes(written), threads=1, spinning=False)
        try:
            (y,) = session.run({"x": np.ones((1, _CHANNELS, _SIZE, _SIZE), np.float32)})
        finally:
            session.close()
    except ModelError:  # a kernel that is not there computes nothing wrong
        return False
    return bool(np.abs(y - exact).max() > exact / 64)


def _sum_of_ones(side: int) -> ir.Model:
    """y = the sum of side · side pixels of all channels of x, in each of as many output channels."""
    kind = ir.TensorType(ir.DataType.FLOAT)
    x = ir.Value(name="x", shape=ir.Shape((1, _CHANNELS, _SIZE, _SIZE)), type=kind)
    ones = ir.Tensor(np.ones((_CHANNELS, _CHANNELS, side, side), np.float32), name="w")
    w = ir.Value(name="w", shape=ir.Shape(ones.shape), type=kind, const_value=ones)
    node = ir.Node("", "Conv", [x, w], name="sum")
    (y,) = node.outputs
    left = _SIZE + 1 - side
    y.name, y.shape, y.type = "y", ir.Shape((1, _CHANNELS, left, left)), kind
    graph = ir.Graph([x], [y], nodes=[node], initializers=[w], opset_imports={"": 13}, name="sum_of_ones")
    return ir.Model(graph, ir_version=8)
