"""Any form in which callers have a model, as a file for the code that opens, times and profiles files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import onnx
import onnx_ir as ir

from quantseg import graph
from quantseg.errors import ModelError
from quantseg.files.tflite import SUFFIX
from quantseg.graph import digest as digest
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.formats.litert.listing import read_listing
from quantseg.quantization.writing import FLOAT_DIGEST_KEY, QuantizedModel

COMMAND_KEY = "quantseg.command"
"""The key in a quantised model's metadata of the command that made it, where that is not quantize."""

AnyModel = FloatModel | QuantizedModel | onnx.ModelProto | bytes | Path | str
"""A float or quantised model: a value of this library, an onnx.ModelProto, the bytes of a file, or its path."""


@dataclass(frozen=True)
class Maker:
    """What a quantised model's metadata says: the command that made it, and the SHA-256 of its float model."""

    command: str
    float_digest: str


def read_file(path: Path) -> ir.Model:
    """The graph of an ONNX file, or the listing of a .tflite file. Raises ModelError."""
    return read_listing(path) if path.suffix == SUFFIX else graph.load(path)


def maker_of(path: Path) -> Maker | None:
    """The maker of a quantised model's file; None for anything that this tool did not write."""
    try:
        metadata = read_file(path).metadata_props
    except ModelError:
        return None
    digest_of_float = metadata.get(FLOAT_DIGEST_KEY)
    return None if digest_of_float is None else Maker(metadata.get(COMMAND_KEY, "quantize"), digest_of_float)


@contextmanager
def as_file(model: AnyModel, name: str = "model") -> Iterator[Path]:
    """The model's own file; a model in memory is written to a temporary file of this name, removed afterwards.

    Of a model that was made for LiteRT it is the .tflite file where LiteRT is installed, else its QDQ form. Raises
    ModelError for a value that is not a model.
    """
    source = model.source if isinstance(model, FloatModel) else model
    if isinstance(source, (str, Path)):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        path = Path(folder) / f"{name}.onnx"
        if isinstance(source, QuantizedModel) and source.tflite is not None and find_spec("ai_edge_litert"):
            path = source.save(path.with_suffix(SUFFIX))
        elif isinstance(source, QuantizedModel):
            graph.save(source.model, path)
        elif isinstance(source, onnx.ModelProto):
            path.write_bytes(source.SerializeToString())
        elif isinstance(source, bytes):
            path.write_bytes(source)
        else:
            raise ModelError(f"{type(source).__name__} is no model; give a path, bytes, a ModelProto or a result")
        yield path
