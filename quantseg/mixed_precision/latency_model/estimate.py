"""Estimates a model's latency on this machine from the times of its parts, with any of its nodes held in float."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quantseg.mixed_precision import minimum_cut as cut
from quantseg.mixed_precision.latency_model import pricing
from quantseg.mixed_precision.latency_model.target import Bench, timed_choices
from quantseg.mixed_precision.latency_model.trials import Way
from quantseg.mixed_precision.minimum_cut import Crossing, CutPart
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.operators import IntegerForm
from quantseg.quantization.plan.decisions import decide


@dataclass(frozen=True)
class Estimate:
    """The times of a model's parts and of the conversions between them, in nanoseconds. units: node → its part."""

    parts: Mapping[str, CutPart]
    crossings: tuple[Crossing, ...]
    units: Mapping[str, str]

    def milliseconds(self, held: frozenset[str] = frozenset()) -> float:
        """Latency of the fastest placement with the `held` nodes in float; untimed parts count as 0."""
        parts = {**self.parts, **{name: self._in_float(name) for name in {self.units[node] for node in held}}}
        total = cut.price(parts, self.crossings, cut.cheapest(parts, self.crossings))
        assert total is not None
        return total * 1e-6

    def nodes(self) -> Mapping[str, float]:
        """Node → milliseconds that its part takes longer in float than in integers, without conversions; at least 0."""
        found = {}
        for node, unit in self.units.items():
            part = self.parts[unit]
            both = part.as_float is not None and part.as_integer is not None
            slower = max(0, (part.as_float or 0) - (part.as_integer or 0)) if both else 0
            found[node] = slower * 1e-6 if node == unit else 0.0
        return found

    def _in_float(self, name: str) -> CutPart:
        return CutPart(self.parts[name].as_float or 0, None)


def estimate(candidate: Candidate, inputs: Mapping[str, Sequence[int]], bench: Bench) -> Estimate:
    """Times the parts of the model, as `fit` does, or reads their times from disk.

    inputs: shapes of the model's inputs, where it leaves them open.
    """
    prepared, settings, overrides = candidate.prepared, candidate.settings, candidate.overrides
    everywhere = replace(overrides, integer=frozenset(str(node.name) for node in prepared.model.graph))
    wanted, ruled = decide(prepared, settings, everywhere), decide(prepared, settings, overrides)
    by_rule = {str(node.name): isinstance(form, IntegerForm) for node, form in ruled.items()}
    way = Way(bench.qformats[0], settings)
    choices, costs = timed_choices(prepared, inputs, wanted, way, bench)
    makers = {value: choice.unit for choice in choices for value in choice.unit.results}
    parts = {
        choice.unit.name: pricing.part(choice, costs, makers)
        if choice.is_open
        else CutPart(None, 0)
        if by_rule[choice.unit.name]
        else CutPart(0, None)
        for choice in choices
    }
    units = {name: choice.unit.name for choice in choices for name in choice.unit.names}
    return Estimate(parts, tuple(pricing.crossings(choices, costs, way, makers)), units)
