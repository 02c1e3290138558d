"""Checks of an untrusted model file: what each tensor declares against what it stores, before memory is allocated.

A tensor may declare more elements than it holds, or name an external data file outside the model's folder.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from quantseg.errors import ModelError


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor in the model: initializers and attributes, subgraphs and functions included."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        yield from _node_tensors(function.node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        raise ModelError(f"{sparse.values.name!r}: sparse weights are not supported; store them dense")
    yield from _node_tensors(graph.node)


def _node_tensors(nodes: list[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise ModelError(f"{node.name!r}: sparse constants are not supported; store them dense")
            if attribute.HasField("g"):
                yield from _graph_tensors(attribute.g)
            for graph in attribute.graphs:
                yield from _graph_tensors(graph)


def check_tensor(tensor: onnx.TensorProto, folder: Path) -> None:
    """Raises ModelError unless the tensor's dims match the number of elements in its data or external file."""
    if any(dim < 0 for dim in tensor.dims):
        raise ModelError(f"tensor {tensor.name!r} has a negative size {list(tensor.dims)}; re-export the model")
    try:
        dtype = ir.DataType(tensor.data_type)
    except ValueError as error:
        raise ModelError(f"tensor {tensor.name!r} is of unknown type {tensor.data_type}; re-export it") from error
    elements = math.prod(tensor.dims)
    if dtype == ir.DataType.STRING:
        _compare(tensor, len(tensor.string_data), elements, "strings")
        return
    if dtype == ir.DataType.UNDEFINED:
        raise ModelError(f"tensor {tensor.name!r} has no type; re-export the model")
    expected = math.ceil(elements * dtype.bitwidth / 8)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_external(tensor, expected, folder)
    elif tensor.HasField("raw_data"):
        _compare(tensor, len(tensor.raw_data), expected, "bytes")
    else:
        _compare(tensor, _typed_length(tensor), _typed_expected(dtype, elements), "values")


def _compare(tensor: onnx.TensorProto, held: int, expected: int, unit: str) -> None:
    if held != expected:
        raise ModelError(
            f"tensor {tensor.name!r} has shape {list(tensor.dims)}, so {expected} {unit}, and holds {held}; "
            "export the model again"
        )


def _typed_length(tensor: onnx.TensorProto) -> int:
    return (
        len(tensor.float_data)
        + len(tensor.int32_data)
        + len(tensor.int64_data)
        + len(tensor.double_data)
        + len(tensor.uint64_data)
    )


def _typed_expected(dtype: ir.DataType, elements: int) -> int:
    if dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128):
        return 2 * elements
    return math.ceil(elements * min(dtype.bitwidth, 8) / 8)  # types under a byte share one int32 field


def external_path(tensor: onnx.TensorProto, folder: Path) -> Path:
    """The file that holds an external tensor; ModelError unless it is an existing file inside `folder`.

    Links are resolved first, so neither "..", an absolute path nor a symbolic link can lead out of `folder`. A file
    with several hard links is refused as well, as onnx-ir does: one of them may lie outside.
    """
    location = str({entry.key: entry.value for entry in tensor.external_data}.get("location", ""))
    try:
        path = Path(folder / location).resolve()
        inside = path.is_relative_to(folder.resolve()) and not Path(location).is_absolute()
        found = path.is_file()
    except (OSError, ValueError):
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


def _check_external(tensor: onnx.TensorProto, expected: int, folder: Path) -> None:
    size = external_path(tensor, folder).stat().st_size
    entries = {entry.key: entry.value for entry in tensor.external_data}
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(expected)))
    except ValueError as error:
        raise ModelError(f"tensor {tensor.name!r}: external offset or length is not a number; re-export") from error
    _compare(tensor, length, expected, "bytes")
    if offset < 0 or offset + length > size:
        raise ModelError(
            f"tensor {tensor.name!r} needs bytes {offset} to {offset + length} of {entries['location']!r}, "
            f"which has {size}; the file is cut short, copy it again"
        )
