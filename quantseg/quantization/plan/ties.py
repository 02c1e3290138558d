"""Scales with which every processor computes the same integers.

Kernels of Add and Mul differ where a result is at a tie, or so near to one that float arithmetic may put it on either
side (rounding/agreement.py); no other operator was found to differ. Two 8-bit operands have 256 · 256 values, so all
inputs are enumerated. Of the operator's grids, the last in the graph's order is then enlarged by the least number of
small steps with which no kernels differ. Where no number of steps suffices, the plan counts the inputs that differ.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from quantseg.quantization.affine import F32, QuantParams, quantize
from quantseg.quantization.operators import IntegerForm, KeptFloat, Kind
from quantseg.quantization.operators.resampling import Blend, Interpolation, interpolation
from quantseg.quantization.plan import grids as groups
from quantseg.quantization.plan.decisions import Decisions
from quantseg.quantization.plan.weights import constant
from quantseg.quantization.rounding.agreement import Held, PairGrids, apart

STEP, STEPS = 2.0**-16, 66
"""Size and number of steps: a scale grows by at most 1/1000, a quarter of an integer step at the end of the range."""

Tensors = Mapping[str, QuantParams]


@dataclass(frozen=True)
class _Operator:
    """An Add or Mul whose grids the plan chooses. tensors: its operands and result. apart: counts differing inputs."""

    node: str
    tensors: tuple[str, ...]
    apart: Callable[[Tensors], int]


def settle(
    decisions: Decisions, grids: groups.QuantizationGroups, tensors: Tensors
) -> tuple[dict[str, QuantParams], dict[str, int]]:
    """The grids, some a little coarser, and for each node whose kernels may differ the number of inputs that differ.

    A count of 0 is a proof: no input that the operand types can hold gives other integers on another processor.
    """
    settled, order = dict(tensors), _order(decisions, grids)
    members: dict[str, list[str]] = {}
    for name in tensors:
        members.setdefault(grids.root(name), []).append(name)
    waiting: dict[str | None, list[_Operator]] = {}
    every = (operator for node, form in decisions.items() for operator in _operators(node, form, grids))
    found = [operator for operator in every if all(name in tensors for name in operator.tensors)]
    for operator in found:
        roots = [root for name in operator.tensors if (root := grids.root(name)) in order]
        waiting.setdefault(max(roots, key=order.__getitem__, default=None), []).append(operator)
    for root in order:
        if root in waiting:
            settled |= _grown(settled, members[root], waiting[root])
    counts: dict[str, int] = {}
    for operator in found:
        counts[operator.node] = counts.get(operator.node, 0) + operator.apart(settled)
    return settled, counts


def notes_of(counts: Mapping[str, int]) -> tuple[str, ...]:
    """A line for each node that processors may compute differently."""
    return tuple(
        f"{node}: {count} of its possible inputs are rounded otherwise by another processor"
        for node, count in counts.items()
        if count
    )


def _order(decisions: Decisions, grids: groups.QuantizationGroups) -> dict[str, int]:
    """Root of each quantization group whose scale may change → its position in the graph's order."""
    met: dict[str, int] = {}
    for node, form in decisions.items():
        if isinstance(form, IntegerForm):
            for value in (*(node.inputs[index] for index in form.data), *node.outputs):
                if value is not None and value.name in grids.parent:
                    met.setdefault(grids.root(value.name), len(met))
    fixed = {
        grids.root(groups.name_of(node.outputs[0]))
        for node, form in decisions.items()
        if isinstance(form, IntegerForm)
        and (form.fixed is not None or node.op_type == "DequantizeLinear")
        and node.outputs[0].name in grids.parent
    }
    return {root: place for root, place in met.items() if root not in fixed}


def _grown(tensors: Tensors, group: list[str], operators: list[_Operator]) -> dict[str, QuantParams]:
    """The group's grid enlarged by the least number of steps for which its operators' kernels differ least."""
    base = tensors[group[0]]
    best, least = base, math.inf
    for step in range(STEPS):
        tried = replace(base, scale=np.asarray(base.scale * np.float32(1 + step * STEP), np.float32))
        moved = {**tensors, **dict.fromkeys(group, tried)}
        total = 0
        for operator in operators:
            total += operator.apart(moved)
            if total >= least:
                break
        else:
            best, least = tried, total
        if least == 0:
            break
    return dict.fromkeys(group, best)


def _operators(node: ir.Node, form: IntegerForm | KeptFloat, grids: groups.QuantizationGroups) -> list[_Operator]:
    """The additions and multiplications of a node in which kernels may differ; none for most nodes."""
    if not isinstance(form, IntegerForm):
        return []
    name, output = str(node.name), node.outputs[0]
    if node.op_type in ("Add", "Sub", "Mul"):
        left, right = (node.inputs[index] for index in form.data)
        operands = groups.name_of(left), groups.name_of(right), groups.name_of(output)
        held = _constant(left), _constant(right)
        return [_Operator(name, operands, functools.partial(_pair, node.op_type, held, operands))]
    if form.kind is Kind.JOIN:
        pairs = {(groups.name_of(value), groups.name_of(output)) for value in node.inputs if value is not None}
        apart_grids = sorted(pair for pair in pairs if grids.root(pair[0]) != grids.root(pair[1]))
        return [_Operator(name, pair, functools.partial(_requantised, pair)) for pair in apart_grids]
    if form.kind is Kind.INTERPOLATION:
        blended = interpolation(node)
        return [
            _Operator(name, (groups.name_of(output),), functools.partial(_blended, groups.name_of(output), own))
            for own in sorted(_weights(blended))
        ]
    return []


def _constant(value: ir.Value | None) -> F32 | None:
    """The elements of a constant operand; None for an activation."""
    return None if value is None or value.const_value is None else constant(value)


def _pair(op_type: str, constants: tuple[F32 | None, F32 | None], names: tuple[str, str, str], tensors: Tensors) -> int:
    """Inputs on which kernels of an Add, Mul or Sub differ; a Sub is written as an Add with a negative scale."""
    a, b, y = (tensors[name] for name in names)
    left, right = (_held(numbers, params) for numbers, params in zip(constants, (a, b), strict=True))
    if op_type == "Sub":
        return apart("Add", _grids_of(a, replace(b, scale=-b.scale), y), left, right)
    return apart(op_type, _grids_of(a, b, y), left, right)


def _held(numbers: F32 | None, params: QuantParams) -> Held:
    """The integers that a constant operand holds; None for an activation, which can hold all."""
    return None if numbers is None else tuple(sorted(set(quantize(numbers, params).reshape(-1).tolist())))


def _requantised(names: tuple[str, str], tensors: Tensors) -> int:
    """Inputs on which kernels differ where a Concat's input is requantised by adding zero."""
    x, y = (tensors[name] for name in names)
    return apart("Add", _grids_of(x, x, y), None, (int(x.zero_point),))


def _weights(found: Interpolation | str) -> set[float]:
    """The weights `own` (see Phase) in the weighted sums that a linear Resize becomes."""
    axes = (found.rows, found.columns) if isinstance(found, Interpolation) else ()
    return {phase.own for axis in axes if isinstance(axis, Blend) for phase in axis.phases if phase.own < 1}


def _blended(name: str, own: float, tensors: Tensors) -> int:
    return _blend_apart(blend_scales(tensors[name], own), tensors[name])


def _blend_apart(scales: tuple[np.float32, np.float32], params: QuantParams) -> int:
    """Pairs of inputs with these scales whose sum, requantised to the grid `params`, differs between kernels."""
    zero = int(params.zero_point)
    return apart("Add", PairGrids((*map(float, scales), float(params.scale)), (zero, zero, zero), params.qtype.signed))


@functools.lru_cache(maxsize=1024)
def blend_scales(params: QuantParams, own: float) -> tuple[np.float32, np.float32]:
    """The scales of a pixel and its neighbour in a weighted sum on their own grid: S·own and S·(1 − own).

    With weights such as 0.75 and 0.25, sums are often at ties. Both weights are reduced by the least number of steps
    for which kernels differ least.
    """
    best, least = None, math.inf
    for step in range(STEPS):
        factor = 1 - step * STEP
        scales = tuple(np.float32(params.scale * np.float32(weight * factor)) for weight in (own, 1 - own))
        count = _blend_apart((scales[0], scales[1]), params)
        if count < least:
            best, least = (scales[0], scales[1]), count
        if least == 0:
            break
    assert best is not None
    return best


def _grids_of(*params: QuantParams) -> PairGrids:
    return PairGrids(
        tuple(float(p.scale) for p in params), tuple(int(p.zero_point) for p in params), params[-1].qtype.signed
    )
