"""What follows a grid up to the next products: the part of a graph through which its rounding error travels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from quantseg.graph import make_unique
from quantseg.graph.edit import initializer
from quantseg.graph.operators import PRODUCTS
from quantseg.quantization.affine import QuantParams

_WITH_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


@dataclass(frozen=True)
class Cone:
    """points: the tensors that are rounded. nodes: what they reach, products last. sinks: where the error is read."""

    points: frozenset[str]
    nodes: tuple[str, ...]
    sinks: tuple[str, ...]


def cone_of(graph: ir.Graph, points: frozenset[str]) -> Cone:
    """The nodes from the points to the next products, these included, and to the graph's outputs.

    Sinks are float tensors; nodes that hold a graph of their own are not entered.
    """
    reached, nodes, sinks = set(points), list[str](), list[str]()
    for node in graph:
        held = any(attribute.type in _WITH_GRAPHS for attribute in node.attributes.values())
        if held or not any(value is not None and value.name in reached for value in node.inputs):
            continue
        nodes.append(str(node.name))
        ends = node.op_type in PRODUCTS
        floats = [output for output in node.outputs if output.dtype == ir.DataType.FLOAT]
        sinks += [str(output.name) for output in floats if ends or output.is_graph_output()]
        if not ends:
            reached.update(str(output.name) for output in node.outputs)
    return Cone(points, tuple(nodes), tuple(sinks))


def with_errors(model: ir.Model, rounding: Sequence[tuple[Cone, Sequence[QuantParams]]]) -> ir.Model:
    """A clone that gives the squared error at each sink, summed: by cone, then by grid, then by sink."""
    clone = model.clone()
    graph = clone.graph
    values = {str(value.name): value for value in (*graph.inputs, *(v for node in graph for v in node.outputs))}
    nodes = {str(node.name): node for node in graph}
    outputs = list[ir.Value]()
    for cone, grids in rounding:
        for params in grids:
            outputs += _errors(graph, values, [nodes[name] for name in cone.nodes], cone, params)
    for number, output in enumerate(outputs):
        output.name, output.type = f"error/{number}", ir.TensorType(ir.DataType.FLOAT)
    graph.outputs[:] = outputs
    make_unique(clone)
    return clone


def _errors(
    graph: ir.Graph, values: Mapping[str, ir.Value], nodes: Sequence[ir.Node], cone: Cone, params: QuantParams
) -> list[ir.Value]:
    """The cone once more, its points rounded; one squared error for each sink."""
    grid = (
        initializer(graph, "tried_scale", np.asarray(params.scale)),
        initializer(graph, "tried_zero_point", np.asarray(params.zero_point)),
    )

    def rounded(value: ir.Value) -> ir.Value:
        stored = ir.node("QuantizeLinear", [value, *grid])
        read = ir.node("DequantizeLinear", [stored.outputs[0], *grid])
        graph.extend([stored, read])
        return read.outputs[0]

    inside = {str(o.name) for node in nodes if node.op_type not in PRODUCTS for o in node.outputs}
    twins = {values[name]: rounded(values[name]) for name in sorted(cone.points - inside)}
    ends = dict[str, ir.Value]()
    for node in nodes:
        inputs = [None if value is None else twins.get(value, value) for value in node.inputs]
        twin = ir.Node(node.domain, node.op_type, inputs, list(node.attributes.values()), num_outputs=len(node.outputs))
        graph.append(twin)
        for output, own in zip(node.outputs, twin.outputs, strict=True):
            own.type = output.type
            if output.name in cone.sinks:
                ends[str(output.name)] = own
            if node.op_type not in PRODUCTS:
                twins[output] = rounded(own) if output.name in cone.points else own
    errors = []
    for sink in cone.sinks:
        difference = ir.node("Sub", [ends[sink], values[sink]])
        squared = ir.node("ReduceSumSquare", [difference.outputs[0]], {"keepdims": 0})
        graph.extend([difference, squared])
        errors.append(squared.outputs[0])
    return errors
