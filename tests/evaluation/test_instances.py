"""Evaluation of instances: one pass over images, with detections of which each model may have another number."""

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg import api
from quantseg.data import open_dataset
from quantseg.data.heads import complete_output
from quantseg.data.recipe import OutputRecipe, Recipe
from quantseg.errors import DataError, MissingExtraError
from quantseg.evaluation.agreement import Evaluation, Pair, evaluate, evaluate_one, evaluate_pair
from quantseg.evaluation.instances import SureInstances, records, results
from quantseg.evaluation.metrics.instances import LOOSE, TIGHT
from quantseg.evaluation.metrics.instances.encoding import encoded
from quantseg.evaluation.metrics.instances.precision import SUMMARY, JudgedImage, average_precision
from quantseg.evaluation.predictions import compare
from quantseg.graph import TensorSpec
from quantseg.refinement.options import Options
from quantseg.runtimes import DEFAULT
from tests.support import instance_heads as heads
from tests.support import yolo_like
from tests.support.instance_heads import CLASSES, Detector, Images, instances_of, recipe

CELL, ROD, FAINT = (1, 1, 9, 9, 0.9, 0), (12, 2, 20, 20, 0.8, 1), (22, 2, 30, 8, 0.3, 0)
SHIFTED = (2, 1, 10, 9, 0.85, 0)
"""CELL one pixel to the right: IoU 7/9."""
SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True)
def _heads() -> Iterator[None]:
    with heads.registered():
        yield


def evaluated(real: Any, int8: Any, labels: Any = None) -> Evaluation:
    labels = (None,) * len(real) if labels is None else labels
    return evaluate(Detector(tuple(real)), Detector(tuple(int8)), Images(tuple(labels)), recipe())


def rows(rng: np.random.Generator, most: int = 6) -> np.ndarray:
    count = rng.integers(0, most)
    corners = np.stack([rng.integers(0, side, count) for side in (28, 20)], 1)
    sides = rng.integers(2, 12, (count, 2))
    rest = rng.random(count), rng.integers(0, len(CLASSES), count)
    return np.column_stack([corners, corners + sides, *rest])


def test_kept_lost_and_gained_are_counted_above_the_threshold() -> None:
    found = evaluated([[CELL, ROD, FAINT], [CELL]], [[SHIFTED, (2, 14, 8, 20, 0.6, 1)], [CELL, ROD]]).instances
    assert found is not None
    total = found.total
    assert (total.reference, total.candidate, total.lost, total.gained) == (3, 4, 1, 2)
    assert (total.matched(LOOSE), total.matched(TIGHT)) == (2, 1)
    assert total.mean_iou == pytest.approx((7 / 9 + 1) / 2)
    assert [(one.reference, one.candidate) for one in found.per_class] == [(2, 2), (1, 2)]
    assert [one.total.lost for one in found.per_image] == [1, 0]
    assert [one.name for one in found.worst(5)] == ["0.png", "1.png"]


def test_a_faint_instance_counts_for_ap_alone() -> None:
    with_it = evaluated([[CELL]], [[CELL, FAINT]], [[CELL, FAINT]])
    without = evaluated([[CELL]], [[CELL]], [[CELL, FAINT]])
    assert with_it.instances == without.instances
    assert with_it.int8_scores is not None
    assert without.int8_scores is not None
    assert with_it.int8_scores.summary["ap"] == pytest.approx(1)
    assert without.int8_scores.summary["ap"] == pytest.approx(0.505, abs=0.001)


@given(SEEDS)
@settings(max_examples=25)
def test_scores_are_those_of_the_instances_all_at_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real, int8, labels = ([rows(rng) for _ in range(3)] for _ in range(3))
    found = evaluated(real, int8, labels)
    images = [[encoded(instances_of(one)) for one in side] for side in (real, int8, labels)]
    for scores, side in ((found.float_scores, 0), (found.int8_scores, 1)):
        judged = [JudgedImage(heads.SIZE, truths, side_) for truths, side_ in zip(images[2], images[side], strict=True)]
        assert scores is not None
        for key, value in average_precision(judged, len(CLASSES)).summary.items():
            assert scores.summary[key] == value
    sure = [tuple(one for one in side if one.score > 0.5) for side in images[0]]
    judged = [JudgedImage(heads.SIZE, truths, side_) for truths, side_ in zip(sure, images[1], strict=True)]
    assert found.between.summary["ap"] == average_precision(judged, len(CLASSES)).summary["ap"]


@given(SEEDS)
@settings(max_examples=25)
def test_a_model_keeps_all_of_its_own_instances(seed: int) -> None:
    rng = np.random.default_rng(seed)
    real = [rows(rng), np.array([CELL])]
    found = evaluated(real, real)
    assert found.instances is not None
    total = found.instances.total
    assert (total.lost, total.gained, total.kept(TIGHT)) == (0, 0, 1)
    assert found.between.summary["ap"] == pytest.approx(1)
    assert (found.agreement, found.identical) == (1, True)


def test_images_may_hold_nothing() -> None:
    found = evaluated([[], []], [[], [ROD]], [[], []])
    assert found.instances is not None
    assert (found.instances.total.kept(), found.instances.total.gained) == (None, 1)
    assert found.float_scores is not None
    assert found.float_scores.summary["ap"] is None
    json.dumps(found.to_json(), allow_nan=False)


def test_other_numbers_of_detections_have_no_sqnr() -> None:
    assert evaluated([[CELL, ROD]], [[CELL]]).sqnr_db is None
    assert not evaluated([[CELL, ROD]], [[CELL]]).identical
    assert evaluated([[CELL], [ROD]], [[CELL], []]).sqnr_db is None
    assert evaluated([[CELL]], [[SHIFTED]]).sqnr_db is not None


def test_other_labels_have_no_sqnr_and_the_same_are_left_out_of_it() -> None:
    pair = compare(Detector(([CELL],)), Detector(([SHIFTED],)), Images((None,)), recipe(), 0)
    boxes, labels = np.array([[1.0, 2.0]]), np.array([1])

    def with_outputs(*outputs: np.ndarray) -> Any:
        sides = [
            replace(side, outputs=(boxes * f, own))
            for side, f, own in zip((pair.reference, pair.candidate), (1, 1.5), outputs, strict=True)
        ]
        return replace(pair, reference=sides[0], candidate=sides[1]).sqnr

    assert with_outputs(labels, labels + 1) is None
    assert with_outputs(labels, labels).decibels() == pytest.approx(10 * np.log10(4))


def test_a_crowd_is_no_object_to_find() -> None:
    labels = ((CELL, (10, 0, 32, 24, 0.1, 0)),)
    crowd = replace(Images(labels), crowd=True)
    int8 = Detector(([CELL, (12, 2, 20, 9, 0.95, 0)],))
    for images, ap in ((crowd, 1.0), (Images(labels), 0.25)):
        found = evaluate(Detector(([CELL],)), int8, images, recipe())
        assert found.int8_scores is not None
        assert found.int8_scores.summary["ap"] == pytest.approx(ap, abs=0.01)


def test_labels_are_brought_to_the_size_of_the_masks() -> None:
    class Larger(Images):
        def load(self, index: int) -> Any:
            item = super().load(index)
            assert item.instances is not None
            masks = np.kron(item.instances.masks, np.ones((1, 3, 3), np.bool_))
            return replace(item, instances=replace(item.instances, masks=masks))

    found = evaluate_one(Detector(([CELL, ROD],)), Larger(([CELL, ROD],)), recipe())
    assert found.summary["ap"] == pytest.approx(1)


def test_a_label_of_an_unknown_class_names_the_image() -> None:
    with pytest.raises(DataError, match=r"^0\.png: an instance of class 2 in the labels is outside 0…1"):
        evaluated([[CELL]], [[CELL]], [[(1, 1, 9, 9, 1, 2)]])


def test_a_model_alone_scores_as_it_does_beside_another() -> None:
    labels = ([CELL, ROD], [FAINT])
    alone = evaluate_one(Detector(([CELL, FAINT], [FAINT])), Images(labels), recipe())
    assert alone == evaluated(([CELL, FAINT], [FAINT]), ([], []), labels).float_scores
    assert set(SUMMARY) <= set(alone.summary)


def test_without_the_extra_a_note_stands_for_ap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = evaluated([[CELL]], [[CELL]], [[CELL]])
    assert found.instances is not None
    assert found.instances.total.kept() == 1
    assert "ap" not in found.between.summary
    assert found.instances.note == 'AP of instances needs faster-coco-eval; pip install "quantseg[instances]"'
    assert found.instances.note in str(found)
    with pytest.raises(MissingExtraError):
        evaluate_one(Detector(([CELL],)), Images(([CELL],)), recipe())


def test_json_names_classes_and_images() -> None:
    values = json.loads(json.dumps(evaluated([[CELL, ROD]], [[SHIFTED]], [[CELL]]).to_json(), allow_nan=False))
    told = values["instances"]
    assert (told["float"], told["int8"], told["lost"], told["gained"]) == (2, 1, 1, 0)
    assert told["matched"] == {"0.5": 1, "0.9": 0}
    assert told["per_class"]["rod"]["kept"] == {"0.5": 0, "0.9": 0}
    assert [one["name"] for one in told["per_image"]] == ["0.png"]
    assert values["float_scores"]["summary"]["ap"] is not None


def test_text_tells_of_instances() -> None:
    lines = str(evaluated([[CELL, ROD]], [[SHIFTED]], [[CELL]])).splitlines()
    assert "  instances: 1 of 2 matched at mask IoU 0.5, 0 at 0.9; 1 lost, 0 gained" in lines
    assert any(line.startswith("  mask AP against the labels: float 100.00 %, int8 60.00 %") for line in lines)


def test_records_of_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(7)
    real, int8, labels = ([rows(rng) for _ in range(4)] for _ in range(3))
    pair, images = (Detector(tuple(real)), Detector(tuple(int8))), Images(tuple(labels))
    parts = [records(compare(*pair, images, recipe(), index), 0.5) for index in range(4)]
    whole = results([one for part in parts for one in part], 2)
    found = evaluate(*pair, images, recipe())
    assert found.instances == whole.evaluation
    sizes = [len(run) for part in parts for one in part for run in (one.runs for one in one.reference)]
    assert max(sizes) < 100  # run lengths, not masks


def test_lost_and_gained_ones_are_numbered_for_pictures() -> None:
    pair = compare(
        Detector(([CELL, ROD],)), Detector(([SHIFTED, (2, 14, 8, 20, 0.6, 1)],)), Images((None,)), recipe(), 0
    )
    sure = SureInstances.of(pair, 0.5)
    assert sure is not None
    assert (sure.lost, sure.gained, len(sure.pairs)) == ((1,), (1,), 1)


@pytest.mark.parametrize("engine", ["threads:2", "processes:2"])
def test_engines_give_the_same(engine: str, tmp_path: Path) -> None:
    model, images = yolo_like.write(tmp_path)
    loaded = api.load(model)
    data = open_dataset(images, loaded.recipe, inputs=loaded.inputs)
    pair = Pair(model, model, (DEFAULT, DEFAULT), 1)
    contexts = [Options(engine=name, threads=1).context() for name in ("serial", engine)]
    found = [evaluate_pair(pair, data, loaded.recipe, context) for context in contexts]
    assert found[0] == found[1]
    assert found[0].instances is not None
    assert found[0].instances.total.reference > 10


@dataclass(frozen=True)
class MaskRcnn:
    """A session with the outputs of Mask R-CNN: rows as those of Boxes, the masks of whole boxes."""

    answers: tuple[Any, ...]
    inputs = (TensorSpec("x", "float32", (1, 3, *heads.SIZE)),)
    outputs = (
        TensorSpec("boxes", "float32", (None, 4)),
        TensorSpec("labels", "int64", (None,)),
        TensorSpec("scores", "float32", (None,)),
        TensorSpec("masks", "float32", (None, 1, 28, 28)),
    )

    def run(self, feeds: Any, outputs: Any = None) -> list[np.ndarray]:
        found = np.asarray(self.answers[int(feeds["x"].flat[0])], np.float32).reshape(-1, 6)
        masks = np.ones((len(found), 1, 28, 28), np.float32)
        made = {
            "boxes": found[:, :4],
            "labels": found[:, 5].astype(np.int64) + 1,
            "scores": found[:, 4],
            "masks": masks,
        }
        return [made[name] for name in outputs]

    def close(self) -> None:
        pass


def test_detections_of_mask_rcnn_may_be_of_another_number_in_each_model() -> None:
    given = recipe().input
    output = complete_output(OutputRecipe(classes=CLASSES), MaskRcnn.outputs, given)
    assert output.head == "mask-rcnn"
    real, int8 = ([CELL, ROD], [CELL], []), ([CELL], [ROD, CELL, FAINT], [])
    found = evaluate(MaskRcnn(real), MaskRcnn(int8), Images(([CELL, ROD], [CELL], [])), Recipe(given, output))
    assert found.instances is not None
    total = found.instances.total
    assert (total.reference, total.candidate, total.lost, total.gained) == (3, 3, 1, 1)
    assert total.matched(TIGHT) == 2
    assert found.sqnr_db is None
    assert found.float_scores is not None
    assert found.float_scores.summary["ap"] == pytest.approx(1)
