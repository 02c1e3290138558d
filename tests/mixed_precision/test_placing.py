"""Where nodes compute: placements of real graphs by made-up costs, in milliseconds."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.graph.preparation import prepare
from quantseg.mixed_precision.latency_model import pricing
from quantseg.mixed_precision.latency_model.placing import FASTER, Placed, place
from quantseg.mixed_precision.latency_model.stopwatch import Cost
from quantseg.mixed_precision.latency_model.trials import Way
from quantseg.mixed_precision.latency_model.units import sized, units_of
from quantseg.quantization.operators import IntegerForm
from quantseg.quantization.plan import NO_OVERRIDES, Overrides, QuantSettings, plan
from quantseg.quantization.plan.decisions import ONLY_THE_HEAD, decide
from tests.support import graphs, quantised
from tests.support.quantised import kernel, noise

WAY = Way("qoperator", QuantSettings())


def placed(
    model: ir.Model,
    as_float: Mapping[str, float],
    as_integer: Mapping[str, float | None],
    *,
    border: float = 1.0,
    latency_first: bool = False,
    settings: QuantSettings | None = None,
) -> Placed:
    """The placement where operators cost so much, and every tensor `border` each way. None: there is no kernel."""
    prepared = prepare(model)
    settings = settings or WAY.settings
    names = frozenset(str(node.name) for node in prepared.model.graph)
    wanted = decide(prepared, settings, Overrides(integer=names))
    free = frozenset(str(node.name) for node, form in wanted.items() if isinstance(form, IntegerForm))
    graph = sized(prepared.model, {}).graph
    choices = pricing.choices(units_of(graph, names - free), free, 13, WAY)
    costs: dict[str, Cost | None] = {c.key: _cost(border) for c in pricing.to_time(choices, WAY) if not c.nodes}
    for choice in choices:
        if choice.in_float is not None:
            costs[choice.in_float.key] = _cost(as_float.get(choice.unit.op_type, 0.0))
        for candidate in choice.in_integers.values():
            costs[candidate.key] = _cost(as_integer.get(choice.unit.op_type, 0.0))
    ruled = decide(prepared, settings, NO_OVERRIDES)
    return place(choices, wanted, ruled, costs, WAY, latency_first=latency_first)


def _cost(milliseconds: float | None) -> Cost | None:
    return None if milliseconds is None else Cost(round(1e6 * milliseconds))


def chain(body: str) -> ir.Model:
    """x → a = Conv → body → y, with weights w1 (8 of 3) and w2 (4 of 8)."""
    return graphs.graph(
        f"a = Conv<pads=[1,1,1,1]>(x, w1) {body}",
        x="float[1,3,8,8]",
        w1=kernel(8, 3, 3, 3, seed=1),
        w2=kernel(4, 8, 1, 1, seed=2),
    )


TWO = "r = Relu(a) m = MaxPool<kernel_shape=[2,2],strides=[2,2]>(r) y = Conv(m, w2)"


def integer_types(model: ir.Model, found: Placed) -> list[str]:
    """The operators that were placed in integers, as the plan that follows has them."""
    prepared = prepare(model)
    ranges = quantised.extrema(prepared.model, [{"x": noise(1, 3, 8, 8)}])
    decided = plan(prepared, ranges, QuantSettings(), found.overrides)
    return [node.op_type for node in decided.quantised]


def test_all_that_pays_computes_in_integers() -> None:
    model = chain(TWO)
    found = placed(model, {"Conv": 9, "MaxPool": 1}, {"Conv": 1, "MaxPool": 1})
    assert integer_types(model, found) == ["Conv", "Relu", "MaxPool", "Conv"]
    assert not found.overrides.kept_float


SUM = "r = Relu(a) m = Add(r, one) y = Conv(m, w2)"


def between(body: str) -> ir.Model:
    """As `chain`, with a constant `one` per channel."""
    return graphs.graph(
        f"a = Conv<pads=[1,1,1,1]>(x, w1) {body}",
        x="float[1,3,8,8]",
        w1=kernel(8, 3, 3, 3, seed=1),
        w2=kernel(4, 8, 1, 1, seed=2),
        one=np.ones((1, 1, 8, 8), np.float32) * np.arange(8, dtype=np.float32),
    )


def test_what_lies_between_convolutions_may_be_dearer_by_less_than_the_borders() -> None:
    model = between(SUM)
    costs = {"Conv": 9, "Add": 1}
    inside = placed(model, costs, {"Conv": 1, "Add": 2.9})
    outside = placed(model, costs, {"Conv": 1, "Add": 3.1})
    assert integer_types(model, inside) == ["Conv", "Relu", "Add", "Conv"]
    assert integer_types(model, outside) == ["Conv", "Relu", "Conv"]
    assert list(outside.overrides.kept_float.values()) == [FASTER]


def test_a_float_island_that_onnxruntime_would_fuse_is_none() -> None:
    """Between integers on all sides it makes DequantizeLinear, Sigmoid, QuantizeLinear a QLinearSigmoid."""
    model = chain("r = Relu(a) m = Sigmoid(r) y = Conv(m, w2)")
    found = placed(model, {"Conv": 9, "Sigmoid": 1}, {"Conv": 1, "Sigmoid": 3.1})
    assert integer_types(model, found) == ["Conv", "Relu", "Sigmoid", "Conv"]
    (middle,) = (cost for cost in found.costs if cost.node.startswith("Sigmoid"))
    assert (middle.as_float, middle.as_integer) == (None, pytest.approx(3.1))


def test_a_clamp_goes_with_the_node_that_it_folds_into() -> None:
    found = placed(chain(TWO), {"Conv": 1, "MaxPool": 9}, {"Conv": 9, "MaxPool": 1}, border=0.1, latency_first=True)
    floats = {name.split("_")[0] for name in found.overrides.kept_float}
    assert floats == {"Conv", "Relu"}
    assert {name.split("_")[0] for name in found.overrides.integer} == {"MaxPool"}


def test_costs_tell_both_sides_of_every_node() -> None:
    found = placed(between(SUM), {"Conv": 9, "Add": 1}, {"Conv": 1, "Add": 4})
    (middle,) = (cost for cost in found.costs if cost.node.startswith("Add"))
    assert (middle.is_integer, middle.as_float, middle.as_integer) == (False, 1.0, 2.0)  # 4, less two borders
    first, last = (cost for cost in found.costs if cost.node.startswith("Conv"))
    assert (first.as_integer, first.as_float) == (1.0, pytest.approx(9 - 2))
    assert last.to_json() == {
        "node": last.node, "chosen": "integer", "float_ms": pytest.approx(9 - 2), "integer_ms": 1.0, "variant": ""
    }  # fmt: skip


ANSWER = "y = Sigmoid(a)"


def test_an_answer_is_not_rounded_for_speed_unless_that_comes_first() -> None:
    model, costs = chain(ANSWER), ({"Conv": 9, "Sigmoid": 9}, {"Conv": 1, "Sigmoid": 1})
    accurate, fast = placed(model, *costs), placed(model, *costs, latency_first=True)
    assert integer_types(model, accurate) == ["Conv"]
    assert list(accurate.overrides.kept_float.values()) == [f"Sigmoid: {ONLY_THE_HEAD}"]
    assert integer_types(model, fast) == ["Conv", "Sigmoid"]


def test_what_served_a_convolution_is_an_answer_once_that_is_float() -> None:
    """The product after the Sigmoid is faster in float; then the Sigmoid leads to none any more."""
    model = graphs.graph(
        "a = Conv<pads=[1,1,1,1]>(x, w1) s = Sigmoid(a) y = MatMul(s, w2)",
        x="float[1,3,8,8]",
        w1=kernel(8, 3, 3, 3, seed=1),
        w2=kernel(8, 4, seed=2),
    )
    found = placed(model, {"Conv": 9, "Sigmoid": 9, "MatMul": 1}, {"Conv": 1, "Sigmoid": 1, "MatMul": 20})
    assert integer_types(model, found) == ["Conv"]
    assert sorted(found.overrides.kept_float.values()) == sorted([FASTER, f"Sigmoid: {ONLY_THE_HEAD}"])


def test_a_missing_kernel_is_the_reason_to_stay_float() -> None:
    found = placed(chain(TWO), {"Conv": 9, "MaxPool": 1}, {"Conv": 1, "MaxPool": None})
    assert list(found.overrides.kept_float.values()) == ["MaxPool: this onnxruntime has no kernel for its integer form"]


def test_excluded_nodes_stay_float_with_their_own_reason() -> None:
    settings = QuantSettings(exclude=("MaxPool",))
    found = placed(chain(TWO), {"Conv": 9, "MaxPool": 9}, {"Conv": 1, "MaxPool": 1}, settings=settings)
    assert not found.overrides.kept_float
    assert not any(name.startswith("MaxPool") for name in found.overrides.integer)


def test_a_node_that_is_cheap_in_integers_is_no_island() -> None:
    """0.01 ms to win, 2 ms of borders to pay."""
    model = chain(TWO)
    found = placed(model, {"Conv": 1, "MaxPool": 1}, {"Conv": 1.5, "MaxPool": 0.99}, latency_first=True)
    assert not found.overrides.integer
    assert set(found.overrides.kept_float.values()) == {FASTER}


@pytest.mark.parametrize(("pool", "integer"), [(2.5, {"MaxPool", "Conv"}), (20.0, set[str]())])
def test_a_pool_on_the_border_is_not_float(pool: float, integer: set[str]) -> None:
    """onnxruntime would quantise before a float MaxPool that integers read: it is taken in integers or not at all."""
    model = graphs.graph(
        "m = MaxPool<kernel_shape=[2,2],strides=[2,2]>(x) y = Conv<pads=[1,1,1,1]>(m, w1)",
        x="float[1,3,8,8]",
        w1=kernel(8, 3, 3, 3, seed=1),
    )
    found = placed(model, {"Conv": 9, "MaxPool": 0.1}, {"Conv": 1, "MaxPool": pool})
    assert {name.split("_")[0] for name in found.overrides.integer} == integer
