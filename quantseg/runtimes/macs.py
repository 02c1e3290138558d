"""MACs (multiply-accumulates) of each node of a prepared graph, for given input shapes.

Shapes that shape inference leaves unknown are found by running the graph once on zeros, with Shape nodes as outputs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing

import numpy as np
import onnx_ir as ir

from quantseg import graph
from quantseg.graph.preparation import Prepared
from quantseg.runtimes import DEFAULT
from quantseg.runtimes.products import Shape, is_product, product_of


def multiply_accumulates(prepared: Prepared, shapes: Mapping[str, Sequence[int]]) -> Mapping[str, int]:
    """Node → its MACs, those on padding included, in graph order; 0 for all but convolutions and matrix products.

    shapes: of the model's inputs, by name; an input left out has its static shape. Subgraphs of control flow are not
    counted. Raises ModelError where the inputs do not fit the model.
    """
    model = prepared.model
    read = {node: (*node.inputs[:2], node.outputs[0]) for node in model.graph if is_product(node.op_type)}
    values = dict.fromkeys(value for operands in read.values() for value in operands if value is not None)
    sizes = {value: _static(value) for value in values}
    known = {str(value.name): size for value, size in sizes.items() if size is not None}
    if left := [str(value.name) for value, size in sizes.items() if size is None]:
        known |= _computed(model, left, shapes)
    found = dict.fromkeys((str(node.name) for node in model.graph), 0)
    for node, operands in read.items():
        data, weight, output = (() if value is None else known[str(value.name)] for value in operands)
        attributes = {name: attribute.value for name, attribute in node.attributes.items()}
        product = product_of(node.op_type, attributes, data, weight, output)
        found[str(node.name)] = 0 if product is None else product.macs
    return found


def numbers_of(prepared: Prepared, shapes: Mapping[str, Sequence[int]]) -> Mapping[str, int]:
    """Tensor → its number of elements, for the graph's inputs and all node outputs, in graph order.

    shapes: see `multiply_accumulates`. Raises ModelError where the inputs do not fit the model.
    """
    graph = prepared.model.graph
    values = [value for value in (*graph.inputs, *(v for node in graph for v in node.outputs)) if value.name]
    sizes = {str(value.name): _static(value) for value in values}
    left = [name for name, size in sizes.items() if size is None]
    known = _computed(prepared.model, left, shapes) if left else {}
    return {name: math.prod(known[name] if size is None else size) for name, size in sizes.items()}


def _static(value: ir.Value) -> Shape | None:
    shape = value.shape if value.const_value is None else value.const_value.shape
    if shape is None or not all(isinstance(dim, int) for dim in shape):
        return None
    return tuple(dim for dim in shape if isinstance(dim, int))


def _computed(model: ir.Model, names: Iterable[str], shapes: Mapping[str, Sequence[int]]) -> dict[str, Shape]:
    """The shapes of the tensors `names`, found by running the model on zero inputs of these shapes."""
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
        feeds = {
            spec.name: np.zeros(shapes.get(spec.name, [1 if size is None else size for size in spec.shape]), spec.dtype)
            for spec in session.inputs
        }
        sizes = session.run(feeds)
    return {name: tuple(map(int, size)) for name, size in zip(asked, sizes, strict=True)}
