"""The model in formats of other runtimes: .ort for small builds of onnxruntime, .tflite for LiteRT where it can be."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from quantseg.errors import QuantSegError
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.formats.litert import to_tflite
from quantseg.runtimes.ort_format import to_ort

ORT, TFLITE = ".ort", ".tflite"


@dataclass(frozen=True)
class Formats:
    """made: ending → content of the file. refused: ending → why there is none."""

    made: Mapping[str, bytes] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def other_formats(onnx: bytes, candidate: Candidate | None) -> Formats:
    """The model in each other format, or the reason why not. onnx: the int8 model. candidate: what it was made of."""
    writers: dict[str, Callable[[], bytes]] = {
        ORT: functools.partial(to_ort, onnx),
        TFLITE: functools.partial(_to_tflite, candidate),
    }
    made, refused = dict[str, bytes](), dict[str, str]()
    for ending, write in writers.items():
        try:
            made[ending] = write()
        except QuantSegError as error:
            refused[ending] = str(error)
    return Formats(made, refused)


def _to_tflite(candidate: Candidate | None) -> bytes:
    """The model for LiteRT. Raises QuantSegError where it cannot be."""
    if candidate is None:
        raise QuantSegError("a .tflite file is made from the float model; ship that with data=…")
    return to_tflite(candidate)
