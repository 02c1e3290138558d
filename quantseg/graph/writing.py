"""From a graph to a file, written atomically, and to what a runtime opens."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import onnx_ir as ir

from quantseg.files import replacing, write_bytes

SINGLE_FILE_LIMIT = 2_000_000_000
"""Bytes of weights above which they go to a second file: a protobuf message holds at most 2^31 − 1 bytes."""

_INLINE = 1024
"""Most bytes of a tensor that stays in the model file even then."""


def save(model: ir.Model, path: Path) -> None:
    """Writes the model atomically, as one file, or above SINGLE_FILE_LIMIT with its weights in `path` + ".data".

    The model is not changed. Raises OutputError where the path cannot be written.
    """
    if _weight_bytes(model) <= SINGLE_FILE_LIMIT:
        write_bytes(path, _serialise(_in_memory(model)))
        return
    data = path.with_name(f"{path.name}.data")
    with ExitStack() as stack:
        temporary_model = stack.enter_context(replacing(path))  # renamed last: never a model without its data
        temporary_data = stack.enter_context(replacing(data))
        with temporary_data.open("wb") as stream:
            external = _external(model, stream, data)
        temporary_model.write_bytes(_serialise(external))


def to_bytes(model: ir.Model) -> bytes:
    """The model as one serialised message, weights included; the same model gives the same bytes."""
    return _serialise(_in_memory(model))


@contextmanager
def as_session_source(model: ir.Model) -> Iterator[bytes | Path]:
    """What a runtime opens: bytes, or above SINGLE_FILE_LIMIT a temporary file, removed afterwards."""
    if _weight_bytes(model) <= SINGLE_FILE_LIMIT:
        yield to_bytes(model)
        return
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        yield path


def _weight_bytes(model: ir.Model) -> int:
    tensors = (value.const_value for graph in model.graphs() for value in graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None and tensor.dtype != ir.DataType.STRING)


def _serialise(model: ir.Model) -> bytes:
    content: bytes = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    return content


def _in_memory(model: ir.Model) -> ir.Model:
    """A clone whose external weights are memory-mapped tensors, so that the written file contains them."""
    clone = model.clone()
    for graph in clone.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=value.name)
    return clone


def _external(model: ir.Model, stream: BinaryIO, data: Path) -> ir.Model:
    """A clone whose weights are written to `stream`, one after another, and refer to the external file `data`."""
    clone = model.clone()
    for value in clone.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.nbytes <= _INLINE:
            continue
        offset = stream.tell()
        stream.write(tensor.tobytes())
        value.const_value = ir.ExternalTensor(
            data.name,
            offset,
            tensor.nbytes,
            tensor.dtype,
            shape=ir.Shape(tensor.shape.numpy()),
            name=str(value.name),
            base_dir=data.resolve().parent,
        )
    return clone
