"""A model to be quantised: the prepared float graph and everything decided about it so far."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import onnx_ir as ir

from quantseg.graph.preparation import Prepared
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.plan import NO_OVERRIDES, Overrides, QuantPlan, QuantSettings, around_unbounded, plan
from quantseg.quantization.ranges import RangeTable


@dataclass(frozen=True)
class Candidate:
    """A float model and all decisions about its quantization so far. A step returns a new one; none is changed.

    ranges: the range of each tensor. settings: what the user wants. overrides: decisions that take precedence over the
    plan's rules. notes: what the steps did, one line each.
    """

    model: FloatModel
    ranges: RangeTable
    settings: QuantSettings
    overrides: Overrides = NO_OVERRIDES
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(model: FloatModel, ranges: RangeTable, settings: QuantSettings) -> "Candidate":
        """The candidate about which nothing is decided, but that nodes around tensors without a grid stay float."""
        around = around_unbounded(model.prepared.model.graph, ranges.unbounded)
        return Candidate(model, ranges, settings, Overrides(kept_float=around))

    @cached_property
    def plan(self) -> QuantPlan:
        """The plan that follows from the candidate, with the candidate's notes before the plan's own.

        Raises CalibrationError for ranges of another model, integer type or symmetry; PlanError and CalibrationError as
        `plan` does.
        """
        self.ranges.require(self.model.digest, self.settings)
        decided = plan(self.model.prepared, self.ranges.ranges, self.settings, self.overrides)
        return replace(decided, notes=(*self.notes, *decided.notes))

    @property
    def prepared(self) -> Prepared:
        """The prepared float graph."""
        return self.model.prepared

    def with_prepared(self, prepared: Prepared) -> "Candidate":
        """The candidate with another float graph."""
        return replace(self, model=replace(self.model, prepared=prepared))

    def with_weights(self, model: ir.Model, grids: Mapping[str, QuantParams]) -> "Candidate":
        """The candidate with a graph whose weights are rounded already. grids: node → grid, for all such weights."""
        prepared = replace(self.prepared, model=model)
        return replace(self.with_prepared(prepared), overrides=replace(self.overrides, weights=grids))

    def left_float(self, nodes: Iterable[str], reason: str) -> "Candidate":
        """The candidate with these nodes kept in float, for `reason`."""
        return replace(self, overrides=self.overrides.left_float(nodes, reason))

    def noted(self, *notes: str) -> "Candidate":
        """The candidate with more notes."""
        return replace(self, notes=(*self.notes, *notes))
