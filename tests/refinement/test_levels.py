"""The efforts: fast changes nothing, balanced makes the masks better from the calibration images alone."""

import re
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from quantseg.pipeline import CalibrationOptions, FloatModel

from quantseg import graph, pipeline
from quantseg.calibration.calibrators import calibrator
from quantseg.calibration.file import Calibration
from quantseg.data import Dataset, Subset
from quantseg.errors import MissingExtraError, PlanError
from quantseg.mixed_precision.risk import Jury
from quantseg.progress import quiet
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import INT4, UINT8
from quantseg.refinement import levels as effort
from quantseg.refinement import range_search as narrowing
from quantseg.refinement.levels import (
    BALANCED,
    BEST,
    EFFORTS,
    FAST,
    FLOAT_WORK,
    FRAGILE,
    Refined,
    refine,
    reordered,
    starts,
    weights,
)
from quantseg.refinement.rounding.learned import learn
from quantseg.runtimes.macs import multiply_accumulates
from tests.conftest import CLASSES, SIZE
from tests.support import models
from tests.support.graphs import assert_same

OPTIONS = CalibrationOptions(calibrator="minmax", threads=1)


@dataclass(frozen=True)
class Case:
    """A model, its calibration and the images."""

    model: FloatModel
    calibration: Calibration
    data: Dataset

    def refined(self, word: str = BALANCED) -> Refined:
        return refine(self.model, self.calibration, self.data, OPTIONS, effort=word)


def case(path: Path, pictures: Path, count: int = 3) -> Case:
    model = pipeline.read_float_model(path)
    data = Subset(pipeline.open_data(pictures, model), tuple(range(count)))
    return Case(model, pipeline.calibrate(model, data, OPTIONS), data)


def content(refined: Refined) -> bytes:
    """The bytes of the quantised model."""
    return graph.to_bytes(pipeline.quantize(refined.model, refined.table, OPTIONS.settings)[1])


def uneven(seed: int = 0, dead: bool = False, colour: bool = False) -> onnx.ModelProto:
    """A U-Net whose channels differ by up to thirty times. dead: one of the first layer's never speaks. colour: no
    pixel of the picture is read, so that all tensors are constant."""
    model = models.unet(base=4, depth=1, classes=CLASSES, size=SIZE, seed=seed)
    for number, tensor in enumerate(model.graph.initializer):
        weight = onnx.numpy_helper.to_array(tensor).copy()
        if weight.ndim == 4:
            sizes = np.exp(np.random.default_rng(number).uniform(-1.7, 1.7, len(weight)))
            weight *= sizes[:, None, None, None].astype(np.float32)
        if number < 2 and dead:
            weight[1] = 0
        if number == 0 and colour:
            weight[:] = 0
        tensor.CopyFrom(onnx.numpy_helper.from_array(weight, tensor.name))
    return model


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Case:
    path = tmp_path_factory.mktemp("effort") / "uneven.onnx"
    onnx.save(uneven(), path)
    return case(path, pictures)


@pytest.fixture(scope="module")
def balanced(made: Case) -> Refined:
    return made.refined()


def errors(made: Case, refined: Refined) -> float:
    """Mean square error of the quantised model's answer, by onnxruntime, in units of the float one's."""
    quantised = content(refined)
    wrong = right = 0.0
    for index in range(len(made.data.names)):
        feed = {made.model.input.name: made.data.load(index).tensor}
        (expected,) = models.run(onnx.load(made.model.path), feed)
        (found,) = models.run(quantised, feed)
        wrong, right = wrong + np.square(found - expected).sum(), right + np.square(expected).sum()
    return float(wrong / right)


def test_fast_keeps_ranges_and_orders_channels_alone(made):
    refined = made.refined(FAST)
    assert refined.table == made.calibration.table
    (note,) = refined.notes
    assert re.fullmatch(r"input channels reordered: 0\.\d\d → 0\.\d\d bits lost per channel in the mean", note)
    feed = {made.model.input.name: made.data.load(0).tensor}
    before, after = (graph.to_bytes(one.prepared.model) for one in (made.model, refined.model))
    assert before != after
    assert_same(models.run(after, feed), models.run(before, feed))


@pytest.mark.parametrize(
    "settings",
    [
        QuantSettings(full_range_weights=True),
        QuantSettings(reduce_range=True),
        QuantSettings(per_channel=False),
        QuantSettings(weight=UINT8),
        QuantSettings(weight=INT4),
    ],
    ids=["full range", "7 bits", "per tensor", "uint8", "int4"],
)
def test_channels_stay_where_no_order_is_better(made, settings):
    refined = Refined(made.model, made.calibration.table)
    assert reordered(refined, QuantSettings()) is not refined
    assert reordered(refined, settings) is refined


def test_channels_stay_once_weights_are_rounded(made, balanced):
    assert balanced.model.prepared.weights
    assert sum("reordered" in note for note in balanced.notes) == 1
    assert reordered(balanced, QuantSettings()) is balanced


def test_balanced_errs_far_less_and_tells_what_it_did(made, balanced):
    assert errors(made, balanced) < errors(made, made.refined(FAST)) / 2
    assert balanced.notes
    assert all("\n" not in note and len(note) < 250 for note in balanced.notes)


def test_balanced_does_not_change_what_it_is_given(made, balanced):
    again = pipeline.read_float_model(made.model.path)
    assert graph.to_bytes(made.model.prepared.model) == graph.to_bytes(again.prepared.model)
    assert not made.model.prepared.weights
    assert not made.model.prepared.kept_float
    assert balanced.model.recipe == made.model.recipe


def test_the_same_input_gives_the_same_bytes(made, balanced):
    assert content(made.refined()) == content(balanced)


def test_little_of_the_work_stays_float(made, balanced):
    shape = made.data.load(0).tensor.shape
    counts = multiply_accumulates(made.model.prepared, {made.model.input.name: shape})
    kept = balanced.model.prepared.kept_float
    assert set(kept.values()) <= {FRAGILE}
    assert sum(counts[name] for name in kept) <= FLOAT_WORK * sum(counts.values())


def test_nothing_stays_float_where_that_is_not_wanted(made):
    refined = refine(made.model, made.calibration, made.data, OPTIONS, leave_float=False)
    assert not refined.model.prepared.kept_float


def test_best_learns_and_is_no_worse_than_balanced_on_the_calibration_images(made, balanced, monkeypatch):
    pytest.importorskip("torch", reason="learned rounding needs torch")
    monkeypatch.setattr(weights, "learn", partial(learn, iterations=4))
    best = made.refined(BEST)
    assert errors(made, best) <= 1.5 * errors(made, balanced)
    assert content(best) == content(made.refined(BEST))


def test_best_without_torch_says_what_to_install(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"quantseg\[learn\]"):
        made.refined(BEST)


def start(made: Case) -> tuple[starts.Start, starts.Work]:
    """The calibrated model with the risk of rounding it, and what refinement works with."""
    feeds = [{made.model.input.name: made.data.load(index).tensor} for index in range(len(made.data.names))]
    jury = Jury.of(made.model.prepared.model, feeds, made.model.recipe.output, threads=1)
    work = starts.Work(made.data, OPTIONS, jury, quiet)
    return starts.start_of(Refined(made.model, made.calibration.table), made.calibration.observations, work), work


def test_narrower_ranges_lie_within_the_calibrated_ones_and_stand_first_where_they_err_less(made, monkeypatch):
    monkeypatch.setattr(starts, "EVIDENCE", 0.0)
    monkeypatch.setattr(narrowing, "CANDIDATES", {"percentile 95": calibrator("percentile", percent=95)})
    monkeypatch.setattr(narrowing, "GAIN", -100.0)  # noise has no rare values; all are cut off, for good or ill
    found = starts.looked_at(*start(made))
    before = made.calibration.table.ranges
    assert [one.risk for one in found] == sorted(one.risk for one in found)
    (narrower,) = (one for one in found if one.refined.table.ranges != before)
    for name, span in narrower.refined.table.ranges.items():
        assert before[name].minimum <= span.minimum <= span.maximum <= before[name].maximum
    assert any("rarest values" in note for note in narrower.refined.notes)
    assert all(one.sources for one in found)


def test_few_images_narrow_no_range(made):
    """Three pictures can hold no evidence that what is rare in them is rare in others."""
    first, work = start(made)
    (alone,) = starts.looked_at(first, work)
    assert alone.refined is first.refined


def test_best_follows_more_starts_and_measures_more_regions(made, monkeypatch):
    seen = {}
    monkeypatch.setattr(effort, "learned", lambda start, work, *, seed: start)
    for word in (BALANCED, BEST):

        def steadied(followed, work, *, proposals, word=word):
            seen[word] = len(followed), proposals
            return followed[0].refined

        monkeypatch.setattr(effort, "steadied", steadied)
        made.refined(word)
    assert seen[BALANCED][0] == 1 < seen[BEST][0]
    assert seen[BALANCED][1] < seen[BEST][1]


def test_an_effort_that_does_not_exist_is_refused(made):
    with pytest.raises(PlanError, match="choose fast, balanced or best"):
        made.refined("more")
    assert [effort.check(word) for word in EFFORTS] == [None] * 3


@pytest.mark.parametrize("how", [{}, {"dead": True}, {"colour": True}], ids=["plain", "a dead channel", "constant"])
def test_one_picture_is_enough_whatever_the_channels_hold(tmp_path, pictures, how):
    onnx.save(uneven(seed=1, **how), tmp_path / "net.onnx")
    one = case(tmp_path / "net.onnx", pictures, count=1)
    refined = one.refined()
    floor = 5e-3 if "colour" in how else 1e-3  # constants are rounded but once: no mean over pixels evens that out
    assert errors(one, refined) <= max(errors(one, one.refined(FAST)), floor) * 1.05
    assert replace(refined, notes=()).model.path == one.model.path
