"""The minimum cut, against every assignment of up to six parts."""

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.mixed_precision.minimum_cut import Crossing, CutPart, cheapest, price

Network = tuple[dict[str, CutPart], list[Crossing]]
COSTS = st.integers(0, 20)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Up to six parts in a row, each able to stand on one side at least, and tensors that later ones read."""
    names = [f"n{number}" for number in range(draw(st.integers(1, 6)))]
    parts = {
        name: draw(
            st.one_of(
                st.builds(CutPart, COSTS, COSTS),
                st.builds(CutPart, COSTS, st.none()),
                st.builds(CutPart, st.none(), COSTS),
            )
        )
        for name in names
    }
    crossings = []
    for position, maker in enumerate([None, *names]):
        later: list[str | None] = [*names[position:]]
        for to_integers in (True, False):
            readers = tuple(draw(st.lists(st.sampled_from([*later, None]), max_size=4, unique=True)))
            crossings.append(Crossing(maker, readers, draw(COSTS), to_integers))
    return parts, crossings


def splits(parts: Mapping[str, CutPart], crossings: list[Crossing]) -> list[tuple[int, frozenset[str]]]:
    """Every possible split and its price."""
    subsets = (frozenset(c) for n in range(len(parts) + 1) for c in itertools.combinations(parts, n))
    return [(cost, chosen) for chosen in subsets if (cost := price(parts, crossings, chosen)) is not None]


@given(networks())
def test_no_split_is_cheaper_than_the_cut(network: Network) -> None:
    found = price(*network, cheapest(*network))
    assert found == min(cost for cost, _ in splits(*network))


@given(networks())
def test_of_the_cheapest_splits_the_cut_has_most_integers(network: Network) -> None:
    every = splits(*network)
    least = min(cost for cost, _ in every)
    union = frozenset[str]().union(*(chosen for cost, chosen in every if cost == least))
    assert cheapest(*network) == union  # of minimum cuts, the union is one too


@given(networks(), st.randoms())
def test_the_order_of_parts_and_crossings_does_not_matter(network: Network, random: object) -> None:
    parts, crossings = network
    names, others = list(parts), list(crossings)
    random.shuffle(names)  # type: ignore[attr-defined]
    random.shuffle(others)  # type: ignore[attr-defined]
    assert cheapest({name: parts[name] for name in names}, others) == cheapest(parts, crossings)


@given(networks())
def test_dearer_integers_never_draw_more_parts_to_them(network: Network) -> None:
    parts, crossings = network
    dearer = {n: CutPart(p.as_float, None if p.as_integer is None else p.as_integer + 3) for n, p in parts.items()}
    assert cheapest(dearer, crossings) <= cheapest(parts, crossings)


@pytest.mark.parametrize(("price_of_border", "integer"), [(5, {"a", "b"}), (7, set())])
def test_a_border_is_paid_once_for_all_its_readers(price_of_border: int, integer: set[str]) -> None:
    parts = {"a": CutPart(6, 3), "b": CutPart(6, 3)}
    assert cheapest(parts, [Crossing(None, ("a", "b"), price_of_border, to_integers=True)]) == integer


@given(networks(), st.data())
def test_what_must_not_be_never_is(network: Network, data: st.DataObject) -> None:
    """A crossing without a price is none that the cut makes, where there is another way."""
    parts, crossings = network
    forbidden = Crossing(*data.draw(st.sampled_from([(c.maker, c.readers) for c in crossings])), None, True)
    allowed = splits(parts, [*crossings, forbidden])
    if allowed:
        assert price(parts, [*crossings, forbidden], cheapest(parts, [*crossings, forbidden])) == min(allowed)[0]
