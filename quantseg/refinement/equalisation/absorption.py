"""Bias absorption: a constant c per channel moves from a layer's bias to the biases of the next layers.

The tensor between them then needs a narrower range. If f(x − c) = f(x) − c for the activation f, then V·f(x) + a =
V·f(x − c) + (a + V·c), where V and a are weight and bias of a layer that reads the tensor and V·c is summed over the
taps. Such a layer must not pad, since V·c would differ at the edges.
Source: Nagel et al., arXiv:1906.04721, section 4.1.3, with observed extrema instead of a normal distribution.
Behind a Relu, c must be less than the least value observed. Without an activation every c is exact; the range need only
cover the widest channel, placed evenly around zero. No channel is shifted further than this range needs: behind a Relu
a shift is a risk on other images, and rounding errors of V multiply the channel's mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from quantseg.calibration.observation import ChannelExtrema
from quantseg.graph.edit import constant, initializer, input_at, only_producer, rank
from quantseg.graph.operators import BIASED_PRODUCTS, INTEGER_PRODUCTS
from quantseg.graph.preparation import Prepared
from quantseg.refinement.equalisation.factors import F64

__all__ = ["Absorbed", "absorb"]

SHARE = 0.9
"""Most share of the least value behind a Relu that is absorbed, since unseen images may have lower values."""

_MAKERS = BIASED_PRODUCTS & INTEGER_PRODUCTS


@dataclass(frozen=True)
class Absorbed:
    """The graph after absorption. channels: how many were shifted."""

    prepared: Prepared
    channels: int


def absorb(prepared: Prepared, extrema: Mapping[str, ChannelExtrema]) -> Absorbed | None:
    """An equivalent float network with biases absorbed by the next layers; None where none can be.

    extrema: of the observed tensors of this model; tensors whose channels are shifted must be observed again. Weights
    keep their values. Behind a Relu, the outputs for other images are equal while no channel falls below SHARE of its
    least observed value; elsewhere they always are.
    """
    model = prepared.model.clone()
    count = 0
    for node in list(model.graph):
        tensor = node.outputs[0]
        relu = node.op_type == "Relu" and node.domain == ""
        maker = only_producer(input_at(node, 0), node, *_MAKERS) if relu else node
        seen, readers = extrema.get(str(tensor.name)), _readers(tensor, model.graph)
        if seen is None or not readers or maker is None or maker.op_type not in _MAKERS or not _constant(maker):
            continue
        shifts = _shifts(seen, behind_relu=relu)
        if len(shifts) != len(_weight(maker)) or not shifts.any():
            continue
        _add(model.graph, maker, -shifts)
        for reader in readers:
            _add(model.graph, reader, _products(reader, shifts))
        count += int(np.count_nonzero(shifts))
    return Absorbed(replace(prepared, model=model), count) if count else None


def _readers(tensor: ir.Value, graph: ir.Graph) -> Sequence[ir.Node]:
    """All nodes that read the tensor if each of them can absorb a constant from it, as its data input; else none."""
    uses = list(tensor.uses())
    fit = all(use.node.graph is graph and _constant(use.node) and not _pads(use.node) for use in uses)
    return [use.node for use in uses] if fit and not tensor.is_graph_output() else []


def _constant(node: ir.Node) -> bool:
    """Whether the node is a layer with constant weight and a constant bias per channel, or without a bias."""
    weight = constant(input_at(node, 1))
    if node.domain != "" or node.op_type not in INTEGER_PRODUCTS or weight is None:
        return False
    plain = node.attributes.get_float("alpha", 1.0) == node.attributes.get_float("beta", 1.0) == 1.0
    flat = rank(node.inputs[0]) == weight.ndim == 2 and plain and node.attributes.get_int("transA", 0) == 0
    if weight.dtype != np.float32 or (node.op_type != "Conv" and not flat):
        return False
    bias, made = constant(input_at(node, 2)), len(_weight(node))
    return input_at(node, 2) is None or (bias is not None and bias.shape in ((made,), (1, made)))


def _pads(node: ir.Node) -> bool:
    automatic = node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    return automatic or any(node.attributes.get_ints("pads", ()))


def _weight(layer: ir.Node) -> F64:
    """The layer's weight as (out, in/group, taps)."""
    weight = constant(layer.inputs[1])
    assert weight is not None
    if layer.op_type != "Conv" and not layer.attributes.get_int("transB", 0):
        weight = weight.T
    return weight.astype(np.float64).reshape(*weight.shape[:2], -1)


def _shifts(seen: ChannelExtrema, behind_relu: bool) -> F64:
    """c: how far each channel reaches outside the tensor's narrowest possible range; zeros if it has that range."""
    lows, highs = seen.minima.astype(np.float64), seen.maxima.astype(np.float64)
    if behind_relu:
        return np.maximum(highs - np.max(highs - SHARE * lows, initial=0.0), 0.0)  # at most SHARE · low
    half = np.max(highs - lows, initial=0.0) / 2
    wider = np.max(highs, initial=0.0) - np.min(lows, initial=0.0) > 2 * half
    return (np.maximum(highs - half, 0.0) + np.minimum(lows + half, 0.0)) * wider


def _products(reader: ir.Node, shifts: F64) -> F64:
    """V·c for each output channel. shifts: c."""
    weight = _weight(reader).sum(axis=2)
    groups = reader.attributes.get_int("group", 1)
    sums: F64 = weight.reshape(groups, -1, weight.shape[1]) @ shifts.reshape(groups, -1, 1)
    return sums.reshape(-1)


def _add(graph: ir.Graph, layer: ir.Node, change: F64) -> None:
    """Adds `change` to the layer's bias; a layer without bias gets one, for which a MatMul becomes a Gemm."""
    old = constant(input_at(layer, 2))
    bias = change if old is None else old.astype(np.float64).reshape(-1) + change
    if layer.op_type == "MatMul":
        layer.op_type = "Gemm"
    layer.resize_inputs(3)
    layer.replace_input_with(2, initializer(graph, f"{layer.name}_absorbed", bias.astype(np.float32)))
