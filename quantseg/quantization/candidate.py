"""A model as it will be quantised: the float network, and all that is decided about it so far."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import onnx_ir as ir

from quantseg.graph.preparation import Prepared
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.plan import NO_OVERRIDES, Overrides, QuantPlan, QuantSettings, plan
from quantseg.quantization.ranges import RangeTable


@dataclass(frozen=True)
class Candidate:
    """A float network on its way to integers. A step makes a new one; none is changed.

    ranges: of its tensors. settings: what the user wants. overrides: what was decided beside the rules. notes: what was
    done to it, one line each.
    """

    model: FloatModel
    ranges: RangeTable
    settings: QuantSettings
    overrides: Overrides = NO_OVERRIDES
    notes: tuple[str, ...] = ()

    @cached_property
    def plan(self) -> QuantPlan:
        """Every decision about its nodes and tensors; its notes come first.

        Raises CalibrationError for ranges of another model or grid, PlanError and CalibrationError as `plan` does.
        """
        self.ranges.require(self.model.digest, self.settings)
        decided = plan(self.model.prepared, self.ranges.ranges, self.settings, self.overrides)
        return replace(decided, notes=(*self.notes, *decided.notes))

    @property
    def prepared(self) -> Prepared:
        """Its float graph."""
        return self.model.prepared

    def with_prepared(self, prepared: Prepared) -> "Candidate":
        """With another float graph."""
        return replace(self, model=replace(self.model, prepared=prepared))

    def with_weights(self, model: ir.Model, grids: Mapping[str, QuantParams]) -> "Candidate":
        """With a graph whose weights lie on these grids. grids: node → grid of its weight, also of those before."""
        prepared = replace(self.prepared, model=model)
        return replace(self.with_prepared(prepared), overrides=replace(self.overrides, weights=grids))

    def left_float(self, nodes: Iterable[str], reason: str) -> "Candidate":
        """With the nodes in float for that reason."""
        return replace(self, overrides=self.overrides.left_float(nodes, reason))

    def noted(self, *notes: str) -> "Candidate":
        """With notes more."""
        return replace(self, notes=(*self.notes, *notes))
