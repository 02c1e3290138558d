"""Fake quantisation: the float graph with the rounding of a plan, for all nodes and tensors or for some.

A runtime computes it in float, so single weights and tensors can be rounded, and every intermediate tensor can be read.
Source: Jacob et al., arXiv:1712.05877, section 3.
"""

from collections.abc import Container

import numpy as np
import onnx_ir as ir

from quantseg.graph import make_unique
from quantseg.graph.edit import initializer
from quantseg.quantization.affine import dequantize, quantize
from quantseg.quantization.operators import IntegerForm, Kind, integer_form
from quantseg.quantization.plan import QuantPlan, bias_params, constant
from quantseg.quantization.plan.grids import name_of


def fake_quantised(
    model: ir.Model, plan: QuantPlan, *, weights: Container[str] | None = None, tensors: Container[str] | None = None
) -> ir.Model:
    """A clone of the prepared model with fake quantisation.

    weights: nodes whose weight and bias are rounded; None: all that the plan quantises. tensors: names from
    `rounded_tensors(model, plan)`; None: all of them. A rounded tensor keeps its name; NAME_unrounded is what its node
    computed, before rounding.
    """
    clone = model.clone()
    integer = frozenset(node.name for node in plan.quantised)
    points = rounded_tensors(clone, plan)
    values = {value.name: value for value in (*clone.graph.inputs, *(o for node in clone.graph for o in node.outputs))}
    for node in list(clone.graph):
        name = str(node.name)
        if name in plan.weights and (weights is None or name in weights):
            _round_weights(clone.graph, node, plan)
    for name in points:
        if tensors is None or name in tensors:
            _round_tensor(clone.graph, values[name], plan, integer)
    make_unique(clone)  # a node and its output may share a name
    return clone


def rounded_tensors(model: ir.Model, plan: QuantPlan) -> tuple[str, ...]:
    """The tensors that the plan rounds, in the graph's order: graph inputs and outputs of nodes.

    Omitted are tensors that are on their grid already, as outputs of movements are, and inputs of a clamp that is
    replaced by the saturation of the grid: the output of the clamp is rounded instead. (Rounding twice in a row would
    be worse than useless: onnxruntime 1.31 merges two such Q/DQ pairs wrongly.)
    """
    integer = frozenset(node.name for node in plan.quantised)
    found = []
    for value in (*model.graph.inputs, *(output for node in model.graph for output in node.outputs)):
        name = name_of(value) if value.name else ""
        if name not in plan.tensors or {str(user.name) for user, _ in value.uses()} & plan.dropped:
            continue
        producer = value.producer()
        form = None if producer is None else integer_form(producer)
        moved = isinstance(form, IntegerForm) and form.kind is Kind.MOVEMENT
        if producer is None or producer.name not in integer or not moved:
            found.append(name)
    return tuple(found)


def _round_weights(graph: ir.Graph, node: ir.Node, plan: QuantPlan) -> None:
    form = integer_form(node)
    assert isinstance(form, IntegerForm)
    assert form.weight is not None
    params = plan.weights[str(node.name)]
    rounded = dequantize(quantize(constant(node.inputs[form.weight]), params), params)
    node.replace_input_with(form.weight, initializer(graph, f"{node.name}_rounded", rounded))
    if form.bias is not None:
        grid = bias_params(plan.tensors[name_of(node.inputs[form.data[0]])], params)
        bias = constant(node.inputs[form.bias])
        flat = dequantize(quantize(bias.reshape(-1), grid), grid)
        node.replace_input_with(form.bias, initializer(graph, f"{node.name}_rounded_bias", flat.reshape(bias.shape)))


def _round_tensor(graph: ir.Graph, value: ir.Value, plan: QuantPlan, integer: Container[str | None]) -> None:
    """Rounds the tensor for all its consumers; the output of a float node for its integer consumers only."""
    name, producer = str(value.name), value.producer()
    params = plan.tensors[name]
    of_integers = producer is not None and producer.name in integer
    users = [(user, index) for user, index in value.uses() if of_integers or user.name in integer]
    scale = initializer(graph, f"{name}_scale", np.asarray(params.scale, np.float32))
    zero = initializer(graph, f"{name}_zero_point", np.asarray(params.zero_point))
    stored = ir.node("QuantizeLinear", [value, scale, zero], name=f"{name}_quantise")
    read = ir.node("DequantizeLinear", [stored.outputs[0], scale, zero], name=f"{name}_dequantise")
    rounded = read.outputs[0]
    stored.outputs[0].name, rounded.name = f"{name}_integers", f"{name}_rounded"
    if producer is None:
        graph.insert_before(graph[0], [stored, read])
    else:
        graph.insert_after(producer, [stored, read])
    if of_integers:
        value.name, rounded.name = f"{name}_unrounded", name
        rounded.shape, rounded.type = value.shape, value.type
        graph.outputs[:] = [rounded if output is value else output for output in graph.outputs]
    for user, index in users:
        user.replace_input_with(index, rounded)
