"""One streaming pass over the images: every tensor's histogram and extrema, in memory independent of their number.

Observations form a commutative monoid: any order of images, any split over processes or machines, and any interruption
give the same result, bit for bit.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
"""Least number of values counted per tensor and image; tensors of up to twice this size are counted completely."""


@dataclass(frozen=True, eq=False)
class ChannelExtrema:
    """Exact minimum and maximum of each channel (axis 1), float32, shape (channels,).

    A tensor whose number of channels differs between images has none: both arrays are empty, and stay so when merged.
    """

    minima: F32
    maxima: F32

    def __or__(self, other: "ChannelExtrema") -> "ChannelExtrema":
        """The extrema of the union."""
        if self.minima.shape != other.minima.shape:
            nothing = np.zeros(0, np.float32)
            return ChannelExtrema(nothing, nothing)
        return ChannelExtrema(np.minimum(self.minima, other.minima), np.maximum(self.maxima, other.maxima))


@dataclass(frozen=True)
class ImageId:
    """An observed image: its name below the data folder, and the SHA-256 of its file."""

    name: str
    digest: str


@dataclass(frozen=True)
class Observations:
    """Histograms and per-channel extrema of a model's tensors.

    images: those observed, by name, then digest. infinite: the tensors in which an infinity was seen, as masks of an
    attention have; they have neither histogram nor extrema. Nor have those of `unseen`, which had no element on any
    image, as features of regions where nothing was detected.
    """

    histograms: Mapping[str, Histogram]
    channels: Mapping[str, ChannelExtrema]
    images: tuple[ImageId, ...]
    infinite: frozenset[str] = frozenset()
    unseen: frozenset[str] = frozenset()

    @property
    def tensors(self) -> frozenset[str]:
        """The names of all observed tensors."""
        return self.infinite | self.unseen | self.histograms.keys()

    @staticmethod
    def empty() -> "Observations":
        """The observations of no image; the identity of `+`."""
        return Observations({}, {}, ())

    def __add__(self, other: "Observations") -> "Observations":
        """The observations of the images of both. Raises CalibrationError if an image is in both."""
        twice = set(self.images) & set(other.images)
        if twice:
            name = min(image.name for image in twice)
            raise CalibrationError(f"{name}: was observed in both parts and would count twice; leave one out")
        infinite = self.infinite | other.infinite
        histograms = {tensor: one for tensor, one in self.histograms.items() if tensor not in infinite}
        channels = {tensor: self.channels[tensor] for tensor in histograms}
        for tensor, histogram in other.histograms.items():
            if tensor in infinite:
                continue
            known = tensor in histograms
            histograms[tensor] = histograms[tensor] + histogram if known else histogram
            extrema = other.channels[tensor]
            channels[tensor] = channels[tensor] | extrema if known else extrema
        images = sorted((*self.images, *other.images), key=lambda image: (image.name, image.digest))
        unseen = (self.unseen | other.unseen) - histograms.keys() - infinite
        return Observations(histograms, channels, tuple(images), infinite, unseen)


@dataclass(frozen=True)
class Watch:
    """What each worker needs: the images, and a float model whose outputs are the tensors to observe.

    input_name: of the input that takes the image. tensors: their names in the graph's order, so that the first one with
    NaN is where it arises. finite: those in which an infinity is an error. threads: of the runtime, the same in every
    worker, as the order of float sums may depend on it. alone: whether a single worker has the machine to itself.
    shapes: what the graph says of the tensors' shapes, None for an open size; unknown ones are left out.
    """

    model: bytes | Path
    input_name: str
    tensors: tuple[str, ...]
    dataset: Dataset
    runtime: Runtime
    threads: int
    finite: frozenset[str] = frozenset()
    alone: bool = True
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)

    def __call__(self) -> Callable[[int], Observations]:
        """Opens the model; returns the step that observes the image at an index."""
        session = self.runtime.open(self.model, threads=self.threads, spinning=self.alone)
        return lambda index: self._observe(session, index)

    def _observe(self, session: Session, index: int) -> Observations:
        item = self.dataset.load(index)
        feeds = item.feeds(self.input_name)
        computed = [name for name in self.tensors if name not in feeds]
        values = dict(zip(computed, session.run(feeds, computed), strict=True)) | feeds
        histograms, channels, infinite, unseen = {}, {}, set(), set()
        for name in self.tensors:
            self._check_shape(name, values[name])
            if not values[name].size:
                unseen.add(name)
                continue
            extrema = _extrema(values[name])
            low, high = float(extrema.minima.min()), float(extrema.maxima.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                what = "NaN" if math.isnan(low) or math.isnan(high) else "infinity"
                if what == "NaN" or name in self.finite:
                    raise CalibrationError(
                        f"{name}: {what} in this tensor on image {item.name}; check the preprocessing and the model"
                    )
                infinite.add(name)
                continue
            histograms[name] = Histogram.of(sample(values[name]), low, high)
            channels[name] = extrema
        image = ImageId(item.name, self.dataset.digest(index))
        return Observations(histograms, channels, (image,), frozenset(infinite), frozenset(unseen))

    def _check_shape(self, name: str, values: NDArray[Any]) -> None:
        """Raises CalibrationError where a tensor has another shape than the graph states, by which plans are made."""
        stated = self.shapes.get(name)
        if stated is None or (
            len(stated) == values.ndim
            and all(size in (None, found) for size, found in zip(stated, values.shape, strict=True))
        ):
            return
        said = ["?" if size is None else size for size in stated]
        raise CalibrationError(
            f"{name}: the model states shape {said} and makes {list(values.shape)}; export it with true shapes"
        )


def sample(values: NDArray[Any]) -> NDArray[Any]:
    """Every k-th value in memory order, k the largest number coprime to the size that leaves SAMPLE_SIZE values.

    Coprime, because a stride that divides the image's width would sample the same columns in every row.
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
    """Observes every image of the dataset that is not in `seen` yet, and adds it to `seen`.

    on_progress: called with all observations so far after each image. The result does not depend on the engine.
    Raises CalibrationError for NaN, and for infinity where it may not be, naming tensor and image.
    """
    total = Observations.empty() if seen is None else seen
    known = set(total.images)
    names = watch.dataset.names
    todo = [i for i, name in enumerate(names) if not known or ImageId(name, watch.dataset.digest(i)) not in known]
    run = engine or Serial()
    make_step = replace(watch, alone=run.workers == 1)
    for part in track(run(make_step, todo), total=len(todo), what="calibrate"):
        total = total + part
        on_progress(total)
    # Results arrive in any order; tensors are listed in the graph's order.
    return Observations(
        {name: total.histograms[name] for name in watch.tensors if name in total.histograms},
        {name: total.channels[name] for name in watch.tensors if name in total.channels},
        total.images,
        total.infinite,
        total.unseen,
    )


def _extrema(values: NDArray[Any]) -> ChannelExtrema:
    """Extrema per channel of (batch, channels, …); a vector or scalar is one channel. NaN stays NaN."""
    batch, channels = values.shape[:2] if values.ndim > 1 else (1, 1)
    rows = values.reshape(batch, channels, -1)
    # Adding 0.0 makes −0.0 positive; otherwise the sign of a zero extremum would depend on the order.
    return ChannelExtrema(rows.min(axis=2).min(axis=0) + 0.0, rows.max(axis=2).max(axis=0) + 0.0)
