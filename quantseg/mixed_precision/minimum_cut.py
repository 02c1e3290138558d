"""The cheapest split of a graph into float and integer parts, found exactly as a minimum cut.

Every part stands on one side. It costs what it costs there, and a tensor that is read across the border pays once for
all its readers on the other side. Such a cost is a cut of a flow network: the integer parts are the source's side.
Source: Greig, Porteous, Seheult, 1989; the node that makes readers share a price is that of Kohli et al., 2009.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import networkx

_INTEGER, _FLOAT = ("side", "integer"), ("side", "float")


@dataclass(frozen=True)
class CutPart:
    """What a part of the graph costs on each side; None where it cannot stand there. Whole numbers of one unit."""

    as_float: int | None
    as_integer: int | None


@dataclass(frozen=True)
class Crossing:
    """A price that is paid once if `maker` is on one side and any reader on the other.

    maker: None for the float world outside (an input of the model). readers: None among them stands for that world too
    (an output of the model). price: None where this must not be. to_integers: of a float tensor that integer parts
    read; else the other way.
    """

    maker: str | None
    readers: tuple[str | None, ...]
    price: int | None
    to_integers: bool


def cheapest(parts: Mapping[str, CutPart], crossings: Sequence[Crossing]) -> frozenset[str]:
    """Names of the parts that compute in integers. Among equally cheap splits the one with most of them."""
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
    flow = networkx.algorithms.flow.boykov_kolmogorov  # the same side as any flow gives; the fastest on these networks
    _, (_, float_side) = networkx.minimum_cut(network, _INTEGER, _FLOAT, flow_func=flow)
    return frozenset(name for name in parts if name not in float_side)


def price(parts: Mapping[str, CutPart], crossings: Sequence[Crossing], integer: Collection[str]) -> int | None:
    """What a split costs; None where it must not be."""
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
    """An edge that costs `capacity` where it leads from the integer side to the float side; None: it never does."""
    if capacity is None:
        network.add_edge(before, after)
    elif capacity > 0:
        network.add_edge(before, after, capacity=capacity)
