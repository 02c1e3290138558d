"""The weights that are learned, as positions on their grids, and their biases."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from quantseg.graph.edit import initializer
from quantseg.quantization.affine import F32, QuantParams, integer_limits
from quantseg.quantization.operators import IntegerForm, integer_form
from quantseg.quantization.plan import QuantPlan, bias_params, bounds_pairs, constant, pair_rows, safe_integers
from quantseg.refinement.rounding.learned.rounding import WeightGrid

LARGEST_BIAS = 1 << 30
"""Most magnitude of a bias integer, half of int32's; beyond it the plan would widen the grid of the weight."""


@dataclass(frozen=True)
class Weights:
    """grids: node → the grid of its weight. positions: node → its weight as positions on that grid; see rounding.py.

    biases: node → its bias, where it has one.
    """

    grids: Mapping[str, WeightGrid]
    positions: Mapping[str, Any]
    biases: Mapping[str, Any]

    @staticmethod
    def of(model: ir.Model, plan: QuantPlan) -> "Weights":
        """The unrounded weights of a prepared model, clipped to the plan's grids."""
        grids, positions, biases = {}, {}, {}
        for node in model.graph:
            name, form = str(node.name), integer_form(node)
            if name not in plan.weights or not isinstance(form, IntegerForm):
                continue
            params = plan.weights[name]
            weight = torch.from_numpy(np.array(constant(node.inputs[1])))
            grids[name] = WeightGrid.of(params, weight.dim(), _limits(params, plan), _safe(node, params, plan))
            positions[name] = grids[name].positions(weight)
            if form.bias is not None:
                biases[name] = torch.from_numpy(np.array(constant(node.inputs[form.bias])))
        return Weights(grids, positions, biases)

    def rounded(self, names: Collection[str] | None = None) -> dict[str, tuple[Any, Any]]:
        """Node → rounded weight and bias, as `Network.run` takes them. names: of the nodes; None: all."""
        chosen = self.positions if names is None else names
        return {n: (self.grids[n].rounded(self.positions[n]), self.biases.get(n)) for n in chosen}

    def written(self, model: ir.Model, plan: QuantPlan) -> ir.Model:
        """A clone of the prepared model with the learned weights, rounded to the plan's grids, and biases."""
        clone = model.clone()
        for node in list(clone.graph):
            name, form = str(node.name), integer_form(node)
            if name not in self.positions or not isinstance(form, IntegerForm):
                continue
            params = plan.weights[name]
            with torch.no_grad():
                value = self.grids[name].rounded(self.positions[name]).numpy()
            node.replace_input_with(1, initializer(clone.graph, f"{name}_learned", value))
            if form.bias is not None:
                data = node.inputs[form.data[0]]
                assert data is not None
                bias = _held(self.biases[name].detach().numpy(), bias_params(plan.tensors[str(data.name)], params))
                node.replace_input_with(form.bias, initializer(clone.graph, f"{name}_learned_bias", bias))
        return clone


def _limits(params: QuantParams, plan: QuantPlan) -> tuple[int, int]:
    settings, eight_bits = plan.settings, params.qtype.bits >= 8
    symmetric = params.qtype.signed or settings.symmetric
    return integer_limits(params.qtype, symmetric=symmetric, reduced=settings.reduce_range and eight_bits)


def _safe(node: ir.Node, params: QuantParams, plan: QuantPlan) -> Callable[[F32], F32] | None:
    """The function `safe` of the node's WeightGrid; None where its pair sums need no bound."""
    if not bounds_pairs(params.qtype, plan.settings) or pair_rows(node, constant(node.inputs[1])) is None:
        return None
    return lambda integers: safe_integers(node, integers)


def _held(bias: F32, grid: QuantParams) -> F32:
    """The bias, clipped so that its integers stay within LARGEST_BIAS."""
    most = np.float32(0.99) * LARGEST_BIAS * grid.scale
    held: F32 = np.clip(bias, -most, most).astype(np.float32)
    return held
