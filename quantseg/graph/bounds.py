"""Checks of an untrusted model file: what each tensor declares against what it stores, before memory is allocated.

A tensor may declare more elements than it holds, hold them in a field of another type, or name an external data file
outside the model's folder. That folder is the one of the path which the user gives, also where this path is a symbolic
link: onnxruntime looks for the data there too.
"""

import math
from pathlib import Path

import onnx
import onnx_ir as ir

from quantseg.errors import ModelError
from quantseg.files import limits, open_file
from quantseg.graph.messages import ATTRIBUTE, messages_of, tensors_of

_FIELDS = {
    "float_data": ("FLOAT", "COMPLEX64"),
    "double_data": ("DOUBLE", "COMPLEX128"),
    "int64_data": ("INT64",),
    "uint64_data": ("UINT32", "UINT64"),
    "string_data": ("STRING",),
    "int32_data": (),
}
"""Field of a tensor → the types whose elements stand in it; those of all other types stand in int32_data."""


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether the tensor's data lies in another file."""
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def check_tensors(model: onnx.ModelProto, folder: Path | None) -> None:
    """Raises ModelError unless every tensor of the file, wherever it stands, holds what its shape and type say.

    folder: of the model file, in which external files must lie; None for a model in memory, which can have none.
    """
    used, files = 0, dict[Path, int]()
    for tensor in tensors_of(model):
        check_tensor(tensor, folder)
        if folder is not None and is_external(tensor):
            used += _declared_bytes(tensor)
            path = external_path(tensor, folder)
            files.setdefault(path, path.stat().st_size)
    if used > limits.EXTERNAL_REUSE * sum(files.values()):
        raise ModelError(
            f"tensors of {used:,} bytes overlap in external files of {sum(files.values()):,}; export it again"
        )


def check_tensor(tensor: onnx.TensorProto, folder: Path | None) -> None:
    """Raises ModelError unless the tensor's dims match the number of elements in its data or external file."""
    if any(dim < 0 for dim in tensor.dims):
        raise ModelError(f"tensor {tensor.name!r} has a negative size {list(tensor.dims)}; re-export the model")
    try:
        dtype = ir.DataType(tensor.data_type)
    except ValueError as error:
        raise ModelError(f"tensor {tensor.name!r} is of unknown type {tensor.data_type}; re-export it") from error
    if dtype == ir.DataType.UNDEFINED:
        raise ModelError(f"tensor {tensor.name!r} has no type; re-export the model")
    if is_external(tensor):
        _check_external(tensor, dtype, folder)
        return
    own = next((name for name, types in _FIELDS.items() if dtype.name in types), "int32_data")
    strange = [name for name in _FIELDS if len(getattr(tensor, name)) and (name != own or tensor.HasField("raw_data"))]
    if strange:
        raise ModelError(
            f"tensor {tensor.name!r} of type {dtype.name.lower()} has values in {strange[0]}, where they do not "
            "belong; export the model again"
        )
    if tensor.HasField("raw_data") and dtype != ir.DataType.STRING:
        _compare(tensor, len(tensor.raw_data), _declared_bytes(tensor), "bytes")
    else:
        _compare(tensor, len(getattr(tensor, own)), _values(dtype, math.prod(tensor.dims)), "values")


def external_path(tensor: onnx.TensorProto, folder: Path) -> Path:
    """The file that holds an external tensor; ModelError unless it is an existing file inside `folder`.

    Links are resolved first, so neither "..", an absolute path nor a symbolic link can lead out of `folder`. A file
    with several hard links is refused as well, as onnx-ir does: one of them may lie outside.
    """
    location = _entries(tensor).get("location", "")
    try:
        path = Path(folder / location).resolve()
        inside = path.is_relative_to(folder.resolve()) and not Path(location).is_absolute()
        found = Path(folder / location).is_file()  # unresolved: "none/../w.bin" exists only if `none` does
    except (OSError, RuntimeError, ValueError):
        inside = found = False
    if not inside:
        raise ModelError(
            f"tensor {tensor.name!r} keeps its data in {location!r}, outside the model's folder; "
            "put the file beside the model and export again"
        )
    if not found:
        raise ModelError(f"tensor {tensor.name!r} keeps its data in {location!r}, which is missing; copy it there")
    if path.stat().st_nlink > 1:
        raise ModelError(f"{location!r}, data of tensor {tensor.name!r}, has several hard links; make it a plain copy")
    return path


def take_in(model: onnx.ModelProto, folder: Path) -> None:
    """Reads external data into the message, which is changed, for all checked tensors but initializers of graphs.

    Those are memory-mapped later. The others are constants, whose files would be looked for in the current folder.
    """
    constants = [tensor for function in model.functions for tensor in tensors_of(function)]
    for attribute in messages_of(model.graph, ATTRIBUTE):
        constants += [attribute.t, *attribute.tensors]
    for tensor in constants:
        if is_external(tensor):
            offset, length = _span(tensor)
            with open_file(external_path(tensor, folder)) as stream:
                stream.seek(offset)
                tensor.raw_data = stream.read(length)
            del tensor.external_data[:]
            tensor.ClearField("data_location")


def _check_external(tensor: onnx.TensorProto, dtype: ir.DataType, folder: Path | None) -> None:
    if folder is None:
        raise ModelError(f"weight {tensor.name!r} lies in a file of its own; give the path of the model")
    if dtype == ir.DataType.STRING:
        raise ModelError(f"tensor {tensor.name!r} keeps strings in an external file; store them in the model")
    size = external_path(tensor, folder).stat().st_size
    offset, length = _span(tensor)
    _compare(tensor, length, _declared_bytes(tensor), "bytes")
    if offset < 0 or offset + length > size:
        raise ModelError(
            f"tensor {tensor.name!r} needs bytes {offset} to {offset + length} of {_entries(tensor)['location']!r}, "
            f"which has {size}; the file is cut short, copy it again"
        )


def _compare(tensor: onnx.TensorProto, held: int, expected: int, unit: str) -> None:
    if held != expected:
        raise ModelError(
            f"tensor {tensor.name!r} has shape {list(tensor.dims)}, so {expected} {unit}, and holds {held}; "
            "export the model again"
        )


def _declared_bytes(tensor: onnx.TensorProto) -> int:
    return (math.prod(map(int, tensor.dims)) * int(ir.DataType(tensor.data_type).bitwidth) + 7) // 8


def _values(dtype: ir.DataType, elements: int) -> int:
    """How many values of its typed field a tensor of so many elements takes."""
    if dtype == ir.DataType.STRING:
        return elements
    if dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        return 2 * elements
    return math.ceil(elements * min(dtype.bitwidth, 8) / 8)  # types under a byte share one int32 field


def _span(tensor: onnx.TensorProto) -> tuple[int, int]:
    """Offset and length of an external tensor in its file, in bytes. Raises ModelError."""
    entries = _entries(tensor)
    try:
        return int(entries.get("offset", "0")), int(entries.get("length", _declared_bytes(tensor)))
    except ValueError as error:
        raise ModelError(f"tensor {tensor.name!r}: external offset or length is not a number; re-export") from error


def _entries(tensor: onnx.TensorProto) -> dict[str, str]:
    """Where an external tensor lies, by key. Raises ModelError for a key that is there twice: readers take either."""
    entries = {str(entry.key): str(entry.value) for entry in tensor.external_data}
    if len(entries) < len(tensor.external_data):
        raise ModelError(f"tensor {tensor.name!r} says twice where its data lies; export the model again")
    return entries
