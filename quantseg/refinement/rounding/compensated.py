"""Compensated (GPTQ) rounding: the rounding error of a weight is compensated by the weights that are rounded after it.

For an error d of a row of weights, the expected squared error of the layer's output is dᵀ C d, with C the covariance of
the layer's inputs (the part that comes from their mean is removed by bias correction). Weights are rounded column by
column, and each error is spread over the columns that are left so that dᵀ C d grows least. Source: Frantar et al.,
"GPTQ", arXiv:2210.17323, after Hassibi and Stork's Optimal Brain Surgeon; here without blocks of columns.
Where pair sums of weights are bounded (quantization/pairs.py), a weight is also clipped to what the weights that it is
paired with leave. That costs less than a scale so large that the bound holds for the nearest integers.
"""

from dataclasses import replace

import numpy as np

from quantseg.calibration.context import Context
from quantseg.errors import DataError
from quantseg.graph import expose
from quantseg.graph.edit import initializer
from quantseg.quantization.affine import F32, F64, Ints, QuantParams, dequantize, quantize
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.pairs import LEAST_CHOSEN, MOST, orders
from quantseg.quantization.plan import QuantPlan, QuantSettings, bounds_pairs, pair_rows, weight_limits
from quantseg.refinement.layers import Array, Layer, layers_of, opened
from quantseg.refinement.rounding.patches import LARGEST_GRAM, patches

DAMPING = 0.01
"""Damping of the covariance's diagonal, as a share of its mean: the covariance of few images is not exact."""

SHARES = (1.0, 0.5, 0.0)
"""Scales that are tried where pair sums are bounded: 1 is the scale with which the nearest integers keep the bound, 0
the scale of the largest weight alone; between them, evenly in the logarithm."""

_LOST = 1e-12
"""Rounding error of float64 in the second moments, as a share of these, when the squared mean is subtracted."""


def compensate(candidate: Candidate, context: Context) -> Candidate:
    """The candidate with the weights of its quantised layers rounded with compensation on the context's data.

    A layer keeps the grid of the plan; where that is wider because of bounded pair sums, a channel takes a narrower
    grid if its error is less. Layers whose covariance has more than LARGEST_GRAM elements are left as they are.
    Channels with less error by nearest rounding are rounded so. Each image is run once; memory does not grow with the
    number of images. Raises DataError without images.
    """
    settings, decided = candidate.settings, candidate.plan
    widest = decided
    if settings.bounds_pairs:
        widest = replace(candidate, settings=replace(settings, full_range_weights=True)).plan
    fitting = tuple(layer for layer in layers_of(candidate.prepared.model, decided) if _fits(layer))
    covariances = _covariances(candidate.model, fitting, context)
    found = tuple(layer for layer in fitting if layer.name in covariances)
    model = candidate.prepared.model.clone()
    nodes = {node.name: node for node in model.graph}
    grids = dict(candidate.overrides.weights)
    for layer in context.track(found, total=len(found), what="round weights"):
        grid = decided.weights[layer.name]
        axis = layer.form.weight_axis or 0
        limits = weight_limits(layer.name, grid, settings, layer.weight.shape[axis])
        finest = _finest(layer, widest, settings)
        rounded, grid = compensated(layer, grid, covariances[layer.name], limits, finest)
        node = nodes[layer.name]
        assert layer.form.weight is not None
        node.replace_input_with(layer.form.weight, initializer(model.graph, f"{layer.name}_compensated", rounded))
        grids[layer.name] = grid
    return candidate.with_weights(model, grids)


def _finest(layer: Layer, widest: QuantPlan, settings: QuantSettings) -> QuantParams | None:
    """The layer's grid without the bound on pair sums; None where the bound does not apply to the layer."""
    grid = widest.weights[layer.name]
    has_pairs = pair_rows(layer.node, layer.weight) is not None
    return grid if has_pairs and bounds_pairs(grid.qtype, settings) else None


def compensated(
    layer: Layer,
    grid: QuantParams,
    covariance: F64,
    limits: tuple[int | Ints, int | Ints],
    finest: QuantParams | None = None,
) -> tuple[F32, QuantParams]:
    """The layer's rounded weight, in the shape that it has in the model, and the grid that it lies on.

    covariance: of the inputs that a row of weights multiplies, (groups, k, k), positive semidefinite. limits: the least
    and the greatest integer of a weight, for all output channels or for each. finest: the grid without the bound on
    pair sums, where that is bounded; `grid` is then the one with which the nearest integers keep it; None without a
    bound. No row has more error than with nearest rounding on `grid`.
    """
    axis = layer.form.weight_axis or 0
    along = [-1 if i == axis else 1 for i in range(layer.weight.ndim)]
    low, high = (np.asarray(limit, grid.qtype.dtype).reshape(along) for limit in limits)
    plain = dequantize(np.clip(quantize(layer.weight, grid), low, high), grid)
    groups, size, _ = covariance.shape
    rows = layer.rows(layer.weight).astype(np.float64).reshape(groups, -1, size)

    def of_rows(numbers: int | Array) -> F64:
        return np.broadcast_to(np.asarray(numbers, np.float64), rows.shape[0] * rows.shape[1]).reshape(groups, -1)

    zeros, ends = of_rows(grid.zero_point), tuple(map(of_rows, limits))
    upper = _inverse_factor(covariance)
    partners = None if finest is None else _partners(layer)
    best, steps = layer.rows(plain).astype(np.float64).reshape(rows.shape), of_rows(grid.scale).copy()
    least_error = _error(rows - best, covariance)
    for scale in _scales(grid, finest):
        tried = of_rows(scale)
        found = tried[:, :, None] * _rounded_in_turn(rows, upper, tried, zeros, ends, partners)
        error = _error(rows - found, covariance)
        better = error < least_error
        best = np.where(better[:, :, None], found, best)
        steps, least_error = np.where(better, tried, steps), np.where(better, error, least_error)
    chosen = grid if grid.axis is None else replace(grid, scale=steps.reshape(-1).astype(np.float32))
    moved = np.moveaxis(layer.weight, axis, 0).shape
    shaped = np.moveaxis(best.reshape(moved), 0, axis).astype(np.float32)
    return dequantize(quantize(shaped, chosen), chosen), chosen


def _scales(grid: QuantParams, finest: QuantParams | None) -> list[F32]:
    """The scales to try; that of `grid` alone where pair sums are not bounded or all channels share one scale."""
    if finest is None or grid.axis is None or np.array_equal(grid.scale, finest.scale):
        return [grid.scale]
    ratio = grid.scale / finest.scale
    return [grid.scale, *((finest.scale * ratio**share).astype(np.float32) for share in SHARES[1:])]


def _partners(layer: Layer) -> list[list[int]]:
    """For each weight of a row, the positions of earlier weights that an int8 kernel pairs it with."""
    rows = pair_rows(layer.node, layer.weight)
    assert rows is not None
    found: list[list[int]] = [[] for _ in range(rows.shape[1] * rows.shape[2])]
    for first, second in orders(*rows.shape[1:]):
        for one, other in zip(first.tolist(), second.tolist(), strict=True):
            if one != other:
                found[max(one, other)].append(min(one, other))
    return found


def _rounded_in_turn(
    rows: F64, upper: F64, steps: F64, zeros: F64, ends: tuple[F64, ...], partners: list[list[int]] | None
) -> F64:
    """The rounded rows as integers minus zero-point, (groups, rows, k).

    rows: weights. upper: of `_inverse_factor`. steps: scales; zeros: zero-points; ends: least and greatest integers;
    each (groups, rows).
    """
    left, integers = rows.copy(), np.empty_like(rows)
    for column in range(rows.shape[2]):
        low, high = ends[0] - zeros, ends[1] - zeros
        if partners is not None:
            low = np.maximum(low, LEAST_CHOSEN)
            for place in partners[column]:
                high = np.minimum(high, MOST - np.maximum(integers[:, :, place], 0))
                low = np.maximum(low, LEAST_CHOSEN - np.minimum(integers[:, :, place], 0))
        integers[:, :, column] = np.clip(np.rint(left[:, :, column] / steps), low, high)
        error = (left[:, :, column] - steps * integers[:, :, column]) / upper[:, column, column][:, None]
        left[:, :, column + 1 :] -= error[:, :, None] * upper[:, None, column, column + 1 :]
    return integers


def _inverse_factor(covariance: F64) -> F64:
    """The upper triangular U with UᵀU = (covariance + damping)⁻¹, as the inverse of a Cholesky factor."""
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


def _covariances(float_model: FloatModel, found: tuple[Layer, ...], context: Context) -> dict[str, F64]:
    """The covariance of each layer's inputs over all images, with float64's rounding error added to its diagonal.

    An image on which a layer reads nothing, as there are no regions, does not count for it; a layer that never reads
    anything is left out.
    """
    data, given = context.data, {value.name for value in float_model.prepared.model.graph.inputs}
    if not data.names:
        raise DataError("no images to round weights on; give a folder that holds some")
    computed = [name for name in dict.fromkeys(layer.source for layer in found) if name not in given]
    outputs = computed or [str(value.name) for value in float_model.prepared.model.graph.outputs]
    grams, means, seen_by = dict[str, F64](), dict[str, F64](), dict[str, int]()
    count = len(data.names)
    with opened(expose(float_model.prepared.model, outputs), context) as session:
        for index in context.track(range(count), total=count, what="inputs of weights"):
            feeds = data.load(index).feeds(float_model.input.name)
            seen = dict(zip(outputs, session.run(feeds, outputs), strict=True)) | feeds
            for layer in found:
                if not seen[layer.source].size:
                    continue
                taken = patches(layer, seen[layer.source])
                places = taken.shape[1] * count
                wide = taken.astype(np.float64)
                gram = wide.transpose(0, 2, 1) @ wide / places
                mean = wide.sum(axis=1) / places
                grams[layer.name] = grams[layer.name] + gram if layer.name in grams else gram
                means[layer.name] = means[layer.name] + mean if layer.name in means else mean
                seen_by[layer.name] = seen_by.get(layer.name, 0) + 1
    shares = {name: seen / count for name, seen in seen_by.items()}
    return {name: _centred(gram / shares[name], means[name] / shares[name]) for name, gram in grams.items()}


def _centred(gram: F64, mean: F64) -> F64:
    lost = _LOST * np.trace(gram, axis1=1, axis2=2)
    centred: F64 = gram - mean[:, :, None] * mean[:, None, :] + lost[:, None, None] * np.eye(gram.shape[1])
    return centred
