"""Reading of an untrusted model file: parsed, checked, and returned as an ONNX graph."""

import hashlib
import logging
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from quantseg.errors import ModelError
from quantseg.files import TooLargeError, limits, read_bytes, sha256_of_file
from quantseg.graph.bounds import check_tensors, external_path, is_external, take_in
from quantseg.graph.calls import check_calls
from quantseg.graph.loops import check_loops
from quantseg.graph.messages import check_messages, tensors_of
from quantseg.graph.nodes import check_nodes
from quantseg.graph.parameters import check_parameters
from quantseg.graph.weightless import check

FIRST_OPSET = 7
"""The oldest ONNX opset that is read: the first with numpy's broadcasting, and the oldest that onnxruntime supports."""

logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # its warnings are raised here as errors


def load(source: Path | bytes) -> ir.Model:
    """Reads a model from a file's path or bytes: checked, its nodes in topological order, otherwise unchanged.

    External weights are memory-mapped, not read, and each must lie inside the folder of the path; where that path is a
    symbolic link, beside the link. Raises ModelError where the file is missing, empty, not ONNX, damaged, or of an
    unsupported opset, and where it needs more than `limits` allows.
    """
    name, folder = (str(source), source.parent) if isinstance(source, Path) else ("the model", None)
    proto = _parse(source) if isinstance(source, Path) else _decoded(source, name)
    try:
        check_messages(proto)
        _check_opset(proto)
        _open_negative_sizes(proto)
        check_tensors(proto, folder)
        check_calls(proto)
        if folder is not None:
            take_in(proto, folder)
        model = _deserialise(proto)
        if folder is not None:
            ir.external_data.set_base_dir(model.graph, folder.absolute())
        check_nodes(model)
        check(model)
        check_parameters(model)
        check_loops(model)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error
    return model


def digest(path: Path) -> str:
    """Hexadecimal SHA-256 over the model file and the external files that it names, sorted."""
    proto = _parse(path)
    try:
        external = {external_path(tensor, path.parent) for tensor in tensors_of(proto) if is_external(tensor)}
        own, *others = [sha256_of_file(file) for file in (path, *sorted(external))]
    except (ModelError, OSError) as error:
        raise ModelError(f"{path}: {error}") from error
    return own if not others else hashlib.sha256("\n".join((own, *others)).encode()).hexdigest()


def _parse(path: Path) -> onnx.ModelProto:
    try:
        content = read_bytes(path, most=limits.MODEL_BYTES)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; check the path") from error
    except TooLargeError as error:
        raise ModelError(f"{path}: over 2 GB in one file; export it with external data") from error
    except OSError as error:
        if path.is_dir():
            raise ModelError(f"{path}: is a folder; give the .onnx file inside it") from error
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); give an .onnx file") from error
    return _decoded(content, str(path))


def _decoded(content: bytes, name: str) -> onnx.ModelProto:
    if not content:
        raise ModelError(f"{name}: is empty; copy or export it again")
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelError(f"{name}: not an ONNX model, or cut short; copy or export it again") from error
    if not proto.graph.node or not proto.opset_import:
        raise ModelError(f"{name}: holds no ONNX graph; copy or export it again")
    return proto


def _open_negative_sizes(proto: onnx.ModelProto) -> None:
    """A declared size of −1, or any below zero, means an open axis, as older converters write it."""
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.HasField("dim_value") and axis.dim_value < 0:
                axis.ClearField("dim_value")


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
    for whole in (model.graph, *(function.graph for function in model.functions.values())):
        for node in ir.traversal.RecursiveGraphIterator(whole):
            for value in node.inputs:
                if value is not None and value.producer() is None and value.graph is None:
                    raise ModelError(f"node {node.name!r} reads {value.name!r}, which nothing makes; export it again")
    for graph in model.graphs():
        for value in graph.outputs:
            if value.producer() is None and not value.is_graph_input() and not value.is_initializer():
                raise ModelError(f"output {value.name!r} is made by no node; export it again")
    return model
