"""Float islands: what rounding harms is measured pixel by pixel, and the cheapest cure is chosen."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.errors import RecipeError
from quantseg.fake_quant import rounded_tensors
from quantseg.islands import Judge, Source, judges_of, regions, risks_of, sources
from quantseg.planning import QuantSettings, plan
from quantseg.prepare import prepare
from quantseg.recipe import OutputRecipe
from tests import graphs
from tests.quantised import extrema, kernel, noise

HEADS = {
    "argmax": OutputRecipe(name="y", layout="NCHW", head="argmax"),
    "argmax NHWC": OutputRecipe(name="y", layout="NHWC", head="argmax"),
    "threshold": OutputRecipe(name="y", layout="NCHW", head="threshold", threshold=0.1),
    "threshold NHW": OutputRecipe(name="y", layout="NHW", head="threshold", threshold=0.1),
    "multilabel": OutputRecipe(name="y", layout="NCHW", head="multilabel", threshold=0.1),
    "labels": OutputRecipe(name="y", layout="NHW", head="labels"),
}


def output(head: str, seed: int = 0):
    """What a model with that head may answer for two pictures."""
    recipe = HEADS[head]
    if recipe.head == "labels":
        return np.random.default_rng(seed).integers(0, 5, (2, 4, 6))
    channels = () if recipe.layout == "NHW" else (1 if recipe.head == "threshold" else 3,)
    shape = (2, 4, 6, *channels) if recipe.layout == "NHWC" else (2, *channels, 4, 6)
    return noise(*shape, seed=seed)


# The judge.


@pytest.mark.parametrize("head", HEADS)
def test_equal_outputs_bear_no_risk_and_others_do(head):
    answer = output(head)
    judge = Judge.of(answer, HEADS[head])
    assert judge.risk(answer) == 0
    assert judge.risk(output(head, seed=1)) > 0.1
    assert judge.risk(np.zeros_like(answer)) > 0.1


@pytest.mark.parametrize("head", ["argmax", "argmax NHWC"])
def test_what_raises_all_classes_of_a_pixel_alike_changes_no_class(head):
    answer = output(head)
    axis = 1 if head == "argmax" else 3
    raised = answer + np.expand_dims(noise(2, 4, 6, seed=3), axis)
    assert Judge.of(answer, HEADS[head]).risk(raised) < 1e-10


@pytest.mark.parametrize("head", [head for head in HEADS if head != "labels"])
@given(st.integers(0, 100), st.sampled_from([0.1, 2.0, 10.0]))
@settings(max_examples=10)
def test_larger_errors_bear_more_risk_by_their_square(head, seed, factor):
    answer, wrong = output(head), output(head, seed=seed + 1) * np.float32(0.1)
    judge = Judge.of(answer, HEADS[head])
    once = judge.risk(answer + wrong)
    assert judge.risk(answer + np.float32(factor) * wrong) == pytest.approx(factor**2 * once, rel=1e-2)


@pytest.mark.parametrize("head", ["argmax", "threshold", "multilabel", "labels"])
def test_a_rare_class_counts_like_a_frequent_one(head):
    """One pixel of a class or ninety-nine of another: the same error in all pixels of either bears the same risk."""
    rare = np.zeros((1, 10, 10), np.bool_)
    rare[0, 3, 4] = True
    if head == "argmax":
        answer = np.stack([~rare, rare], axis=1).astype(np.float32)
    elif head == "labels":
        answer = np.where(rare, 3, 1)[:, None]
    else:
        answer = np.where(rare, 1.1, -0.9).astype(np.float32)[:, None]
    recipe = HEADS[head] if head != "labels" else OutputRecipe(name="y", layout="NCHW", head="labels")
    judge = Judge.of(answer, recipe)
    risks = []
    for place in (rare, ~rare):
        wrong = answer.copy()
        if head == "labels":
            wrong[:, 0][place] += 1
        else:
            wrong[:, 0][place] += np.float32(0.25)
        risks.append(judge.risk(wrong))
    assert risks[0] == pytest.approx(risks[1], rel=1e-3)


def test_any_other_class_id_is_as_wrong_as_the_next():
    answer = output("labels")
    judge = Judge.of(answer, HEADS["labels"])
    assert judge.risk(answer + 1) == judge.risk(answer + 100) == pytest.approx(1)


def test_an_error_at_the_boundary_weighs_more_than_one_inside():
    answer = np.array([[0.1, 5.0], [0.0, 0.0]], np.float32).reshape(1, 2, 1, 2)
    judge = Judge.of(answer, HEADS["argmax"])
    boundary, inside = answer.copy(), answer.copy()
    boundary[0, 0, 0, 0] += 0.1
    inside[0, 0, 0, 1] += 0.1
    assert judge.risk(boundary) > 20 * judge.risk(inside)


def test_an_output_of_another_layout_is_refused():
    with pytest.raises(RecipeError, match="not NCHW"):
        Judge.of(noise(2, 3, 4), HEADS["argmax"])


# The choice.


@st.composite
def choices(draw):
    """Some places around up to six nodes, each node with its cost."""
    names = [f"n{index}" for index in range(draw(st.integers(1, 6)))]
    around = st.frozensets(st.sampled_from(names), min_size=1, max_size=3)
    risks = st.just(0.0) | st.floats(1e-6, 1)
    drawn = draw(st.lists(st.tuples(around, risks, st.booleans()), max_size=7))
    places = [Source(f"t{index}", risk, nodes, alone) for index, (nodes, risk, alone) in enumerate(drawn)]
    return places, {name: draw(st.sampled_from([0.0, 0.1, 0.25, 0.5])) for name in names}


@settings(max_examples=100)
@given(choices(), st.sampled_from([0.0, 0.2, 0.6, 2.0]), st.randoms())
def test_regions_grow_within_the_budget_as_risk_falls_until_nothing_more_helps(choice, budget, random):
    places, cost = choice
    found = regions(places, cost, budget)
    assert (found[0].nodes, found[0].cost) == (frozenset(), 0.0)
    for before, after in itertools.pairwise(found):
        assert before.nodes < after.nodes
        assert after.risk < before.risk
        assert before.cost <= after.cost
    for region in found:
        assert region.cost == pytest.approx(sum(cost[name] for name in region.nodes))
        assert region.cost <= budget
        left = sum(place.risk for place in places if not place.nodes <= region.nodes)
        assert region.risk == pytest.approx(left, abs=1e-12)
    last = found[-1].nodes
    for place in places:
        affordable = sum(cost[name] for name in last | place.nodes) <= budget
        assert not (place.alone and place.risk > 0 and affordable and not place.nodes <= last)
    shuffled = random.sample(places, len(places))
    assert regions(shuffled, cost, budget) == found


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(0, 6))
def test_places_of_nodes_of_their_own_and_equal_cost_are_chosen_as_by_trying_all(risks, budget):
    places = [Source(f"t{index}", risk, frozenset({f"n{index}"})) for index, risk in enumerate(risks)]
    found = regions(places, {f"n{index}": 1.0 for index in range(len(risks))}, budget)[-1]
    kept = min(budget, len(risks))
    best = min(sum(risks) - sum(risks[i] for i in chosen) for chosen in itertools.combinations(range(len(risks)), kept))
    assert found.risk == pytest.approx(best, abs=1e-9)


@given(choices(), st.sampled_from([0.2, 0.6, 2.0]))
def test_the_first_region_is_the_one_that_takes_most_for_its_cost(choice, budget):
    """By trying all: the nodes around any one place, what lies within them counted too."""
    places, cost = choice
    found = regions(places, cost, budget)

    def value(nodes):
        spent = sum(cost[name] for name in nodes)
        taken = sum(place.risk for place in places if place.nodes <= nodes)
        return taken / (spent + 1e-3 * budget) if spent <= budget else 0.0

    best = max((value(place.nodes) for place in places if place.alone and place.risk > 0), default=0.0)
    assert (len(found) > 1) == (best > 0)
    if len(found) > 1:
        assert value(found[1].nodes) == pytest.approx(best)


# What is measured.


def network():
    body = """
        a = Conv <pads = [1,1,1,1]> (x, w)
        r = Clip(a, lo, hi)
        m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r)
        b = Conv(m, v)
        s = Relu(b)
        c = Concat <axis = 1> (s, m)
        y = Conv(c, u)
    """
    weights = {"w": kernel(8, 3, 3, 3, seed=1), "v": kernel(8, 8, 1, 1, seed=2), "u": kernel(4, 16, 1, 1, seed=3)}
    bounds = {"lo": np.array(0, np.float32), "hi": np.array(6, np.float32)}
    return prepare(graphs.graph(body, x="float[1,3,12,12]", **weights, **bounds))


def test_every_place_that_rounds_is_measured_with_the_nodes_around_it():
    prepared = network()
    feeds = [{"x": noise(1, 3, 12, 12, seed=seed)} for seed in range(2)]
    decided = plan(prepared, extrema(prepared.model, feeds), QuantSettings())
    recipe = HEADS["argmax"]
    judges = judges_of(prepared.model, feeds, recipe, threads=1)
    assert risks_of(prepared.model, judges, feeds, recipe, threads=1) == (0.0, 0.0)
    found = sources(prepared.model, decided, judges, feeds, recipe, threads=2)
    assert found == sources(prepared.model, decided, judges, feeds, recipe, threads=1)
    tensors = rounded_tensors(prepared.model, decided)
    assert [place.name for place in found] == [*tensors, *decided.weights]
    assert [place.alone for place in found] == [True] * len(tensors) + [False] * len(decided.weights)
    assert all(place.risk > 0 for place in found)
    kinds = {node.name: node.op_type for node in prepared.model.graph}
    around = {place.name: sorted(kinds[name] for name in place.nodes) for place in found}
    assert around["x"] == ["Conv"]
    assert around["y"] == ["Conv"]
    assert around["r"] == ["Clip", "Concat", "Conv", "Conv", "MaxPool"]
