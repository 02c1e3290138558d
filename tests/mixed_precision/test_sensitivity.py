"""What each node of a plan loses alone: laws, and computations by hand."""

import json
import math
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantseg import api
from quantseg.data.heads import JudgedOutputs
from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe
from quantseg.errors import DataError, ModelError, OutputError, PlanError
from quantseg.evaluation.agreement import evaluate
from quantseg.graph import to_bytes
from quantseg.graph.preparation import prepare
from quantseg.mixed_precision.sensitivity import NOTHING_LOST, Loss, NodeSensitivity, Sensitivity, measure
from quantseg.mixed_precision.sensitivity.parts import parts_of
from quantseg.mixed_precision.sensitivity.reference import StoredArray, compared
from quantseg.progress import quiet
from quantseg.quantization.affine import Range
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.quantization.plan import Overrides, QuantSettings
from quantseg.runtimes import WEIGHTS_AS_WRITTEN
from tests.support import graphs
from tests.support.candidates import Tensors, candidate, context
from tests.support.detectors import mask_rcnn
from tests.support.models import run
from tests.support.quantised import extrema, kernel

JUDGED = JudgedOutputs(("y",), ())

CHAIN = """
    a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1)
    r = Relu (a)
    b = Conv <pads = [1, 1, 1, 1], group = 4> (r, w2)
    s = Relu (b)
    m = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (s)
    c = Conv (m, w3)
    d = Add (c, r)
    e = Relu (d)
    y = Conv (e, w4)
"""
WEIGHTS = {
    "w1": kernel(4, 2, 3, 3, seed=1),
    "b1": graphs.noise(4, seed=2),
    "w2": kernel(4, 1, 3, 3, seed=3),
    "w3": kernel(4, 4, 1, 1, seed=4),
    "w4": kernel(3, 4, 1, 1, seed=5),
}


def images(count=3, shape=(1, 2, 6, 6)):
    return Tensors(tuple(graphs.noise(*shape, seed=k) for k in range(count)))


def recipe(head="argmax", layout="NCHW", **fields):
    return Recipe(InputRecipe(size=(6, 6)), OutputRecipe(name="y", layout=layout, head=head, **fields))


def chain():
    return prepare(graphs.graph(CHAIN, **WEIGHTS))


def ranges_of(prepared, data):
    return extrema(prepared.model, data.feeds())


def measured(
    prepared, data, *, ranges=None, settings=None, kept_float=(), head="argmax", threads=1, track=quiet, **options
):
    found = ranges_of(prepared, data) if ranges is None else ranges
    given = candidate(prepared, found, settings, Overrides(kept_float=dict(kept_float)), recipe(head))
    return measure(given, data, context(threads=threads, track=track), **options)


def by_output(prepared, result):
    """Node sensitivities by the name of the tensor that the node makes."""
    made = {str(node.name): str(node.outputs[0].name) for node in prepared.model.graph}
    return {made[node.node]: node for node in result.nodes}


# The numbers


def test_the_losses_of_one_convolution_are_those_computed_by_hand():
    w = kernel(3, 2, 1, 1)
    prepared, data = prepare(graphs.graph("y = Conv (x, w)", w=w)), images(2)
    (node,) = measured(prepared, data, settings=QuantSettings(full_range_weights=True)).nodes
    x = np.stack([tensor[0] for tensor in data.tensors])
    y = np.einsum("oi,nihw->nohw", w[:, :, 0, 0], x)

    def rounded(values):
        low, high = min(values.min(), 0), max(values.max(), 0)
        scale = (high - low) / 255
        return np.round(values / scale) * scale

    step = np.abs(w).max(axis=(1, 2, 3), keepdims=True) / 127
    rounded_w = (np.round(w / step) * step)[:, :, 0, 0]
    by_hand = {
        "weights": np.einsum("oi,nihw->nohw", rounded_w, x),
        "activations": rounded(np.einsum("oi,nihw->nohw", w[:, :, 0, 0], rounded(x))),
        "alone": rounded(np.einsum("oi,nihw->nohw", rounded_w, rounded(x))),
    }
    for kind, answer in by_hand.items():
        loss = getattr(node, kind)
        assert loss.sqnr_db == pytest.approx(10 * np.log10((y**2).sum() / ((y - answer) ** 2).sum()), abs=0.2)
        assert loss.flipped == pytest.approx((y.argmax(1) != answer.argmax(1)).mean(), abs=0.03)
    assert node.macs == 3 * 2 * 36


@pytest.mark.parametrize("head", ["argmax", "multilabel", "threshold", "labels"])
def test_the_whole_plan_loses_what_an_evaluation_of_it_finds(head):
    last = {"threshold": "z = ReduceMax <axes = [1]> (y0)", "labels": "z = ArgMax <axis = 1> (y0)"}
    body = CHAIN.replace("y =", "y0 =") + last.get(head, "z = Identity (y0)")
    kind = "int64" if head == "labels" else "float"
    model = graphs.parse(
        f'<ir_version: 7, opset_import: ["": 13]> g (float[1,2,6,6] x) => ({kind}[] z) {{ {body} }}', **WEIGHTS
    )
    prepared, data = prepare(model), images()
    own = replace(recipe(head), output=OutputRecipe(name="z", layout="NCHW", head=head, threshold=0.1))
    given = candidate(prepared, ranges_of(prepared, data), recipe=own)
    found = measure(given, data, context(), left_float=False)
    fake = fake_quantised(prepared.model, given.plan)
    with (
        closing(WEIGHTS_AS_WRITTEN.open(to_bytes(prepared.model), threads=1)) as one,
        closing(WEIGHTS_AS_WRITTEN.open(to_bytes(fake), threads=1)) as other,
    ):
        judged = evaluate(one, other, data, own)
    assert found.whole.flipped == pytest.approx(1 - judged.pixel_agreement, abs=1e-12)
    if judged.sqnr_db is not None:
        assert found.whole.sqnr_db == pytest.approx(judged.sqnr_db, abs=1e-3)
    assert found.images == 3


def test_the_only_node_alone_is_the_whole_plan_and_left_float_it_is_the_float_model():
    prepared, data = prepare(graphs.graph("y = Conv (x, w)", w=kernel(3, 2, 3, 3))), images()
    result = measured(prepared, data)
    (node,) = result.nodes
    assert node.alone == result.whole
    assert node.left_float == NOTHING_LOST
    assert result.gain_db(node) == math.inf


def test_weights_on_their_grid_lose_nothing():
    w = np.random.default_rng(0).integers(-127, 128, (3, 2, 3, 3)).astype(np.float32)
    w[:, 0, 0, 0] = 127
    prepared = prepare(graphs.graph("y = Conv (x, w)", w=w / 256))
    (node,) = measured(prepared, images(), settings=QuantSettings(full_range_weights=True)).nodes
    assert node.weights == NOTHING_LOST
    assert node.activations == node.alone


def test_coarser_grids_lose_more():
    prepared, data = chain(), images()
    ranges = ranges_of(prepared, data)
    found = []
    for factor in (1, 8, 64):
        wide = ranges | {"x": Range(factor * ranges["x"].minimum, factor * ranges["x"].maximum)}
        found.append(by_output(prepared, measured(prepared, data, ranges=wide, left_float=False))["a"].activations)
    assert found[0].sqnr_db > found[1].sqnr_db + 6 > found[2].sqnr_db + 12


def test_the_node_with_an_absurd_grid_ranks_first_and_left_float_it_gives_the_most_back():
    prepared, data = chain(), images()
    ranges = ranges_of(prepared, data)
    result = measured(prepared, data, ranges=ranges | {"x": Range(-300.0, 300.0)})
    worst = result.ranked()[0]
    assert worst is by_output(prepared, result)["a"]
    gains = {node.node: result.gain_db(node) for node in result.nodes}
    assert max(gains, key=gains.get) == worst.node
    assert gains[worst.node] > 10
    assert worst.left_float.sqnr_db > result.whole.sqnr_db


def test_the_noise_of_the_whole_plan_is_about_that_of_its_tensors_and_weights():
    """Rounding errors that have little to do with each other add up as powers."""
    prepared, data = chain(), images(8)
    ranges = ranges_of(prepared, data)
    result = measured(prepared, data, ranges=ranges, left_float=False)
    parts = [node.weights for node in result.nodes if node.weights]
    seen = {part.tensors: part.node for part in parts_of(prepared.model, candidate(prepared, ranges).plan)}
    parts += [node.activations for node in result.nodes if node.node in seen.values()]
    total = sum(10 ** (-loss.sqnr_db / 10) for loss in parts)
    assert 0.3 < total * 10 ** (result.whole.sqnr_db / 10) < 4


# Whose rounding is whose


def test_a_folded_clamp_belongs_to_its_convolution_and_moved_tensors_are_rounded_at_their_source():
    prepared, data = chain(), images()
    decided = candidate(prepared, ranges_of(prepared, data)).plan
    made = {str(node.name): str(node.outputs[0].name) for node in prepared.model.graph}
    found = {made[part.node]: part for part in parts_of(prepared.model, decided)}
    assert set(found) == {"a", "b", "m", "c", "d", "y"}
    assert {name: set(part.tensors) for name, part in found.items()} == {
        "a": {"x", "r"},
        "b": {"r", "s"},
        "m": {"s"},
        "c": {"s", "c"},
        "d": {"c", "r", "e"},
        "y": {"e", "y"},
    }
    assert [name for name, part in found.items() if part.weights] == ["a", "b", "c", "y"]


def test_a_node_without_weights_has_its_activations_alone():
    prepared = chain()
    node = by_output(prepared, measured(prepared, images()))["d"]
    assert node.weights is None
    assert node.alone == node.activations
    assert node.macs == 0


def test_equal_graphs_are_measured_once():
    told = []

    def track(items, *, total, what):
        told.append((what, total))
        return items

    body = "a = Conv (x, w)  m = MaxPool <kernel_shape = [1, 1]> (a)  t = Transpose <perm = [0, 1, 3, 2]> (m)  " + (
        "y = Conv (t, v)"
    )
    prepared = prepare(graphs.graph(body, w=kernel(4, 2, 1, 1), v=kernel(3, 4, 1, 1)))
    result = measured(prepared, images(2), left_float=False, track=track)
    moved = [node for node in result.nodes if node.op_type in ("MaxPool", "Transpose")]
    assert len(moved) == 2
    assert moved[0].alone == moved[1].alone
    # the whole; of each convolution three; the tensor that both others move
    assert told == [("float outputs", 2), ("quantise nodes alone", 1 + 3 + 3 + 1)]


# The same input, the same bytes


def test_neither_the_order_of_the_images_nor_the_threads_change_a_digit():
    prepared, data = chain(), images(5)
    ranges = ranges_of(prepared, data)
    first = measured(prepared, data, ranges=ranges)
    assert measured(prepared, Tensors(data.tensors[::-1]), ranges=ranges, threads=3) == first
    assert json.dumps(measured(prepared, data, ranges=ranges).to_json()) == json.dumps(first.to_json())


def test_without_left_float_the_rest_is_the_same():
    prepared, data = chain(), images()
    full, part = measured(prepared, data), measured(prepared, data, left_float=False)
    assert part.nodes == tuple(replace(node, left_float=None) for node in full.nodes)
    assert [part.gain_db(node) for node in part.nodes] == [None] * len(part.nodes)


def test_the_model_that_is_measured_does_not_change():
    prepared, data = chain(), images()
    before = to_bytes(prepared.model)
    measured(prepared, data)
    assert to_bytes(prepared.model) == before


def test_nodes_that_stay_float_anyway_have_no_line():
    prepared, data = chain(), images()
    made = {str(node.outputs[0].name): str(node.name) for node in prepared.model.graph}
    result = measured(prepared, data, kept_float={made["b"]: "breaks"})
    assert "b" not in by_output(prepared, result)
    assert "a" in by_output(prepared, result)


# Sizes, and what is bad


@pytest.mark.parametrize("shape", [(1, 2, 6, 6), (1, 2, 9, 5)])
def test_a_model_of_any_size(shape):
    prepared = prepare(graphs.graph(CHAIN, x="float[1,2,H,W]", y="float[1,3,H,W]", **WEIGHTS))
    result = measured(prepared, images(2, shape))
    assert by_output(prepared, result)["a"].macs == 4 * 2 * 9 * shape[2] * shape[3]
    assert sum(result.share(node) for node in result.nodes) == pytest.approx(1)


def test_images_of_several_sizes():
    prepared = prepare(graphs.graph(CHAIN, x="float[1,2,H,W]", y="float[1,3,H,W]", **WEIGHTS))
    data = Tensors((graphs.noise(1, 2, 6, 6), graphs.noise(1, 2, 8, 4, seed=1)))
    assert math.isfinite(measured(prepared, data, left_float=False).whole.sqnr_db)


@pytest.mark.parametrize("dead", ["weights", "image", "channel"])
def test_what_is_constant_is_measured_and_told_as_json(dead):
    w, tensors = dict(WEIGHTS), images(1).tensors
    if dead == "weights":
        w["w4"] = np.zeros_like(w["w4"])
    elif dead == "channel":
        w["w2"] = w["w2"] * np.array([0, 1, 1, 1], np.float32)[:, None, None, None]
    else:
        tensors = (np.full((1, 2, 6, 6), 0.5, np.float32),)
    result = measured(prepare(graphs.graph(CHAIN, **w)), Tensors(tensors))
    json.dumps(result.to_json(), allow_nan=False)
    if dead == "weights":
        assert result.whole.flipped == 0


def test_one_class_never_flips():
    prepared = prepare(graphs.graph("y = Conv (x, w)", w=kernel(1, 2, 3, 3)))
    (node,) = measured(prepared, images()).nodes
    assert node.alone.flipped == 0
    assert math.isfinite(node.alone.sqnr_db)


def test_numbers_that_rounding_makes_infinite_are_the_worst_loss():
    """1/c of what is rounded to zero: the float model is finite, the quantised one is not."""
    body = "a = Conv (x, w)  i = Reciprocal (a)  y = Add (i, a)"
    tensors = (np.array([1e-3, 1, 2, 100], np.float32).reshape(1, 1, 2, 2),)
    prepared = prepare(graphs.graph(body, x="float[1,1,2,2]", w=np.ones((1, 1, 1, 1), np.float32)))
    result = measured(prepared, Tensors(tensors), head="threshold")
    assert result.whole.sqnr_db == -math.inf
    assert json.loads(json.dumps(result.to_json()))["whole"] == {"sqnr_db": None, "equal": False, "flipped": 0.0}


@pytest.fixture
def emptied(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert not list(tmp_path.iterdir())


def test_nothing_stays_on_the_disk(emptied):
    prepared, data = chain(), images()
    measured(prepared, data, left_float=False)


def test_an_output_that_is_not_finite_is_refused_with_the_image(emptied):
    prepared, data = chain(), images(2)
    ranges = ranges_of(prepared, data)
    broken = Tensors((data.tensors[0], np.full((1, 2, 6, 6), np.nan, np.float32)))
    with pytest.raises(ModelError, match=r"'y' holds NaN or infinity for 1\.npy"):
        measured(prepared, broken, ranges=ranges)


def test_a_full_disk_is_told_with_the_remedy(emptied, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    prepared, data = chain(), images(1)
    monkeypatch.setattr(StoredArray, "of", full)
    with pytest.raises(OutputError, match=r"No space left on device.*fewer images"):
        measured(prepared, data)


def test_no_images_are_refused():
    prepared = chain()
    with pytest.raises(DataError, match="no images to measure on"):
        measured(prepared, Tensors(()), ranges=ranges_of(prepared, images(1)))


def test_a_plan_that_quantises_nothing_is_refused():
    prepared, data = chain(), images(1)
    with pytest.raises(PlanError, match="every node stays float"):
        measured(prepared, data, settings=QuantSettings(exclude=("*",)))


# Values


def node(name, db, flipped=0.0):
    loss = Loss(db, flipped)
    return NodeSensitivity(name, "Conv", 1, loss, None, loss, None)


def test_the_least_sqnr_comes_first_then_the_most_flipped_pixels():
    nodes = (
        node("a", 40.0, 0.1),
        node("b", math.inf),
        node("c", 40.0, 0.2),
        node("d", -math.inf),
        node("e", 40.0, 0.1),
    )
    ranked = Sensitivity(NOTHING_LOST, 1, nodes, 5, JUDGED).ranked()
    assert [n.node for n in ranked] == ["d", "c", "a", "e", "b"]


def test_where_nothing_is_lost_nothing_is_gained():
    one = replace(node("a", math.inf), left_float=NOTHING_LOST)
    assert Sensitivity(NOTHING_LOST, 1, (one,), 0, JUDGED).gain_db(one) == 0
    assert Sensitivity(NOTHING_LOST, 1, (one,), 0, JUDGED).share(one) == 0


def test_detections_in_other_numbers_are_compared_by_their_margins(tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    onnx.save(mask_rcnn(), path)
    model = api.load(path)
    noise = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    found = [run(path.read_bytes(), {"images": image}) for image in (noise, np.zeros_like(noise))]
    assert len(found[0][0]) != len(found[1][0])
    first, second = (compared(outputs, model.recipe.output) for outputs in found)
    assert [one.shape for one in first] == [one.shape for one in second]
    assert not np.array_equal(first[0], second[0])
