"""The estimated time that float nodes add, by fixed rates: the same on every machine, so that all write the same model.

A convolution is slower in float, unless it is depthwise or has few inputs. A tensor that crosses the border of a float
region is quantised or dequantised there, which is one more pass over it. The unit is the time of one
multiply-accumulate in float. The rates are rounded measurements of onnxruntime 1.32 on convolutions of many sizes
between others, in portable QDQ, and on single operators (AMD EPYC with VNNI, one thread: one unit is 0.021 ns;
reports/benchmarks/prices.md). They rank regions; they do not predict latency.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from quantseg.graph.edit import static_shape
from quantseg.graph.preparation import Prepared
from quantseg.quantization.plan import QuantPlan
from quantseg.runtimes.macs import Given, multiply_accumulates, numbers_of


@dataclass(frozen=True)
class Rate:
    """Time of one multiply-accumulate (mac) and of one output element (number), each as (float, integer)."""

    mac: tuple[float, float]
    number: tuple[int, int]

    def times(self, macs: int, numbers: int) -> tuple[int, int]:
        """The time of a node, (float, integer). macs: its multiply-accumulates. numbers: its output elements."""
        in_float, in_integers = (round(self.mac[side] * macs) + self.number[side] * numbers for side in (0, 1))
        return in_float, in_integers


DENSE = Rate(mac=(1.0, 0.3), number=(10, 10))
NARROW = ((8, Rate(mac=(1.0, 1.0), number=(10, 10))), (16, Rate(mac=(1.0, 0.5), number=(10, 10))))
"""Convolutions of at most so many channels, read or made: integer kernels have too little to add or to write there."""
GROUPED = Rate(mac=(3.0, 3.0), number=(10, 10))
"""Grouped convolutions, above all depthwise ones."""
SHUFFLE = Rate(mac=(0.0, 0.0), number=(90, 55))
"""DepthToSpace, which moves single elements on one thread."""
RESIZE = Rate(mac=(0.0, 0.0), number=(70, 170))
"""Linear and cubic Resize; the integer kernel has no vector instructions."""
OTHER = Rate(mac=(0.0, 0.0), number=(10, 10))
NODE = 500_000
"""Time of any node, however small."""
BORDER, CONVERSION = 15, 250_000
"""Time to quantise or dequantise one element and to change its layout; and of a conversion, however small."""


@dataclass(frozen=True)
class Border:
    """A tensor between integer nodes; it is converted if its maker and any of its readers are not both float or both
    integer. maker, readers: nodes. price: of the conversion.
    """

    maker: str
    readers: tuple[str, ...]
    price: int

    def cost(self, region: frozenset[str]) -> int:
        """The price of the conversion if the nodes of the region are float; 0 where none is needed."""
        made_float = self.maker in region
        return self.price * any((reader in region) != made_float for reader in self.readers)


@dataclass(frozen=True)
class Price:
    """What it costs to leave nodes of a plan float.

    nodes: integer node → the time that it takes longer in float, never below 0. borders: tensors between integer
    nodes. total: time of the whole model as planned. in_float: all of it in float. macs: multiply-accumulates of every
    node, also of float ones.
    """

    nodes: Mapping[str, int]
    borders: tuple[Border, ...]
    total: int
    in_float: int
    macs: Mapping[str, int]

    @property
    def gain(self) -> float:
        """The time that the plan saves against float, as a share of the time of the model as planned; 0 for none."""
        return max(0.0, self.in_float / self.total - 1)

    def of_time(self, region: frozenset[str]) -> float:
        """The time that the region adds in float, as a share of the time of the model as planned."""
        spent = sum(self.nodes[name] for name in region) + sum(border.cost(region) for border in self.borders)
        return spent / self.total

    def of_macs(self, region: frozenset[str]) -> float:
        """The region's share of all MACs; nodes that the plan already has in float are not counted."""
        return sum(self.macs[name] for name in region) / (sum(self.macs.values()) or 1)


def price_of(prepared: Prepared, plan: QuantPlan, given: Given) -> Price:
    """The prices of a model under a plan. given: its inputs. Raises ModelError where they do not fit the model.

    Tensors between these nodes and those that are float anyway (by the plan, inputs, outputs) are no borders: an
    integer node pays a conversion there, a float one a change of layout, and the two take about the same time. Their
    conversions count in the time of the whole model.
    """
    graph = prepared.model.graph
    macs, numbers = multiply_accumulates(prepared, given), numbers_of(prepared, given)
    integer = {str(node.name) for node in plan.quantised}
    nodes, total, whole = {}, 0, 0
    for node in graph:
        name = str(node.name)
        made = 0 if name in plan.dropped else sum(numbers[str(value.name)] for value in node.outputs if value.name)
        in_float, in_integers = _rate(node, macs[name]).times(macs[name], made)
        if name in integer:
            nodes[name] = max(0, in_float - in_integers)
        total += NODE + (in_integers if name in integer else in_float)
        whole += NODE + in_float
    borders = []
    for value in (*graph.inputs, *(value for node in graph for value in node.outputs)):
        if value.dtype != ir.DataType.FLOAT:
            continue
        maker = value.producer()
        readers = dict.fromkeys(str(user.name) for user, _ in value.uses() if str(user.name) in nodes)
        price = CONVERSION + BORDER * numbers[str(value.name)]
        made = maker is not None and str(maker.name) in nodes
        if readers and maker is not None and made:
            borders.append(Border(str(maker.name), tuple(readers), price))
        in_float = value in graph.outputs or any(str(user.name) not in nodes for user, _ in value.uses())
        total += price * (in_float if made else bool(readers))
    return Price(nodes, tuple(borders), total, whole, macs)


def forward_time(prepared: Prepared, given: Given) -> int:
    """The time of one pass in float, in multiply-accumulates. given: the model's inputs. Raises ModelError."""
    macs, numbers = multiply_accumulates(prepared, given), numbers_of(prepared, given)
    total = 0
    for node in prepared.model.graph:
        work, made = macs[str(node.name)], sum(numbers[str(value.name)] for value in node.outputs if value.name)
        total += NODE + _rate(node, work).times(work, made)[0]
    return total


def _rate(node: ir.Node, macs: int) -> Rate:
    if not macs:
        smooth = node.op_type == "Resize" and node.attributes.get_string("mode", "nearest") != "nearest"
        return RESIZE if smooth else SHUFFLE if node.op_type == "DepthToSpace" else OTHER
    groups = node.attributes.get("group")
    if groups is not None and groups.as_int() > 1:
        return GROUPED
    channels = [shape[1] for shape in map(static_shape, (node.inputs[0], node.outputs[0])) if shape is not None]
    if node.op_type != "Conv" or not channels:
        return DENSE
    return next((rate for most, rate in NARROW if min(channels) <= most), DENSE)
