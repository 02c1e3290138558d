"""A prepared ONNX graph as a differentiable torch function, node by node."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import onnx_ir as ir
import torch

from quantseg.errors import ModelError
from quantseg.refinement.rounding.learned.operators import OPERATORS

Parameters = Mapping[str, tuple[Any, Any]]
"""Node → the weight and the bias (or None) that replace its own."""


@final
class Network:
    """The main graph of a model. A pair of QuantizeLinear and DequantizeLinear rounds with a straight-through gradient.

    That is the gradient of the identity, and zero where the grid saturates (Bengio et al., arXiv:1308.3432). Raises
    ModelError for an operator that is not in the table OPERATORS.
    """

    def __init__(self, model: ir.Model) -> None:
        graph = model.graph
        self.nodes = tuple(graph)
        for node in self.nodes:
            if node.domain not in ("", "ai.onnx") or (node.op_type not in OPERATORS and not _is_rounding(node)):
                raise ModelError(
                    f"{node.name!r}: rounding cannot be learned through {node.op_type}; leave learned rounding out"
                )
        self.constants = {str(v.name): _tensor(v) for v in graph.initializers.values() if v.const_value is not None}
        self._last_use = _last_uses(self.nodes)

    def run(
        self,
        feeds: Mapping[str, Any],
        outputs: Sequence[str],
        parameters: Parameters | None = None,
        nodes: Sequence[ir.Node] | None = None,
    ) -> dict[str, Any]:
        """Computes the tensors named in `outputs`.

        feeds: the inputs of the graph, or of `nodes`. parameters: weights and biases that replace those of the graph.
        nodes: the nodes to run; None: all.
        """
        values, wanted, given = dict(feeds), set(outputs), parameters or {}
        ran = self.nodes if nodes is None else nodes
        for node in ran:
            inputs = [None if v is None else self._value(values, str(v.name)) for v in node.inputs]
            if str(node.name) in given:
                weight, bias = given[str(node.name)]
                inputs[1] = weight
                if bias is not None:
                    inputs[2:] = [bias]
            found = self._computed(node, inputs)
            for output, value in zip(node.outputs, found, strict=False):
                values[str(output.name)] = value
            if nodes is None:
                for name in self._last_use.get(node, ()):
                    if name not in wanted:
                        values.pop(name, None)
        return {name: values[name] for name in outputs}

    def _computed(self, node: ir.Node, inputs: list[Any]) -> tuple[Any, ...]:
        if node.op_type == "QuantizeLinear":
            return (inputs[0],)
        if node.op_type == "DequantizeLinear":
            return (_rounded(node, inputs),)
        found = OPERATORS[node.op_type](node, inputs)
        return tuple(found) if isinstance(found, tuple | list) else (found,)

    def _value(self, values: Mapping[str, Any], name: str) -> Any:
        return values[name] if name in values else self.constants[name]


def _is_rounding(node: ir.Node) -> bool:
    """Whether the node belongs to a Q/DQ pair, or dequantises a tensor that is stored in integers."""
    if node.op_type == "QuantizeLinear":
        return all(user.op_type == "DequantizeLinear" for user, _ in node.outputs[0].uses())
    return node.op_type == "DequantizeLinear"


def _rounded(node: ir.Node, inputs: list[Any]) -> Any:
    """The output of a DequantizeLinear: of a Q/DQ pair the rounded values, else the dequantised integers."""
    x, scale, zero = inputs
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    if maker is None or maker.op_type != "QuantizeLinear":
        return (x.to(torch.float32) - zero.to(torch.float32)) * scale
    limits = torch.iinfo(zero.dtype)
    return torch.fake_quantize_per_tensor_affine(x, float(scale), int(zero), limits.min, limits.max)


def _last_uses(nodes: Sequence[ir.Node]) -> dict[ir.Node, list[str]]:
    """Node → the tensors that no later node reads, so that they can be freed."""
    last: dict[str, ir.Node] = {}
    for node in nodes:
        for value in (*node.inputs, *node.outputs):
            if value is not None and not value.is_initializer():
                last[str(value.name)] = node
    found: dict[ir.Node, list[str]] = {}
    for name, node in last.items():
        found.setdefault(node, []).append(name)
    return found


def _tensor(value: ir.Value) -> Any:
    assert value.const_value is not None
    return torch.from_numpy(np.array(value.const_value.numpy()))
