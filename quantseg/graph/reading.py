"""Reading of an untrusted model file: parsed, checked, and returned as an ONNX graph."""

import hashlib
import logging
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from quantseg.errors import ModelError
from quantseg.files import sha256_of_file
from quantseg.graph.bounds import check_tensor, external_path, tensors_of
from quantseg.graph.nodes import check_nodes
from quantseg.graph.weightless import check

FIRST_OPSET = 7
"""The oldest ONNX opset that is read: the first with numpy's broadcasting, and the oldest that onnxruntime supports."""

logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # its warnings are raised here as errors

PROTOBUF_LIMIT = (1 << 31) - 1
"""Most bytes of one protobuf message; a larger model keeps its weights in external files."""


def load(source: Path | bytes) -> ir.Model:
    """Reads a model from a file's path or bytes: checked, its nodes in topological order, otherwise unchanged.

    External weights are memory-mapped, not read, and each must lie inside the model's folder.
    Raises ModelError where the file is missing, empty, not ONNX, damaged, or of an unsupported opset.
    """
    name = str(source) if isinstance(source, Path) else "the model"
    proto = _parse(source) if isinstance(source, Path) else _decoded(source, name)
    try:
        _check_opset(proto)
        for tensor in tensors_of(proto):
            if isinstance(source, Path):
                check_tensor(tensor, source.parent)
            elif tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise ModelError(f"weight {tensor.name!r} lies in a file of its own; give the path of the model")
        model = _deserialise(proto)
        if isinstance(source, Path):
            ir.external_data.set_base_dir(model.graph, source.resolve().parent)
        check_nodes(model)
        check(model)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    return model


def digest(path: Path) -> str:
    """Hexadecimal SHA-256 over the model file and the external files that it names, sorted."""
    own = sha256_of_file(_existing(path))
    external = {
        external_path(tensor, path.parent)
        for tensor in tensors_of(_parse(path))
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    }
    if not external:
        return own
    parts = [own, *(sha256_of_file(file) for file in sorted(external))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _existing(path: Path) -> Path:
    if path.is_dir():
        raise ModelError(f"{path}: is a folder; give the .onnx file inside it")
    if not path.is_file():
        raise ModelError(f"{path}: no such file; check the path")
    return path


def _parse(path: Path) -> onnx.ModelProto:
    size = _existing(path).stat().st_size
    if size == 0:
        raise ModelError(f"{path}: is empty; copy or export it again")
    if size > PROTOBUF_LIMIT:
        raise ModelError(f"{path}: over 2 GB in one file; export it with external data")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); check its permissions") from error
    return _decoded(content, str(path))


def _decoded(content: bytes, name: str) -> onnx.ModelProto:
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelError(f"{name}: not an ONNX model, or cut short; copy or export it again") from error
    if not proto.graph.node or not proto.opset_import:
        raise ModelError(f"{name}: holds no ONNX graph; copy or export it again")
    return proto


def _check_opset(proto: onnx.ModelProto) -> None:
    for entry in proto.opset_import:
        if entry.domain == "ai.onnx":  # the long name of the default domain
            entry.domain = ""
    versions = [entry.version for entry in proto.opset_import if entry.domain == ""]
    newest = onnx.defs.onnx_opset_version()
    if not versions:
        raise ModelError("names no ONNX opset; export it again")
    if versions[0] < FIRST_OPSET:
        raise ModelError(f"opset {versions[0]} is too old; export it again with opset {FIRST_OPSET} or newer")
    if versions[0] > newest:
        raise ModelError(
            f"opset {versions[0]} is newer than {newest}, the last of onnx {onnx.__version__}; upgrade onnx"
        )


def _deserialise(proto: onnx.ModelProto) -> ir.Model:
    try:
        model = ir.serde.deserialize_model(proto)
        model.graph.sort()
    except Exception as error:  # onnx-ir raises many types for inconsistent graphs
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ModelError(f"is not a valid ONNX graph ({reason}); export it again") from error
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for value in node.inputs:
            if value is not None and value.producer() is None and value.graph is None:
                raise ModelError(f"node {node.name!r} reads {value.name!r}, which nothing makes; export it again")
    return model
