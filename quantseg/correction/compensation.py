"""Compensated rounding: what one weight loses by rounding, those that are rounded after it make up for.

The error of a layer's output is dᵀ C d for weights that are wrong by d, with C the covariance of its inputs: what the
mean adds, bias correction takes away. Weights are rounded input by input, and each error is spread over the inputs left
so that dᵀ C d grows least. Source: Frantar et al., "GPTQ", arXiv:2210.17323, after Hassibi and Stork's Optimal Brain
Surgeon; for whole layers, no block size.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quantseg.affine import F32, F64, Ints, QuantParams, Range, dequantize, quantize
from quantseg.correction.layers import Layer, layers_of, opened
from quantseg.correction.moments import LARGEST_GRAM, patches
from quantseg.data import Dataset
from quantseg.errors import DataError
from quantseg.graph import expose
from quantseg.lowering.edit import initializer
from quantseg.planning import QuantSettings, plan, weight_limits
from quantseg.prepare import Prepared
from quantseg.progress import Track, quiet

DAMPING = 0.01
"""Added to the covariance's diagonal, as a share of its mean: few images must not tell too much."""

_LOST = 1e-12
"""Share of the second moments that may be rounding errors where they are subtracted from each other."""


def compensate(
    prepared: Prepared,
    ranges: Mapping[str, Range],
    settings: QuantSettings,
    input_name: str,
    data: Dataset,
    *,
    threads: int = 1,
    track: Track = quiet,
) -> Prepared:
    """The prepared model with the weights of its quantised layers on their grids, errors compensated on `data`.

    A layer keeps the grid that the plan gives it. One whose covariance would take more than LARGEST_GRAM numbers is
    left as it is, and so is a channel where plain rounding errs less. Each image is run once; memory does not grow with
    them. Raises DataError without images.
    """
    decided = plan(prepared, ranges, settings)
    found = tuple(layer for layer in layers_of(prepared.model, decided) if _fits(layer))
    covariances = _covariances(prepared, found, input_name, data, threads, track)
    model = prepared.model.clone()
    nodes = {node.name: node for node in model.graph}
    grids = dict(prepared.weights)
    for layer in found:
        grid = decided.weights[layer.name]
        axis = layer.form.weight_axis or 0
        limits = weight_limits(layer.name, grid, settings, layer.weight.shape[axis])
        rounded = compensated(layer, grid, covariances[layer.name], limits)
        node = nodes[layer.name]
        assert layer.form.weight is not None
        node.replace_input_with(layer.form.weight, initializer(model.graph, f"{layer.name}_compensated", rounded))
        grids[layer.name] = grid
    return replace(prepared, model=model, weights=grids)


def compensated(layer: Layer, grid: QuantParams, covariance: F64, limits: tuple[int | Ints, int | Ints]) -> F32:
    """The layer's weight, each value on its grid, in the weight's own shape.

    covariance: of what its rows multiply, (groups, k, k), positive semidefinite. limits: the least and the greatest
    integer that a weight may become,
    for all output channels or for each. No row errs more than by nearest rounding.
    """
    axis = layer.form.weight_axis or 0
    along = [-1 if i == axis else 1 for i in range(layer.weight.ndim)]
    low, high = (np.asarray(limit, grid.qtype.dtype).reshape(along) for limit in limits)
    plain = dequantize(np.clip(quantize(layer.weight, grid), low, high), grid)
    groups, size, _ = covariance.shape
    rows = layer.rows(layer.weight).astype(np.float64).reshape(groups, -1, size)
    steps, zeros = (
        np.broadcast_to(np.asarray(numbers, np.float64), rows.shape[0] * rows.shape[1]).reshape(groups, -1)
        for numbers in (grid.scale, grid.zero_point)
    )
    least, most = (np.broadcast_to(limit, rows.shape[0] * rows.shape[1]).reshape(groups, -1) for limit in limits)
    upper = _inverse_factor(covariance)
    left, best = rows.copy(), np.empty_like(rows)
    for column in range(size):
        integers = np.clip(np.rint(left[:, :, column] / steps) + zeros, least, most)
        best[:, :, column] = steps * (integers - zeros)
        error = (left[:, :, column] - best[:, :, column]) / upper[:, column, column][:, None]
        left[:, :, column + 1 :] -= error[:, :, None] * upper[:, None, column, column + 1 :]
    nearest = layer.rows(plain).astype(np.float64).reshape(rows.shape)
    keep = _error(rows - best, covariance) >= _error(rows - nearest, covariance)
    chosen = np.where(keep[:, :, None], nearest, best).reshape(-1, size)
    moved = np.moveaxis(layer.weight, axis, 0).shape
    shaped = np.moveaxis(chosen.reshape(moved), 0, axis).astype(np.float32)
    return dequantize(quantize(shaped, grid), grid)


def _inverse_factor(covariance: F64) -> F64:
    """The upper triangular U with UᵀU = (covariance + damping)⁻¹, without that inverse: U⁻¹ is its other factor."""
    spread = np.einsum("gkk->gk", covariance)
    damping = DAMPING * spread.mean(axis=1) + 1e-4 * spread.max(axis=1) + 1e-12
    turned = (covariance + damping[:, None, None] * np.eye(covariance.shape[1]))[:, ::-1, ::-1]
    factor: F64 = np.linalg.inv(np.linalg.cholesky(turned)[:, ::-1, ::-1])
    return factor


def _error(wrong: F64, covariance: F64) -> F64:
    total: F64 = ((wrong @ covariance) * wrong).sum(axis=2)
    return total


def _fits(layer: Layer) -> bool:
    size = layer.rows(layer.weight).shape[1]
    return bool(layer.groups * size * size <= LARGEST_GRAM)


def _covariances(
    prepared: Prepared, found: tuple[Layer, ...], input_name: str, data: Dataset, threads: int, track: Track
) -> dict[str, F64]:
    """The covariance of each layer's inputs over all images, with what float64 may lose of it on its diagonal."""
    if not data.names:
        raise DataError("no images to round weights on; give a folder that holds some")
    computed = [name for name in dict.fromkeys(layer.source for layer in found) if name != input_name]
    outputs = computed or [str(value.name) for value in prepared.model.graph.outputs]
    grams, means = dict[str, F64](), dict[str, F64]()
    count = len(data.names)
    with opened(expose(prepared.model, outputs), threads) as session:
        for index in track(range(count), total=count, what="rounding weights"):
            tensor = data.load(index).tensor
            seen = dict(zip(outputs, session.run({input_name: tensor}, outputs), strict=True)) | {input_name: tensor}
            for layer in found:
                taken = patches(layer, seen[layer.source])
                places = taken.shape[1] * count
                wide = taken.astype(np.float64)
                gram = wide.transpose(0, 2, 1) @ wide / places
                mean = wide.sum(axis=1) / places
                grams[layer.name] = grams[layer.name] + gram if index else gram
                means[layer.name] = means[layer.name] + mean if index else mean
    return {name: _centred(gram, means[name]) for name, gram in grams.items()}


def _centred(gram: F64, mean: F64) -> F64:
    lost = _LOST * np.trace(gram, axis1=1, axis2=2)
    centred: F64 = gram - mean[:, :, None] * mean[:, None, :] + lost[:, None, None] * np.eye(gram.shape[1])
    return centred
