"""The calibration file, with the observations and the ranges chosen from them.

The file is JSON: histograms and exact extrema of all tensors, digests of model and images, and the range, scale and
zero-point of each tensor. It can be read, continued after an interruption, and merged with others.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quantseg.calibration.choosing import Choice, choose_ranges
from quantseg.calibration.histogram import Histogram, bin_of, exponent_of
from quantseg.calibration.observation import SAMPLE_SIZE, ChannelExtrema, ImageId, Observations
from quantseg.data.model_inputs import without_constants
from quantseg.errors import CalibrationError
from quantseg.files import json_text, read_json, write_text
from quantseg.quantization.affine import Range, params_from_range
from quantseg.quantization.qtypes import QTYPES
from quantseg.quantization.ranges import RangeTable

_FORMAT = "quantseg.calibration"
_VERSION = 1
_NOT_OURS = (ArithmeticError, AttributeError, CalibrationError, LookupError, RecursionError, TypeError, ValueError)
"""Exceptions that mean: the file is not a calibration file."""


@dataclass(frozen=True)
class Calibration:
    """The contents of a calibration file. model: SHA-256 of the float model. recipe: how its inputs are made, as text.

    threads: of the runtime that computed the tensors.
    """

    model: str
    recipe: str
    threads: int
    observations: Observations
    table: RangeTable

    @property
    def data_digest(self) -> str:
        """One SHA-256 for all images, independent of their order and names."""
        digests = sorted(image.digest for image in self.observations.images)
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def save(self, path: Path | str) -> Path:
        """Writes the file and returns its path. Raises OutputError."""
        write(self, Path(path))
        return Path(path)

    @staticmethod
    def read(path: Path | str) -> "Calibration":
        """Reads a file written by `save` or `quantseg calibrate`. Raises CalibrationError for anything else."""
        return read(Path(path))

    def __str__(self) -> str:
        table = self.table
        how = table.calibrator if table.percent is None else f"{table.calibrator}:{table.percent:g}"
        grid = f"{'symmetric ' if table.symmetric else ''}{table.qtype.name}"
        return f"Calibration: {len(table.ranges)} tensors over {table.images} images, {how}, {grid}"


def merge(a: Calibration, b: Calibration) -> Calibration:
    """The calibration over the images of both; ranges are chosen anew by the calibrator of `a`.

    Raises CalibrationError where model or preprocessing differ, or an image is in both.
    """
    if a.model != b.model:
        raise CalibrationError("the calibrations are of different models; calibrate both parts with one model")
    if a.recipe != b.recipe and without_constants(a.recipe) == without_constants(b.recipe):
        raise CalibrationError("the calibrations used different constants; calibrate both with the same inputs=…")
    if a.recipe != b.recipe:
        raise CalibrationError("the calibrations used different preprocessing; calibrate both with one recipe")
    if a.observations.tensors != b.observations.tensors:
        raise CalibrationError("the calibrations watched different tensors; calibrate both with one quantseg version")
    total = a.observations + b.observations
    t = a.table
    table = choose_ranges(total, a.model, Choice(t.calibrator, t.percent, t.qtype, t.symmetric))
    return Calibration(a.model, a.recipe, a.threads, total, table)


def write(calibration: Calibration, path: Path) -> None:
    """Writes the file atomically, one line per tensor and image. The same calibration gives the same bytes."""
    table = calibration.table
    head = {
        "format": _FORMAT,
        "version": _VERSION,
        "model": {"sha256": calibration.model},
        "data": {"images": len(calibration.observations.images), "sha256": calibration.data_digest},
        "recipe": calibration.recipe,
        "threads": calibration.threads,
        "counted": {
            "values_per_tensor_and_image_at_least": SAMPLE_SIZE,
            "rule": "every k-th value, k coprime to the tensor's size; minima and maxima are over all values",
        },
        "calibrator": {
            "name": table.calibrator,
            "percent": table.percent,
            "qtype": table.qtype.name,
            "symmetric": table.symmetric,
        },
    }
    images = [{"name": image.name, "sha256": image.digest} for image in calibration.observations.images]
    seen = calibration.observations
    tensors = {name: _tensor_to_json(calibration, name) for name in seen.histograms}
    tensors |= {name: {"infinite": True} for name in sorted(seen.infinite)}
    tensors |= {name: {"unseen": True} for name in sorted(seen.unseen)}
    lines = [json_text(head)[:-1] + ","]
    lines.append('"images": [\n' + ",\n".join(map(json_text, images)) + "\n],")
    entries = (f"{json_text(n)}: {json.dumps(t)}" for n, t in tensors.items())
    lines.append('"tensors": {\n' + ",\n".join(entries) + "\n}}")
    write_text(path, "\n".join(lines) + "\n")


def read(path: Path) -> Calibration:
    """Reads a calibration file. Raises CalibrationError for anything else."""
    try:
        content = read_json(path)
        if (content["format"], content["version"]) == (_FORMAT, _VERSION):
            return _from_json(content)
    except OSError as error:
        reason = error.strerror or error
        raise CalibrationError(f"{path}: cannot be read ({reason}); give a calibration file") from error
    except _NOT_OURS as error:
        raise CalibrationError(f"{path}: is not a calibration file; make one with quantseg calibrate") from error
    raise CalibrationError(f"{path}: is of another format or version; calibrate again")


def _from_json(content: Mapping[str, Any]) -> Calibration:
    tensors, how = content["tensors"], content["calibrator"]
    unseen = frozenset(_text(name) for name, tensor in tensors.items() if _told(tensor, "unseen"))
    finite = {name: t for name, t in tensors.items() if name not in unseen and not _told(t, "infinite")}
    observations = Observations(
        {_text(name): _histogram(tensor) for name, tensor in finite.items()},
        {name: _channels(tensor) for name, tensor in finite.items()},
        tuple(ImageId(_text(image["name"]), _text(image["sha256"])) for image in content["images"]),
        frozenset(tensors.keys() - finite.keys() - unseen),
        unseen,
    )
    ranges = {
        name: Range(*map(float, tensor["range"])) for name, tensor in finite.items() if not _told(tensor, "unbounded")
    }
    percent = None if how["percent"] is None else float(how["percent"])
    model = _text(content["model"]["sha256"])
    table = RangeTable(
        ranges,
        model,
        QTYPES[how["qtype"]],
        bool(how["symmetric"]),
        _text(how["name"]),
        percent,
        len(observations.images),
        frozenset(tensors.keys() - ranges.keys() - unseen),
    )
    return Calibration(
        model=model,
        recipe=_text(content["recipe"]),
        threads=int(content["threads"]),
        observations=observations,
        table=table,
    )


def _text(value: object) -> str:
    """The value, if it is a text that a file can hold: JSON may hold halves of surrogate pairs. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()
    return value


def _tensor_to_json(calibration: Calibration, name: str) -> dict[str, Any]:
    histogram, channels = calibration.observations.histograms[name], calibration.observations.channels[name]
    return _grid_to_json(calibration.table, name) | {
        "minimum": histogram.minimum,
        "maximum": histogram.maximum,
        "channel_minima": channels.minima.tolist(),
        "channel_maxima": channels.maxima.tolist(),
        "histogram": {
            "exponent": histogram.exponent,
            "first_bin": histogram.first_bin,
            "counts": histogram.counts.tolist(),
        },
    }


def _told(tensor: Mapping[str, Any], what: str) -> bool:
    """Whether the file says this of a tensor. Raises ValueError for anything but true."""
    if what in tensor and tensor[what] is not True:
        raise ValueError(what)
    return what in tensor


def _grid_to_json(table: RangeTable, name: str) -> dict[str, Any]:
    if name in table.unbounded:
        return {"unbounded": True}
    span = table.ranges[name]
    params = params_from_range(span, table.qtype, symmetric=table.symmetric)
    return {
        "range": [span.minimum, span.maximum],
        "scale": float(params.scale),
        "zero_point": int(params.zero_point),
    }


def _histogram(tensor: Mapping[str, Any]) -> Histogram:
    """Raises ValueError where bins and counts are inconsistent with the extrema."""
    bins, low, high = tensor["histogram"], float(tensor["minimum"]), float(tensor["maximum"])
    counts, first = np.asarray(bins["counts"], np.int64), int(bins["first_bin"])
    exponent = exponent_of(low, high)
    if bins["exponent"] != exponent or counts.ndim != 1 or counts.min() < 0 or counts.sum() <= 0:
        raise ValueError("counts")
    if first < bin_of(low, exponent) or first + counts.size - 1 > bin_of(high, exponent):
        raise ValueError("bins")
    return Histogram(exponent, first, counts, low, high)


def _channels(tensor: Mapping[str, Any]) -> ChannelExtrema:
    return ChannelExtrema(
        np.asarray(tensor["channel_minima"], np.float32), np.asarray(tensor["channel_maxima"], np.float32)
    )
