"""What a data set holds: splits read together, images of both sets, ids that are no class."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantseg.errors import DataError
from quantseg.evaluation.checking.holding import Held, opened, shared_images, with_ids
from tests.support import trained

NAMES = tuple("abcd")


def names(held: Held) -> list[str]:
    return [finding.name for finding in held.findings]


def with_masks_of(folder: Path, *values: int) -> Path:
    """Two images, whose masks hold these ids."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (8, 8)).save(folder / f"images/{number}.png")
        mask = np.resize(np.array(values, np.uint8), (8, 8))
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
    return folder


@pytest.mark.parametrize("inner", ["images", ""])
@pytest.mark.parametrize(("one", "other"), [("train", "val"), ("Training", "test")])
def test_splits_that_are_read_together_are_named(inner: str, one: str, other: str, tmp_path: Path) -> None:
    for part, count in ((one, 2), (other, 3)):
        (tmp_path / part / inner).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8)).save(tmp_path / part / inner / f"{number}.png")
    held = opened(tmp_path, None)
    (finding,) = held.findings
    assert finding.name == "splits"
    assert f"2 of {one} and 3 of {other}" in finding.fact
    assert not opened(tmp_path / one, None).findings


def test_a_split_that_was_chosen_is_not_suspected(tmp_path: Path) -> None:
    for part in ("train", "val"):
        trained.write_scenes(tmp_path / part, 2)
    assert names(opened(tmp_path, None)) == ["splits"]
    held = opened(Path(f"{tmp_path}#val"), None)
    assert names(held) == []
    assert (held.facts.split, held.facts.splits, held.facts.masks) == ("val", ("train", "val"), 2)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((0, 1, 3), None),
        ((0, 3, 4), "masks-of-another-set"),
        ((0, 1, 255), "ignored-id"),
        ((0, 255), "mask-values"),
        ((2,), "one-class-masks"),
    ],
)
def test_ids_of_masks(values: tuple[int, ...], name: str | None, tmp_path: Path) -> None:
    held = with_ids(opened(with_masks_of(tmp_path / "d", *values), None), NAMES, None)
    assert names(held) == ([] if name is None else [name])
    assert held.facts.ids == tuple(sorted(set(values)))


def test_an_ignored_id_is_no_class_and_not_unknown(tmp_path: Path) -> None:
    held = opened(with_masks_of(tmp_path / "d", 0, 1, 255), None)
    assert names(with_ids(held, NAMES, 255)) == []
    whole = opened(with_masks_of(tmp_path / "e", 255), None)
    assert names(with_ids(whole, NAMES, 255)) == ["one-class-masks"]


def test_masks_of_another_folder_take_the_place_of_those_beside(tmp_path: Path) -> None:
    data = with_masks_of(tmp_path / "d", 0, 1)
    other = with_masks_of(tmp_path / "e", 2, 3)
    assert with_ids(opened(data, other / "masks"), NAMES, None).facts.ids == (2, 3)
    (other / "masks/0.png").unlink()
    with pytest.raises(DataError, match="has no mask"):
        opened(data, other / "masks")
    with pytest.raises(DataError, match="no such folder"):
        opened(data, tmp_path / "nowhere")


def test_a_missing_mask_is_a_finding(tmp_path: Path) -> None:
    data = with_masks_of(tmp_path / "d", 0, 1)
    (data / "masks/0.png").unlink()
    held = opened(data, None)
    assert names(held) == ["masks-missing"]
    assert held.images is not None
    assert len(held.images) == 2


def test_images_of_both_sets_are_counted_by_their_bytes(tmp_path: Path) -> None:
    one = opened(trained.write_scenes(tmp_path / "a", 4), None).samples
    other = opened(trained.write_scenes(tmp_path / "b", 4, first=4), None).samples
    assert one is not None
    assert other is not None
    assert shared_images(one, other) == 0
    shutil.copy(tmp_path / "a/images/01.png", tmp_path / "b/images/03.png")
    assert shared_images(one, other) == 1
    assert shared_images(one, one) == 4
