"""What was measured: losses against the float model, node by node."""

import math
from dataclasses import dataclass
from typing import Any

from quantseg.data.heads import JudgedOutputs


@dataclass(frozen=True)
class Loss:
    """How far a model is from the float model over some images.

    sqnr_db: of the output that the masks come from, in dB; infinite where nothing differs, −inf where noise meets no
    signal or rounding makes numbers that are not finite. flipped: share 0…1 of pixels whose class, or any of whose
    classes, is another.
    """

    sqnr_db: float
    flipped: float

    def to_json(self) -> dict[str, Any]:
        """Plain values. sqnr_db is null where it is infinite; then `equal` tells which way."""
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
    """One node that the plan computes in integers. macs: its multiply-accumulates for one input.

    alone: it is quantised, all else is float. weights: its weight and bias alone are rounded; None without them.
    activations: the tensors that it reads and writes alone are. left_float: the whole plan but this node, and what
    stays float because it does; tensors that integer neighbours read or write stay rounded. None where that was not
    measured.
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
    """A plan's losses. whole: of the full plan. nodes: in the graph's order. macs: of all nodes, float ones too.

    judged: which outputs of the model are compared.
    """

    whole: Loss
    images: int
    nodes: tuple[NodeSensitivity, ...]
    macs: int
    judged: JudgedOutputs

    def ranked(self) -> tuple[NodeSensitivity, ...]:
        """The nodes by what each loses alone, the most harmful first: by SQNR, of equal ones by flipped pixels.

        The noise of a plan is about the sum of its nodes' noise; flipped pixels do not add up, as noise cancels at most
        of them. Equal nodes keep the graph's order.
        """
        return tuple(sorted(self.nodes, key=lambda node: (node.alone.sqnr_db, -node.alone.flipped)))

    def share(self, node: NodeSensitivity) -> float:
        """The node's part, 0…1, of all multiply-accumulates."""
        return node.macs / self.macs if self.macs else 0.0

    def gain_db(self, node: NodeSensitivity) -> float | None:
        """The SQNR that the whole plan gains where this node stays float, in dB; None where it was not measured."""
        if node.left_float is None:
            return None
        if node.left_float.sqnr_db == self.whole.sqnr_db:  # infinite both, they have no difference
            return 0.0
        return node.left_float.sqnr_db - self.whole.sqnr_db

    def __str__(self) -> str:
        ranked = self.ranked()
        rows = (f"\n  {one.node} ({one.op_type}): {one.alone.sqnr_db:.1f} dB alone" for one in ranked[:5])
        rest = f"\n  … and {len(ranked) - 5} more nodes" if len(ranked) > 5 else ""
        whole = f"{self.whole.sqnr_db:.1f} dB, {100 * self.whole.flipped:.2f} % of the pixels flip"
        return f"Sensitivity on {self.images} images; the whole plan: {whole}{''.join(rows)}{rest}"

    def to_json(self) -> dict[str, Any]:
        """Plain values, the nodes in the graph's order."""
        return {
            "images": self.images,
            "output": self.judged.to_json(),
            "macs": self.macs,
            "whole": self.whole.to_json(),
            "nodes": [node.to_json() for node in self.nodes],
        }
