"""Learned rounding: integers on the plan's grids, better than the nearest ones, the same each time."""

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from quantseg import graph
from quantseg.data import Dataset, Item
from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe
from quantseg.errors import CalibrationError, MissingExtraError, RecipeError
from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization import formats
from quantseg.quantization.affine import Range, dequantize, params_of_weights, quantize
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.quantization.pairs import unsafe
from quantseg.quantization.plan import Overrides, QuantPlan, QuantSettings, constant, safe_integers
from quantseg.quantization.qtypes import INT4, INT8
from tests.support import graphs, quantised, several_inputs
from tests.support.candidates import candidate, context
from tests.support.quantised import Array, kernel, noise

torch = pytest.importorskip("torch", reason="learned rounding is an extra; install quantseg[learn]")

from quantseg.refinement.rounding import learned as learning  # noqa: E402
from quantseg.refinement.rounding.learned import (  # noqa: E402
    Learning,
    distillation,
    examples,
    learner,
    objective,
    rounding,
)
from quantseg.refinement.rounding.learned.parts import parts_of  # noqa: E402

RECIPE = Recipe(InputRecipe(layout="NCHW"), OutputRecipe(name="y", layout="NCHW", head="argmax"))
BODY = """a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a) m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
    b = Conv<pads=[1,1,1,1]>(m, w2, b2) s = Relu(b) c = Conv<pads=[1,1,1,1]>(s, w3) t = Add(c, s)
    u = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(t, , k)
    d = Concat<axis=1>(u, r) e = Conv<pads=[1,1,1,1]>(d, w4, b4) f = Relu(e) y = Conv(f, w5, b5)"""


def network() -> Prepared:
    return prepare(
        graphs.graph(
            BODY,
            x="float[1,3,16,16]",
            w1=kernel(8, 3, 3, 3, seed=1),
            b1=noise(8, seed=2) / 10,
            w2=kernel(8, 8, 3, 3, seed=3),
            b2=noise(8, seed=4) / 10,
            w3=kernel(8, 8, 3, 3, seed=5),
            k=np.array([1, 1, 2, 2], np.float32),
            w4=kernel(8, 16, 3, 3, seed=6),
            b4=noise(8, seed=7) / 10,
            w5=kernel(4, 8, 1, 1, seed=8),
            b5=noise(4, seed=9) / 10,
        )
    )


@dataclass(frozen=True)
class Noise:
    """Images of noise as a data set."""

    count: int = 4
    first: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{index}.png" for index in range(self.first, self.first + self.count))

    def digest(self, index: int) -> str:
        return hashlib.sha256(self.names[index].encode()).hexdigest()

    def load(self, index: int) -> Item:
        x = noise(1, 3, 16, 16, seed=self.first + index)
        return Item(self.names[index], x, np.zeros((16, 16, 3), np.uint8), None)


DATA = Noise()
SETTINGS = QuantSettings(weight=INT4)


def ranges(prepared: Prepared) -> dict[str, Range]:
    return quantised.extrema(prepared.model, [{"x": DATA.load(index).tensor} for index in range(DATA.count)])


def given(prepared: Prepared | None = None, settings: QuantSettings = SETTINGS, recipe: Recipe = RECIPE) -> Candidate:
    """A candidate of the network with onnxruntime's own extrema."""
    chosen = prepared or network()
    return candidate(chosen, ranges(chosen), settings, recipe=recipe)


FEW = Learning(largest_part=1, iterations=4)
"""As few steps as tell that something was learned: 4 of each part, 12 of the whole network."""


def learned(
    start: Candidate | None = None,
    how: Learning = FEW,
    *,
    network_share: int | None = None,
    data: Dataset = DATA,
    **changes: Any,
) -> Candidate:
    """The learned candidate. network_share: times as many steps as a part gets of the whole network."""
    with pytest.MonkeyPatch.context() as patch:
        if network_share is not None:
            patch.setattr(distillation, "NETWORK_SHARE", network_share)
        return learning.learn(start or given(), context(data, **changes), how)


def plan_of(settings: QuantSettings = SETTINGS) -> QuantPlan:
    """Of the network before anything was learned."""
    return given(settings=settings).plan


def answer(model: ir.Model, index: int) -> Array:
    return graphs.run(model, {"x": DATA.load(index).tensor})[0]


def content(result: Candidate) -> bytes:
    return graph.to_bytes(result.prepared.model)


# Rounding.


@pytest.mark.parametrize(("qtype", "limits"), [(INT4, (-7, 7)), (INT8, (-127, 127))])
def test_learning_starts_from_the_weight(qtype: Any, limits: tuple[int, int]) -> None:
    weight, params = kernel(5, 3, 3, 3), params_of_weights(kernel(5, 3, 3, 3), qtype, axis=0)
    grid = rounding.WeightGrid.of(params, 4, limits)
    learnable = rounding.StraightThrough(grid, grid.positions(torch.from_numpy(weight)))
    assert learnable.variable.requires_grad
    nearest = dequantize(quantize(weight, params), params)
    np.testing.assert_array_equal(learnable.weight().detach().numpy(), nearest)
    np.testing.assert_array_equal(grid.rounded(learnable.settled()).numpy(), nearest)


def test_what_is_settled_is_an_integer_of_the_grid() -> None:
    weight = kernel(4, 2, 3, 3)
    grid = rounding.WeightGrid.of(params_of_weights(weight, INT4, axis=0), 4, (-7, 7))
    learnable = rounding.StraightThrough(grid, grid.positions(torch.from_numpy(weight)))
    with torch.no_grad():
        learnable.variable += 4 * torch.from_numpy(noise(4, 2, 3, 3))
        learnable.keep_inside()
    found = torch.round(learnable.settled())
    assert found.abs().max() <= 7


@pytest.mark.parametrize("inputs", [2, 3])
def test_no_pair_of_what_is_settled_saturates(inputs: int) -> None:
    """Steps of the largest weight alone, so that most pairs are beyond their limits at the start."""
    weight = np.abs(kernel(4, inputs, 3, 3))
    node = next(iter(graphs.graph("y = Conv(x, w)", x=f"float[1,{inputs},9,9]", w=weight).graph))
    grid = rounding.WeightGrid.of(
        params_of_weights(weight, INT8, axis=0), 4, (-127, 127), lambda integers: safe_integers(node, integers)
    )
    assert unsafe(np.rint(weight / grid.scale.numpy()).reshape(4, inputs, 9)).all()
    learnable = rounding.StraightThrough(grid, grid.positions(torch.from_numpy(weight)))
    for step in range(3):
        with torch.no_grad():
            learnable.variable += 20 * torch.from_numpy(noise(4, inputs, 3, 3, seed=step))
            learnable.keep_inside()
        found = torch.round(learnable.settled()).numpy()
        assert not unsafe(found.reshape(4, inputs, 9)).any()


# Objective.


def test_pixels_near_the_boundary_weigh_more() -> None:
    logits = torch.tensor([[[[0.0, 0.0, 0.0]], [[0.1, 1.0, 9.0]]]])
    weights = objective.pixel_weights(logits, *objective.losses_of(RECIPE.output), 4.0)[0, 0]
    assert weights[0] > weights[1] > weights[2]
    assert float(weights.mean()) == pytest.approx(1)
    assert torch.equal(objective.pixel_weights(logits, *objective.losses_of(RECIPE.output), 0.0), torch.ones(1, 1, 3))


@pytest.mark.parametrize("head", ["argmax", "threshold", "multilabel"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_objective_is_nothing_for_the_same_answer_alone(head: str, layout: str) -> None:
    recipe = OutputRecipe(name="y", layout=layout, head=head)
    channels = 1 if head == "threshold" else 3
    (loss,) = objective.losses_of(recipe)
    target = torch.from_numpy(noise(*((1, channels, 5, 6) if layout == "NCHW" else (1, 5, 6, channels))))
    weights = objective.pixel_weights(target, loss, 4.0)
    assert weights.shape == (1, 5, 6)
    assert float(objective.distance(target, target, weights, loss)) == pytest.approx(0, abs=1e-6)
    assert float(objective.distance(target * 0.9, target, weights, loss)) > 1e-4


# Parts.


@pytest.mark.parametrize("largest", [1, 2, 4, 100])
def test_parts_hold_every_weight_once_and_in_order(largest: int) -> None:
    prepared, decided = network(), plan_of()
    rounded = fake_quantised(prepared.model, decided, weights=())
    parts = parts_of(rounded.graph, prepared.model.graph, decided.weights, largest=largest)
    assert [name for part in parts for name in part.learned] == list(decided.weights)
    assert [str(node.name) for part in parts for node in part.plain] == [
        str(node.name) for node in prepared.model.graph
    ]
    assert all(part.compared for part in parts)
    if largest == 1:
        assert all(len(part.learned) == 1 for part in parts)


def test_inputs_that_are_read_late_are_carried_to_the_parts_that_read_them() -> None:
    prepared = prepare(several_inputs.three_inputs())
    plain, weights = prepared.model.graph, [str(node.name) for node in prepared.model.graph if node.op_type == "Conv"]
    parts = parts_of(plain, plain, weights, largest=1)
    feeds = {name: torch.from_numpy(array) for name, array in several_inputs.feeds(0).items()}
    network, state = learner.Network(prepared.model), feeds
    for part in parts:
        state = network.run(state, part.carried, nodes=part.nodes)
    expected = graphs.run(prepared.model, several_inputs.feeds(0))
    for name, array in zip(("y", "aux"), expected, strict=True):
        np.testing.assert_allclose(state[name].numpy(), array, atol=1e-5)
    assert "scale" in parts[0].carried


# Learning.


def test_learned_weights_lie_on_their_grids_and_the_plan_gives_just_them() -> None:
    result = learned()
    decided = result.plan
    assert decided.weights == result.overrides.weights
    assert decided.weights == plan_of().weights
    for node in result.prepared.model.graph:
        if node.op_type == "Conv":
            params, weight = decided.weights[str(node.name)], constant(node.inputs[1])
            np.testing.assert_array_equal(dequantize(quantize(weight, params), params), weight)


@pytest.mark.parametrize(
    ("weight", "largest", "iterations", "share"),
    [
        (INT4, 1, 40, 0),
        (INT4, 3, 40, 0),
        (INT4, 1, 0, 60),
        (INT8, 1, 10, 3),
    ],
)
def test_it_is_nearer_to_the_float_answer_than_the_nearest_integers(
    weight: Any, largest: int, iterations: int, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """share: times as many steps of the whole network; with no steps of parts, so many in all."""
    if not iterations:
        monkeypatch.setattr(learner, "reconstruct", lambda parts, task, weights, how, context: weights)
        iterations, share = share, 1
    start = given(settings=QuantSettings(weight=weight))
    how = Learning(largest_part=largest, iterations=iterations)
    result = learned(start, how, network_share=share)

    def off(one: Candidate) -> float:
        made = fake_quantised(one.prepared.model, one.plan)
        return float(np.mean([(answer(start.prepared.model, i) - answer(made, i)) ** 2 for i in range(DATA.count)]))

    assert off(result) < off(start)


def test_one_layer_learned_errs_no_more_than_the_nearest_integers() -> None:
    start = given(
        prepare(
            graphs.graph(
                "a = Conv(x, w) b = Conv<pads=[1,1,1,1]>(a, v) y = Conv(b, u)",
                x="float[1,3,16,16]",
                w=kernel(8, 3, 1, 1),
                v=kernel(8, 8, 3, 3, seed=1),
                u=kernel(4, 8, 1, 1, seed=2),
            )
        )
    )
    result = learned(start, replace(FEW, iterations=60), network_share=0)

    def at_b(one: Candidate) -> float:
        made = graph.expose(fake_quantised(one.prepared.model, one.plan, tensors=()), ["b"])
        truth = graph.expose(start.prepared.model, ["b"])
        return float(np.mean([(answer(made, i) - answer(truth, i)) ** 2 for i in range(DATA.count)]))

    assert at_b(result) <= at_b(start)


def test_the_learned_int4_model_runs_in_int8_kernels() -> None:
    result = learned()
    decided = result.plan
    written = formats.emit(result.prepared.model, decided, qformat="qdq", metadata={})
    graph.check(written, full=True)
    feed = {"x": DATA.load(0).tensor}
    assert not [node.name for node in quantised.executed(written, feed) if node.kind == "float"]
    (ours,) = quantised.optimised(written, feed)
    (simulated,) = graphs.run(fake_quantised(result.prepared.model, decided), feed)
    assert (np.abs(ours - simulated) < 0.5 * float(decided.tensors["y"].scale)).mean() > 0.95


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    one, same, other = (content(learned(seed=seed)) for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_the_model_given_does_not_change() -> None:
    start = given()
    before = content(start)
    learned(start)
    assert content(start) == before
    assert start.overrides == Overrides()


def test_progress_counts_parts_and_then_steps_of_the_network() -> None:
    seen: list[tuple[str, int]] = []

    def track(items: Iterable[Any], *, total: int, what: str) -> Iterable[Any]:
        for item in items:
            seen.append((what, total))
            yield item

    learned(track=track)
    assert seen == [("learn parts", 5)] * 5 + [("learn the network", 12)] * 12


def test_images_beyond_the_bound_are_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content(learned())
    monkeypatch.setattr(examples, "CACHE_BYTES", 1)
    assert content(learned()) == whole


def test_bad_input_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CalibrationError, match=r"^no images to learn the rounding from"):
        learned(data=Noise(count=0))
    with pytest.raises(RecipeError, match="gives classes, which have no gradient"):
        learned(given(recipe=replace(RECIPE, output=OutputRecipe(name="y", layout="NHW", head="labels"))))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r'pip install "quantseg\[learn\]"'):
        learned()


def test_without_a_weight_there_is_nothing_to_learn() -> None:
    prepared = prepare(
        graphs.graph("r = Relu(x) t = Transpose<perm=[0,1,3,2]>(r) y = MatMul(r, t)", x="float[1,3,16,16]")
    )
    start = given(prepared, QuantSettings())
    assert learned(start) is start


def test_grids_that_are_known_already_are_learned_on() -> None:
    """Some weights of four bits among others of eight."""
    plain = given(settings=QuantSettings())
    names = list(plain.plan.weights)[1:3]
    few = {name: plan_of().weights[name] for name in names}
    start = replace(plain, overrides=Overrides(weights=few))
    result = learned(start, Learning(iterations=10))
    assert {name: grid for name, grid in result.overrides.weights.items() if grid.qtype is INT4} == few
    assert {params.qtype for params in result.overrides.weights.values()} == {INT4, INT8}
    assert result.plan.weights == result.overrides.weights
    assert content(result) != content(start)
