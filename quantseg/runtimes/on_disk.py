"""Size and digest of a model on disk, over all of its files: ONNX with external data, OpenVINO IR, .tflite."""

import hashlib
from pathlib import Path

import onnx_ir as ir

from quantseg.files import sha256_of_file
from quantseg.files.tflite import SUFFIX
from quantseg.graph import digest, load


def file_bytes(model: Path) -> int:
    """Bytes of the model file and of its external data (for OpenVINO IR the .bin file). Raises ModelError."""
    if _is_openvino_ir(model):
        return sum(file.stat().st_size for file in _both(model))
    if model.suffix == SUFFIX:
        return model.stat().st_size
    tensors = [value.const_value for graph in load(model).graphs() for value in graph.initializers.values()]
    external = {Path(tensor.path) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}
    return sum(file.stat().st_size for file in {model, *external})


def file_digest(model: Path) -> str:
    """Hexadecimal SHA-256 over the files that `file_bytes` counts. Raises ModelError."""
    if _is_openvino_ir(model):
        return hashlib.sha256("\n".join(map(sha256_of_file, _both(model))).encode()).hexdigest()
    if model.suffix == SUFFIX:
        return sha256_of_file(model)
    return digest(model)


def _is_openvino_ir(model: Path) -> bool:
    return model.suffix == ".xml"


def _both(model: Path) -> tuple[Path, Path]:
    return model, model.with_suffix(".bin")
