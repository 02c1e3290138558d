"""One pass over the images, streaming: every tensor's histogram and extrema, in memory that does not grow.

Observations form a commutative monoid: any order of images, any split over processes or machines and any interruption
gives the same result, bit for bit.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.calibration.engines import Engine, Serial
from quantseg.calibration.histogram import Histogram
from quantseg.data import Dataset
from quantseg.errors import CalibrationError
from quantseg.progress import Track, quiet
from quantseg.quantization.affine import F32
from quantseg.runtimes import Runtime, Session

SAMPLE_SIZE = 65_536
"""Values counted per tensor and image, at least: tensors up to twice this size are counted whole."""


@dataclass(frozen=True, eq=False)
class ChannelExtrema:
    """Exact minimum and maximum of each channel (axis 1), float32, shape (channels,).

    A tensor whose channel count differs between images has none: both arrays are empty, and stay so when merged.
    """

    minima: F32
    maxima: F32

    def __or__(self, other: "ChannelExtrema") -> "ChannelExtrema":
        """The extrema of both."""
        if self.minima.shape != other.minima.shape:
            nothing = np.zeros(0, np.float32)
            return ChannelExtrema(nothing, nothing)
        return ChannelExtrema(np.minimum(self.minima, other.minima), np.maximum(self.maxima, other.maxima))


@dataclass(frozen=True)
class ImageId:
    """Which image was seen: its name below the data folder, and the SHA-256 of its file."""

    name: str
    digest: str


@dataclass(frozen=True)
class Observations:
    """What a model's tensors were seen to hold. images: sorted by name, then digest."""

    histograms: Mapping[str, Histogram]
    channels: Mapping[str, ChannelExtrema]
    images: tuple[ImageId, ...]

    @staticmethod
    def empty() -> "Observations":
        """What is known before the first image; the identity of `+`."""
        return Observations({}, {}, ())

    def __add__(self, other: "Observations") -> "Observations":
        """What is known after both. Raises CalibrationError if an image is in both."""
        twice = set(self.images) & set(other.images)
        if twice:
            name = min(image.name for image in twice)
            raise CalibrationError(f"{name}: was observed in both parts and would count twice; leave one out")
        histograms, channels = dict(self.histograms), dict(self.channels)
        for tensor, histogram in other.histograms.items():
            known = tensor in histograms
            histograms[tensor] = histograms[tensor] + histogram if known else histogram
            extrema = other.channels[tensor]
            channels[tensor] = channels[tensor] | extrema if known else extrema
        images = sorted((*self.images, *other.images), key=lambda image: (image.name, image.digest))
        return Observations(histograms, channels, tuple(images))


@dataclass(frozen=True)
class Watch:
    """What each worker needs: a float model whose watched tensors are all outputs, and where the images are.

    tensors: in the graph's order, so that the first bad one is where the trouble begins. threads: of the runtime, the
    same in every worker, since kernels may sum in another order with another number of them. alone: whether one worker
    has the machine to itself.
    """

    model: bytes | Path
    input_name: str
    tensors: tuple[str, ...]
    dataset: Dataset
    runtime: Runtime
    threads: int
    alone: bool = True

    def __call__(self) -> Callable[[int], Observations]:
        """Opens the model; gives the step that observes one image, by its index."""
        session = self.runtime.open(self.model, threads=self.threads, spinning=self.alone)
        return lambda index: self._observe(session, index)

    def _observe(self, session: Session, index: int) -> Observations:
        item = self.dataset.load(index)
        computed = [name for name in self.tensors if name != self.input_name]
        values = dict(zip(computed, session.run({self.input_name: item.tensor}, computed), strict=True))
        values[self.input_name] = item.tensor
        histograms, channels = {}, {}
        for name in self.tensors:
            extrema = _extrema(values[name])
            low, high = float(extrema.minima.min()), float(extrema.maxima.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                what = "NaN" if math.isnan(low) or math.isnan(high) else "infinity"
                raise CalibrationError(
                    f"{name}: {what} in this tensor on image {item.name}; check the preprocessing and the model"
                )
            histograms[name] = Histogram.of(sample(values[name]), low, high)
            channels[name] = extrema
        image = ImageId(item.name, self.dataset.digest(index))
        return Observations(histograms, channels, (image,))


def sample(values: NDArray[Any]) -> NDArray[Any]:
    """Every k-th value in memory order, k the largest number coprime to the size that leaves SAMPLE_SIZE values.

    Coprime, because a step that divides the image width would look at the same columns again and again.
    """
    flat = values.reshape(-1)
    step = max(flat.size // SAMPLE_SIZE, 1)
    while math.gcd(step, flat.size) != 1:
        step -= 1
    return flat[::step] if step > 1 else flat


def observe(
    watch: Watch,
    *,
    engine: Engine | None = None,
    seen: Observations | None = None,
    on_progress: Callable[[Observations], None] = lambda total: None,
    track: Track = quiet,
) -> Observations:
    """Observes every image of the dataset that `seen` does not hold yet, and adds it to `seen`.

    on_progress is given the running total after each image (to save it). The result does not depend on the engine.
    Raises CalibrationError for NaN or infinity, naming tensor and image.
    """
    total = Observations.empty() if seen is None else seen
    known = set(total.images)
    names = watch.dataset.names
    todo = [i for i, name in enumerate(names) if not known or ImageId(name, watch.dataset.digest(i)) not in known]
    run = engine or Serial()
    make_step = replace(watch, alone=run.workers == 1)
    for part in track(run(make_step, todo), total=len(todo), what="Observing"):
        total = total + part
        on_progress(total)
    # Parts come in any order; tensors are listed in the graph's.
    return Observations(
        {name: total.histograms[name] for name in watch.tensors if name in total.histograms},
        {name: total.channels[name] for name in watch.tensors if name in total.channels},
        total.images,
    )


def _extrema(values: NDArray[Any]) -> ChannelExtrema:
    """Per channel of (batch, channels, …); a vector or number counts as one channel. NaN stays NaN."""
    batch, channels = values.shape[:2] if values.ndim > 1 else (1, 1)
    rows = values.reshape(batch, channels, -1)
    # Adding 0.0 makes −0.0 positive: which zero is the least would depend on the order.
    return ChannelExtrema(rows.min(axis=2).min(axis=0) + 0.0, rows.max(axis=2).max(axis=0) + 0.0)
