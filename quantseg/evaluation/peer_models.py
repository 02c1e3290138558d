"""The models of other quantizers, made from the same float model and calibrated on the same images, as files."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.errors import ModelError, QuantSegError
from quantseg.evaluation.peers import (
    CALIBRATORS,
    FORMATS,
    PeerError,
    PeerSettings,
    quantize_with_nncf,
    quantize_with_onnxruntime,
)
from quantseg.progress import Track
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.plan import QuantSettings


@dataclass(frozen=True)
class PeerModel:
    """The result of a quantizer: the model's file, or in `failed` the reason why there is none."""

    path: Path | None = None
    failed: str | None = None


def peer_model(
    model: FloatModel, context: Context, settings: QuantSettings, calibrator: str | None, target: Path, qformat: str
) -> PeerModel:
    """Quantises a model with onnxruntime at like settings, calibrated on the context's data, and writes it to `target`.

    A format that onnxruntime lacks becomes QDQ, a calibrator that it lacks min/max. The quantizer's failure is a
    result: its own message, without folders of this machine. Raises ModelError and DataError where the model or the
    images are invalid.
    """
    how = PeerSettings(
        per_channel=settings.per_channel,
        calibrator=peer_calibrator(calibrator),
        qformat=qformat if qformat in FORMATS else "qdq",
        activation_type=settings.activation.name,
        weight_type=settings.weight.name,
        weight_symmetric=settings.weight.signed or settings.symmetric,
        activation_symmetric=settings.symmetric,
        reduce_range=settings.reduce_range,
    )
    try:
        feeds = _Feeds(model, context.data, context.track, "onnxruntime's quantizer")
        quantize_with_onnxruntime(_file(model), target, feeds, how)
    except PeerError as error:
        return PeerModel(failed=reason_of(error, model.source))
    return PeerModel(target)


def nncf_model(model: FloatModel, context: Context, target: Path) -> PeerModel:
    """Quantises a model with NNCF, calibrated on the context's data, and writes it to `target` (.xml).

    Failures are handled as by `peer_model`.
    """
    feeds = _Feeds(model, context.data, context.track, "NNCF's quantizer")
    try:
        quantize_with_nncf(_file(model), target, feeds, images=len(context.data.names))
    except PeerError as error:
        return PeerModel(failed=reason_of(error, model.source))
    return PeerModel(target)


def peer_calibrator(calibrator: str | None) -> str:
    """The calibrator if onnxruntime has it, else min/max."""
    return calibrator if calibrator in CALIBRATORS else "minmax"


def _file(model: FloatModel) -> Path:
    if not isinstance(model.source, Path):
        raise ModelError("other quantizers read files, and this model is in memory; save it and give its path")
    return model.source


@dataclass(frozen=True)
class _Feeds:
    """The calibration inputs, read anew for each iteration, with a progress bar."""

    model: FloatModel
    data: Dataset
    track: Track
    what: str

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        total = len(self.data.names)
        for index in self.track(range(total), total=total, what=self.what):
            yield self.data.load(index).feeds(self.model.input.name)


def reason_of(error: QuantSegError, model: Path | bytes) -> str:
    """An error message without paths of this machine: models and temporary files appear by file name only."""
    temporary = re.escape(tempfile.gettempdir()) + r"/(quantseg-|ort\.quant\.|tmp)[^/\s]*/"
    text = str(error)
    if isinstance(model, Path):
        text = text.removeprefix(f"{model}: ").replace(f"{model.parent}/", "")
    return re.sub(temporary, "", text)
