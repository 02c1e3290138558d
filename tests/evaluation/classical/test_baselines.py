"""Baselines: the pass over the images, the images that are learnt from, the times, and what is refused."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from quantseg import api
from quantseg.calibration.context import Context
from quantseg.calibration.engines import Threads
from quantseg.data import Dataset, Item
from quantseg.data.sources import opener
from quantseg.errors import MissingExtraError
from quantseg.evaluation import classical
from quantseg.evaluation.agreement import Pair, evaluate_pair
from quantseg.evaluation.classical import CLASSICAL, FLOAT, INT8, Baseline, compare_classical, segments
from quantseg.evaluation.classical.baselines import LEARNING, foreground, judge, learn, on_part, parted
from quantseg.evaluation.classical.timing import milliseconds
from quantseg.evaluation.metrics.confusion import ConfusionMatrix
from quantseg.evaluation.model_files import BesideFloat
from quantseg.quantization.float_model import FloatModel, RecipeSource
from quantseg.runtimes import DEFAULT
from tests.support import models

pytest.importorskip("skimage", reason="scikit-image is not installed: an extra")

SIZE, CLASSES, IMAGES = 48, 4, 6
CONTEXT = Context(threads=1)


@dataclass(frozen=True)
class Judged:
    """A float model of random weights, its int8 form, and labelled images of cells."""

    model: FloatModel
    pair: Pair
    data: Dataset


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("classical")
    path = folder / "net.onnx"
    onnx.save(models.unet(base=4, depth=2, classes=CLASSES, size=SIZE), path)
    model = api.load(path)
    cells = f"cells:{IMAGES}@{SIZE}x{SIZE}"
    int8 = api.quantize(model, cells, effort="fast").save(folder / "int8.onnx")
    return Judged(model, Pair(path, int8, (DEFAULT, DEFAULT), 1), opener(cells, masks=True)(model.recipe, model.input))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods alone."""
    for name in [name for name in CLASSICAL if name not in ("Otsu", "k-means")]:
        monkeypatch.delitem(CLASSICAL, name)  # type: ignore[arg-type]


def test_networks_score_as_in_an_evaluation_of_the_same_images(judged: Judged) -> None:
    parts = parted(judged.data, judged.model.recipe)
    assert not isinstance(parts, str)
    found = compare_classical(judged.pair, judged.data, judged.model.recipe, CONTEXT, rounds=1)
    seen = evaluate_pair(judged.pair, parts[1], judged.model.recipe, CONTEXT)
    rows = {row.name: row for row in found.rows}
    assert tuple(rows) == (FLOAT, INT8, *CLASSICAL)
    for name, scores in ((FLOAT, seen.float_scores), (INT8, seen.int8_scores)):
        assert scores is not None
        assert rows[name].iou == scores.per_class["iou"]
        assert rows[name].dice == scores.per_class["dice"]
        assert rows[name].mean_iou == scores.mean_iou
    assert found.classes == seen.classes
    assert found.learnt_from + found.images == IMAGES
    assert rows[FLOAT].size == Path(judged.model.source).stat().st_size  # type: ignore[arg-type]
    assert all(0 < rows[name].size < 500 for name in CLASSICAL)
    assert rows[FLOAT].ratio == 1
    for row in found.rows:
        assert row.median_ms is not None
        assert row.median_ms > 0
        assert row.ratio == pytest.approx(rows[FLOAT].median_ms / row.median_ms)  # type: ignore[operator]
        for iou, dice in zip((*row.iou, row.foreground_iou), (*row.dice, row.foreground_dice), strict=True):
            assert (iou is None) == (dice is None)
            if iou is not None and dice is not None:
                assert dice / 2 <= iou <= dice
                assert dice == pytest.approx(2 * iou / (1 + iou))
        assert None not in (row.mean_iou, row.foreground_iou)


def test_methods_beat_a_network_that_learnt_nothing(judged: Judged) -> None:
    """The weights are random: a table in which it won would compare with something else than the labels."""
    rows = compare_classical(judged.pair, judged.data, judged.model.recipe, CONTEXT, rounds=1).rows
    scores = {row.name: row.mean_iou or 0.0 for row in rows}
    assert all(scores[name] > scores[FLOAT] for name in ("Otsu", "k-means", "watershed"))


@pytest.mark.usefixtures("few")
def test_any_engine_and_any_number_of_threads_count_the_same(judged: Judged) -> None:
    learning, rest = parted(judged.data, judged.model.recipe)
    rules = learn(learning, judged.model.recipe)  # type: ignore[arg-type]
    one, other = (
        judge(rules, judged.pair, rest, judged.model.recipe, replace(CONTEXT, engine=engine))  # type: ignore[arg-type]
        for engine in (CONTEXT.engine, Threads(2))
    )
    assert {name: counts.counts.tolist() for name, counts in one.items()} == {
        name: counts.counts.tolist() for name, counts in other.items()
    }


@pytest.mark.usefixtures("few")
def test_a_folded_model_is_given_its_own_inputs(judged: Judged, tmp_path: Path) -> None:
    model, cells = judged.model, f"cells:{IMAGES}@{SIZE}x{SIZE}"
    path = api.quantize(model, cells, effort="fast", fold=("preprocess", "argmax")).save(tmp_path / "folded.onnx")
    both = BesideFloat.read(judged.pair.reference, path, RecipeSource())  # type: ignore[arg-type]
    data, folded = both.data(opener(cells, masks=True))
    assert folded is not None
    pair = replace(judged.pair, candidate=path, folded=folded)
    rows = {row.name: row for row in compare_classical(pair, data, model.recipe, CONTEXT, rounds=1).rows}
    learning, rest = parted(data, model.recipe)
    seen = evaluate_pair(on_part(pair, rest), rest, model.recipe, CONTEXT)  # type: ignore[arg-type]
    assert seen.int8_scores is not None
    assert rows[INT8].iou == seen.int8_scores.per_class["iou"]
    assert set(learning.names) & set(rest.names) == set()  # type: ignore[union-attr]


@pytest.mark.usefixtures("few")
def test_labels_of_judged_images_decide_no_mask(judged: Judged) -> None:
    """With the judged images' labels changed, every method gives the same masks: nothing was learnt from them."""

    class Changed:
        def __init__(self, kept: frozenset[str]) -> None:
            self.kept, self.names = kept, judged.data.names

        def digest(self, index: int) -> str:
            return judged.data.digest(index)

        def load(self, index: int) -> Item:
            item = judged.data.load(index)
            assert item.mask is not None
            return item if item.name in self.kept else replace(item, mask=(item.mask + 1) % CLASSES)

    learning, _ = parted(judged.data, judged.model.recipe)
    changed = Changed(frozenset(learning.names))  # type: ignore[union-attr]
    for given_data in (judged.data, changed):
        parts = parted(given_data, judged.model.recipe)
        assert not isinstance(parts, str)
        assert parts[0].names == learning.names  # type: ignore[union-attr]
    first, second = (
        judge(learn(parts[0], judged.model.recipe), judged.pair, parts[1], judged.model.recipe, CONTEXT)
        for parts in (parted(judged.data, judged.model.recipe), parted(changed, judged.model.recipe))
        if not isinstance(parts, str)
    )
    for name in ("Otsu", "k-means", FLOAT):
        assert first[name].counts.sum(axis=0).tolist() == second[name].counts.sum(axis=0).tolist()
        assert first[name].counts.tolist() != second[name].counts.tolist()


def test_images_are_parted_evenly_and_at_most_eight_are_learnt_from(judged: Judged) -> None:
    recipe = judged.model.recipe
    for count in (2, 3, 15, 16, 17, 40):
        parts = parted(opener(f"cells:{count}@{SIZE}x{SIZE}", masks=True)(recipe, judged.model.input), recipe)
        assert not isinstance(parts, str)
        assert len(parts[0].names) == min(LEARNING, count // 2)
        assert sorted(parts[0].names + parts[1].names) == [f"{k:010d}" for k in range(count)]


@pytest.mark.parametrize(
    ("words", "masks", "reason"),
    [
        (f"cells:1@{SIZE}x{SIZE}", True, "one image alone"),
        (f"cells:4@{SIZE}x{SIZE}", False, "without labels"),
    ],
)
def test_data_without_baselines_say_why(judged: Judged, words: str, masks: bool, reason: str) -> None:
    data = opener(words, masks=masks)(judged.model.recipe, judged.model.input)
    found = compare_classical(judged.pair, data, judged.model.recipe, CONTEXT)
    assert found.left_out.startswith(reason)
    assert found.rows == ()
    assert "\n" not in found.left_out


def test_arrays_and_overlapping_classes_have_none(judged: Judged) -> None:
    recipe = judged.model.recipe
    arrays = opener([np.zeros((3, SIZE, SIZE), np.float32)] * 3)(recipe, judged.model.input)
    assert str(parted(arrays, recipe)).startswith("the data are arrays")
    several = replace(recipe, output=replace(recipe.output, head="multilabel"))
    assert str(parted(judged.data, several)).startswith("the classes of the model overlap")


def test_a_class_that_was_never_learnt_is_named(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantseg.evaluation.classical.baselines.LEARNING", 1)
    learning = judged.data.load(0).mask
    assert learning is not None
    absent = set(range(CLASSES)) - set(np.unique(learning).tolist())
    found = compare_classical(judged.pair, judged.data, judged.model.recipe, CONTEXT, rounds=1)
    assert found.unseen == tuple(found.classes[k] for k in sorted(absent))


@pytest.mark.usefixtures("few")
def test_every_system_is_timed_in_turns(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def track(items: Any, *, total: int, what: str) -> Any:
        for item in items:
            order.append(item)
            yield item

    rules = {name: classical.learnt(CLASSICAL[name], [pair_of(judged)], CLASSES) for name in CLASSICAL}
    taken = milliseconds(rules, judged.pair, judged.data, judged.model.recipe, rounds=3, track=track)
    assert order == [FLOAT, INT8, *CLASSICAL] * 3
    assert set(taken) == set(order)


def pair_of(judged: Judged) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A labelled image."""
    item = judged.data.load(0)
    assert item.image is not None
    assert item.mask is not None
    return item.image, item.mask


def test_without_the_extra_nothing_is_begun(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "_NEEDED", ("no_such_package",))
    with pytest.raises(MissingExtraError, match="scikit-image is not installed"):
        compare_classical(judged.pair, judged.data, judged.model.recipe, CONTEXT)
    with pytest.raises(MissingExtraError, match="scikit-image is not installed"):
        api.report(judged.model, "nowhere/", baselines=True)


@given(
    hnp.arrays(np.int64, (5, 6), elements=st.integers(0, 3)), hnp.arrays(np.int64, (5, 6), elements=st.integers(0, 3))
)
def test_the_foreground_is_all_but_the_first_class(truth: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    row = Baseline.of("x", ConfusionMatrix.from_masks(truth, found, 4), 0)
    binary = ConfusionMatrix.from_masks(truth > 0, found > 0, 2)
    assert (row.foreground_iou, row.foreground_dice) == (binary.iou()[1], binary.dice()[1])
    assert foreground(ConfusionMatrix.from_masks(truth, found, 4)).recall()[0] == binary.recall()[1]
