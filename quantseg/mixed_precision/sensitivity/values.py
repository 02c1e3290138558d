"""The values of a sensitivity analysis: losses against the float model, node by node."""

import math
from dataclasses import dataclass
from typing import Any

from quantseg.data.heads import JudgedOutputs
from quantseg.errors import printable


@dataclass(frozen=True)
class Loss:
    """How far a model's outputs are from the float model's, over some images.

    sqnr_db: of the outputs that the masks come from, in dB; infinite where nothing differs, −inf where the signal is
    zero but not the noise, or where rounding gives values that are not finite. flipped: share 0…1 of pixels whose class
    (of a multilabel head: any class) differs.
    """

    sqnr_db: float
    flipped: float

    def to_json(self) -> dict[str, Any]:
        """Plain values. sqnr_db is null where it is infinite; `equal` is true for +inf and false for −inf."""
        finite = math.isfinite(self.sqnr_db)
        return {
            "sqnr_db": self.sqnr_db if finite else None,
            "equal": self.sqnr_db == math.inf,
            "flipped": self.flipped,
        }


NOTHING_LOST = Loss(math.inf, 0.0)
"""The loss of the float model itself."""


@dataclass(frozen=True)
class NodeSensitivity:
    """The losses of one node that the plan computes in integers. macs: its multiply-accumulates for one input.

    alone: only this node is quantised. weights: only its weight and bias are rounded; None where it has none.
    activations: only the tensors that it reads and writes are rounded. left_float: the whole plan is quantised except
    this node and the nodes that the plan leaves float because of it; tensors that integer neighbours read or write stay
    rounded; None where that was not measured.
    """

    node: str
    op_type: str
    macs: int
    alone: Loss
    weights: Loss | None
    activations: Loss
    left_float: Loss | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "node": self.node,
            "op_type": self.op_type,
            "macs": self.macs,
            "alone": self.alone.to_json(),
            "weights": None if self.weights is None else self.weights.to_json(),
            "activations": self.activations.to_json(),
            "left_float": None if self.left_float is None else self.left_float.to_json(),
        }


@dataclass(frozen=True)
class Sensitivity:
    """The losses of a plan. whole: with everything quantised. nodes: in the graph's order.

    images: how many were measured on. macs: of all nodes, float ones too. judged: the outputs that are compared.
    """

    whole: Loss
    images: int
    nodes: tuple[NodeSensitivity, ...]
    macs: int
    judged: JudgedOutputs

    def ranked(self) -> tuple[NodeSensitivity, ...]:
        """The nodes by the loss of each alone, the largest first: by SQNR, and for equal SQNR by flipped pixels.

        SQNR comes first because the noise of a plan is about the sum of its nodes' noise, while flipped pixels do not
        add up. Equal nodes keep the graph's order.
        """
        return tuple(sorted(self.nodes, key=lambda node: (node.alone.sqnr_db, -node.alone.flipped)))

    def share(self, node: NodeSensitivity) -> float:
        """The node's share, 0…1, of all multiply-accumulates."""
        return node.macs / self.macs if self.macs else 0.0

    def gain_db(self, node: NodeSensitivity) -> float | None:
        """How much the SQNR of the whole plan rises with this node left float, in dB; None where not measured."""
        if node.left_float is None:
            return None
        if node.left_float.sqnr_db == self.whole.sqnr_db:  # also where both are infinite and have no difference
            return 0.0
        return node.left_float.sqnr_db - self.whole.sqnr_db

    def __str__(self) -> str:
        ranked = self.ranked()
        named = ((printable(f"{one.node} ({one.op_type})"), one.alone) for one in ranked[:5])
        rows = (f"\n  {name}: {loss.sqnr_db:.1f} dB alone" for name, loss in named)
        rest = f"\n  … and {len(ranked) - 5} more nodes" if len(ranked) > 5 else ""
        whole = f"{self.whole.sqnr_db:.1f} dB, {100 * self.whole.flipped:.2f} % of the pixels flip"
        judged = f"\n  {self.judged.note}" if self.judged.note else ""
        return f"Sensitivity on {self.images} images; the whole plan: {whole}{''.join(rows)}{rest}{judged}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, the nodes in the graph's order."""
        return {
            "images": self.images,
            "output": self.judged.to_json(),
            "macs": self.macs,
            "whole": self.whole.to_json(),
            "nodes": [node.to_json() for node in self.nodes],
        }
