"""The search without a model: laws of budgets, of the front and of the walk on made-up landscapes."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.errors import RecipeError
from quantseg.graph import TensorSpec
from quantseg.mixed_precision.budget import (
    PRECISIONS,
    Budget,
    Move,
    Point,
    candidates,
    choose,
    dominates,
    front,
    ordered,
    read_budget,
    walk,
)
from quantseg.mixed_precision.budget.walk import union
from quantseg.mixed_precision.latency_model import Estimate
from quantseg.mixed_precision.minimum_cut import Crossing, CutPart
from quantseg.quantization.qtypes import QType
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.latency import random_feeds
from tests.support import models

NAMES = ("sky", "road", "car=van", "pedestrian")
small = st.integers(0, 6).map(float)
points = st.builds(Point, st.frozensets(st.sampled_from("abcdef")), small, st.just(1.0), small)
landscapes = st.dictionaries(
    st.sampled_from("abcdefghij"), st.tuples(st.integers(1, 20), st.integers(1, 9)), max_size=10
)
"""Node → the points that its rounding loses, and what it costs in float."""


class Judge:
    """Evaluates sets on a landscape where losses add up. Counts, and refuses to judge the same set twice."""

    def __init__(self, landscape):
        self.landscape, self.asked = landscape, []

    def __call__(self, nodes):
        assert nodes not in self.asked
        self.asked.append(nodes)
        loss = sum(harm for node, (harm, _) in self.landscape.items() if node not in nodes)
        return Point(nodes, self.price(nodes), 1.0, float(loss))

    def price(self, nodes):
        return float(sum(cost for node, (_, cost) in self.landscape.items() if node in nodes))

    def moves(self):
        found = [Move(node, frozenset({node}), float(harm)) for node, (harm, _) in self.landscape.items()]
        return [
            move.nodes for move in ordered(found, {node: float(cost) for node, (_, cost) in self.landscape.items()})
        ]

    def walk(self, mean, evaluations):
        return walk(self, Budget(mean), self.moves, self.price, evaluations=evaluations)


@given(landscapes, small, st.integers(1, 12))
def test_no_more_is_evaluated_than_announced(landscape, mean, evaluations):
    judge = Judge(landscape)
    done = judge.walk(mean, evaluations)
    assert len(done.points) == len(judge.asked) <= evaluations
    assert judge.asked[0] == frozenset()


@given(st.dictionaries(st.frozensets(st.sampled_from("abcd")), small), small, st.integers(1, 12))
def test_what_was_found_within_the_budget_is_never_passed_over(losses, mean, evaluations):
    """On any landscape, one without rhyme or reason too."""
    steps = [frozenset(node) for node in "abcd"]
    done = walk(
        lambda nodes: Point(nodes, float(len(nodes)), 1.0, losses.get(nodes, 3.0)),
        Budget(mean),
        lambda: steps,
        lambda nodes: float(len(nodes)),
        evaluations=evaluations,
    )
    held = [point for point in done.points if point.drop <= mean]
    assert done.is_met == bool(held)
    assert done.best in done.points
    if held:
        assert done.best.cost == min(point.cost for point in held)
    else:
        assert done.best.drop == min(point.drop for point in done.points)


@given(landscapes, small)
def test_where_losses_add_up_nothing_of_the_result_can_be_given_back(landscape, mean):
    judge = Judge(landscape)
    done = judge.walk(mean, 1000)
    moves = judge.moves()
    if done.is_met:
        assert all(judge.price(done.best.float_nodes) <= point.cost for point in done.points if point.drop <= mean)
        for node in done.best.float_nodes:
            assert Judge(landscape)(done.best.float_nodes - {node}).drop > mean
    else:
        assert Judge(landscape)(union(moves)).drop > mean


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 20), min_size=2), small)
def test_at_equal_costs_the_result_is_the_best_of_all_sets(harms, mean):
    landscape = {node: (harm, 1) for node, harm in harms.items()}
    done = Judge(landscape).walk(mean, 1000)
    sizes = (
        size
        for size in range(len(harms))
        if any(Judge(landscape)(frozenset(c)).drop <= mean for c in combinations(harms, size))
    )
    best = next(sizes, None)
    assert done.is_met == (best is not None)
    if best is not None:
        assert len(done.best.float_nodes) == best


@given(landscapes, small, st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_order_of_what_is_given_does_not_matter(landscape, mean, evaluations, random):
    shuffled = list(landscape.items())
    random.shuffle(shuffled)
    one, other = Judge(landscape).walk(mean, evaluations), Judge(dict(shuffled)).walk(mean, evaluations)
    assert one == other


def test_within_the_budget_at_once_nothing_else_is_asked_for():
    done = walk(
        lambda nodes: Point(nodes, 0.0, 1.0, 0.1),
        Budget(0.5),
        lambda: pytest.fail("the moves were asked for"),
        lambda nodes: 0.0,
        evaluations=9,
    )
    assert done.is_met
    assert [point.float_nodes for point in done.points] == [frozenset()]


def test_a_few_harmful_nodes_among_many_are_found_in_few_evaluations():
    landscape = {f"n{number:03}": (1000, 1) if number % 67 == 5 else (1, 1) for number in range(200)}
    done = Judge(landscape).walk(200.0, 12)
    assert done.is_met
    assert len(done.best.float_nodes) == 3
    assert len(done.points) <= 9


def test_with_one_evaluation_left_and_nothing_found_all_moves_are_tried_together():
    landscape = {f"n{number:02}": (1, 1) for number in range(40)}
    done = Judge(landscape).walk(3.0, 2)
    assert done.is_met
    assert len(done.best.float_nodes) == 39  # one stays, for a model that is all float is none


@given(st.lists(points))
def test_the_front_is_what_nothing_dominates(given_points):
    best = front(given_points)
    assert not any(dominates(a, b) for a in given_points for b in best)
    for point in given_points:
        assert point in best or any(dominates(other, point) for other in best)
    assert front(best) == best
    assert front(reversed(given_points)) == best
    assert [p.cost for p in best] == sorted(p.cost for p in best)


def test_a_class_with_a_budget_counts_on_the_front_too():
    """The dearer point loses more mIoU but less of a class that has a budget."""
    cheap, dear = (
        Point(frozenset(n), cost, 1.0, drop, {"sky": sky}) for n, cost, drop, sky in [("", 1, 1, 9), ("a", 2, 2, 3)]
    )
    assert front([cheap, dear]) == (cheap,)
    assert front([cheap, dear], ["sky"]) == (cheap, dear)


@given(st.lists(points, min_size=1), small)
def test_the_chosen_point_is_on_the_front_or_as_good(given_points, mean):
    """Equal costs leave the choice free; the front then has a point that loses less."""
    chosen = choose(given_points, Budget(mean))
    assert all(other.cost <= chosen.cost or not Budget(mean).holds(chosen) for other in front(given_points)[:1])
    assert Budget(mean).holds(chosen) == any(Budget(mean).holds(point) for point in given_points)


REGIONS = (
    Move("t1", frozenset("ab"), 4.0),
    Move("t2", frozenset("bc"), 3.0),
    Move("t3", frozenset("d"), 3.0),
    Move("t4", frozenset("ab"), 1.0),
)


@given(st.permutations(REGIONS))
def test_what_is_float_already_makes_its_neighbours_cheaper(found):
    """Alone t3 pays more than t2; once a and b are float, t2 costs c alone. t4 has nothing left to do."""
    costs = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.7, "e": 9.0}
    assert ordered((move for move in found if move.sake in ("t2", "t3")), costs)[0].sake == "t3"
    assert [move.sake for move in ordered(found, costs)] == ["t1", "t2", "t3"]


def test_no_order_leaves_everything_float():
    every = [Move(node, frozenset(node), 1.0) for node in "abc"]
    assert union(m.nodes for m in ordered(every, {"a": 1.0, "b": 2.0, "c": 3.0})) == frozenset("ab")
    assert [m.sake for m in ordered(every, {"a": 1.0})] == ["b", "c"]


@pytest.mark.parametrize(("held", "nanoseconds"), [("", 6), ("b", 12), ("a", 14), ("r", 14), ("ab", 17)])
def test_a_time_is_that_of_the_fastest_placement_with_these_nodes_in_float(held, nanoseconds):
    """By hand: a, with the clamp r, takes 9 in float and 1 in integers; b 8 and 2; into integers 1, out of them 2."""
    crossings = (
        Crossing(None, ("a",), 1, to_integers=True),
        Crossing("a", ("b",), 1, to_integers=True),
        Crossing("a", ("b",), 2, to_integers=False),
        Crossing("b", (None,), 2, to_integers=False),
    )
    known = Estimate({"a": CutPart(9, 1), "b": CutPart(8, 2)}, crossings, {"a": "a", "r": "a", "b": "b"})
    assert known.milliseconds(frozenset(held)) == pytest.approx(nanoseconds * 1e-6)
    assert known.nodes() == pytest.approx({"a": 8e-6, "r": 0.0, "b": 6e-6})


@given(small, st.dictionaries(st.sampled_from(NAMES), small), small, st.lists(small, min_size=4, max_size=4))
def test_a_budget_holds_where_no_loss_is_over_it(mean, classes, drop, losses):
    budget, point = Budget(mean, classes), Point(frozenset(), 0.0, 1.0, drop, dict(zip(NAMES, losses, strict=True)))
    over = drop > mean or any(point.class_drops[name] > allowed for name, allowed in classes.items())
    assert budget.holds(point) == (not over)
    assert (budget.excess(point) > 0) == over


@pytest.mark.parametrize(("word", "name", "allowed"), [
    ("pedestrian=1.0", "pedestrian", 1.0), ("3=0", "pedestrian", 0.0), (" sky = 2 ", "sky", 2.0),
    ("Pedestrian=1", "pedestrian", 1.0), ("car=van=0.5", "car=van", 0.5),
])  # fmt: skip
def test_a_class_is_named_or_numbered(word, name, allowed):
    assert read_budget(0.5, [word], NAMES) == Budget(0.5, {name: allowed})


@pytest.mark.parametrize(("mean", "words", "message"), [
    (0.5, ["pedestrain=1"], "no class 'pedestrain'; its classes are sky, road"),
    (0.5, ["4=1"], "no class '4'"),
    (0.5, ["sky"], "give CLASS=POINTS, such as pedestrian=1.0"),
    (0.5, ["sky=much"], "give CLASS=POINTS"),
    (0.5, ["sky=nan"], "give CLASS=POINTS"),
    (0.5, ["=1"], "give CLASS=POINTS"),
    (0.5, ["sky=-1"], "max_class_drop=-1: is no loss"),
    (0.5, ["sky=1", "0=2"], "'sky' has a budget already"),
    (-0.1, [], "max_iou_drop=-0.1: is no loss"),
    (float("nan"), [], "max_iou_drop=nan: is no loss"),
])  # fmt: skip
def test_a_budget_that_makes_no_sense_is_refused(mean, words, message):
    with pytest.raises(RecipeError, match=message):
        read_budget(mean, words, NAMES)


def test_many_classes_are_not_all_listed():
    with pytest.raises(RecipeError, match="class 11 and 88 more"):
        read_budget(0.5, ["x=1"], [f"class {k}" for k in range(100)])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_search_starts_at_int8_and_ends_at_float(runtime):
    names = [precision.name for precision in candidates(RUNTIMES[runtime])]
    assert (names[0], names[-1]) == ("int8", "float")


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda precision: precision.name)
def test_onnxruntime_runs_a_convolution_in_just_the_precisions_of_its_rows(precision):
    """Its execution profile tells which kernel ran: an integer one, or Conv on float32."""
    runtime = RUNTIMES["onnxruntime"]
    x = {"x": random_feeds([TensorSpec("x", "float32", (1, 8, 16, 16))])["x"]}
    model = _convolution(precision.activation).SerializeToString()
    nodes = runtime.executed(model, x, threads=1, runs=1)
    (kernel,) = (node for node in nodes if "Conv" in node.op_type)
    as_such = "float" if precision.activation is None else "int8"
    assert (precision in candidates(runtime)) == (kernel.kind == as_such)


def _convolution(activation: QType | None):
    if activation is None:
        return models.text(
            '<ir_version: 10, opset_import: ["" : 21]> g (float[1,8,16,16] x) => (float[1,8,16,16] y)'
            "<float[8,8,1,1] w = {" + ", ".join(["0.1"] * 64) + "}> { y = Conv(x, w) }"
        )
    weights = ", ".join(["3"] * 64)
    return models.text(
        f'<ir_version: 10, opset_import: ["" : 21]> g (float[1,8,16,16] x) => (float[1,8,16,16] y)'
        f"<float s = {{0.01}}, {activation.name} z = {{0}}, float ws = {{0.1}}, int8 wz = {{0}},"
        f" int8[8,8,1,1] w = {{{weights}}}> {{"
        " xq = QuantizeLinear(x, s, z) xd = DequantizeLinear(xq, s, z) wd = DequantizeLinear(w, ws, wz)"
        " c = Conv(xd, wd) cq = QuantizeLinear(c, s, z) y = DequantizeLinear(cq, s, z) }"
    )
