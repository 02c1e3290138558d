"""Laws of every head: masks, the margins that decide them, the folded graph, the recipe that it completes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.data.heads import HEADS, class_map, head_of, judged_outputs
from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe, complete
from quantseg.errors import ModelError, PlanError, RecipeError
from quantseg.graph import TensorSpec, signature
from quantseg.graph.preparation import prepare
from quantseg.quantization.folding import Fold, fold
from tests.support import graphs
from tests.support.candidates import candidate

IMAGE = TensorSpec("x", "float32", (1, 3, 6, 8))
MAPS = ("argmax", "threshold", "multilabel", "labels")
"""Those that read one map; what follows holds for them."""
NUMBERS = ("argmax", "threshold", "multilabel")
SHAPES = {"NCHW": (2, 3, 6, 8), "NHWC": (2, 6, 8, 3), "NHW": (2, 6, 8)}
SEEDS = st.integers(0, 2**32 - 1)


def shape_of(head: str, layout: str) -> tuple[int, ...]:
    shape = SHAPES[layout]
    if head in ("threshold", "labels") and layout != "NHW":
        return (*shape[:3], 1) if layout == "NHWC" else (2, 1, *shape[2:])
    return shape


@st.composite
def cases(draw, heads=MAPS):
    """A recipe with outputs that it reads: multiples of 1/8, so that sums are exact and ties happen."""
    name = draw(st.sampled_from(heads))
    layouts = ["NCHW", "NHWC", "NHW"] if name in ("threshold", "labels") else ["NCHW", "NHWC"]
    layout = draw(st.sampled_from(layouts))
    threshold = draw(st.sampled_from([-0.5, 0.0, 0.5]))
    rng = np.random.default_rng(draw(SEEDS))
    numbers = rng.integers(0, 4, shape_of(name, layout))
    output = numbers if name == "labels" else (rng.integers(-16, 17, numbers.shape) / 8).astype(np.float32)
    return OutputRecipe(name="y", layout=layout, head=name, threshold=threshold), output


# Masks.


@given(cases())
def test_masks_are_ids_of_pixels_or_planes_of_classes(case):
    recipe, output = case
    masks, head = class_map((output,), recipe), head_of(recipe)
    count = head.class_count((output,), recipe)
    if head.overlapping:
        assert (masks.dtype, masks.shape) == (np.bool_, (2, count, 6, 8))
    else:
        assert (masks.dtype, masks.shape) == (np.int64, (2, 6, 8))
        assert masks.min() >= 0
        assert count is None or masks.max() < count


@given(cases(["argmax"]), st.integers(-64, 64), SEEDS)
def test_argmax_does_not_see_what_all_classes_of_a_pixel_share(case, constant, seed):
    recipe, output = case
    axis = 1 if recipe.layout == "NCHW" else 3
    share = np.random.default_rng(seed).integers(-8, 9, np.delete(output.shape, axis)) + constant
    raised = output + np.expand_dims(share, axis).astype(np.float32)
    np.testing.assert_array_equal(class_map((raised,), recipe), class_map((output,), recipe))


@given(cases(["threshold", "multilabel"]), st.integers(-64, 64))
def test_a_threshold_moves_with_the_numbers(case, constant):
    recipe, output = case
    moved = replace(recipe, threshold=recipe.threshold + constant)
    np.testing.assert_array_equal(class_map((output + np.float32(constant),), moved), class_map((output,), recipe))


# Margins.


@given(cases())
def test_the_margins_of_an_output_are_its_own(case):
    recipe, output = case
    margins = head_of(recipe).margins((output,), recipe)
    np.testing.assert_array_equal(margins.of((output,)), margins.lead)
    assert margins.lead.shape == margins.classes.shape == class_map((output,), recipe).reshape(-1).shape


@given(cases(NUMBERS), SEEDS)
def test_no_error_below_the_margin_changes_the_class_and_some_beyond_it_does(case, seed):
    """Argmax errs in two numbers, so each may err by less than half; a tie is decided by the smallest of errors."""
    recipe, output = case
    head = head_of(recipe)
    margins, before = head.margins((output,), recipe), class_map((output,), recipe).reshape(-1)
    lead = np.abs(margins.lead)
    least = lead[lead > 0].min(initial=4.0)
    share = 0.49 if recipe.head == "argmax" else 0.98
    signs = np.random.default_rng(seed).choice([-1, 1], output.shape)
    erring = class_map((output + (share * least * signs).astype(np.float32),), recipe).reshape(-1)
    np.testing.assert_array_equal(erring[lead > 0], before[lead > 0])
    down = (margins.lead > 0) | (recipe.head == "argmax")
    flat = output.reshape(-1).copy()
    flat[margins.first] += np.where(down, -1, 1).astype(np.float32) * (lead + np.float32(0.0625))
    assert (class_map((flat.reshape(output.shape),), recipe).reshape(-1) != before).all()


# The folded graph.

BODIES = {
    "argmax": "a = Conv(x, w) y = Softmax<axis=1>(a)",
    "threshold": "a = Conv(x, v) y = Sigmoid(a)",
    "multilabel": "a = Conv(x, w) y = Sigmoid(a)",
    "labels": "a = Conv(x, w) y = ArgMax<axis=1, keepdims=0>(a)",
}


@pytest.mark.parametrize("name", BODIES)
@given(SEEDS)
@settings(max_examples=10)
def test_the_folded_graph_gives_the_masks_of_the_outputs(name, seed):
    rng = np.random.default_rng(seed)
    kernels = {"w": rng.normal(size=(4, 3, 1, 1)).astype(np.float32), "v": rng.normal(size=(1, 3, 1, 1))}
    shape = {"labels": "int64[1,6,8]", "threshold": "float[1,1,6,8]"}.get(name, "float[1,4,6,8]")
    model = graphs.graph(
        BODIES[name], opset=13, x="float[1,3,6,8]", y=shape, w=kernels["w"], v=kernels["v"].astype(np.float32)
    )
    wanted = OutputRecipe(head=name, classes=() if name == "threshold" else tuple("abcd"))
    recipe = complete(Recipe(output=wanted), *signature(model), model="m.onnx")
    made = fold(candidate(prepare(model), {}, recipe=recipe), Fold(argmax=True), rounded=False)
    given = made.model.recipe
    assert complete(given, *signature(made.prepared.model), model="m.onnx") == given
    tensor = rng.normal(size=(1, 3, 6, 8)).astype(np.float32)
    found = class_map(graphs.run(made.prepared.model, {"x": tensor}), given.output)
    np.testing.assert_array_equal(found, class_map(graphs.run(model, {"x": tensor}), recipe.output))


# Recipes.


@given(cases())
def test_a_completed_recipe_is_complete_and_names_what_is_read(case):
    recipe, output = case
    specs = (TensorSpec("y", str(output.dtype), output.shape),)
    head = head_of(recipe)
    given_input = InputRecipe(size=(6, 8), layout="NCHW", channels="RGB")
    done = head.complete(OutputRecipe(head=recipe.head, layout=recipe.layout), specs, given_input)
    assert head.complete(done, specs, given_input) == done
    assert (done.name, done.layout, done.head) == ("y", recipe.layout, recipe.head)
    assert head.outputs(done, specs) == ("y",)
    count = head.class_count((output,), done)
    assert head.class_names(done.classes, count or 0) == done.classes


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("channels", [None, 1, 5])
def test_at_most_one_head_recognises_an_output(dtype, channels):
    specs = (TensorSpec("y", dtype, (1, channels, 6, 8)),)
    given_input = InputRecipe(size=(6, 8), layout="NCHW", channels="RGB")
    found = [name for name, head in HEADS.items() if head.recognises(OutputRecipe(), specs, given_input)]
    assert found == (["labels"] if dtype == "int64" else ["threshold"] if channels == 1 else ["argmax"])


@pytest.mark.parametrize("name", HEADS)
def test_a_head_has_its_name_and_something_to_learn_unless_it_gives_ids(name):
    head, recipe = HEADS[name], OutputRecipe(name="y", layout="NCHW", head=name)
    losses = head.losses(recipe)
    assert head.name == name
    assert (losses is None) == (not head.gives_numbers)


def test_a_head_that_is_none_is_refused():
    for head in (None, "softmax"):
        with pytest.raises(RecipeError, match=r"output\.head: .*argmax, threshold, multilabel, labels"):
            head_of(OutputRecipe(head=head))


# Several outputs.


def test_a_model_with_several_maps_says_which_is_judged():
    aux, boxes = TensorSpec("aux", "float32", (1, 5, 6, 8)), TensorSpec("boxes", "float32", (1, 100, 4))
    logits = TensorSpec("y", "float32", (1, 5, 6, 8))
    first = complete(Recipe(), [IMAGE], [logits, boxes, aux], model="m.onnx")
    seen = judged_outputs(first, [logits, boxes, aux])
    assert (seen.outputs, seen.others, seen.to_json()) == (("y",), ("aux",), "y")
    assert seen.note == "judged: output 'y', not 'aux'"
    named = complete(Recipe(output=OutputRecipe(name="aux")), [IMAGE], [logits, boxes, aux], model="m.onnx")
    assert judged_outputs(named, [logits, boxes, aux]).note == "judged: output 'aux', not 'y'"
    assert judged_outputs(first, [logits, boxes]).note == ""


def test_folding_leaves_the_other_outputs_alone():
    model = graphs.parse(
        """<ir_version: 8, opset_import: ["": 13]> g (float[1,3,6,8] x) => (float[1,2,6,8] y, float[1,2,6,8] z)
        { y = Conv(x, w) z = Relu(y) }""",
        w=np.ones((2, 3, 1, 1), np.float32),
    )
    recipe = complete(Recipe(output=OutputRecipe(name="y")), *signature(model), model="m.onnx")
    made = fold(candidate(prepare(model), {}, recipe=recipe), Fold(argmax=True), rounded=False)
    assert [spec.name for spec in signature(made.prepared.model)[1]] == ["mask", "z"]


def test_classes_of_unknown_number_cannot_be_folded():
    model = graphs.graph(
        "a = Conv(x, w) y = ArgMax<axis=1, keepdims=0>(a)",
        opset=13,
        x="float[1,3,6,8]",
        y="int64[1,6,8]",
        w=np.ones((2, 3, 1, 1), np.float32),
    )
    recipe = complete(Recipe(), *signature(model), model="m.onnx")
    with pytest.raises(PlanError, match="give classes="):
        fold(candidate(prepare(model), {}, recipe=recipe), Fold(argmax=True), rounded=False)


def test_more_channels_than_classes_can_be_are_refused_before_they_are_named():
    wide = TensorSpec("y", "float32", (1, 2**60, 6, 8))
    with pytest.raises(ModelError, match="more than 4,096 classes"):
        complete(Recipe(output=OutputRecipe(name="y")), [IMAGE], [wide], model="m.onnx")
