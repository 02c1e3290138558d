"""Decisions that take precedence over the plan's rules, made by measurement or by refinement."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from quantseg.quantization.affine import QuantParams


@dataclass(frozen=True)
class NodeCost:
    """Latency in milliseconds of one node, with the clamps after it, in float and in integers.

    is_integer: how the node was placed. That time is the time of its kernels; the other one includes the conversions
    (Q/DQ) that would be added or removed at its borders, with all other nodes as placed. None: not possible.
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
    """What was measured on one machine. qformat: the fastest output format there. costs: those of the timed nodes.

    by_parts: whether measured latencies of parts decided where nodes compute; else the rules did. notes: fallbacks, and
    the latencies of whole models. stores_weights: whether float weights of products are stored as int8.
    """

    qformat: str
    costs: tuple[NodeCost, ...] = ()
    by_parts: bool = False
    notes: tuple[str, ...] = ()
    stores_weights: bool = False


@dataclass(frozen=True)
class Overrides:
    """Decisions about single nodes that take precedence over the plan's rules.

    kept_float: node → the reason why it computes in float although it has an integer form. integer: nodes that compute
    in integers although the rules might take them back to float. variants: node → the variant of its integer form,
    where a format has several. weights: node → the grid of its (already rounded) weight, where that is not the one from
    its extrema. fit: the measurements on the target's runtime; None without any.
    """

    kept_float: Mapping[str, str] = field(default_factory=dict)
    integer: frozenset[str] = frozenset()
    variants: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, QuantParams] = field(default_factory=dict)
    fit: Fit | None = None

    def left_float(self, nodes: Iterable[str], reason: str) -> "Overrides":
        """These overrides, with the nodes kept in float for `reason`."""
        return replace(self, kept_float={**self.kept_float, **dict.fromkeys(sorted(nodes), reason)})


NO_OVERRIDES = Overrides()
"""No overrides: the rules decide everything."""
