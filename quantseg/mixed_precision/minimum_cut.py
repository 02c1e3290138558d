"""The cheapest assignment of the parts of a graph to float or integers, found exactly as a minimum cut.

Each part is on one side, float or integer, and has a cost on either. A tensor that is read on the other side adds a
price (its conversion), once for all its readers there. The total is the capacity of a cut in a flow network whose
source side is the integer parts.
Source: Greig, Porteous, Seheult, 1989; the node that makes readers share a price is that of Kohli et al., 2009.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import networkx

_INTEGER, _FLOAT = ("side", "integer"), ("side", "float")


@dataclass(frozen=True)
class CutPart:
    """The cost of a part on each side, an integer in any common unit; None where the part cannot be on that side."""

    as_float: int | None
    as_integer: int | None


@dataclass(frozen=True)
class Crossing:
    """A price for one tensor, paid once if its maker is on one side and any of its readers on the other.

    maker: the part that writes the tensor; None: an input of the model, which is float. readers: the parts that read
    it; None among them: an output of the model, which is float. price: None forbids the crossing. to_integers: True:
    paid where a float maker has integer readers; False: where an integer maker has float readers.
    """

    maker: str | None
    readers: tuple[str | None, ...]
    price: int | None
    to_integers: bool


def cheapest(parts: Mapping[str, CutPart], crossings: Sequence[Crossing]) -> frozenset[str]:
    """Names of the parts on the integer side of the cheapest split; of equally cheap splits, of the one with most."""
    network = networkx.DiGraph()
    network.add_nodes_from((_INTEGER, _FLOAT))
    for name, part in parts.items():
        _connect(network, _INTEGER, name, part.as_float)
        _connect(network, name, _FLOAT, part.as_integer)
    for number, crossing in enumerate(crossings):
        shared = ("crossing", number)
        maker, *readers = (_FLOAT if name is None else name for name in (crossing.maker, *crossing.readers))
        if crossing.to_integers:
            _connect(network, shared, maker, crossing.price)
            for reader in readers:
                _connect(network, reader, shared, None)
        else:
            _connect(network, maker, shared, crossing.price)
            for reader in readers:
                _connect(network, shared, reader, None)
    flow = networkx.algorithms.flow.boykov_kolmogorov  # all flow algorithms give the same cut; this is the fastest here
    _, (_, float_side) = networkx.minimum_cut(network, _INTEGER, _FLOAT, flow_func=flow)
    return frozenset(name for name in parts if name not in float_side)


def price(parts: Mapping[str, CutPart], crossings: Sequence[Crossing], integer: Collection[str]) -> int | None:
    """The total cost of a split. integer: the parts on the integer side. None where the split is not allowed."""
    costs = [part.as_integer if name in integer else part.as_float for name, part in parts.items()]
    costs += [crossing.price for crossing in crossings if _is_paid(crossing, integer)]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _is_paid(crossing: Crossing, integer: Collection[str]) -> bool:
    from_integers = crossing.maker in integer
    return from_integers != crossing.to_integers and any(
        (reader in integer) != from_integers for reader in crossing.readers
    )


def _connect(network: "networkx.DiGraph", before: object, after: object, capacity: int | None) -> None:
    """Adds an edge that costs `capacity` if it is cut, from the integer to the float side; None forbids that."""
    if capacity is None:
        network.add_edge(before, after)
    elif capacity > 0:
        network.add_edge(before, after, capacity=capacity)
