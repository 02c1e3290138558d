"""What is decided beside the rules, by measurement or by refinement; the rules alone without it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from quantseg.quantization.affine import QuantParams


@dataclass(frozen=True)
class NodeCost:
    """Milliseconds of one node with the clamps after it, the rest of the graph as it was placed.

    On the side that it is on: of its kernels. On the other side: with the borders that this would open or close there.
    None where it cannot compute so.
    """

    node: str
    as_float: float | None
    as_integer: float | None
    is_integer: bool
    variant: str

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        chosen = "integer" if self.is_integer else "float"
        return {
            "node": self.node,
            "chosen": chosen,
            "float_ms": self.as_float,
            "integer_ms": self.as_integer,
            "variant": self.variant,
        }


@dataclass(frozen=True)
class Fit:
    """What was measured on one machine. qformat: the output format that is fastest there. costs: of the timed nodes.

    by_parts: whether the times of parts place the nodes, or the rules. notes: fallbacks, and the times of whole models.
    """

    qformat: str
    costs: tuple[NodeCost, ...] = ()
    by_parts: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Overrides:
    """Decisions about single nodes that go before the rules of the plan.

    kept_float: node → the reason why it computes in float though it has an integer form. integer: nodes that compute in
    integers though the rules might take them back to float. variants: node → the way in which its integer form is
    written, where a format has several. weights: node → the grid that its weight lies on, where that is not the one
    that its extrema give. fit: what the target's runtime was measured to do; None without measuring.
    """

    kept_float: Mapping[str, str] = field(default_factory=dict)
    integer: frozenset[str] = frozenset()
    variants: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, QuantParams] = field(default_factory=dict)
    fit: Fit | None = None

    def left_float(self, nodes: Iterable[str], reason: str) -> "Overrides":
        """These, and the nodes float for that reason."""
        return replace(self, kept_float={**self.kept_float, **dict.fromkeys(sorted(nodes), reason)})


NO_OVERRIDES = Overrides()
"""The rules alone."""
