"""What leaving nodes float costs in time, by rule: equal on every machine, as the files that follow from it must be.

A convolution is slower in float, unless each channel is convolved alone, and a tensor that is read across the border of
a float region is converted there, a pass over it of its own. The unit is the time of one multiply-accumulate in float.
The rates are those of onnxruntime 1.31 on six models of many kinds, in portable QDQ (Intel Xeon with VNNI, two threads:
one unit is 0.007 ns), rounded: a rule that tells cheap regions from dear ones, no forecast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.graph.preparation import Prepared
from quantseg.quantization.plan import QuantPlan
from quantseg.runtimes.macs import multiply_accumulates, numbers_of


@dataclass(frozen=True)
class Rate:
    """What one multiply-accumulate takes and one number that is made, in float and in integers."""

    mac: tuple[float, float]
    number: tuple[int, int]

    def times(self, macs: int, numbers: int) -> tuple[int, int]:
        """In float and in integers."""
        in_float, in_integers = (round(self.mac[side] * macs) + self.number[side] * numbers for side in (0, 1))
        return in_float, in_integers


DENSE = Rate(mac=(1.0, 0.3), number=(25, 20))
GROUPED = Rate(mac=(3.0, 3.0), number=(20, 20))
"""Of convolutions in groups, above all depthwise ones."""
SHUFFLE = Rate(mac=(0.0, 0.0), number=(190, 190))
"""Of DepthToSpace, which moves single numbers, on one thread."""
OTHER = Rate(mac=(0.0, 0.0), number=(30, 20))
NODE = 1_500_000
"""What any node takes, however small."""
BORDER = 80
"""What it takes to convert one number, and to lay it out anew."""


@dataclass(frozen=True)
class Border:
    """A tensor between nodes that compute in integers, converted where one of its readers and its maker part."""

    maker: str
    readers: tuple[str, ...]
    price: int

    def cost(self, region: frozenset[str]) -> int:
        """What converting costs if these nodes are float."""
        made_float = self.maker in region
        return self.price * any((reader in region) != made_float for reader in self.readers)


@dataclass(frozen=True)
class Price:
    """What every node of the plan takes longer in float, never below 0, and what the borders between them cost.

    total: the time of the whole, as planned. macs: of every node, also of those that the plan has in float.
    """

    nodes: Mapping[str, int]
    borders: tuple[Border, ...]
    total: int
    macs: Mapping[str, int]

    def of_time(self, region: frozenset[str]) -> float:
        """What it takes longer with this region in float, over what it takes as planned."""
        spent = sum(self.nodes[name] for name in region) + sum(border.cost(region) for border in self.borders)
        return spent / self.total

    def of_work(self, region: frozenset[str]) -> float:
        """The share of the multiply-accumulates that float would compute, those by the plan left out."""
        return sum(self.macs[name] for name in region) / (sum(self.macs.values()) or 1)


def price_of(prepared: Prepared, plan: QuantPlan, shapes: Mapping[str, Sequence[int]]) -> Price:
    """The prices of a model under a plan. shapes: of its inputs. Raises ModelError where they do not fit it.

    What is float by the plan, or outside, is reached from a float product at the cost of a change of layout and from
    an integer one at that of a conversion: these are alike, so such borders are left out.
    """
    graph = prepared.model.graph
    macs, numbers = multiply_accumulates(prepared, shapes), numbers_of(prepared, shapes)
    integer = {str(node.name) for node in plan.quantised}
    nodes, total = {}, 0
    for node in graph:
        name = str(node.name)
        made = 0 if name in plan.dropped else sum(numbers[str(value.name)] for value in node.outputs if value.name)
        in_float, in_integers = _rate(node, macs[name]).times(macs[name], made)
        if name in integer:
            nodes[name] = max(0, in_float - in_integers)
        total += NODE + (in_integers if name in integer else in_float)
    borders = []
    for value in (value for node in graph for value in node.outputs if value.dtype == ir.DataType.FLOAT):
        maker = value.producer()
        readers = dict.fromkeys(str(user.name) for user, _ in value.uses() if str(user.name) in nodes)
        if readers and maker is not None and str(maker.name) in nodes:
            borders.append(Border(str(maker.name), tuple(readers), BORDER * numbers[str(value.name)]))
    return Price(nodes, tuple(borders), total, macs)


def _rate(node: ir.Node, macs: int) -> Rate:
    if not macs:
        return SHUFFLE if node.op_type == "DepthToSpace" else OTHER
    groups = node.attributes.get("group")
    return GROUPED if groups is not None and groups.as_int() > 1 else DENSE
