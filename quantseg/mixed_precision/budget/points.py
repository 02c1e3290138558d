"""Points, the evaluated models of a search, and their Pareto front."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Point:
    """One model that was evaluated on real images.

    float_nodes: the nodes that the search left float. cost: what the search minimises, see `Costs.unit`. int8_share:
    share of the multiply-accumulates in int8, 0…1. drop: points of mIoU that its masks lose; negative where they gain.
    class_drops: class → points of IoU lost. agreement: mean IoU of its masks with the float masks, 0…1. sqnr_db: of its
    output, in dB; None for class ids and where it is infinite.
    """

    float_nodes: frozenset[str]
    cost: float
    int8_share: float
    drop: float
    class_drops: Mapping[str, float] = field(default_factory=dict)
    agreement: float = 1.0
    sqnr_db: float | None = None

    def to_json(self) -> dict[str, object]:
        """Plain values; nodes by name."""
        return {
            "float_nodes": sorted(self.float_nodes),
            "cost": self.cost,
            "int8_share": self.int8_share,
            "iou_drop": self.drop,
            "class_drops": dict(self.class_drops),
            "agreement": self.agreement,
            "sqnr_db": self.sqnr_db,
        }


def dominates(one: Point, other: Point, classes: Collection[str] = ()) -> bool:
    """Whether `one` is no worse than `other` in cost and every loss, and better in at least one of them.

    classes: those whose own IoU losses count beside that of mIoU.
    """
    pairs = [(one.cost, other.cost), (one.drop, other.drop)]
    pairs += [(one.class_drops[name], other.class_drops[name]) for name in classes]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def front(points: Iterable[Point], classes: Collection[str] = ()) -> tuple[Point, ...]:
    """The points that no other dominates, the cheapest first. Source: Pareto, Manuale di economia politica, 1906."""
    given = tuple(points)
    best = [point for point in given if not any(dominates(other, point, classes) for other in given)]
    return tuple(sorted(best, key=lambda point: (point.cost, point.drop, sorted(point.float_nodes))))
