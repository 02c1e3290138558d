"""How many nodes an untrusted model has once its local functions are written out, counted without writing them out."""

from graphlib import CycleError, TopologicalSorter

import onnx

from quantseg.errors import ModelError
from quantseg.files import limits
from quantseg.graph.messages import NODE, messages_of

_Called = tuple[str, str, str]
"""Domain, name and overload of an operator or a local function."""


def check_calls(proto: onnx.ModelProto) -> None:
    """Raises ModelError where calls do not fit their functions, go in a circle or too deep, or make too many nodes."""
    _check_arguments(proto)
    bodies = {(body.domain, body.name, body.overload): _calls(body) for body in proto.functions}
    try:
        order = tuple(
            TopologicalSorter({name: bodies.keys() & set(calls) for name, calls in bodies.items()}).static_order()
        )
    except CycleError as error:
        raise ModelError(f"function {error.args[1][0][1]!r} calls itself in the end; export the model again") from error
    depths: dict[_Called, int] = {}
    nodes: dict[_Called, int] = {}
    for name in order:
        depths[name] = 1 + max((depths.get(called, 0) for called in bodies[name]), default=0)
        nodes[name] = min(sum(nodes.get(called, 1) for called in bodies[name]), limits.MODEL_NODES + 1)
    if max(depths.values(), default=0) > limits.FUNCTION_DEPTH:
        raise ModelError(f"functions call others {limits.FUNCTION_DEPTH} deep and more; export it without functions")
    if sum(nodes.get(called, 1) for called in _calls(proto.graph)) > limits.MODEL_NODES:
        raise ModelError(f"has more than {limits.MODEL_NODES:,} nodes, functions written out; export a smaller one")


def _check_arguments(proto: onnx.ModelProto) -> None:
    sizes = {(body.domain, body.name, body.overload): (len(body.input), len(body.output)) for body in proto.functions}
    for node in messages_of(proto, NODE) if sizes else ():
        inputs, outputs = sizes.get((node.domain, node.op_type, node.overload), (None, None))
        if inputs is not None and outputs is not None and (len(node.input) > inputs or len(node.output) > outputs):
            raise ModelError(
                f"node {node.name!r} has {len(node.input)} inputs and {len(node.output)} outputs, its function "
                f"{node.op_type!r} {inputs} and {outputs}; export the model again"
            )


def _calls(root: onnx.GraphProto | onnx.FunctionProto) -> list[_Called]:
    """What each node in a graph or function calls, those of subgraphs included."""
    return [(node.domain, node.op_type, node.overload) for node in messages_of(root, NODE)]
