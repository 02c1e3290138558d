"""Candidates for steps to work on: a small float model in memory, the ranges that a test gives, and its images."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from quantseg import api, graph
from quantseg.calibration.context import Context
from quantseg.calibration.histogram import Histogram
from quantseg.calibration.observation import ChannelExtrema, Observations
from quantseg.data import Dataset, Item
from quantseg.data.recipe import Recipe
from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization.affine import Range
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.plan import NO_OVERRIDES, Overrides, QuantSettings
from quantseg.quantization.ranges import RangeTable
from quantseg.refinement.options import Options
from tests.support import graphs
from tests.support.quantised import Array, extrema, noise


@dataclass(frozen=True)
class Tensors:
    """A data set of tensors in memory."""

    tensors: Sequence[Array]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{index}.npy" for index in range(len(self.tensors)))

    def digest(self, index: int) -> str:
        return hashlib.sha256(self.tensors[index].tobytes()).hexdigest()

    def load(self, index: int) -> Item:
        return Item(self.names[index], self.tensors[index], None, None)

    def feeds(self, name: str = "x") -> list[dict[str, Array]]:
        """What a model with that input is fed."""
        return [{name: tensor} for tensor in self.tensors]


def images(count: int = 4, shape: tuple[int, ...] = (1, 4, 9, 9), shift: float = 0.3) -> Tensors:
    """Noise around a mean that is not zero."""
    return Tensors(tuple(noise(*shape, seed=seed) + np.float32(shift) for seed in range(count)))


def float_model(model: ir.Model | Prepared, recipe: Recipe | None = None) -> FloatModel:
    """The float model of a graph, prepared here unless it is already; its first input takes the image."""
    prepared = model if isinstance(model, Prepared) else prepare(model)
    content = graph.to_bytes(prepared.model if isinstance(model, Prepared) else model)
    inputs, _ = graph.signature(prepared.model)
    return FloatModel(content, hashlib.sha256(content).hexdigest(), prepared, recipe or Recipe(), inputs[0])


def table(model: FloatModel, ranges: Mapping[str, Range], settings: QuantSettings | None = None) -> RangeTable:
    """The ranges as chosen for this model and the activations of these settings."""
    wanted = settings or QuantSettings()
    return RangeTable(ranges, model.digest, wanted.activation, wanted.symmetric, "minmax")


def candidate(
    model: ir.Model | Prepared,
    ranges: Mapping[str, Range],
    settings: QuantSettings | None = None,
    overrides: Overrides = NO_OVERRIDES,
    recipe: Recipe | None = None,
) -> Candidate:
    """A candidate of the graph with these ranges."""
    wanted, read = settings or QuantSettings(), float_model(model, recipe)
    return Candidate(read, table(read, ranges, wanted), wanted, overrides)


def calibrated(
    model: ir.Model | Prepared,
    data: Tensors,
    settings: QuantSettings | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> Candidate:
    """A candidate whose ranges are onnxruntime's own extrema over the data."""
    prepared = model if isinstance(model, Prepared) else prepare(model)
    inputs, _ = graph.signature(prepared.model)
    return candidate(prepared, extrema(prepared.model, data.feeds(inputs[0].name)), settings, overrides)


def of_file(path: Path, data: object, options: Options | None = None) -> Candidate:
    """A candidate of a model's file, calibrated on the data, before any step."""
    chosen = options or Options(threads=1)
    given = api.calibrate(api.load(path, options=chosen), data, options=chosen)
    return Candidate(given.model, given.calibration.table, chosen.settings)


def context(data: Dataset | None = None, **changes: Any) -> Context:
    """Collaborators with one thread; data: the calibration images."""
    given = {} if data is None else {"data": data}
    return Context(**{"threads": 1, **given, **changes})


def observed(prepared: Prepared, data: Tensors) -> Observations:
    """The observations of all tensors that a plan may need, counted by numpy from onnxruntime's runs."""
    names = list(extrema(prepared.model, data.feeds()))
    computed = [name for name in names if name != "x"]
    exposed = graph.expose(prepared.model, computed)
    histograms: dict[str, Histogram] = {}
    channels: dict[str, ChannelExtrema] = {}
    for feed in data.feeds():
        values = dict(zip(computed, graphs.run(exposed, feed), strict=True)) | feed
        for name, value in values.items():
            rows = np.moveaxis(value, 1, 0).reshape(value.shape[1], -1)
            extent = ChannelExtrema(rows.min(axis=1), rows.max(axis=1))
            histograms[name] = histograms[name] + Histogram.of(value) if name in histograms else Histogram.of(value)
            channels[name] = channels[name] | extent if name in channels else extent
    return Observations({n: histograms[n] for n in names}, {n: channels[n] for n in names}, ())
