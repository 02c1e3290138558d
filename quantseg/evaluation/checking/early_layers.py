"""What a model's early layers expect of their input, and how far given images are from that.

A BatchNormalization keeps the mean and the variance that each channel had in training. With the same preprocessing
images of the same kind have about the same ones; with another, the distance grows tenfold. Where exporters folded it
into the convolution before, the convolution's bias is about as large as what the pixels add to it; a wrong scale makes
one of the two vanish beside the other.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.graph.edit import constant, input_at
from quantseg.runtimes import Session

MOST_NORMS = 8
"""Layers that are looked at: the deeper ones cost more and tell the same."""
F64 = NDArray[np.float64]
_TINY = 1e-12
_MOST = 1e30
"""What is no number, and infinite, counts as so much."""
_SIDE = 128
"""Larger maps are looked at in every second place, or third …: their moments stay the same."""


@dataclass(frozen=True, eq=False)
class Norm:
    """The statistics of a BatchNormalization's input in training, one number a channel."""

    tensor: str
    mean: F64
    variance: F64


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance of each channel (axis 1) of a tensor over several images."""

    mean: F64
    variance: F64

    @staticmethod
    def of(values: NDArray[Any]) -> "Moments":
        """Of an array (images, channels, …); of large ones, of evenly spread places."""
        steps = [slice(None, None, max(1, side // _SIDE)) for side in values.shape[2:]]
        places = (slice(None), slice(None), *steps)
        values = values[places]
        rows = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1).astype(np.float64)
        rows = np.clip(np.nan_to_num(rows, nan=_MOST), -_MOST, _MOST)
        return Moments(rows.mean(axis=1), rows.var(axis=1))


@dataclass(frozen=True)
class InputFit:
    """How far the early layers are from what they were trained on.

    distance: 0 is equal, below 1 is usual for right preprocessing; geometric mean over the layers of shift + spread;
    None without BatchNormalization. shift, spread: of the first one: medians over its channels of |mean − mean in
    training| in standard deviations, and of the standard deviation over that in training. balance: median of the
    standard deviation that the pixels cause in a channel of the first convolution over its bias; None without a bias.
    """

    distance: float | None
    shift: float | None
    spread: float | None
    balance: float | None


@dataclass(frozen=True, eq=False)
class EarlyLayers:
    """The early layers of a graph. first: output of the first Conv. bias: of each of its channels, None without."""

    norms: tuple[Norm, ...]
    first: str | None
    bias: F64 | None

    @property
    def tensors(self) -> tuple[str, ...]:
        """The names of the tensors to observe, each once."""
        first = () if self.first is None or self.bias is None or self.norms else (self.first,)
        return tuple(dict.fromkeys([*(norm.tensor for norm in self.norms), *first]))

    def fit(self, seen: Mapping[str, Moments]) -> InputFit:
        """The fit of what was observed. seen: tensor → its moments."""
        norms = [norm for norm in self.norms if norm.tensor in seen]
        distances = [_distance(norm, seen[norm.tensor]) for norm in norms]
        distance = math.exp(float(np.mean(np.log(np.maximum(distances, 1e-3))))) if distances else None
        shift = spread = balance = None
        if norms:
            shift, spread = _apart(norms[0], seen[norms[0].tensor])
        elif self.first in seen and self.first is not None and self.bias is not None and np.any(self.bias):
            deviation = np.sqrt(seen[self.first].variance)
            balance = float(np.median(deviation / np.maximum(np.abs(self.bias), _TINY)))
        return InputFit(distance, shift, spread, balance)


def early_layers(model: ir.Model) -> EarlyLayers:
    """The first BatchNormalizations over images of the main graph, and its first Conv. Nothing is run."""
    norms: list[Norm] = []
    first: ir.Node | None = None
    for node in model.graph:
        if node.domain != "":
            continue
        if first is None and node.op_type == "Conv" and _held(node, 1) is not None:
            first = node
        if node.op_type == "BatchNormalization" and len(norms) < MOST_NORMS:
            mean, variance = (_held(node, index) for index in (3, 4))
            if mean is not None and variance is not None and (variance > 0).any() and node.inputs[0] is not None:
                norms.append(Norm(str(node.inputs[0].name), mean.astype(np.float64), variance.astype(np.float64)))
    bias = None if first is None else _held(first, 2)
    name = None if first is None else str(first.outputs[0].name)
    return EarlyLayers(tuple(norms), name, None if bias is None else bias.astype(np.float64))


def observed(
    session: Session, names: Sequence[str], feeds: Iterable[Mapping[str, NDArray[Any]]]
) -> Mapping[str, Moments]:
    """The moments of the named tensors over the feeds, which weigh the same; tensors without images are left out.

    Raises ModelError where a run fails.
    """
    found: dict[str, list[Moments]] = {}
    for feed in feeds:
        computed = [name for name in names if name not in feed]
        values = dict(zip(computed, session.run(feed, computed), strict=True)) if computed else {}
        for name in names:
            value = values[name] if name in values else feed[name]
            if value.ndim >= 3:
                found.setdefault(name, []).append(Moments.of(value))
    return {name: _joined(several) for name, several in found.items()}


def exposing(model: ir.Model, layers: EarlyLayers) -> ir.Model:
    """The part of the model that computes the tensors of the early layers."""
    return graph.expose(model, layers.tensors)


def _held(node: ir.Node, index: int) -> NDArray[Any] | None:
    """The constant that a node reads; old files list their weights as inputs, too."""
    value = input_at(node, index)
    if value is not None and value.const_value is not None:
        return value.const_value.numpy()
    return constant(value)


def _joined(several: Sequence[Moments]) -> Moments:
    mean = np.mean([one.mean for one in several], axis=0)
    square = np.mean([one.variance + one.mean**2 for one in several], axis=0)
    return Moments(mean, np.maximum(square - mean**2, 0))


def _distance(norm: Norm, seen: Moments) -> float:
    shift, _ = _apart(norm, seen)
    return shift + 2 * _log(norm, seen)


def _log(norm: Norm, seen: Moments) -> float:
    floor = 1e-5 + 1e-3 * float(np.median(norm.variance))
    return float(np.median(np.abs(np.log((seen.variance + floor) / (norm.variance + floor))))) / 2


def _apart(norm: Norm, seen: Moments) -> tuple[float, float]:
    """Median shift of the channels in standard deviations, and median ratio of standard deviations."""
    deviation = np.sqrt(norm.variance + 1e-5)
    shift = float(np.median(np.abs(seen.mean - norm.mean) / deviation))
    return shift, float(np.median(np.sqrt(seen.variance + 1e-10) / deviation))
