"""Facts about nodes that onnxruntime's profile lacks, read from the graph: domains, attributes, shapes of constants.

The profile identifies a node by operator and name, so each node needs a unique name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from quantseg.runtimes.products import Shape

BLOCKED = "com.microsoft.nchwc"
"""The domain of onnxruntime's NCHWc kernels, whose layout has blocks of 8 or 16 adjacent channels."""
_BLOCKED_NAME = "_nchwc"
_PLAIN_ATTRIBUTES = (onnx.AttributeProto.INT, onnx.AttributeProto.STRING)

NodeKey = tuple[str, str]
"""Operator and node name."""


@dataclass(frozen=True)
class NodeFacts:
    """One node of a graph. attributes: by name. constants: shapes of its constant inputs, by position."""

    domain: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[int, Shape] = field(default_factory=dict)
    output: str = ""


def node_facts(graph: onnx.GraphProto) -> dict[NodeKey, NodeFacts]:
    """The facts of every node, those in subgraphs (bodies of If, Loop, Scan) included."""
    return dict(_facts(graph, {}))


def as_asked(blocked: Mapping[NodeKey, NodeFacts], plain: Mapping[NodeKey, NodeFacts]) -> dict[NodeKey, NodeFacts]:
    """The facts in `blocked`, with attributes and weight shapes of NCHWc nodes taken from the `plain` graph.

    The NCHWc layout pads channels with zeros to whole blocks, so weights are larger than in the model. An NCHWc node
    is named after its output in the plain graph; a node that is not found there keeps its padded weight.
    """
    before = {facts.output: facts for facts in plain.values()}

    def asked(name: str, facts: NodeFacts) -> NodeFacts:
        known = before.get(name.removesuffix(_BLOCKED_NAME), facts) if facts.domain == BLOCKED else facts
        return replace(facts, attributes=known.attributes, constants=known.constants)

    return {key: asked(key[1], facts) for key, facts in blocked.items()}


def with_names(model: Path | bytes) -> bytes | None:
    """The serialised model with unique node names; None if they are unique already.

    External data stays external. Also None for a file that is not ONNX: the runtime then raises the error.
    """
    try:
        proto = onnx.load_from_string(model if isinstance(model, bytes) else model.read_bytes())
    except (OSError, DecodeError):
        return None
    nodes = [node for body in (proto.graph, *proto.functions) for node in _nodes(body.node)]
    names = [node.name for node in nodes]
    if len(set(names) - {""}) == len(names):
        return None
    taken, seen = set(names), set[str]()
    for index, node in enumerate(nodes):
        if not node.name or node.name in seen:
            node.name = f"{node.name or node.op_type}_{index}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)
        seen.add(node.name)
    content: bytes = proto.SerializeToString()
    return content


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for body in _bodies(node):
            yield from _nodes(body.node)


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs)


def _facts(graph: onnx.GraphProto, outer: Mapping[str, Shape]) -> Iterator[tuple[NodeKey, NodeFacts]]:
    """outer: shapes of the constants of enclosing graphs, which a subgraph can read."""
    shapes = {**outer, **{tensor.name: tuple(tensor.dims) for tensor in graph.initializer}}
    for node in graph.node:
        attributes = {
            attribute.name: onnx.helper.get_attribute_value(attribute)
            for attribute in node.attribute
            if attribute.type in _PLAIN_ATTRIBUTES
        }
        constants = {place: shapes[name] for place, name in enumerate(node.input) if name in shapes}
        yield (node.op_type, node.name), NodeFacts(node.domain, attributes, constants, next(iter(node.output), ""))
        for body in _bodies(node):
            yield from _facts(body, shapes)
