"""Networks as .tflite files and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import quantseg
from quantseg.errors import ModelError
from quantseg.files.tflite import encoding
from quantseg.files.tflite.operators import OPERATORS
from quantseg.files.tflite.schema import NONE, OPTIONS, TYPES
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.formats.litert.network import LiteRtNetwork, Operator, Tensor
from quantseg.quantization.qtypes import QTYPES

_TYPE_NAMES = {number: name for name, number in TYPES.items()}
_KINDS = {row.code: kind for kind, row in OPERATORS.items()}
_HIGHEST_OLD_CODE = 127
"""Codes above it have a field of their own; the old field then holds this number."""
SIGNATURE = "serving_default"
"""Name of the signature, by which an app calls the network with named inputs and outputs."""
_FILE_VERSION = 3


def to_bytes(network: LiteRtNetwork) -> bytes:
    """The network's file. Equal networks give equal bytes."""
    tensors = network.tensors
    place = {tensor: index for index, tensor in enumerate(tensors)}
    codes: dict[tuple[str, int], int] = {}
    buffers: list[dict[str, Any]] = [{}]  # the first one is empty, by LiteRT's convention
    of_data: dict[tuple[str, bytes], int] = {}

    def buffer_of(tensor: Tensor) -> int:
        if tensor.data is None:
            return 0
        content = np.ascontiguousarray(tensor.data, tensor.dtype).tobytes()
        if (tensor.dtype, content) not in of_data:
            of_data[tensor.dtype, content] = len(buffers)
            buffers.append({"data": np.frombuffer(content, np.uint8)})
        return of_data[tensor.dtype, content]

    entries = [_tensor_entry(tensor, buffer_of(tensor)) for tensor in tensors]
    operators = [_operator_entry(operator, place, codes) for operator in network.operators]
    metadata = []
    for name, text in network.metadata.items():
        metadata.append({"name": name, "buffer": len(buffers)})
        buffers.append({"data": np.frombuffer(text.encode(), np.uint8)})
    signature = {
        side: [{"name": one.name, "tensor_index": place[one]} for one in members]
        for side, members in (("inputs", network.inputs), ("outputs", network.outputs))
    }
    return encoding.encode(
        {
            "version": _FILE_VERSION,
            "operator_codes": [_code_entry(kind, version) for kind, version in codes],
            "subgraphs": [
                {
                    "tensors": entries,
                    "inputs": [place[one] for one in network.inputs],
                    "outputs": [place[one] for one in network.outputs],
                    "operators": operators,
                    "name": "main",
                }
            ],
            "description": network.description or f"quantseg {quantseg.__version__}",
            "buffers": buffers,
            "metadata": metadata,
            "signature_defs": [signature | {"signature_key": SIGNATURE, "subgraph_index": 0}],
        }
    )


def from_bytes(content: bytes, what: str) -> LiteRtNetwork:
    """The network of a file. what: begins messages.

    Raises ModelError for a file that is damaged, has several subgraphs, or operators or types that are not known here.
    """
    return network_of(encoding.decode(content, what), what)


def network_of(model: Mapping[str, Any], what: str) -> LiteRtNetwork:
    """The network of a decoded file; see `from_bytes`."""
    try:
        return _network(model)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        fact = str(error) or type(error).__name__
        raise ModelError(f"{what}: cannot be read as a .tflite file of this tool ({fact}); write it again") from error


def _tensor_entry(tensor: Tensor, buffer: int) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "shape": tensor.shape,
        "type": TYPES[tensor.dtype],
        "buffer": buffer,
        "has_rank": True,
    }
    if tensor.name:
        entry["name"] = tensor.name
    if tensor.params is not None:
        grid = tensor.params
        entry["quantization"] = {
            "scale": grid.scale.reshape(-1),
            "zero_point": grid.zero_point.reshape(-1),
            "quantized_dimension": grid.axis or 0,
        }
    return entry


def _operator_entry(
    operator: Operator, place: Mapping[Tensor, int], codes: dict[tuple[str, int], int]
) -> dict[str, Any]:
    row = OPERATORS[operator.kind]
    data = [one for one in (*operator.inputs, *operator.outputs) if one is not None]
    version = row.int8 if any(one.dtype == "int8" for one in data) else row.version
    if operator.options.get("fused_activation_function", NONE) != NONE:
        version = max(version, row.fused)
    index = codes.setdefault((operator.kind, version), len(codes))
    entry: dict[str, Any] = {
        "opcode_index": index,
        "inputs": [-1 if one is None else place[one] for one in operator.inputs],
        "outputs": [place[one] for one in operator.outputs],
    }
    if row.options is not None:
        entry["builtin_options_type"] = OPTIONS[row.options]
        entry["builtin_options"] = {"table": row.options, **operator.options}
    return entry


def _code_entry(kind: str, version: int) -> dict[str, int]:
    code = OPERATORS[kind].code
    return {"deprecated_builtin_code": min(code, _HIGHEST_OLD_CODE), "version": version, "builtin_code": code}


def _network(model: Mapping[str, Any]) -> LiteRtNetwork:
    (graph,) = model["subgraphs"]
    buffers = [entry.get("data") for entry in model["buffers"]]
    tensors = [_tensor(entry, buffers) for entry in graph["tensors"]]
    codes = [max(entry["builtin_code"], entry["deprecated_builtin_code"]) for entry in model["operator_codes"]]

    def named(numbers: Any) -> tuple[Tensor, ...]:
        return tuple(tensors[_index(number, tensors)] for number in numbers)

    operators = []
    for entry in graph["operators"]:
        code = codes[entry["opcode_index"]]
        if code not in _KINDS:
            raise ValueError(f"operator {code} is not known here")
        given = entry.get("inputs", ())
        inputs = tuple(None if number == -1 else tensors[_index(number, tensors)] for number in given)
        outputs = named(entry["outputs"])
        options = {key: value for key, value in entry.get("builtin_options", {}).items() if key != "table"}
        operators.append(Operator(_KINDS[code], inputs, outputs, options, outputs[0].name))
    metadata = {
        entry["name"]: bytes(buffers[entry["buffer"]]).decode(errors="replace") for entry in model.get("metadata", ())
    }
    description = model.get("description", "")
    return LiteRtNetwork(tuple(operators), named(graph["inputs"]), named(graph["outputs"]), metadata, description)


def _index(number: int, tensors: list[Tensor]) -> int:
    if not 0 <= number < len(tensors):
        raise IndexError(f"tensor {number} does not exist")
    return int(number)


def _tensor(entry: Mapping[str, Any], buffers: list[Any]) -> Tensor:
    dtype, shape = _TYPE_NAMES[entry["type"]], tuple(int(size) for size in entry.get("shape", ()))
    raw = buffers[entry["buffer"]]
    data = None if raw is None or not len(raw) else np.frombuffer(raw.tobytes(), dtype).reshape(shape)
    grid = entry.get("quantization")
    params = None
    if grid is not None and len(grid.get("scale", ())):
        scale, zero = np.array(grid["scale"], np.float32), np.array(grid["zero_point"])
        if len(scale) != len(zero) or not (np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError("a scale that is no positive number, or without a zero-point")
        one = len(scale) == 1
        axis = None if one else int(grid["quantized_dimension"])
        qtype = QTYPES[dtype]
        shaped = (scale.reshape(()), zero.reshape(())) if one else (scale, zero)
        params = QuantParams(shaped[0], shaped[1].astype(qtype.dtype), qtype, axis)
    return Tensor(entry.get("name", ""), shape, dtype, params, data)
