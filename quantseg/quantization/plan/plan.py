"""The plan: every decision about a quantised model, made before any graph is edited."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from quantseg.errors import printable
from quantseg.quantization.affine import QuantParams
from quantseg.quantization.operators import KeptFloat
from quantseg.quantization.plan.settings import QuantSettings


@dataclass(frozen=True)
class Quantised:
    """The decision that a node computes in integers. role: the kind of operator. detail: a remark, "" for none."""

    role: str
    detail: str = ""


@dataclass(frozen=True)
class PlannedNode:
    """One node of the prepared graph and the decision about it."""

    name: str
    op_type: str
    decision: Quantised | KeptFloat


@dataclass(frozen=True)
class QuantPlan:
    """How a prepared float graph is quantised.

    tensors: activation or constant operand → its grid. weights: node → the grid of its weight. dropped: Relu and Clip
    nodes that the saturation of a grid replaces. variants: node → the variant in which a format writes it, where there
    are several. changes: what the lowering did, one line each. notes: remarks, one line each. ties: for each node whose
    kernels may round differently on different processors, the number of its possible inputs that some processor rounds
    differently (ties.py).
    """

    settings: QuantSettings
    tensors: Mapping[str, QuantParams]
    weights: Mapping[str, QuantParams]
    nodes: tuple[PlannedNode, ...]
    dropped: frozenset[str]
    variants: Mapping[str, str]
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    ties: Mapping[str, int] = field(default_factory=dict)

    @property
    def quantised(self) -> tuple[PlannedNode, ...]:
        """The nodes that compute in integers, in the graph's order."""
        return tuple(node for node in self.nodes if isinstance(node.decision, Quantised))

    @property
    def kept_float(self) -> Mapping[str, int]:
        """Reason → number of nodes that stay float for it, the most frequent first."""
        reasons = Counter(n.decision.reason for n in self.nodes if isinstance(n.decision, KeptFloat))
        return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))

    def __str__(self) -> str:
        reasons = list(self.kept_float.items())
        kept = "".join(f"\n  {count} float: {printable(reason)}" for reason, count in reasons[:6])
        rest = sum(count for _, count in reasons[6:])
        more = f"\n  {rest} float for other reasons" if rest else ""
        return f"QuantPlan: {len(self.quantised)} of {len(self.nodes)} nodes in integers{kept}{more}"

    def is_quantised(self, name: str) -> bool:
        """Whether the node of that name computes in integers."""
        return name in {node.name for node in self.quantised}

    def to_json(self) -> dict[str, object]:
        """The whole plan as plain values, in the graph's order."""
        return {
            "settings": self.settings.to_json(),
            "tensors": {name: _params_to_json(params) for name, params in self.tensors.items()},
            "weights": {name: _params_to_json(params) for name, params in self.weights.items()},
            "variants": dict(self.variants),
            "nodes": [_node_to_json(node, node.name in self.dropped) for node in self.nodes],
            "ties": dict(self.ties),
            "changes": list(self.changes),
            "notes": list(self.notes),
        }


def _params_to_json(params: QuantParams) -> dict[str, object]:
    return {
        "qtype": params.qtype.name,
        "axis": params.axis,
        "scale": params.scale.tolist(),
        "zero_point": params.zero_point.tolist(),
    }


def _node_to_json(node: PlannedNode, dropped: bool) -> dict[str, object]:
    entry: dict[str, object] = {"name": node.name, "op_type": node.op_type}
    if isinstance(node.decision, KeptFloat):
        return entry | {"precision": "float", "reason": node.decision.reason}
    return entry | {
        "precision": "integer",
        "role": node.decision.role,
        "detail": node.decision.detail,
        "dropped": dropped,
    }
