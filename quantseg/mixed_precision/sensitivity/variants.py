"""The partly quantised graphs that are measured. Variants with the same graph are equal, so each is measured once."""

from dataclasses import dataclass, field

import onnx_ir as ir

from quantseg.mixed_precision.sensitivity.parts import MeasuredPart
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised, rounded_tensors
from quantseg.quantization.operators import IntegerForm
from quantseg.quantization.plan.decisions import decide

_REASON = "left float, to see what that gives back"


@dataclass(frozen=True)
class PartialRounding:
    """A part of what the plan rounds, all else in float. weights: nodes whose weights are rounded. tensors: rounded."""

    weights: frozenset[str] = frozenset()
    tensors: frozenset[str] = frozenset()

    @property
    def is_float(self) -> bool:
        """Whether nothing is rounded."""
        return not self.weights and not self.tensors


@dataclass(frozen=True)
class Without:
    """The plan made anew with `node` left float. integer: the nodes that still compute in integers; they alone are
    compared for equality.
    """

    integer: frozenset[str]
    node: str = field(compare=False)

    @property
    def is_float(self) -> bool:
        """Whether nothing is rounded."""
        return not self.integer


Variant = PartialRounding | Without


@dataclass(frozen=True)
class PartVariants:
    """The variants that are measured for one node; see NodeSensitivity. None: not applicable, or not asked for."""

    part: MeasuredPart
    alone: PartialRounding
    weights: PartialRounding | None
    activations: PartialRounding
    left_float: Without | None

    @property
    def all(self) -> tuple[Variant, ...]:
        """All variants that are not None."""
        return tuple(v for v in (self.alone, self.weights, self.activations, self.left_float) if v is not None)


def variants_of(part: MeasuredPart, candidate: Candidate, *, left_float: bool) -> PartVariants:
    """The variants of one node of the candidate's plan. left_float: whether the plan without the node is one."""
    weights = frozenset({part.node}) if part.weights else None
    without = None
    if left_float:
        without_it = _without(candidate, part.node)
        decisions = decide(candidate.prepared, candidate.settings, without_it.overrides)
        integer = frozenset(str(node.name) for node, form in decisions.items() if isinstance(form, IntegerForm))
        without = Without(integer, part.node)
    return PartVariants(
        part,
        PartialRounding(weights or frozenset(), part.tensors),
        None if weights is None else PartialRounding(weights),
        PartialRounding(tensors=part.tensors),
        without,
    )


def whole_of(candidate: Candidate) -> PartialRounding:
    """The variant that rounds all that the plan rounds."""
    decided = candidate.plan
    return PartialRounding(frozenset(decided.weights), frozenset(rounded_tensors(candidate.prepared.model, decided)))


def build(variant: Variant, candidate: Candidate) -> ir.Model:
    """The graph that computes a variant of the candidate."""
    model = candidate.prepared.model
    if isinstance(variant, PartialRounding):
        return fake_quantised(model, candidate.plan, weights=variant.weights, tensors=variant.tensors)
    return fake_quantised(model, _without(candidate, variant.node).plan)


def _without(candidate: Candidate, node: str) -> Candidate:
    return candidate.left_float([node], _REASON)
