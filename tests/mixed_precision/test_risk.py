"""Float islands: what rounding harms is measured pixel by pixel, and the cheapest cure is chosen."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.calibration.engines import Processes
from quantseg.data.recipe import OutputRecipe
from quantseg.errors import RecipeError
from quantseg.graph.preparation import prepare
from quantseg.mixed_precision.risk import (
    Limits,
    MarginWeightedError,
    Price,
    ReferenceOutputs,
    Source,
    float_objective,
    price_of,
    regions,
    sources,
)
from quantseg.mixed_precision.risk import choice as choice_of
from quantseg.mixed_precision.risk.price import BORDER, CONVERSION, Border
from quantseg.quantization.fake_quant import rounded_tensors
from quantseg.quantization.plan import QuantSettings, plan
from tests.support import detections, graphs
from tests.support.candidates import candidate, context
from tests.support.quantised import extrema, kernel, noise

HEADS = {
    "argmax": OutputRecipe(name="y", layout="NCHW", head="argmax"),
    "argmax NHWC": OutputRecipe(name="y", layout="NHWC", head="argmax"),
    "threshold": OutputRecipe(name="y", layout="NCHW", head="threshold", threshold=0.1),
    "threshold NHW": OutputRecipe(name="y", layout="NHW", head="threshold", threshold=0.1),
    "multilabel": OutputRecipe(name="y", layout="NCHW", head="multilabel", threshold=0.1),
    "labels": OutputRecipe(name="y", layout="NHW", head="labels"),
}


def output(head: str, seed: int = 0):
    """What a model with that head may answer for two images."""
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
    judge = MarginWeightedError.of((answer,), HEADS[head])
    assert judge.risk((answer,)) == 0
    assert judge.risk((output(head, seed=1),)) > 0.1
    assert judge.risk((np.zeros_like(answer),)) > 0.1


@pytest.mark.parametrize("head", ["argmax", "argmax NHWC"])
def test_what_raises_all_classes_of_a_pixel_alike_changes_no_class(head):
    answer = output(head)
    axis = 1 if head == "argmax" else 3
    raised = answer + np.expand_dims(noise(2, 4, 6, seed=3), axis)
    assert MarginWeightedError.of((answer,), HEADS[head]).risk((raised,)) < 1e-10


@pytest.mark.parametrize("head", [head for head in HEADS if head != "labels"])
@given(st.integers(0, 100), st.sampled_from([1.5, 2.0, 10.0]))
@settings(max_examples=10)
def test_larger_errors_bear_more_risk(head, seed, factor):
    answer, wrong = output(head), output(head, seed=seed + 1) * np.float32(0.1)
    judge = MarginWeightedError.of((answer,), HEADS[head])
    assert judge.risk((answer + np.float32(factor) * wrong,)) > judge.risk((answer + wrong,))


@pytest.mark.parametrize("head", ["argmax", "threshold"])
@given(st.sampled_from([0.003, 0.01, 0.04]), st.sampled_from([0.3, 2.0]))
@settings(max_examples=6)
def test_where_leads_are_spread_evenly_the_risk_grows_as_the_error_does(head, error, factor):
    """Also with signs by chance; so the squares of the risks of independent errors add."""
    lead = np.random.default_rng(0).uniform(-1, 1, (1, 1, 200, 200)).astype(np.float32)
    level = np.float32(HEADS[head].threshold if head == "threshold" else 0)
    answer = lead + level if head == "threshold" else np.concatenate([lead, np.zeros_like(lead)], axis=1)
    signs = np.random.default_rng(1).choice([-1, 1], answer.shape).astype(np.float32)
    judge = MarginWeightedError.of((answer,), HEADS[head])
    once, scaled = (judge.risk((answer + np.float32(size) * signs,)) for size in (error, factor * error))
    assert scaled == pytest.approx(factor * once, rel=0.1)


@pytest.mark.parametrize("head", ["argmax", "threshold", "multilabel", "labels"])
def test_a_rare_class_counts_like_a_frequent_one(head):
    """One pixel of a class or ninety-nine of another: the same error in all pixels of either bears the same risk, but
    for the part in which all pixels count alike: there ninety-nine weigh more, by the root of their number."""
    rare = np.zeros((1, 10, 10), np.bool_)
    rare[0, 3, 4] = True
    if head == "argmax":
        answer = np.stack([~rare, rare], axis=1).astype(np.float32)
    elif head == "labels":
        answer = np.where(rare, 3, 1)[:, None]
    else:
        answer = np.where(rare, 1.1, -0.9).astype(np.float32)[:, None]
    recipe = HEADS[head] if head != "labels" else OutputRecipe(name="y", layout="NCHW", head="labels")
    judge = MarginWeightedError.of((answer,), recipe)
    risks = []
    for place in (rare, ~rare):
        wrong = answer.copy()
        if head == "labels":
            wrong[:, 0][place] += 1
        else:
            wrong[:, 0][place] += np.float32(0.25)
        risks.append(judge.risk((wrong,)))
    alike = 1.0 if head == "labels" else math.sqrt(math.sqrt(99))
    assert risks[0] * alike == pytest.approx(risks[1], rel=1e-3)


def test_any_other_class_id_is_as_wrong_as_the_next():
    answer = output("labels")
    judge = MarginWeightedError.of((answer,), HEADS["labels"])
    assert judge.risk((answer + 1,)) == judge.risk((answer + 100,)) == pytest.approx(1)


def test_an_error_at_the_boundary_weighs_more_than_one_inside():
    answer = np.array([[0.1, 5.0], [0.0, 0.0]], np.float32).reshape(1, 2, 1, 2)
    judge = MarginWeightedError.of((answer,), HEADS["argmax"])
    boundary, inside = answer.copy(), answer.copy()
    boundary[0, 0, 0, 0] += 0.1
    inside[0, 0, 0, 1] += 0.1
    assert judge.risk((boundary,)) > 20 * judge.risk((inside,))


def test_an_output_of_another_layout_is_refused():
    with pytest.raises(RecipeError, match="not NCHW"):
        MarginWeightedError.of((noise(2, 3, 4),), HEADS["argmax"])


# The choice.

TOTAL = 10**6
ANY = Limits(macs=1, gain=math.inf)


def priced(nodes: dict[str, int], borders: tuple[Border, ...] = (), macs: dict[str, int] | None = None) -> Price:
    return Price(nodes, borders, TOTAL, 3 * TOTAL, macs or dict.fromkeys(nodes, 1))


@st.composite
def choices(draw):
    """Some tensors around up to five nodes, each node with its price, borders between some."""
    names = [f"n{index}" for index in range(draw(st.integers(1, 5)))]
    around = st.frozensets(st.sampled_from(names), min_size=1, max_size=3)
    drawn = draw(st.lists(st.tuples(around, st.just(0.0) | st.floats(1e-3, 1)), max_size=6))
    places = [Source(f"t{index}", risk, nodes) for index, (nodes, risk) in enumerate(drawn)]
    cost = st.sampled_from([0, TOTAL // 20, TOTAL // 7, TOTAL // 3])
    readers = st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True).map(tuple)
    borders = draw(st.lists(st.builds(Border, st.sampled_from(names), readers, cost), max_size=4))
    macs = {name: draw(st.integers(0, 9)) for name in names}
    return places, priced({name: draw(cost) for name in names}, tuple(borders), macs)


def remaining(places, nodes):
    return math.sqrt(sum(place.risk**2 for place in places if not place.nodes <= nodes))


def subsets(names):
    return [frozenset(s) for count in range(len(names) + 1) for s in itertools.combinations(sorted(names), count)]


@pytest.mark.slow
@settings(max_examples=100)
@given(choices(), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.2, 2.0]), st.randoms())
def test_a_region_is_allowed_tells_the_truth_and_pays(choice, work, gain, random):
    places, price = choice
    limits = Limits(macs=work, gain=gain, least=0.05)
    found, *others = regions(places, price, limits, harmless=1e-6)
    assert price.of_macs(found.nodes) <= work
    assert price.of_time(found.nodes) <= max(2 * gain, 0.05)  # int8 takes a third of float's time
    assert found.price == price.of_time(found.nodes)
    assert found.risk == pytest.approx(remaining(places, found.nodes))
    assert all(
        float_objective(found.risk, found.price, 0.12) <= float_objective(max(other.risk, 1e-6), other.price, 0.12)
        for other in others
    )
    assert frozenset() in [one.nodes for one in (found, *others)]
    assert regions(random.sample(places, len(places)), price, limits, harmless=1e-6) == (found, *others)


@pytest.mark.slow
@settings(max_examples=60)
@given(choices())
def test_each_cut_is_the_best_of_all_regions_at_one_price_of_risk(choice):
    places, price = choice
    places = [place for place in places if place.risk]
    squares = sum(place.risk**2 for place in places) or 1.0
    found = list(choice_of._cuts(places, price, lambda _: True))[1:]
    weights = [(work, risk) for work in choice_of._WORK_COSTS for risk in choice_of._RISK_COSTS]
    assert len(found) == len(weights)
    for nodes, (work, risk) in list(zip(found, weights, strict=True))[::7]:

        def cost(nodes, work=work, risk=risk):
            return price.of_time(nodes) + work * price.of_macs(nodes) + risk * remaining(places, nodes) ** 2 / squares

        assert cost(nodes) <= min(map(cost, subsets(price.nodes))) + 20 / TOTAL  # sums of rounded numbers


def test_what_costs_nothing_is_left_float_only_for_the_sake_of_risk():
    price = priced({"a": 0, "b": 0, "c": 0})
    found = regions([Source("t", 0.5, frozenset("ab"))], price, ANY, harmless=1e-6)[0]
    assert found.nodes == frozenset("ab")


def test_a_risk_that_is_harmless_or_dear_is_left_alone():
    dear = priced({"a": 40 * TOTAL, "b": TOTAL // 10})
    places = [Source("s", 0.1, frozenset("a")), Source("t", 0.1, frozenset("b"))]
    assert regions(places, dear, ANY, harmless=0.2)[0].nodes == frozenset()
    assert regions(places, dear, ANY, harmless=0.05)[0].nodes == frozenset("b")


def test_places_side_by_side_are_left_float_together_where_a_border_vanishes():
    border = Border("a", ("b",), TOTAL // 4)
    places = [Source("s", 0.5, frozenset("a")), Source("t", 0.5, frozenset("b"))]
    price = priced({"a": TOTAL // 20, "b": TOTAL // 20}, (border,))
    assert price.of_time(frozenset("a")) == pytest.approx(0.3)
    assert price.of_time(frozenset("ab")) == pytest.approx(0.1)
    assert regions(places, price, ANY, harmless=1e-6)[0].nodes == frozenset("ab")


# The price.


def test_a_dense_convolution_is_dearer_in_float_and_a_depthwise_one_or_one_of_an_image_costs_its_borders():
    body = """
        a = Conv <pads = [1,1,1,1]> (x, w)
        b = Conv <group = 32, pads = [1,1,1,1]> (a, v)
        c = Conv (b, u)
        d = Conv (b, t)
        y = Add (c, d)
    """
    weights = {"w": kernel(32, 3, 3, 3, seed=1), "v": kernel(32, 1, 3, 3, seed=2), "u": kernel(32, 32, 1, 1, seed=3)}
    weights["t"] = kernel(32, 32, 1, 1, seed=4)
    prepared = prepare(graphs.graph(body, x="float[1,3,12,10]", **weights))
    feeds = [{"x": noise(1, 3, 12, 10)}]
    price = price_of(prepared, plan(prepared, extrema(prepared.model, feeds), QuantSettings()), {"x": (1, 3, 12, 10)})
    first, depthwise, one, other = (str(node.name) for node in prepared.model.graph if node.op_type == "Conv")
    pixels = 12 * 10
    assert price.macs[first] == pixels * 32 * 27
    assert price.nodes[first] == price.nodes[depthwise] == 0
    assert price.nodes[one] == pytest.approx(pixels * 32 * 32 * 0.7)
    borders = 2 * (BORDER * 32 * pixels + CONVERSION)  # of what it reads and what it makes, which two read
    assert price.of_time(frozenset({depthwise})) * price.total == pytest.approx(borders)
    assert price.of_time(frozenset({one, other, depthwise})) < price.of_time(frozenset({one, depthwise}))
    assert price.of_macs(frozenset({first})) == pytest.approx(27 / (27 + 9 + 32 + 32))


def test_the_gain_of_int8_is_the_time_that_all_of_it_takes_longer_in_float():
    prepared = prepare(
        graphs.graph("y = Conv <pads = [1,1,1,1]> (x, w)", x="float[1,32,12,10]", w=kernel(32, 32, 3, 3, seed=1))
    )
    feeds = [{"x": noise(1, 32, 12, 10)}]
    price = price_of(prepared, plan(prepared, extrema(prepared.model, feeds), QuantSettings()), {"x": (1, 32, 12, 10)})
    assert price.in_float - price.total == pytest.approx(0.7 * 120 * 32 * 288 - 2 * (BORDER * 32 * 120 + CONVERSION))
    assert price.gain == price.in_float / price.total - 1
    assert replace(price, in_float=price.total - 1).gain == 0


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


@pytest.mark.slow
def test_every_place_that_rounds_is_measured_with_the_nodes_around_it():
    prepared = network()
    feeds = [{"x": noise(1, 3, 12, 12, seed=seed)} for seed in range(2)]
    decided = plan(prepared, extrema(prepared.model, feeds), QuantSettings())
    recipe = HEADS["argmax"]
    reference = ReferenceOutputs.of(prepared.model, feeds, recipe, threads=1)
    assert reference.risks(prepared.model) == (0.0, 0.0)
    planned = candidate(prepared, extrema(prepared.model, feeds))
    found = sources(planned, reference, context(threads=1))
    assert found == sources(planned, reference, context(threads=2))
    assert found == sources(planned, reference, context(threads=1, engine=Processes(2)))
    tensors = rounded_tensors(prepared.model, decided)
    assert tuple(place.name for place in found) == tensors
    assert all(place.risk > 0 for place in found)
    kinds = {node.name: node.op_type for node in prepared.model.graph}
    around = {place.name: sorted(kinds[name] for name in place.nodes) for place in found}
    assert around["x"] == ["Conv"]
    assert around["y"] == ["Conv"]
    assert around["r"] == ["Clip", "Concat", "Conv", "Conv", "MaxPool"]


def test_the_risk_of_instances_is_of_numbers_and_grows_with_the_noise():
    """Also where the outputs have no fixed shape, and so are no numbers to other figures."""
    made = detections.mask_rcnn(detections.rectangles(0), pasted=False)
    recipe = made.recipe()
    outputs = [made.arrays[name] for name in ("boxes", "labels", "scores", "masks")]
    error = MarginWeightedError.of(outputs, recipe)
    rng = np.random.default_rng(0)
    noise_of_masks = rng.normal(size=outputs[3].shape).astype(np.float32)
    risks = [error.risk([*outputs[:3], outputs[3] + size * noise_of_masks]) for size in (0.0, 0.02, 0.2)]
    assert 0 == risks[0] < risks[1] < risks[2] < 1
    assert error.risk([array[:0] for array in outputs]) > risks[2]
