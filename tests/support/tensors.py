"""Data sets of tensors in memory, and what a calibration would see of them."""

from dataclasses import dataclass

import numpy as np

from quantseg.calibration.histogram import Histogram
from quantseg.calibration.observation import ChannelExtrema, Observations
from quantseg.data.dataset import Item
from quantseg.graph import expose
from tests.support import graphs
from tests.support.quantised import extrema, noise


@dataclass(frozen=True)
class Tensors:
    """A data set of tensors in memory."""

    tensors: tuple

    @property
    def names(self):
        return tuple(f"{index}.npy" for index in range(len(self.tensors)))

    def digest(self, index):
        return f"{index:064x}"

    def load(self, index):
        return Item(self.names[index], self.tensors[index], None, None)


def images(count=4, shape=(1, 4, 9, 9), shift=0.3):
    return Tensors(tuple(noise(*shape, seed=seed) + np.float32(shift) for seed in range(count)))


def feeds(data):
    return [{"x": tensor} for tensor in data.tensors]


def observed(prepared, data):
    """The observations of all tensors that a plan may need, counted by numpy from onnxruntime's runs."""
    names = list(extrema(prepared.model, feeds(data)))
    computed = [name for name in names if name != "x"]
    histograms, channels = {}, {}
    for feed in feeds(data):
        for name, value in {
            **dict(zip(computed, graphs.run(expose(prepared.model, computed), feed), strict=True)),
            **feed,
        }.items():
            rows = np.moveaxis(value, 1, 0).reshape(value.shape[1], -1)
            extent = ChannelExtrema(rows.min(axis=1), rows.max(axis=1))
            histograms[name] = histograms[name] + Histogram.of(value) if name in histograms else Histogram.of(value)
            channels[name] = channels[name] | extent if name in channels else extent
    return Observations({n: histograms[n] for n in names}, {n: channels[n] for n in names}, ())
