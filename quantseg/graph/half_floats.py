"""float16 and bfloat16 become float32 inside a model: integers are made from it, and CPU kernels compute in it.

Inputs and outputs of float16 keep their type, with a Cast behind and before them; of bfloat16, which numpy does not
have, they become float32.
"""

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import owner
from quantseg.graph.passes.outcome import Change, RewriteOutcome

HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
_TYPES = ("to", "dtype", "output_dtype", "stash_type")
"""Attributes that name the type of a result."""


def is_half(model: ir.Model, *dtypes: ir.DataType) -> bool:
    """Whether the main graph or a subgraph has a tensor of one of these types. dtypes: by default both."""
    wanted = dtypes or HALVES
    values = (value for graph in model.graphs() for value in (*graph.inputs, *graph.initializers.values()))
    results = (value for graph in model.graphs() for node in graph for value in node.outputs)
    casts = (node for graph in model.graphs() for node in graph if node.op_type == "Cast")
    return any(value.dtype in wanted for value in (*values, *results)) or any(
        node.attributes.get_int("to", 0) in wanted for node in casts
    )


def widen(model: ir.Model) -> RewriteOutcome:
    """Makes float32 of these types in the main graph and its subgraphs. Needs unique names."""
    if not is_half(model):
        return RewriteOutcome()
    outer = model.graph
    kept = {value: value.dtype for value in (*outer.inputs, *outer.outputs) if value.dtype == ir.DataType.FLOAT16}
    for graph in list(model.graphs()):
        for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
            _widen_value(value)
        for node in graph:
            _widen_attributes(node)
            for value in node.outputs:
                _widen_value(value)
    for value in list(outer.inputs):
        if value in kept:
            _cast_behind(outer, value)
    for value in list(outer.outputs):
        if value in kept and value.producer() is not None:
            _cast_before(outer, value)
    what = "computes in float32 what was float16 or bfloat16"
    return RewriteOutcome((Change("widen", str(outer.name or "graph"), what),))


def _widen_value(value: ir.Value) -> None:
    if value.dtype in HALVES:
        value.type = ir.TensorType(ir.DataType.FLOAT)  # clones share the old one
    if value.const_value is not None and value.const_value.dtype in HALVES:
        value.const_value = _widened(value.const_value, value.name)


def _widened(tensor: ir.TensorProtocol, name: str | None) -> ir.TensorProtocol:
    return ir.tensor(np.asarray(tensor.numpy(), np.float32), name=name)


def _widen_attributes(node: ir.Node) -> None:
    for name, attribute in list(node.attributes.items()):
        if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype in HALVES:
            node.attributes[name] = ir.AttrTensor(name, _widened(attribute.as_tensor(), attribute.as_tensor().name))
        elif name in _TYPES and attribute.type == ir.AttributeType.INT and attribute.as_int() in HALVES:
            node.attributes[name] = ir.AttrInt64(name, int(ir.DataType.FLOAT))


def _cast_behind(graph: ir.Graph, value: ir.Value) -> None:
    """The input is float16 again; what read it reads its Cast to float32."""
    users = list(value.uses())
    cast = ir.node("Cast", [value], {"to": int(ir.DataType.FLOAT)}, name=f"{value.name}_to_float")
    (wide,) = cast.outputs
    wide.name, wide.shape, wide.type = f"{value.name}_float", value.shape, ir.TensorType(ir.DataType.FLOAT)
    for user, index in users:
        user.replace_input_with(index, wide)
    value.type = ir.TensorType(ir.DataType.FLOAT16)
    graph.insert_before(graph[0], cast)


def _cast_before(graph: ir.Graph, value: ir.Value) -> None:
    """The output is float16 again: a Cast of what made it, which other nodes go on reading in float32."""
    producer = value.producer()
    assert producer is not None
    name = value.name
    value.name = f"{name}_float"
    cast = ir.node("Cast", [value], {"to": int(ir.DataType.FLOAT16)}, name=f"{name}_to_half")
    (half,) = cast.outputs
    half.name, half.shape, half.type = name, value.shape, ir.TensorType(ir.DataType.FLOAT16)
    owner(producer).insert_after(producer, cast)
    graph.outputs[:] = [half if output is value else output for output in graph.outputs]
