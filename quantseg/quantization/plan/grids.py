"""Quantization groups: which tensors share one grid (scale and zero-point), and the range of each grid.

Movements keep the grid of their input; a clamp becomes the saturation of its input's grid; a Concat shares one grid
with its inputs where that is cheap. The groups are found by union-find, and each group has one range.
"""

import functools
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from quantseg.errors import CalibrationError
from quantseg.quantization.affine import Range
from quantseg.quantization.operators import IntegerForm, Kind, integer_form
from quantseg.quantization.plan.dead_zones import without_dead_zone
from quantseg.quantization.plan.decisions import Decisions
from quantseg.quantization.plan.detection import kept_by_detection

CONCAT_COST = 1.0
"""Most bits of resolution that an input of a Concat may lose by sharing its grid; beyond, the input is requantised."""


@dataclass
class QuantizationGroups:
    """The quantization groups while they are being formed (union-find); the plan reads `range_of`.

    parent: tensor → tensor, up to the root of its group. ranges: root → range. narrowest: root → width of the narrowest
    range in the group. folded: outputs of clamps that the saturation of their grid replaces. notes: for the plan.
    """

    parent: dict[str, str] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    narrowest: dict[str, float] = field(default_factory=dict)
    folded: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def root(self, name: str) -> str:
        """The tensor that represents the group of `name`."""
        while (up := self.parent.setdefault(name, name)) != name:
            self.parent[name] = self.parent[up]
            name = up
        return name

    def add(self, name: str, span: Range | None = None) -> None:
        """Adds a tensor and, where its range does not follow from other tensors of its group, its range."""
        root = self.root(name)
        if span is not None:
            wide = span.with_zero()
            self.ranges[root] = self.ranges[root] | wide if root in self.ranges else wide
            self.narrowest[root] = min(self.narrowest.get(root, math.inf), wide.width or math.inf)

    def join(self, a: str, b: str) -> None:
        """Merges the groups of two tensors."""
        a, b = self.root(a), self.root(b)
        if a == b:
            return
        self.parent[b] = a
        if b in self.ranges:
            span, narrow = self.ranges.pop(b), self.narrowest.pop(b)
            self.ranges[a] = self.ranges[a] | span if a in self.ranges else span
            self.narrowest[a] = min(self.narrowest.get(a, math.inf), narrow)

    def range_of(self, name: str) -> Range:
        """The range of the tensor's group, extended to zero."""
        return self.ranges[self.root(name)]

    def cost_of_widening(self, name: str, to: Range) -> float:
        """Bits of resolution that the narrowest range in the tensor's group loses when its grid covers `to`."""
        narrow = self.narrowest[self.root(name)]
        return 0.0 if narrow == math.inf else math.log2(to.width / narrow)


def folds_into_grid(node: ir.Node, decisions: Decisions) -> bool:
    """Whether a clamp can be the saturation of its input's grid: it is the only consumer of an integer node."""
    value = node.inputs[0]
    producer = None if value is None else value.producer()
    return (
        value is not None
        and producer is not None
        and isinstance(decisions.get(producer), IntegerForm)
        and len(value.uses()) == 1
        and not value.is_graph_output()
    )


def observable(graph: ir.Graph) -> tuple[str, ...]:
    """Names of the float tensors whose range some plan may need, in the graph's order, graph inputs first.

    Omitted are tensors whose range follows from other tensors (see `_follows`), those that only a clamp reads, and
    those of detection logic.
    """
    names: list[str] = []
    kept = kept_by_detection(graph)
    for value in (*graph.inputs, *(v for node in graph for v in node.outputs)):
        unread = not value.uses() and not value.is_graph_output()
        if value.dtype != ir.DataType.FLOAT or unread or not value.name:
            continue
        producer = value.producer()
        form = None if producer is None or producer in kept else integer_form(producer)
        if isinstance(form, IntegerForm) and (_follows(form) or _clamped(value) is not None):
            continue
        forms = [integer_form(user) for user, _ in value.uses() if user not in kept]
        if isinstance(form, IntegerForm) or any(isinstance(f, IntegerForm) for f in forms):
            names.append(value.name)
    return tuple(names)


def form_grids(graph: ir.Graph, decisions: Decisions, ranges: Mapping[str, Range]) -> QuantizationGroups:
    """The quantization groups of all tensors that integer nodes read or write, with their ranges.

    ranges: tensor name → calibrated range. Raises CalibrationError for a tensor that was not observed.
    """
    grids = QuantizationGroups()
    made = (output for node in graph for output in node.outputs)
    values = {name_of(value): value for value in (*graph.inputs, *graph.initializers.values(), *made)}
    integer_nodes = [(node, form) for node in graph if isinstance(form := decisions[node], IntegerForm)]
    grids.folded.update(
        name_of(node.outputs[0])
        for node, form in integer_nodes
        if form.kind is Kind.CLAMP and folds_into_grid(node, decisions)
    )
    for node, form in integer_nodes:
        for index in form.data:
            _enter(grids, node.inputs[index], decisions, ranges)
        outputs = [value for value in node.outputs if value.dtype == ir.DataType.FLOAT]
        for output in outputs:
            if output.uses() or output.is_graph_output():
                _enter(grids, output, decisions, ranges)
        first = name_of(node.inputs[form.data[0]])
        if form.shares_grid or name_of(node.outputs[0]) in grids.folded:
            for output in outputs:
                grids.join(first, name_of(output))
        elif form.kind is Kind.COMPARISON:
            grids.join(first, name_of(node.inputs[form.data[1]]))
        elif form.kind is Kind.JOIN:
            _join_concat(node, grids, values)
    return grids


def name_of(value: ir.Value | None) -> str:
    """The name of a value that is present; after preparation all have names."""
    assert value is not None
    assert value.name
    return value.name


def _enter(
    grids: QuantizationGroups, value: ir.Value | None, decisions: Decisions, ranges: Mapping[str, Range]
) -> None:
    """Adds a tensor to the groups, with its own range unless that follows from other tensors of its group."""
    name = name_of(value)
    assert value is not None
    if name in grids.parent:
        return
    producer = value.producer()
    form = None if producer is None else decisions[producer]
    moved = isinstance(form, IntegerForm) and (form.shares_grid or form.kind is Kind.JOIN)
    clamped = _clamped(value)
    folded = clamped is not None and clamped.name in grids.folded
    grids.add(name, None if moved or folded else _known_range(value, ranges))


def _follows(form: IntegerForm) -> bool:
    """Whether the range of a node's output follows from its operator and its inputs' ranges."""
    return form.shares_grid or form.kind is Kind.JOIN or form.fixed is not None


def _clamped(value: ir.Value) -> ir.Value | None:
    """The output of the Relu or Clip that is the value's only consumer; None without one."""
    users = [user for user, _ in value.uses()]
    if len(users) != 1 or value.is_graph_output():
        return None
    form = integer_form(users[0])
    return users[0].outputs[0] if isinstance(form, IntegerForm) and form.kind is Kind.CLAMP else None


def _known_range(value: ir.Value | None, ranges: Mapping[str, Range]) -> Range:
    """The range of a tensor: of a constant, its extrema; else the calibrated one, or one that follows from others."""
    name = name_of(value)
    assert value is not None
    if value.const_value is not None:
        constant = value.const_value.numpy()
        return Range(float(constant.min(initial=0.0)), float(constant.max(initial=0.0)))
    producer = value.producer()
    form = None if producer is None else integer_form(producer)
    if name in ranges:
        least = form.least if isinstance(form, IntegerForm) else None
        span = ranges[name] if least is None else ranges[name] | least
        return without_dead_zone(value, span, ranges)
    if (clamped := _clamped(value)) is not None:
        return _known_range(clamped, ranges)
    if producer is None or not isinstance(form, IntegerForm) or not _follows(form):
        raise CalibrationError(
            f"{name!r} was not observed, or had no element on any image, as where nothing is detected; calibrate this "
            "model with these settings on images in which it detects something"
        )
    if form.fixed is not None:
        return form.fixed
    sources = [producer.inputs[index] for index in form.data]
    filled = [source for source in sources if _has_range(source, ranges)]  # a level may have no region on any image
    return functools.reduce(operator.or_, (_known_range(source, ranges) for source in filled or sources))


def _has_range(value: ir.Value | None, ranges: Mapping[str, Range]) -> bool:
    try:
        _known_range(value, ranges)
    except CalibrationError:
        return False
    return True


def _join_concat(node: ir.Node, grids: QuantizationGroups, values: Mapping[str, ir.Value]) -> None:
    """Groups a Concat's output with the inputs for which that is cheap; other inputs are requantised.

    For an input that only this node reads it is free: requantised to the output's grid, it would be rounded twice
    instead of once.
    """
    inputs, output = [name_of(value) for value in node.inputs], name_of(node.outputs[0])
    total = functools.reduce(operator.or_, (grids.range_of(name) for name in inputs))
    costs = {
        name: 0.0 if _serves_only(node, name, grids, values) else grids.cost_of_widening(name, total) for name in inputs
    }
    grids.add(output, total)
    for name in inputs:
        if costs[name] <= CONCAT_COST:
            grids.join(output, name)
    worst = max(costs, key=lambda name: costs[name])
    if costs[worst] > CONCAT_COST:
        count = sum(cost > CONCAT_COST for cost in costs.values())
        what = f"{count} of its inputs are requantised" if count > 1 else "an input is requantised"
        grids.notes.append(f"{node.name}: {what}, its grid would cost {worst!r} {costs[worst]:.1f} bits")


def _serves_only(node: ir.Node, name: str, grids: QuantizationGroups, values: Mapping[str, ir.Value]) -> bool:
    """Whether only this node, and movements inside the group, read the tensors of the group of `name`."""
    root = grids.root(name)
    members = {member for member in grids.parent if grids.root(member) == root}
    return not any(
        values[member].is_graph_output()
        or any(
            user is not node and not any(output.name in members for output in user.outputs)
            for user, _ in values[member].uses()
        )
        for member in members
    )
