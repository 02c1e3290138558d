"""The work budget: counted the same everywhere, never exceeded where it need not be, and said where it leaves out."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg import api, graph
from quantseg.calibration.calibrate import Calibrated
from quantseg.data import Subset
from quantseg.data.sources import opener
from quantseg.errors import PlanError
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.writing import written
from quantseg.refinement import levels
from quantseg.refinement.levels import BALANCED, passes
from quantseg.refinement.levels.breadth import BREADTHS, REDUCTIONS, Breadth, narrowing
from quantseg.refinement.levels.passes import BUDGET, CALIBRATE, STAGES, Passes, left_out, within
from quantseg.refinement.options import Options
from quantseg.runtimes import onnxruntime_cpu
from tests.conftest import CLASSES, SIZE
from tests.support import models
from tests.support.candidates import context

FULL = BREADTHS[BALANCED]

works = st.integers(1, 10**12)
any_passes = st.builds(Passes, works, works, works, images=st.integers(1, 500), tensors=st.integers(0, 2000))


@given(any_passes)
def test_a_narrower_search_is_never_more_work(one: Passes) -> None:
    found = [one.work(breadth) for breadth in narrowing(FULL)]
    assert found == sorted(found, reverse=True)


def test_no_part_of_a_search_grows_with_a_reduction() -> None:
    steps = list(narrowing(FULL))
    assert len(steps) == len(REDUCTIONS) + 1
    for wider, narrower in pairwise(steps):
        assert wider != narrower
        assert all(getattr(narrower, f.name) <= getattr(wider, f.name) for f in fields(Breadth))


def test_rounded_weights_are_always_compared_on_images_that_they_were_not_rounded_on() -> None:
    assert all(breadth.judged > breadth.rounded_on for breadth in narrowing(FULL))


@given(any_passes, st.floats(0.01, 1000), st.floats(1, 100))
def test_the_widest_search_within_the_budget_is_taken(one: Passes, budget: float, more: float) -> None:
    taken, narrower = within(one, FULL, budget), list(narrowing(FULL))
    assert one.work(taken) <= budget * BUDGET or taken == narrower[-1]
    wider = narrower[: narrower.index(taken)]
    assert all(one.work(breadth) > budget * BUDGET for breadth in wider)
    assert one.work(within(one, FULL, budget * more)) >= one.work(taken)
    assert within(one, FULL, None) == FULL


@given(any_passes, st.floats(0.01, 10))
def test_the_note_names_the_budget_that_leaves_nothing_out(one: Passes, budget: float) -> None:
    taken = within(one, FULL, budget)
    note = left_out(one, FULL, taken)
    if note is None:
        return
    assert len(note) < 250
    assert taken != FULL
    enough = re.search(r"budget=(\d+) leaves nothing out$", note)
    assert enough is not None
    assert left_out(one, FULL, within(one, FULL, float(enough[1]))) is None


def test_the_note_says_what_is_left_out() -> None:
    one = Passes(10, 20, 30, images=100, tensors=40)
    assert left_out(one, FULL, FULL) is None
    assert left_out(one, FULL, replace(FULL, judged=16, looked_at=2)) == (
        "a narrower search, to keep to the work budget: compared on 16 of 24 images, single tensors on 2 of 3; "
        "budget=1 leaves nothing out"
    )
    least = list(narrowing(FULL))[-1]
    for words in ("no float nodes", "no narrower ranges", "channels not equalised", "weights rounded on 2 of 12"):
        assert words in str(left_out(one, FULL, least))


def test_what_makes_no_difference_is_not_said() -> None:
    """Three images are compared by sixteen as by twenty-four."""
    assert left_out(Passes(10, 20, 30, images=3, tensors=40), FULL, replace(FULL, judged=16)) is None


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_a_number_above_zero(budget: float) -> None:
    with pytest.raises(PlanError, match=r"^budget=.*give how many times the usual work"):
        Options(budget=budget)


@pytest.mark.parametrize("effort", ["fast", "best"])
def test_other_efforts_have_no_budget(effort: str) -> None:
    with pytest.raises(PlanError, match=rf"^effort={effort} has no work budget; leave budget=… out"):
        Options(effort=effort, budget=2.0)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Calibrated:
    """A small U-Net whose channels differ, with its calibration on three images."""
    path = tmp_path_factory.mktemp("passes") / "net.onnx"
    model = models.unet(base=4, depth=1, classes=CLASSES, size=SIZE, seed=0)
    for number, tensor in enumerate(model.graph.initializer):
        weight = onnx.numpy_helper.to_array(tensor).copy()
        if weight.ndim == 4:
            weight *= np.exp(np.random.default_rng(number).uniform(-1.7, 1.7, (len(weight), 1, 1, 1))).astype("f4")
        tensor.CopyFrom(onnx.numpy_helper.from_array(weight, tensor.name))
    onnx.save(model, path)
    loaded = api.load(path)
    data = Subset(opener(images)(loaded.recipe, loaded.input), tuple(range(3)))
    return api.calibrate(loaded, data, options=Options(calibrator="minmax", threads=1))


def refined(one: Calibrated, budget: float | None) -> Candidate:
    step = levels.level(BALANCED, one.calibration.observations, budget=budget)
    return step(Candidate(one.model, one.calibration.table, Options().settings), context(one.images))


@pytest.fixture(scope="module")
def free(calibrated: Calibrated) -> Candidate:
    """Refined with any amount of work."""
    return refined(calibrated, None)


def needed(one: Calibrated, breadth: Breadth) -> float:
    """The budget that this breadth takes for the model."""
    assert one.images is not None
    plain = Candidate(one.model, one.calibration.table, Options().settings)
    return levels.passes_of(plain, context(one.images)).work(breadth) / BUDGET


@pytest.mark.slow
@pytest.mark.parametrize("step", [4, 9, 13, 15, 16])
def test_a_narrow_search_says_so_and_gives_a_model_again_and_again(calibrated: Calibrated, step: int) -> None:
    breadth = list(narrowing(FULL))[step]
    budget = needed(calibrated, breadth)
    made = refined(calibrated, budget)
    (note,) = [note for note in made.notes if "work budget" in note]
    assert note.startswith("a narrower search")
    found = graph.to_bytes(written(made).model)
    onnx.checker.check_model(onnx.load_from_string(found))
    assert graph.to_bytes(written(refined(calibrated, budget)).model) == found


@pytest.mark.slow
def test_work_within_the_budget_gives_the_same_bytes_as_without_one(calibrated: Calibrated, free: Candidate) -> None:
    made = refined(calibrated, 1.0)
    assert graph.to_bytes(written(made).model) == graph.to_bytes(written(free).model)
    assert made.notes == free.notes
    assert not [note for note in made.notes if "work budget" in note]


@pytest.mark.slow
def test_no_more_passes_are_run_than_are_counted(
    calibrated: Calibrated, free: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted at the runtime: the runs of all sessions that refinement opens, but for those of calibration."""
    runs: Counter[str] = Counter()
    plain = onnxruntime_cpu.OnnxRuntimeSession.run

    def counting(self: object, *given: object, **named: object) -> object:
        runs["all"] += 1
        return plain(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(onnxruntime_cpu.OnnxRuntimeSession, "run", counting)
    tensors = len(levels.rounded_tensors(calibrated.model.prepared.model, free.plan))
    refined(calibrated, None)
    counted = Passes(1, 1, 1, images=3, tensors=tensors).work(FULL)
    again = 2 * 3  # equalised channels are calibrated anew, and compared with float
    assert 0.4 * counted < runs["all"] <= counted + again


@pytest.mark.slow
def test_the_stages_come_in_their_order_under_their_names(calibrated: Calibrated) -> None:
    seen: list[str] = []

    def track(items: Iterator[object], *, total: int, what: str) -> Iterator[object]:
        seen.append(what)
        yield from items

    assert calibrated.images is not None
    api.quantize(calibrated.model, calibrated.images, options=Options(threads=1, track=track))  # type: ignore[arg-type]
    stages = (CALIBRATE, *STAGES[BALANCED])
    first = list(dict.fromkeys(what for what in seen if what in stages))
    assert first == [name for name in stages if name in first]
    assert set(stages) - set(first) <= {passes.RANGES}


@pytest.mark.slow
def test_a_display_is_told_the_work_before_it_begins(calibrated: Calibrated) -> None:
    class Told:
        def __init__(self) -> None:
            self.works: list[dict[str, float]] = []
            self.before = 0

        def expect(self, stages: list[passes.Stage]) -> None:
            self.works.append({stage.what: stage.work for stage in stages})

        def __call__(self, items: Iterator[object], *, total: int, what: str) -> Iterator[object]:
            self.before = self.before or len(self.works)
            yield from items

    told = Told()
    assert calibrated.images is not None
    api.quantize(calibrated.model, calibrated.images, options=Options(threads=1, track=told))  # type: ignore[arg-type]
    assert told.before == 1
    assert set(told.works[0]) >= {CALIBRATE, *STAGES[BALANCED]}
