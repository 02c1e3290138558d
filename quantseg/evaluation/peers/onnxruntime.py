"""onnxruntime's static quantizer (`quantize_static`), at settings like ours, as a peer in the tool comparison.

For a fair comparison it gets the model converted to opset 13 or later, since below that its per-channel models do not
load, and the pre-processing that its documentation recommends (onnxruntime.ai, "Quantize ONNX models"), without which
it does not quantise weights in Constant nodes. Only symbolic shape inference is skipped: it fails on segmentation
models of dynamic size.
"""

import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_static,
)

from quantseg.errors import PeerError, QuantSegError
from quantseg.evaluation.peers.silence import silence
from quantseg.graph import load, to_bytes
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.onnxruntime_package import onnxruntime

CALIBRATORS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
FORMATS = {"qdq": QuantFormat.QDQ, "qoperator": QuantFormat.QOperator}
TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}

_OPSET = 13
_WARNING, _FATAL = 2, 4
"""onnxruntime's default log severity, and the one at which it is silent."""


@dataclass(frozen=True)
class PeerSettings:
    """Settings of `quantize_static`, under our names. percentile: of calibrator "percentile"; default: as in 1.22.

    exclude: names of nodes that stay float.
    """

    per_channel: bool = True
    calibrator: str = "minmax"
    qformat: str = "qdq"
    activation_type: str = "uint8"
    weight_type: str = "int8"
    activation_symmetric: bool = False
    weight_symmetric: bool = True
    reduce_range: bool = False
    percentile: float = 99.999
    exclude: tuple[str, ...] = ()

    def words(self) -> dict[str, Any]:
        """The same settings as keyword arguments of `quantize_static`. Raises PeerError for what it does not offer."""
        return {
            "quant_format": _chosen(FORMATS, self.qformat, "format"),
            "activation_type": _chosen(TYPES, self.activation_type, "activation type"),
            "weight_type": _chosen(TYPES, self.weight_type, "weight type"),
            "calibrate_method": _chosen(CALIBRATORS, self.calibrator, "calibrator"),
            "per_channel": self.per_channel,
            "reduce_range": self.reduce_range,
            "nodes_to_exclude": list(self.exclude),
            "extra_options": {
                "ActivationSymmetric": self.activation_symmetric,
                "WeightSymmetric": self.weight_symmetric,
                "CalibPercentile": self.percentile,
            },
        }


def quantize_with_onnxruntime(
    model: Path, output: Path, feeds: Iterable[Mapping[str, NDArray[Any]]], settings: PeerSettings | None = None
) -> None:
    """Quantises `model`, calibrated on `feeds`, with onnxruntime's `quantize_static`, and writes it to `output`.

    For models up to 2 GB. Raises PeerError with the quantizer's own reason; ModelError where the float model itself is
    invalid.
    """
    words = (settings or PeerSettings()).words()
    source = load(model)
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        # The quantizer leaves files beside the model that it reads, so it gets a copy.
        modern, prepared, temporary = (Path(folder) / f"{stage}.onnx" for stage in ("modern", "prepared", "made"))
        with _silence():
            try:
                onnx.save(_modern(onnx.load_from_string(to_bytes(source))), modern)
                quant_pre_process(modern, prepared, skip_symbolic_shape=True)
                quantize_static(prepared, temporary, _Reader(feeds), **words)
                RUNTIMES["onnxruntime"].open(temporary.read_bytes(), threads=1).close()
            except QuantSegError:
                raise
            except Exception as error:  # it may raise any exception, AssertionError included
                reason = textwrap.shorten(str(error) or type(error).__name__, 200, placeholder=" …")
                raise PeerError(f"{model}: onnxruntime's quantizer failed ({reason})") from error
        output.write_bytes(temporary.read_bytes())


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds as a CalibrationDataReader: one at a time, None after the last."""

    def __init__(self, feeds: Iterable[Mapping[str, NDArray[Any]]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next((dict(feed) for feed in self._feeds), None)


def _chosen(table: Mapping[str, Any], key: str, what: str) -> Any:
    if key not in table:
        raise PeerError(f"onnxruntime's quantizer has no {what} {key!r}; it has {', '.join(table)}")
    return table[key]


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    version = next(entry.version for entry in model.opset_import if entry.domain == "")
    return model if version >= _OPSET else onnx.version_converter.convert_version(model, _OPSET)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps the quantizer from printing, logging and warning."""
    onnxruntime.set_default_logger_severity(_FATAL)
    try:
        with silence():
            yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)
