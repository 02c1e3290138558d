"""The measurement: each tensor and weight rounded alone; ever more tensors; parts of the worst tensors' channels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from statistics import fmean

import numpy as np
import onnx_ir as ir

from quantseg.calibration.calibrate import calibrate
from quantseg.calibration.choosing import Choice
from quantseg.calibration.context import Context
from quantseg.calibration.observation import Observations
from quantseg.data import Dataset
from quantseg.data.heads import judged_outputs
from quantseg.errors import DataError
from quantseg.graph import signature
from quantseg.graph.edit import initializer, rank
from quantseg.mixed_precision.error_sources.statistics import clipped_share, lost_bits
from quantseg.mixed_precision.error_sources.values import (
    ChannelError,
    ErrorSources,
    Growth,
    TensorError,
    WeightError,
)
from quantseg.mixed_precision.risk import ReferenceOutputs, sources
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised, rounded_tensors
from quantseg.quantization.float_model import FloatModel
from quantseg.runtimes import as_written

MOST = 3
"""Of how many tensors the channels are measured."""
_PARTS = 8
"""Into how many parts channels are divided, and the worst of these again, until a part is one channel."""
_STEPS = 8
"""At how many places of the graph the growth is measured."""


def measure(given: FloatModel, candidate: Candidate, data: Dataset, context: Context) -> ErrorSources:
    """Which roundings of the candidate's plan carry the error of the masks, over all images of `data`.

    given: the float model that the masks are compared with; the candidate's own graph may have rounded weights.
    context: its engine (else its threads) measures graphs in parallel. Raises DataError for no images, ModelError,
    PlanError.
    """
    if not data.names:
        raise DataError("no images to measure on; give a folder that holds some")
    feeds = [data.load(index).feeds(given.input.name) for index in range(len(data.names))]
    model, plan, output = candidate.prepared.model, candidate.plan, given.recipe.output
    as_is, track = as_written(context.runtime), context.track
    reference = ReferenceOutputs.of(
        given.prepared.model, feeds, output, threads=context.threads, runtime=as_is, track=track
    )
    together = bool(candidate.overrides.weights)
    own = reference
    if together:
        own = ReferenceOutputs.of(model, feeds, output, threads=context.threads, runtime=as_is)
    seen = calibrate(candidate.model, Choice.like(candidate.ranges, candidate.settings), replace(context, data=data))
    measuring = _Measuring(candidate, own, context)
    tensors = _tensors(measuring, seen.observations)
    whole, weights = (fmean(reference.risks(fake_quantised(model, plan, tensors=some))) for some in (None, ()))
    return ErrorSources(
        images=len(feeds),
        whole=whole,
        weights=weights,
        activations=fmean(own.risks(fake_quantised(model, plan, weights=()))),
        tensors=tensors,
        by_node=() if together else _weights(measuring),
        channels=tuple(_channels(measuring, tensors[:MOST], seen.observations)),
        growth=_growth(measuring),
        judged=judged_outputs(given.recipe, signature(given.prepared.model)[1]),
    )


@dataclass(frozen=True)
class _Measuring:
    """A candidate, and the reference outputs of its own graph in float."""

    candidate: Candidate
    reference: ReferenceOutputs
    context: Context

    def rounded(self, *, weights: Sequence[str] = (), tensors: Sequence[str] = ()) -> ir.Model:
        """The float graph with these rounded alone."""
        return fake_quantised(self.candidate.prepared.model, self.candidate.plan, weights=weights, tensors=tensors)

    def risks(self, models: Sequence[Callable[[], ir.Model]], what: str) -> list[float]:
        """The mean risk of each model."""
        return self.reference.side_by_side(models, self.context, what)


def _tensors(measuring: _Measuring, seen: Observations) -> tuple[TensorError, ...]:
    candidate = measuring.candidate
    graph, plan = candidate.prepared.model.graph, candidate.plan
    values = {str(value.name): value for value in (*graph.inputs, *(o for node in graph for o in node.outputs))}
    found = []
    for source in sources(candidate, measuring.reference, measuring.context):
        value, params = values[source.name], plan.tensors[source.name]
        producer, histogram = value.producer(), seen.histograms.get(source.name)
        extrema = seen.channels.get(source.name)
        found.append(
            TensorError(
                name=source.name,
                made_by="input" if producer is None else producer.op_type,
                read_by=tuple(dict.fromkeys(user.op_type for user, _ in value.uses())),
                risk=source.risk,
                clipped=None if histogram is None else clipped_share(params, histogram),
                lost=None if histogram is None or extrema is None else lost_bits(params, histogram, extrema),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.risk, one.name)))


def _weights(measuring: _Measuring) -> tuple[WeightError, ...]:
    types = {str(node.name): node.op_type for node in measuring.candidate.prepared.model.graph}
    nodes = [*measuring.candidate.plan.weights]
    risks = measuring.risks([partial(measuring.rounded, weights=(node,)) for node in nodes], "risk of each weight")
    found = (WeightError(node, types[node], risk) for node, risk in zip(nodes, risks, strict=True))
    return tuple(sorted(found, key=lambda one: (-one.risk, one.node)))


def _growth(measuring: _Measuring) -> tuple[Growth, ...]:
    names = rounded_tensors(measuring.candidate.prepared.model, measuring.candidate.plan)
    counts = sorted({round(len(names) * step / _STEPS) for step in range(1, _STEPS + 1)} - {0})
    models = [partial(measuring.rounded, tensors=names[:count]) for count in counts]
    risks = measuring.risks(models, "risk along the graph")
    return tuple(Growth(count, names[count - 1], risk) for count, risk in zip(counts, risks, strict=True))


def _channels(measuring: _Measuring, tensors: Sequence[TensorError], seen: Observations) -> Iterator[ChannelError]:
    """Of each tensor, the worst part of its channels, and the worst part of that, until one channel is left."""
    for tensor in tensors:
        extrema = seen.channels.get(tensor.name)
        count = 0 if extrema is None else len(extrema.minima)
        first, last = 0, count - 1
        while tensor.risk > 0 and last > first:
            ends = np.linspace(first, last + 1, min(_PARTS, last - first + 1) + 1).round().astype(int)
            parts = [(int(low), int(high) - 1) for low, high in pairwise(ends)]
            models = [partial(_of_channels, measuring, tensor.name, part, count) for part in parts]
            risks = measuring.risks(models, "risk of channels")
            worst = max(range(len(parts)), key=lambda index: risks[index])
            first, last = parts[worst]
            yield ChannelError(tensor.name, parts[worst], count, (risks[worst] / tensor.risk) ** 2)


def _of_channels(measuring: _Measuring, tensor: str, channels: tuple[int, int], count: int) -> ir.Model:
    """The float graph in which these channels of the tensor alone are rounded."""
    model = measuring.rounded(tensors=(tensor,))
    read = next(node for node in model.graph if node.name == f"{tensor}_dequantise")
    stored = read.inputs[0]
    source = None if stored is None else stored.producer()
    assert source is not None
    unrounded, rounded = source.inputs[0], read.outputs[0]
    assert unrounded is not None
    chosen = np.zeros(count, np.bool_)
    chosen[channels[0] : channels[1] + 1] = True
    shape = (1, -1, *[1] * ((rank(rounded) or rank(unrounded) or 4) - 2))
    mask = initializer(model.graph, f"{tensor}_channels", chosen.reshape(shape))
    mixed = ir.node("Where", [mask, rounded, unrounded], name=f"{tensor}_mixed")
    result = mixed.outputs[0]
    result.type, result.shape, result.name = rounded.type, rounded.shape, f"{tensor}_mixed"
    for user, index in tuple(rounded.uses()):
        if user is not mixed:
            user.replace_input_with(index, result)
    if any(output is rounded for output in model.graph.outputs):
        result.name, rounded.name = rounded.name, f"{tensor}_rounded_alone"
        model.graph.outputs[:] = [result if output is rounded else output for output in model.graph.outputs]
    model.graph.insert_after(read, mixed)
    return model
