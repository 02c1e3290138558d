"""Candidates: ranges that were chosen for something else are refused, and nothing that is made changes them."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from quantseg.calibration.context import Context
from quantseg.errors import CalibrationError
from quantseg.graph import to_bytes
from quantseg.quantization.affine import Range, params_of_weights
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.folding import Fold
from quantseg.quantization.plan import KeptFloat, Overrides, QuantSettings, plan
from quantseg.quantization.qtypes import INT8, UINT8
from quantseg.quantization.ranges import RangeTable
from quantseg.quantization.writing import written
from quantseg.refinement.rounding.compensated import compensate
from quantseg.refinement.steps import chained, correct, fold_in, on_images, order_channels
from tests.support import graphs
from tests.support.candidates import Tensors, calibrated, candidate, context
from tests.support.quantised import kernel, noise

IMAGES = Tensors([noise(1, 3, 8, 8, seed=seed) for seed in range(3)])
GRIDS = [
    QuantSettings(),
    QuantSettings(symmetric=True),
    QuantSettings(activation=INT8),
    QuantSettings(activation=INT8, symmetric=True),
]


def network(seed: int = 0) -> Candidate:
    body = "a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) y = Conv(r, v)"
    weights = {"w": kernel(8, 3, 3, 3, seed=seed), "v": kernel(4, 8, 1, 1, seed=seed + 1)}
    model = graphs.graph(body, x="float[1,3,8,8]", y="float[1,4,8,8]", **weights)
    return calibrated(model, IMAGES)


# Ranges of something else.


@pytest.mark.parametrize("ours", GRIDS)
@pytest.mark.parametrize("theirs", GRIDS)
def test_ranges_of_another_grid_are_refused(ours: QuantSettings, theirs: QuantSettings) -> None:
    plain = network()
    table = replace(plain.ranges, qtype=theirs.activation, symmetric=theirs.symmetric)
    one = replace(plain, ranges=table, settings=ours)
    assert table.fits(ours) == (ours == theirs)
    if ours == theirs:
        assert one.plan == plan(plain.prepared, plain.ranges.ranges, ours)
        return
    with pytest.raises(CalibrationError) as error:
        _ = one.plan
    told = [f"{'symmetric ' if g.symmetric else ''}{g.activation.name}" for g in (theirs, ours)]
    assert str(error.value) == (
        f"the ranges were chosen for {told[0]} activations, not for {told[1]}; choose them anew"
    )
    with pytest.raises(CalibrationError, match="choose them anew"):
        written(one)


def test_ranges_of_another_model_are_refused() -> None:
    one, other = network(), network(seed=5)
    assert one.model.digest != other.model.digest
    with pytest.raises(CalibrationError, match=r"^the ranges were chosen for another model; calibrate this one$"):
        _ = replace(one, ranges=other.ranges).plan
    with pytest.raises(CalibrationError, match="another model"):
        RangeTable({}, "0" * 64, UINT8, False, "minmax").require(one.model.digest, QuantSettings())


def test_settings_beside_the_grid_leave_ranges_as_good_as_they_were() -> None:
    other = replace(network(), settings=QuantSettings(per_channel=False, exclude=("*1",)))
    assert other.plan.settings == other.settings


# A value.


@pytest.mark.parametrize("name", [f.name for f in fields(Candidate)])
def test_no_field_can_be_set(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(network(), name, None)


def test_its_notes_stand_before_those_of_the_plan() -> None:
    plain = network()
    noted = plain.noted("first").noted("second", "third")
    assert noted.plan.notes == ("first", "second", "third", *plain.plan.notes)
    assert plain.notes == ()


def test_a_node_that_was_left_float_keeps_its_last_reason() -> None:
    plain = network()
    first, *_ = plain.plan.weights
    kept = plain.left_float([first], "one").left_float([first], "another")
    (node,) = (node for node in kept.plan.nodes if node.name == first)
    assert node.decision == KeptFloat("another")
    assert plain.plan.is_quantised(first)


def test_weights_that_lie_on_grids_keep_all_else() -> None:
    plain = network().left_float(["none"], "a reason").noted("a note")
    grids = {name: params_of_weights(noise(8, 3, 3, 3), INT8, axis=0) for name in plain.plan.weights}
    model = plain.prepared.model.clone()
    done = plain.with_weights(model, grids)
    assert done.prepared.model is model
    assert done.prepared.changes == plain.prepared.changes
    assert done.overrides == replace(plain.overrides, weights=grids)
    assert (done.ranges, done.notes, done.settings) == (plain.ranges, plain.notes, plain.settings)
    assert done.model.digest == plain.model.digest


STEPS: dict[str, Callable[[Candidate], Callable[[Candidate, Context], Candidate]]] = {
    "order channels": lambda start: order_channels,
    "round with compensation": lambda start: compensate,
    "correct biases": lambda start: correct("empirical", start),
    "correct biases, analytic": lambda start: correct("analytic", start),
    "on some images": lambda start: on_images(compensate, (0, 2)),
    "fold the head": lambda start: fold_in(Fold(argmax=True)),
    "several": lambda start: chained(order_channels, compensate, correct("empirical", start)),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_leaves_what_it_is_given_and_equal_ones_give_equal_bytes(name: str) -> None:
    """The step itself is called twice, and once on another candidate of the same bytes."""
    ours, twin, given = _with_recipe(network()), _with_recipe(network()), context(IMAGES)
    before = to_bytes(ours.prepared.model), ours.ranges, ours.settings, ours.overrides, ours.notes, ours.plan
    made = [STEPS[name](one)(one, given) for one in (ours, ours, twin)]
    after = to_bytes(ours.prepared.model), ours.ranges, ours.settings, ours.overrides, ours.notes
    assert after == before[:-1]
    assert replace(ours).plan == before[-1]  # made anew, not remembered
    first, *rest = (to_bytes(written(one).model) for one in made)
    assert rest == [first, first]
    assert made[0].overrides == made[1].overrides == made[2].overrides
    assert first != to_bytes(written(ours).model)


def _with_recipe(plain: Candidate) -> Candidate:
    """With a recipe that names its output, which folding asks for."""
    from quantseg.data.recipe import Recipe, complete
    from quantseg.graph import signature

    recipe = complete(Recipe(), *signature(plain.prepared.model), model="m.onnx")
    return replace(plain, model=replace(plain.model, recipe=recipe))


def test_chained_steps_are_taken_in_order_and_on_images_looks_at_those_alone() -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    def step(name: str) -> Callable[[Candidate, Context], Candidate]:
        def taken(one: Candidate, given: Context) -> Candidate:
            seen.append((name, given.data.names))
            return one.noted(name)

        return taken

    done = chained(step("a"), on_images(step("b"), (2, 0)), step("c"))(network(), context(IMAGES))
    assert done.notes == ("a", "b", "c")
    every = IMAGES.names
    assert seen == [("a", every), ("b", (every[2], every[0])), ("c", every)]
    assert chained()(done, context()) is done


# Overrides.


def test_what_was_decided_goes_before_the_rules_but_not_before_the_user() -> None:
    plain = network()
    first, second = plain.plan.weights
    grid = params_of_weights(kernel(4, 8, 1, 1, seed=1) / 2, INT8, axis=0)
    overrides = Overrides(kept_float={first: "measured"}, weights={second: grid})
    decided = replace(plain, overrides=overrides, settings=QuantSettings(full_range_weights=True)).plan
    reasons = {node.name: node.decision.reason for node in decided.nodes if isinstance(node.decision, KeptFloat)}
    assert reasons[first] == "measured"
    np.testing.assert_array_equal(decided.weights[second].scale, grid.scale)
    excluded = candidate(plain.prepared, plain.ranges.ranges, QuantSettings(exclude=(first,)), overrides)
    (node,) = (node for node in excluded.plan.nodes if node.name == first)
    assert node.decision == KeptFloat("excluded by exclude=…")


def test_left_float_adds_to_what_is_known_already() -> None:
    known = Overrides({"a": "one"}, frozenset("b"), {"c": "shifted"}, {})
    more = known.left_float({"z", "y"}, "two")
    assert more == replace(known, kept_float={"a": "one", "y": "two", "z": "two"})
    assert list(more.kept_float) == ["a", "y", "z"]  # the same order whatever the set's
    assert known.kept_float == {"a": "one"}


def test_ranges_are_those_of_the_graph() -> None:
    """A tensor that the plan needs and nobody observed is an error, not a guess."""
    plain = network()
    few = replace(plain.ranges, ranges={"x": Range(-1.0, 1.0)})
    with pytest.raises(CalibrationError):
        _ = replace(plain, ranges=few).plan
