"""MACs (multiply-accumulates) of each node of a prepared graph, for given inputs or input shapes.

Shapes that shape inference leaves unknown are found by running the graph once, with Shape nodes as outputs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.graph import TensorSpec
from quantseg.graph.preparation import Prepared
from quantseg.runtimes import DEFAULT
from quantseg.runtimes.products import Shape, is_product, product_of

Given = Mapping[str, Sequence[int] | NDArray[Any]]
"""Input → its shape, or the input itself, whose values may tell sizes that the graph computes."""


def multiply_accumulates(prepared: Prepared, given: Given) -> Mapping[str, int]:
    """Node → its MACs, those on padding included, in graph order; 0 for all but convolutions and matrix products.

    given: the model's inputs, by name; one that is left out has its static shape. Subgraphs of control flow are not
    counted. Raises ModelError where the inputs do not fit the model.
    """
    model = prepared.model
    read = {node: (*node.inputs[:2], node.outputs[0]) for node in model.graph if is_product(node.op_type)}
    values = dict.fromkeys(value for operands in read.values() for value in operands if value is not None)
    sizes = {value: _static(value) for value in values}
    known = {str(value.name): size for value, size in sizes.items() if size is not None}
    if left := [str(value.name) for value, size in sizes.items() if size is None]:
        known |= _computed(model, left, given)
    found = dict.fromkeys((str(node.name) for node in model.graph), 0)
    for node, operands in read.items():
        data, weight, output = (() if value is None else known[str(value.name)] for value in operands)
        attributes = {name: attribute.value for name, attribute in node.attributes.items()}
        product = product_of(node.op_type, attributes, data, weight, output)
        found[str(node.name)] = 0 if product is None else product.macs
    return found


def numbers_of(prepared: Prepared, given: Given) -> Mapping[str, int]:
    """Tensor → its number of elements, for the graph's inputs and all node outputs, in graph order.

    given: see `multiply_accumulates`. Raises ModelError where the inputs do not fit the model.
    """
    graph = prepared.model.graph
    values = [value for value in (*graph.inputs, *(v for node in graph for v in node.outputs)) if value.name]
    sizes = {str(value.name): _static(value) for value in values}
    left = [name for name, size in sizes.items() if size is None]
    known = _computed(prepared.model, left, given) if left else {}
    return {name: math.prod(known[name] if size is None else size) for name, size in sizes.items()}


def _static(value: ir.Value) -> Shape | None:
    shape = value.shape if value.const_value is None else value.const_value.shape
    if shape is None or not all(isinstance(dim, int) for dim in shape):
        return None
    return tuple(dim for dim in shape if isinstance(dim, int))


def _computed(model: ir.Model, names: Iterable[str], given: Given) -> dict[str, Shape]:
    """The shapes of the tensors `names`, found by running the model on these inputs."""
    clone = model.clone()
    values = {value.name: value for value in (*clone.graph.inputs, *(o for n in clone.graph for o in n.outputs))}
    asked = {name: ir.node("Shape", [values[name]], name=f"{name}_size") for name in names}
    for name, node in asked.items():
        node.outputs[0].name, node.outputs[0].dtype = f"{name}_size", ir.DataType.INT64
        clone.graph.append(node)
    clone.graph.outputs[:] = [node.outputs[0] for node in asked.values()]
    with (
        graph.as_session_source(clone) as source,
        closing(DEFAULT.open(source, threads=1, spinning=False)) as session,
    ):
        sizes = session.run({spec.name: _fed(spec, given.get(spec.name)) for spec in session.inputs})
    return {name: tuple(map(int, size)) for name, size in zip(asked, sizes, strict=True)}


def _fed(spec: TensorSpec, given: Sequence[int] | NDArray[Any] | None) -> NDArray[Any]:
    """The input itself if it is given, else zeros; a number or a vector, which may be sizes or scales, is ones."""
    if isinstance(given, np.ndarray):
        return given
    shape = [1 if size is None else size for size in spec.shape] if given is None else given
    return np.ones(shape, spec.dtype) if len(shape) < 2 else np.zeros(shape, spec.dtype)
