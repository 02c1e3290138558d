"""Any form in which callers have a model, as a file for the code that opens, times and profiles files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from quantseg import graph
from quantseg.errors import ModelError
from quantseg.graph import digest as digest
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.writing import QuantizedModel

AnyModel = FloatModel | QuantizedModel | onnx.ModelProto | bytes | Path | str
"""A float or quantised model: a value of this library, an onnx.ModelProto, the bytes of a file, or its path."""


@contextmanager
def as_file(model: AnyModel, name: str = "model") -> Iterator[Path]:
    """The model's own file; a model in memory is written to a temporary file of this name, removed afterwards.

    Raises ModelError for a value that is not a model.
    """
    source = model.source if isinstance(model, FloatModel) else model
    if isinstance(source, (str, Path)):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        path = Path(folder) / f"{name}.onnx"
        if isinstance(source, QuantizedModel):
            graph.save(source.model, path)
        elif isinstance(source, onnx.ModelProto):
            path.write_bytes(source.SerializeToString())
        elif isinstance(source, bytes):
            path.write_bytes(source)
        else:
            raise ModelError(f"{type(source).__name__} is no model; give a path, bytes, a ModelProto or a result")
        yield path
