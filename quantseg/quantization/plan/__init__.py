"""From a prepared float graph and calibrated ranges to the plan of its quantised model."""

from collections.abc import Mapping

import onnx_ir as ir

from quantseg.errors import PlanError
from quantseg.graph.preparation import Prepared
from quantseg.quantization.affine import QuantParams, Range, params_from_range
from quantseg.quantization.operators import IntegerForm, KeptFloat, Kind
from quantseg.quantization.operators.activation import clamp_bounds
from quantseg.quantization.plan.decisions import decide
from quantseg.quantization.plan.fusing import fused_inputs, note_of
from quantseg.quantization.plan.grids import QuantizationGroups, form_grids, name_of, observable
from quantseg.quantization.plan.overrides import NO_OVERRIDES, Fit, NodeCost, Overrides
from quantseg.quantization.plan.plan import PlannedNode, Quantised, QuantPlan
from quantseg.quantization.plan.settings import QuantSettings
from quantseg.quantization.plan.ties import notes_of, settle
from quantseg.quantization.plan.unbounded import around_unbounded, finite_tensors
from quantseg.quantization.plan.weights import (
    bias_params,
    bounds_pairs,
    constant,
    pair_rows,
    safe_integers,
    weight_limits,
    weight_params,
    weight_shape,
    weight_types,
)

__all__ = [
    "NO_OVERRIDES",
    "Fit",
    "KeptFloat",
    "NodeCost",
    "Overrides",
    "PlannedNode",
    "QuantPlan",
    "QuantSettings",
    "Quantised",
    "around_unbounded",
    "bias_params",
    "bounds_pairs",
    "constant",
    "finite_tensors",
    "observable",
    "pair_rows",
    "plan",
    "plan_of_part",
    "safe_integers",
    "weight_limits",
    "weight_shape",
]


def plan(
    prepared: Prepared, ranges: Mapping[str, Range], settings: QuantSettings, overrides: Overrides = NO_OVERRIDES
) -> QuantPlan:
    """Decides for every node whether it computes in integers, and the scale and zero-point of every integer tensor.

    ranges: tensor name → calibrated range, for the tensors of `observable(prepared.model.graph)`.
    overrides: decisions that take precedence over the rules.
    Raises PlanError or CalibrationError where settings, model and ranges do not fit each other.
    """
    graph = prepared.model.graph
    decisions = decide(prepared, settings, overrides)
    stores_weights = overrides.fit is not None and overrides.fit.stores_weights
    if all(isinstance(form, KeptFloat) for form in decisions.values()) and not stores_weights:
        raise PlanError("every node stays float, so nothing would be gained; include more nodes or exclude fewer")
    grids = form_grids(graph, decisions, ranges)
    tensors = {
        name: params_from_range(grids.range_of(name), settings.activation, symmetric=settings.symmetric)
        for name in grids.parent
    }
    fused = fused_inputs(decisions, prepared.fused)
    tensors = {name: params for name, params in tensors.items() if name not in fused.values()}
    dropped = frozenset(str(node.name) for node in decisions if _is_dropped(node, grids, tensors))
    tensors, ties = settle(decisions, grids, tensors)
    weights: dict[str, QuantParams] = {}
    types, wide = weight_types(decisions, settings)
    notes = [*note_of(fused, prepared.fused), *grids.notes, *wide]
    for node, form in decisions.items():
        if isinstance(form, IntegerForm) and form.weight is not None:
            data = tensors[name_of(node.inputs[form.data[0]])]
            known = overrides.weights.get(str(node.name))
            weights[str(node.name)], more = weight_params(node, form, data, types[node], settings, known)
            notes.extend(more)
    integer = {str(node.name) for node, form in decisions.items() if isinstance(form, IntegerForm)}
    return QuantPlan(
        settings=settings,
        tensors=tensors,
        weights=weights,
        nodes=tuple(_planned(node, form, grids, dropped) for node, form in decisions.items()),
        dropped=dropped,
        variants={name: way for name, way in overrides.variants.items() if name in integer},
        changes=tuple(f"{c.rewrite}: {c.node}: {c.detail}" for c in prepared.changes),
        notes=(*notes, *notes_of(ties)),
        ties=ties,
    )


def plan_of_part(
    model: ir.Model, ranges: Mapping[str, Range], settings: QuantSettings, overrides: Overrides
) -> QuantPlan:
    """The plan of a part of a prepared graph, with arbitrary ranges: to measure its latency, not its outputs."""
    return plan(Prepared(model, (), ()), ranges, settings, overrides)


def _is_dropped(node: ir.Node, grids: QuantizationGroups, tensors: Mapping[str, QuantParams]) -> bool:
    """Whether the saturation of the output's grid does all that this Relu or Clip does."""
    name = name_of(node.outputs[0])
    if name not in grids.folded:
        return False
    params = tensors[name]
    low, high = clamp_bounds(node)
    slack = 0.501 * float(params.scale)  # half a step, by which a symmetric grid may go beyond, and float32's error
    kept = params.representable
    return low - slack < kept.minimum and kept.maximum < high + slack


def _planned(
    node: ir.Node, form: IntegerForm | KeptFloat, grids: QuantizationGroups, dropped: frozenset[str]
) -> PlannedNode:
    name = str(node.name)
    if isinstance(form, KeptFloat):
        return PlannedNode(name, node.op_type, form)
    detail = ""
    if name in dropped:
        detail = "folded into the range before it"
    elif form.kind is Kind.JOIN:
        shared = {grids.root(name_of(value)) for value in (*node.inputs, node.outputs[0])}
        detail = "one grid for all inputs" if len(shared) == 1 else "inputs requantised"
    return PlannedNode(name, node.op_type, Quantised(form.kind.value, detail))
