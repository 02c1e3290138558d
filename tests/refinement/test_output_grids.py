"""Grids per channel of outputs: the same network in float, each class on a range of its own in integers."""

from dataclasses import replace

import numpy as np
import pytest

from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe
from quantseg.graph.preparation import prepare
from quantseg.quantization.fake_quant import fake_quantised
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.writing import written
from quantseg.refinement.output_grids import part_output_grids
from tests.support import graphs
from tests.support.candidates import candidate, images, observed
from tests.support.quantised import extrema, kernel

WIDE = np.array([1, 30, 4, 0.2, 9], np.float32)
BODIES = {
    "product": "y = Conv(r, v)",
    "resized": 'z = Conv(r, v) y = Resize <mode = "linear"> (z, , s)',
    "shuffled": "z = Conv(r, u) y = DepthToSpace <blocksize = 2> (z)",
    "shuffled CRD": 'z = Conv(r, u) y = DepthToSpace <blocksize = 2, mode = "CRD"> (z)',
    "cropped": "z = Conv(r, v) y = Slice(z, b, e, a)",
    "probabilities": "z = Conv(r, v) y = Softmax <axis = 1> (z)",
    "transposed": "z = ConvTranspose <strides = [2,2]> (r, t) y = Identity(z)",
}
NOT = {
    "clamped": "z = Conv(r, v) y = Relu(z)",
    "read twice": "z = Conv(r, v) q = Conv(z, p) y = Add(z, q)",
    "one channel": "y = Conv(r, o)",
}
DATA = images(4)
RECIPE = Recipe(InputRecipe(size=(9, 9)), OutputRecipe(name="y", layout="NCHW", head="argmax"))


def parts(body: str, settings: QuantSettings | None = None):
    rows = np.float32(WIDE[:, None, None, None])
    weights = {
        "w": kernel(8, 4, 3, 3, seed=1),
        "v": rows * kernel(5, 8, 1, 1, seed=2),
        "u": np.tile(rows, (4, 1, 1, 1)) * kernel(20, 8, 1, 1, seed=3),
        "t": WIDE[None, :, None, None] * kernel(8, 5, 2, 2, seed=4),
        "p": kernel(5, 5, 1, 1, seed=5),
        "o": kernel(1, 8, 1, 1, seed=6),
        "s": np.array([1, 1, 2, 2], np.float32),
        "b": np.array([1, 1]),
        "e": np.array([8, 8]),
        "a": np.array([2, 3]),
    }
    text = f"c = Conv <pads = [1,1,1,1]> (x, w) r = Relu(c) {body}"
    used = {
        name: weight
        for name, weight in weights.items()
        if name in text.replace("(", " ").replace(",", " ").replace(")", " ").split()
    }
    prepared = prepare(graphs.graph(text, x="float[1,4,9,9]", **used))
    seen = extrema(prepared.model, DATA.feeds())
    return candidate(prepared, seen, settings, recipe=RECIPE), observed(prepared, DATA)


@pytest.mark.parametrize("name", BODIES)
def test_in_float_the_network_is_the_same(name: str) -> None:
    start, seen = parts(BODIES[name])
    found = part_output_grids(start, seen.channels)
    assert found is not None
    for feed in DATA.feeds():
        graphs.assert_same(graphs.run(found.prepared.model, feed), graphs.run(start.prepared.model, feed), 1e-4)


@pytest.mark.parametrize("name", NOT)
def test_other_outputs_stay_as_they_are(name: str) -> None:
    start, seen = parts(NOT[name])
    assert part_output_grids(start, seen.channels) is None


def test_without_scales_per_channel_of_weights_nothing_is_parted() -> None:
    start, seen = parts(BODIES["product"], QuantSettings(per_channel=False))
    assert part_output_grids(start, seen.channels) is None


def test_for_other_kernels_integers_go_up_to_the_end() -> None:
    start, seen = parts(BODIES["product"])
    other = start.with_prepared(replace(start.prepared, kernels="litert"))
    assert part_output_grids(other, seen.channels) is None


def noises(given) -> np.ndarray:
    """The largest error of each channel where the output's tensor alone is rounded."""
    plan = given.plan
    names = [n for n in plan.tensors if n.startswith("y") or n.startswith("z")]
    rounded = fake_quantised(given.prepared.model, plan, weights=(), tensors=names)
    worst = np.zeros(len(WIDE))
    for feed in DATA.feeds():
        (real,), (found,) = graphs.run(given.prepared.model, feed), graphs.run(rounded, feed)
        worst = np.maximum(worst, np.abs(found - real).max(axis=(0, 2, 3)))
    return worst


@pytest.mark.parametrize("name", ["product", "shuffled", "resized"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_each_channel_is_rounded_to_255_steps_of_its_own_range(name: str, symmetric: bool) -> None:
    start, seen = parts(BODIES[name], QuantSettings(symmetric=symmetric))
    found = part_output_grids(start, seen.channels)
    assert found is not None
    spans = np.zeros(len(WIDE))
    for feed in DATA.feeds():
        (real,) = graphs.run(start.prepared.model, feed)
        spans = np.maximum(spans, np.ptp(real, axis=(0, 2, 3)))
    before, after = noises(start), noises(found)
    assert (after <= spans * 1.3 / 255).all()
    assert (before[[0, 3]] > 4 * after[[0, 3]]).all()  # the narrow ones


def test_the_integer_model_computes_it_too() -> None:
    start, seen = parts(BODIES["resized"])
    found = part_output_grids(start, seen.channels)
    assert found is not None
    errors = []
    for model in (written(start).model, written(found).model):
        pairs = [(graphs.run(start.prepared.model, f)[0], graphs.run(model, f)[0]) for f in DATA.feeds()]
        errors.append(max(np.abs(a - b)[:, 3].max() for a, b in pairs))
    assert errors[1] < errors[0] / 3
