"""The efforts: fast changes nothing, balanced makes the masks better from the calibration images alone."""

import re
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quantseg import api, graph
from quantseg.calibration.calibrate import Calibrated
from quantseg.calibration.calibrators import calibrator
from quantseg.data import Subset
from quantseg.data.sources import opener
from quantseg.errors import MissingExtraError, PlanError
from quantseg.mixed_precision.risk import ReferenceOutputs
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import FloatModel
from quantseg.quantization.plan import Overrides, QuantSettings
from quantseg.quantization.qtypes import INT4, UINT8
from quantseg.quantization.writing import written
from quantseg.refinement import levels
from quantseg.refinement import range_search as narrowing
from quantseg.refinement.levels import BALANCED, BEST, EFFORTS, FAST, FRAGILE, LIMITS, rounding, starts
from quantseg.refinement.options import Options
from quantseg.refinement.output_grids import REASON
from quantseg.refinement.rounding.learned import Learning, learn
from quantseg.refinement.steps import order_channels
from quantseg.runtimes.macs import multiply_accumulates
from tests.conftest import CLASSES, SIZE
from tests.support import models
from tests.support.candidates import context
from tests.support.graphs import assert_same

OPTIONS = Options(calibrator="minmax", threads=1)
PARTED = dict.fromkeys(("y_scaled", "y_shifted"), REASON)


@dataclass(frozen=True)
class Case:
    """A calibrated model with its images."""

    given: Calibrated

    @property
    def model(self) -> FloatModel:
        return self.given.model

    @property
    def data(self) -> Subset:
        return self.given.images

    @property
    def plain(self) -> Candidate:
        """The candidate before any step."""
        return Candidate(self.model, self.given.calibration.table, OPTIONS.settings)

    def refined(self, word: str = BALANCED, **changes: Any) -> Candidate:
        step = levels.level(word, self.given.calibration.observations, **changes)
        return step(self.plain, context(self.data))


def case(path: Path, images: Path, count: int = 3) -> Case:
    model = api.load(path)
    data = Subset(opener(images)(model.recipe, model.input), tuple(range(count)))
    return Case(api.calibrate(model, data, options=OPTIONS))


def content(refined: Candidate) -> bytes:
    """The bytes of the quantised model."""
    return graph.to_bytes(written(refined).model)


def uneven(seed: int = 0, dead: bool = False, colour: bool = False) -> onnx.ModelProto:
    """A U-Net whose channels differ by up to thirty times. dead: one of the first layer's never speaks. colour: no
    pixel of the image is read, so that all tensors are constant."""
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
def made(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Case:
    path = tmp_path_factory.mktemp("effort") / "uneven.onnx"
    onnx.save(uneven(), path)
    return case(path, images)


@pytest.fixture(scope="module")
def balanced(made: Case) -> Candidate:
    return made.refined()


def errors(made: Case, refined: Candidate) -> float:
    """Mean square error of the quantised model's answer, by onnxruntime, in units of the float one's."""
    quantised = content(refined)
    wrong = right = 0.0
    for index in range(len(made.data.names)):
        feed = {made.model.input.name: made.data.load(index).tensor}
        (expected,) = models.run(onnx.load(made.model.source), feed)
        (found,) = models.run(quantised, feed)
        wrong, right = wrong + np.square(found - expected).sum(), right + np.square(expected).sum()
    return float(wrong / right)


def test_fast_parts_the_output_and_orders_channels_alone(made):
    refined = made.refined(FAST)
    known = made.given.calibration.table.ranges
    assert {name for name, span in refined.ranges.ranges.items() if known.get(name) != span} == {"y_parted"}
    assert refined.overrides == Overrides(kept_float=PARTED)
    parted, note = refined.notes
    assert parted == "each channel of the output has a range of its own"
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
    assert order_channels(made.plain, context()) is not made.plain
    other = replace(made.plain, settings=settings)
    assert order_channels(other, context()) is other


def test_channels_stay_once_weights_are_rounded(made, balanced):
    assert balanced.overrides.weights
    assert sum("reordered" in note for note in balanced.notes) == 1
    assert order_channels(balanced, context()) is balanced


def test_channels_are_not_scaled_once_weights_are_rounded(made, balanced):
    """A factor would take them off the grids that they lie on."""
    _, work = start(made)
    name = min(balanced.overrides.weights)
    with pytest.raises(
        PlanError, match=rf"^{name}: its weight is rounded already; equalise before weights are rounded"
    ):
        starts.starts_of(balanced, made.given.calibration.observations, work)
    with pytest.raises(PlanError, match="rounded already"):
        levels.level(BALANCED, made.given.calibration.observations)(balanced, context(made.data))


def test_balanced_errs_far_less_and_tells_what_it_did(made, balanced):
    assert errors(made, balanced) < errors(made, made.refined(FAST)) / 2
    assert balanced.notes
    assert all("\n" not in note and len(note) < 250 for note in balanced.notes)


def test_balanced_does_not_change_what_it_is_given(made, balanced):
    again = api.load(made.model.source)
    assert graph.to_bytes(made.model.prepared.model) == graph.to_bytes(again.prepared.model)
    assert made.plain.overrides == Overrides()
    assert balanced.model.recipe == made.model.recipe


def test_the_same_input_gives_the_same_bytes(made, balanced):
    assert content(made.refined()) == content(balanced)


def test_little_of_the_work_stays_float(made, balanced):
    shape = made.data.load(0).tensor.shape
    counts = multiply_accumulates(made.model.prepared, {made.model.input.name: shape})
    kept = balanced.overrides.kept_float
    assert set(kept.values()) <= {FRAGILE, REASON}
    assert sum(counts.get(name, 0) for name in kept) <= LIMITS.macs * sum(counts.values())


def test_nothing_stays_float_where_that_is_not_wanted(made):
    assert not made.refined(limits=None).overrides.kept_float


def test_best_learns_and_is_no_worse_than_balanced_on_the_calibration_images(made, balanced, monkeypatch):
    pytest.importorskip("torch", reason="learned rounding needs torch")
    monkeypatch.setattr(rounding, "learn", partial(learn, how=Learning(iterations=4)))
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
    reference = ReferenceOutputs.of(made.model.prepared.model, feeds, made.model.recipe.output, threads=1)
    work = starts.Work(context(made.data), context(made.data), reference)
    return starts.start_of(made.plain, made.given.calibration.observations, work), work


def test_narrower_ranges_lie_within_the_calibrated_ones_and_stand_first_where_they_err_less(made, monkeypatch):
    monkeypatch.setattr(starts, "EVIDENCE", 0.0)
    monkeypatch.setattr(narrowing, "CANDIDATES", {"percentile 95": calibrator("percentile", percent=95)})
    monkeypatch.setattr(narrowing, "GAIN", -100.0)  # noise has no rare values; all are cut off, for good or ill
    found = starts.looked_at(*start(made))
    before = made.given.calibration.table.ranges
    assert [one.risk for one in found] == sorted(one.risk for one in found)
    (narrower,) = (one for one in found if one.candidate.ranges.ranges != before)
    for name, span in narrower.candidate.ranges.ranges.items():
        assert before[name].minimum <= span.minimum <= span.maximum <= before[name].maximum
    assert any("rarest values" in note for note in narrower.candidate.notes)
    assert all(one.sources for one in found)


def test_few_images_narrow_no_range(made):
    """Three images can hold no evidence that what is rare in them is rare in others."""
    first, work = start(made)
    (alone,) = starts.looked_at(first, work)
    assert alone.candidate is first.candidate


@pytest.mark.slow
def test_best_follows_more_starts_and_measures_more_regions(made, monkeypatch):
    seen = {}
    monkeypatch.setattr(rounding, "learn", lambda start, context: start)
    for word in (BALANCED, BEST):

        def steadied(followed, work, limits, *, proposals, word=word):
            seen[word] = len(followed), proposals
            return followed[0].candidate

        monkeypatch.setattr(levels, "steadied", steadied)
        made.refined(word)
    assert seen[BALANCED][0] == 1 < seen[BEST][0]
    assert seen[BALANCED][1] < seen[BEST][1]


@pytest.mark.parametrize(
    ("risks", "others", "less"),
    [
        ([1.0, 2.0], [1.5, 2.5], True),
        ([1.0, 2.0], [1.0, 2.0], False),
        ([1.0, 2.0, 3.0], [1.2, 1.9, 3.1], False),
        ([1.0], [1.1], True),
    ],
    ids=["always", "equal", "within the noise", "one image"],
)
def test_a_way_is_better_only_beyond_the_noise_of_the_images(risks, others, less):
    assert levels.is_less(risks, others) is less


def test_an_effort_that_does_not_exist_is_refused(made):
    with pytest.raises(PlanError, match="choose fast, balanced or best"):
        made.refined("more")
    assert [levels.check(word) for word in EFFORTS] == [None] * 3


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"dead": True}, {"colour": True}], ids=["plain", "a dead channel", "constant"])
def test_one_image_is_enough_whatever_the_channels_hold(tmp_path, images, how):
    onnx.save(uneven(seed=1, **how), tmp_path / "net.onnx")
    one = case(tmp_path / "net.onnx", images, count=1)
    refined = one.refined()
    floor = 5e-3 if "colour" in how else 1e-3  # constants are rounded but once: no mean over pixels evens that out
    assert errors(one, refined) <= max(errors(one, one.refined(FAST)), floor) * 1.05
    assert (refined.model.source, refined.model.digest) == (one.model.source, one.model.digest)
