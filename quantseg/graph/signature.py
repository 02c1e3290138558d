"""A model's signature: its inputs and outputs, and whether it is quantised."""

from collections.abc import Collection
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.errors import ModelError

_QUANTISED = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
    }
)


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output as its file declares it. dtype: a numpy name. shape: None for a dynamic dimension."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dimensions = "x".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name!r} {self.dtype} {dimensions or 'scalar'}"


def signature(model: ir.Model) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """The model's inputs and outputs, in the graph's order, without initializers that are also listed as inputs.

    A dynamic size is None; a value of unknown rank has shape (). Raises ModelError for a value that is not a
    tensor, or of no type.
    """
    inputs = (value for value in model.graph.inputs if not value.is_initializer())
    return tuple(map(_spec, inputs)), tuple(map(_spec, model.graph.outputs))


def stated_shapes(model: ir.Model, names: Collection[str]) -> dict[str, tuple[int | None, ...]]:
    """The shapes that the main graph states, or shape inference found, of these values; None for a dynamic size.

    Values of unknown rank are left out.
    """
    values = (*model.graph.inputs, *(output for node in model.graph for output in node.outputs))
    return {
        str(value.name): tuple(dim if isinstance(dim, int) else None for dim in value.shape)
        for value in values
        if value.shape is not None and value.name in names
    }


def is_quantised(model: ir.Model) -> bool:
    """Whether any node, of any domain, quantises, dequantises or computes on quantised integers."""
    return any(
        node.op_type in _QUANTISED or node.op_type.startswith("QLinear") for graph in model.graphs() for node in graph
    )


def _spec(value: ir.Value) -> TensorSpec:
    if not isinstance(value.type, ir.TensorType):
        raise ModelError(f"{value.name!r} is not a tensor; export the model with plain tensors as inputs and outputs")
    dims = value.shape if value.shape is not None else ()
    shape = tuple(dim if isinstance(dim, int) else None for dim in dims)
    return TensorSpec(name=str(value.name), dtype=_dtype_name(value.type.dtype, str(value.name)), shape=shape)


def _dtype_name(dtype: ir.DataType, name: str) -> str:
    if dtype == ir.DataType.UNDEFINED:
        raise ModelError(f"{name!r} has no type; export the model again")
    return "string" if dtype == ir.DataType.STRING else dtype.numpy().name
