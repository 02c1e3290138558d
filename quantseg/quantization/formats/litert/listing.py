"""A .tflite file as an ONNX graph that lists it: what commands read of a model's file without running it.

Inputs and outputs are those of the ONNX model that the file was made from, on its axes; the metadata is the same. Each
operator is a node of domain `litert`, which no runtime of ONNX runs.
"""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from quantseg.errors import ModelError
from quantseg.files import limits, read_bytes
from quantseg.files.tflite import decode, our_metadata
from quantseg.quantization.formats.litert.file import network_of
from quantseg.quantization.formats.litert.network import Tensor

DOMAIN = "litert"
_NAMES = {"QUANTIZE": "QuantizeLinear", "DEQUANTIZE": "DequantizeLinear"}


def content_of(path: Path) -> bytes:
    """The bytes of a .tflite file. Raises ModelError where it cannot be read."""
    try:
        return read_bytes(path, most=limits.MODEL_BYTES)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); give a .tflite file") from error


def read_listing(path: Path) -> ir.Model:
    """The listing of a file. Raises ModelError where it is damaged or of a kind that is not known here."""
    content = content_of(path)
    decoded = decode(content, str(path))
    network, ours = network_of(decoded, str(path)), our_metadata(decoded)
    values: dict[Tensor, ir.Value] = {}

    def value(tensor: Tensor | None) -> ir.Value | None:
        if tensor is None:
            return None
        if tensor not in values:
            kind = ir.TensorType(ir.DataType.from_numpy(np.dtype(tensor.dtype)))
            values[tensor] = ir.Value(name=tensor.name, shape=ir.Shape(tensor.shape), type=kind)
        return values[tensor]

    nodes = []
    for operator in network.operators:
        data = [value(one) for one in operator.inputs if one is None or not one.is_constant]
        results = [value(one) for one in operator.outputs]
        kind = _NAMES.get(operator.kind, operator.kind)
        outputs = [one for one in results if one is not None]
        nodes.append(ir.Node(DOMAIN, kind, data, outputs=outputs, name=operator.node or outputs[0].name))
    orders = ours.get("orders", {})
    ends = []
    for side, tensors in (("inputs", network.inputs), ("outputs", network.outputs)):
        found = [value(tensor) for tensor in tensors]
        for tensor, one in zip(tensors, found, strict=True):
            assert one is not None
            order = orders.get(side, {}).get(tensor.name, list(range(len(tensor.shape))))
            if sorted(order) != list(range(len(tensor.shape))):
                raise ModelError(f"{path}: the order of axes of {tensor.name!r} is none; write the file again")
            one.shape = ir.Shape([tensor.shape[order.index(axis)] for axis in range(len(order))])
        ends.append([one for one in found if one is not None])
    graph = ir.Graph(ends[0], ends[1], nodes=nodes, opset_imports={"": 13, DOMAIN: 1}, name="litert")
    model = ir.Model(graph, ir_version=8, producer_name=network.description)
    model.metadata_props.update({str(key): str(text) for key, text in ours.get("properties", {}).items()})
    return model
