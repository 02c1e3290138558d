"""A weightless model, small enough for onnx's C++ checker and shape inference whatever the size of the model.

Both take one serialised message, which may not exceed 2 GB. Large weights therefore become graph inputs of the same
type and shape; small constants stay, since shapes are computed from them. onnx-ir's own passes do the same.
"""

import onnx
import onnx_ir as ir

from quantseg.errors import ModelError, first_line
from quantseg.files import limits

_SMALL = 1024
"""Most bytes of a constant that stays in the weightless model: shapes, axes and scales do, weights do not."""


def weightless(model: ir.Model) -> onnx.ModelProto:
    """The weightless model: a message in which large weights are graph inputs. The model given is not changed."""
    bare = model.clone()
    graph = bare.graph
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype == ir.DataType.STRING:
            continue
        if tensor.nbytes <= _SMALL:
            if isinstance(tensor, ir.ExternalTensor):  # the checker would look for its data file in the current folder
                value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=value.name)
            continue
        value.shape = ir.Shape(tensor.shape.numpy())
        value.dtype = tensor.dtype
        del graph.initializers[name]
        value.const_value = None
        if not value.is_graph_input():
            graph.inputs.append(value)
    bare.ir_version = max(bare.ir_version, 4)  # before IR version 4, every initializer had to be an input too
    return ir.serde.serialize_model(bare)


def check(model: ir.Model, *, full: bool = False) -> None:
    """Raises ModelError, with the checker's first line, where the graph is not valid ONNX. full: infers shapes too."""
    proto = weightless(model)
    _set_aside_deprecated(proto)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.SetInParent()  # runtimes accept an absent shape, the checker does not
    try:
        onnx.checker.check_model(proto, full_check=full)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise ModelError(f"is not a valid ONNX graph ({first_line(error)}); export it again") from error


def _set_aside_deprecated(proto: onnx.ModelProto) -> None:
    """Puts GroupNormalization of opsets 18 to 20 into another domain, as the checker refuses it and runtimes run it."""
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    old = [node for node in proto.graph.node if node.op_type == "GroupNormalization" and node.domain == ""]
    if old and 18 <= versions.get("", 0) < 21:
        for node in old:
            node.domain = "deprecated"
        proto.opset_import.append(onnx.helper.make_opsetid("deprecated", 1))


def infer_shapes(model: ir.Model) -> None:
    """Sets type and shape of the main graph's values where onnx can infer them; names of dynamic dims are kept.

    Raises ModelError where shapes that the file states contradict what its nodes make.
    """
    bare = weightless(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(bare)
        if _elements_of_vectors(inferred.graph) <= limits.VECTORS:
            inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ModelError(f"states shapes that contradict its nodes ({first_line(error)}); export it again") from error
    found = {info.name: info.type for info in (*inferred.graph.value_info, *inferred.graph.output)}
    for node in model.graph:
        for value in node.outputs:
            if value.name in found:
                kind = found[value.name]
                value.type = ir.serde.deserialize_type_proto_for_type(kind) or value.type
                shape = ir.serde.deserialize_type_proto_for_shape(kind)
                value.shape = value.shape if shape is None else shape  # a shape of rank 0 is false


def _elements_of_vectors(graph: onnx.GraphProto) -> int:
    """How many elements the graph's tensors of one axis have together.

    onnx takes each for the sizes of a shape where it passes values on, and keeps some hundred bytes for each element.
    """
    shapes = (i.type.tensor_type.shape.dim for i in (*graph.input, *graph.value_info, *graph.output))
    return sum(dims[0].dim_value for dims in shapes if len(dims) == 1)
