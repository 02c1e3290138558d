"""Clipping of weights: each output channel gets the scale, up to the one of its extrema, that errs least.

Few weights are large; cutting them off makes the step of all others finer. What counts is the error of the layer's own
output on real images, from the second moments of its inputs. Source: the search is that of OMSE (Choukroun et al.,
arXiv:1902.06822), its weighting by the inputs that of arXiv:2004.10568.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from quantseg.data import Dataset
from quantseg.errors import DataError
from quantseg.graph import expose
from quantseg.graph.edit import initializer
from quantseg.graph.preparation import Prepared
from quantseg.progress import Track, quiet
from quantseg.quantization.affine import F32, F64, QuantParams, Range, dequantize, params_of_weights, quantize
from quantseg.quantization.pairs import safe_scale
from quantseg.quantization.plan import QuantSettings, bounds_pairs, pair_rows, plan, safe_integers
from quantseg.quantization.qtypes import QType
from quantseg.refinement.layers import Layer, Layers, layers_of, opened
from quantseg.refinement.rounding.moments import output_error, second_moments

_STEP = 0.05
_WIDER = (1.0, 0.75, 0.5, 0.25)
"""Scales that are tried first where pairs are bounded, from that with which no pair needs to be pulled (1) towards the
full one, evenly on the logarithm."""
_LEAST, _LEAST_OF_FEW_BITS = 0.5, 0.3
"""Shares of the full scale that are tried: from 1 down to these, for 8 bits and for fewer."""


def clip_weights(
    prepared: Prepared,
    ranges: Mapping[str, Range],
    settings: QuantSettings,
    input_name: str,
    data: Dataset,
    *,
    qtypes: Mapping[str, QType] | None = None,
    threads: int = 1,
    track: Track = quiet,
) -> Prepared:
    """The prepared model with grids for those layers whose output a narrower one serves better.

    qtypes: node → the type of its weight, where that is not the one of the settings; each of these gets a grid. A grid
    that the model has already is where its layer's search begins. Where no pair sum of the weights may saturate, the
    weights lie on their grids afterwards, those of a pair that is beyond its limit pulled towards zero until it fits.
    Each image is run once and memory does not grow with them. Raises DataError without images.
    """
    types = dict(qtypes or {})
    found = layers_of(prepared.model, plan(prepared, ranges, settings))
    moments = _moments(prepared, found, input_name, data, threads, track)
    grids, model = dict(prepared.weights), prepared.model.clone()
    nodes = {node.name: node for node in model.graph}
    for layer in found:
        known = None if layer.name in types else prepared.weights.get(layer.name)
        whole = known or _whole(layer, types.get(layer.name, settings.weight), settings)
        rounding = _pulled if _has_bounded_pairs(layer, whole.qtype, settings) else _nearest
        clipped = narrowed(layer, whole, moments[layer.name], rounding)
        if rounding is _pulled:
            assert layer.form.weight is not None
            on_grid = initializer(model.graph, f"{layer.name}_clipped", _pulled(layer, clipped))
            nodes[layer.name].replace_input_with(layer.form.weight, on_grid)
        if clipped != whole or layer.name in types or rounding is _pulled:
            grids[layer.name] = clipped
    return replace(prepared, model=model, weights=grids)


Rounding = Callable[[Layer, QuantParams], F32]
"""How a layer's weight comes to lie on a grid."""


def _nearest(layer: Layer, grid: QuantParams) -> F32:
    return dequantize(quantize(layer.weight, grid), grid)


def narrowed(layer: Layer, whole: QuantParams, moments: F64, rounding: Rounding = _nearest) -> QuantParams:
    """The grid with the shares of `whole`'s scales that err least: one share a channel, or one for the whole weight."""
    least = _LEAST if whole.qtype.bits >= 8 else _LEAST_OF_FEW_BITS
    shares = np.arange(1.0, least - _STEP / 2, -_STEP)
    scales = [*(_wider(layer, whole) if rounding is _pulled else ()), *(whole.scale * np.float32(s) for s in shares)]
    grids = [replace(whole, scale=np.asarray(scale, np.float32)) for scale in scales]
    errors = np.stack([output_error(layer, layer.weight - rounding(layer, grid), moments) for grid in grids])
    if whole.axis is None:
        return grids[int(errors.sum(axis=1).argmin())]
    best = errors.argmin(axis=0)  # the first of equals: the widest
    return replace(whole, scale=np.stack([grid.scale for grid in grids])[best, np.arange(best.size)])


def _wider(layer: Layer, whole: QuantParams) -> list[F32]:
    """Scales between that with which all nearest integers fit their pairs and the full one."""
    rows = pair_rows(layer.node, layer.weight)
    assert rows is not None
    ratio = safe_scale(rows, whole.scale) / whole.scale
    return [np.asarray(whole.scale * ratio**share, np.float32) for share in _WIDER]


def _pulled(layer: Layer, grid: QuantParams) -> F32:
    """The nearest integers, pairs beyond their limits pulled together."""
    return dequantize(safe_integers(layer.node, quantize(layer.weight, grid)), grid)


def _has_bounded_pairs(layer: Layer, qtype: QType, settings: QuantSettings) -> bool:
    return bounds_pairs(qtype, settings) and pair_rows(layer.node, layer.weight) is not None


def _whole(layer: Layer, qtype: QType, settings: QuantSettings) -> QuantParams:
    """The grid that covers all weights."""
    return params_of_weights(
        layer.weight,
        qtype,
        axis=layer.form.weight_axis if settings.per_channel else None,
        symmetric=qtype.signed or settings.symmetric,
        reduced=settings.reduce_range and qtype.bits >= 8,
    )


def _moments(
    prepared: Prepared, found: Layers, input_name: str, data: Dataset, threads: int, track: Track
) -> dict[str, F64]:
    """The second moments of each layer's input, averaged over the images."""
    if not data.names:
        raise DataError("no images to clip weights on; give a folder that holds some")
    computed = [name for name in dict.fromkeys(layer.source for layer in found) if name != input_name]
    outputs = computed or [str(value.name) for value in prepared.model.graph.outputs]
    sums: dict[str, F64] = {}
    with opened(expose(prepared.model, outputs), threads) as session:
        for index in track(range(len(data.names)), total=len(data.names), what="clipping weights"):
            tensor = data.load(index).tensor
            seen = dict(zip(outputs, session.run({input_name: tensor}, outputs), strict=True)) | {input_name: tensor}
            for layer in found:
                moments = second_moments(layer, seen[layer.source]) / len(data.names)
                sums[layer.name] = sums[layer.name] + moments if layer.name in sums else moments
    return sums
