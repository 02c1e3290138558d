"""Building blocks of the rewrites. Constants are never edited in place: a new initializer replaces the old one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def constant(value: ir.Value | None) -> NDArray[Any] | None:
    """The array that the value holds where it is an initializer or the output of a Constant node, else None."""
    if value is None or value.is_graph_input():
        return None
    maker = value.producer()
    if maker is not None and maker.op_type == "Constant" and "value" in maker.attributes:
        return maker.attributes["value"].as_tensor().numpy()  # onnx-ir's own way would rename the shared tensor
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """The number in a constant of one element, else None."""
    array = constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def input_at(node: ir.Node, index: int) -> ir.Value | None:
    """The node's input at an index, None where it is omitted."""
    return node.inputs[index] if index < len(node.inputs) else None


def initializer(graph: ir.Graph, stem: str, array: NDArray[Any]) -> ir.Value:
    """A new constant in the graph, under `stem` or `stem_1`, `stem_2`, …"""
    name, number = stem, 0
    while name in graph.initializers:
        number += 1
        name = f"{stem}_{number}"
    tensor = ir.tensor(np.asarray(array, order="C"), name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(tensor.shape.numpy()), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def ints(graph: ir.Graph, stem: str, numbers: Sequence[int]) -> ir.Value:
    """A new int64 vector in the graph: axes, sizes, pads."""
    return initializer(graph, stem, np.array(numbers, dtype=np.int64))


def owner(node: ir.Node) -> ir.Graph:
    """The graph that contains the node."""
    graph = node.graph
    if not isinstance(graph, ir.Graph):
        raise TypeError(f"{node.name!r} stands in no graph")  # functions are inlined before any rewrite
    return graph


def replace(old: ir.Node, new: Sequence[ir.Node], *, also: Sequence[ir.Node] = ()) -> None:
    """Replaces `old` by `new`; the first output of the last new node takes over the name and consumers of old's output.

    also: nodes that fed only `old` and are removed with it.
    """
    graph = owner(old)
    for node in new[:-1]:
        for value in node.outputs:
            value.name = f"{node.name}_out"
    ir.convenience.replace_nodes_and_values(graph, old, [old, *also], list(new), [old.outputs[0]], [new[-1].outputs[0]])


def bypass(node: ir.Node, source: ir.Value) -> bool:
    """Removes `node` and lets its consumers read `source`, which holds the same numbers; whether that was possible.

    It is not where the node produces a graph output and `source`, as a graph input or output, must keep its own name.
    """
    target = node.outputs[0]
    if target.is_graph_output():
        producer = source.producer()
        if producer is None or source.is_graph_output() or producer.graph is not node.graph:
            return False
        name = target.name
        target.replace_all_uses_with(source, replace_graph_outputs=True)
        owner(node).remove(node, safe=True)
        source.name = name
        return True
    target.replace_all_uses_with(source)
    owner(node).remove(node, safe=True)
    return True


def only_user(value: ir.Value) -> ir.Node | None:
    """The only consumer of a value that is read exactly once and is not a graph output; else None."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def only_producer(value: ir.Value | None, user: ir.Node, *op_types: str) -> ir.Node | None:
    """The producer of `value`, if it has one of these types, is in the same graph and feeds only `user`; else None."""
    producer = value.producer() if value is not None else None
    if value is None or producer is None or producer.domain != "" or producer.op_type not in op_types:
        return None
    return producer if only_user(value) is user and producer.graph is user.graph else None


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The value's shape where every size is known, else None."""
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return tuple(int(dim) for dim in value.shape)  # type: ignore[arg-type]


def rank(value: ir.Value | None) -> int | None:
    """The number of axes of the value, None where unknown."""
    return None if value is None or value.shape is None else len(value.shape)
