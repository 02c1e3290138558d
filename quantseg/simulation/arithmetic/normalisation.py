"""Normalisations in float, with statistics stored in the model or computed from each image.

y = (x − mean) / √(variance + ε) · scale + bias
"""

from typing import Any

import numpy as np

from quantseg.errors import ModelError
from quantseg.simulation.arithmetic.call import Array, Call, Operator


def _normalised(x: Array, mean: Any, variance: Any, epsilon: float) -> Array:
    return np.asarray((x - mean) / np.sqrt(variance + epsilon))


def _along_channels(values: Array, x: Array) -> Array:
    if x.ndim < 2 or values.shape != x.shape[1:2]:
        raise ModelError(f"input {list(x.shape)} and {list(values.shape)}, one for each channel, do not fit")
    return values.reshape(-1, *[1] * (x.ndim - 2))


def batch_normalization(call: Call) -> tuple[Array, ...]:
    """BatchNormalization at inference."""
    x = call.array(0)
    scale, bias, mean, variance = (_along_channels(call.array(i), x) for i in range(1, 5))
    found = _normalised(x, mean, variance, call.attributes.get("epsilon", 1e-5))
    return ((found * scale + bias).astype(x.dtype),)


def instance_normalization(call: Call) -> tuple[Array, ...]:
    """InstanceNormalization: each channel of each image with its own statistics."""
    x, axes = call.array(0), tuple(range(2, call.array(0).ndim))
    scale, bias = (_along_channels(call.array(i), x) for i in (1, 2))
    statistics = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    return ((_normalised(x, *statistics, call.attributes.get("epsilon", 1e-5)) * scale + bias).astype(x.dtype),)


def layer_normalization(call: Call) -> tuple[Array, ...]:
    """LayerNormalization over all axes from `axis` on."""
    x = call.array(0)
    axes = tuple(range(call.axis(-1, x.ndim), x.ndim))
    statistics = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    found = _normalised(x, *statistics, call.attributes.get("epsilon", 1e-5)) * call.array(1)
    return ((found + call.array(2) if call.has(2) else found).astype(x.dtype),)


OPERATORS: dict[str, Operator] = {
    "BatchNormalization": batch_normalization,
    "InstanceNormalization": instance_normalization,
    "LayerNormalization": layer_normalization,
}
