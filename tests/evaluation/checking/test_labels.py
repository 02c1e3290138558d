"""Whether masks belong to images: numbers of classes do not matter for that, other images' masks do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quantseg.evaluation.checking.labels import likeness
from tests.support import trained

MASKS = [trained.scene(number)[1].astype(np.int64) for number in range(5)]


def noisy(mask: np.ndarray, seed: int) -> np.ndarray:
    """A prediction: the mask with a tenth of the pixels of any class."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(mask.shape) < 0.1, rng.integers(0, trained.CLASSES, mask.shape), mask)


PREDICTED = [noisy(mask, number) for number, mask in enumerate(MASKS)]


def test_own_masks_belong_and_share_their_numbers() -> None:
    found = likeness(PREDICTED, MASKS, trained.CLASSES, None)
    assert found is not None
    assert found.belong
    assert found.share_numbers
    wrong = np.mean([np.mean(p != m) for p, m in zip(PREDICTED, MASKS, strict=True)])
    assert found.accuracy == 1 - wrong


def test_masks_of_other_images_do_not_belong() -> None:
    found = likeness(PREDICTED, MASKS[1:] + MASKS[:1], trained.CLASSES, None)
    assert found is not None
    assert not found.belong


@given(st.permutations(range(trained.CLASSES)))
def test_what_is_shared_does_not_depend_on_the_numbers(order: list[int]) -> None:
    renamed = [np.array(order)[mask] for mask in MASKS]
    one, other = (likeness(PREDICTED, masks, trained.CLASSES, None) for masks in (MASKS, renamed))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose([one.own, one.other, one.renamed], [other.own, other.other, other.renamed])
    assert other.belong


def test_other_numbers_are_seen() -> None:
    found = likeness(PREDICTED, [(mask + 1) % trained.CLASSES for mask in MASKS], trained.CLASSES, None)
    assert found is not None
    assert found.belong
    assert not found.share_numbers


def test_one_class_tells_nothing() -> None:
    assert likeness([np.zeros_like(mask) for mask in MASKS], MASKS, trained.CLASSES, None) is None
    assert likeness(PREDICTED, [np.zeros_like(mask) for mask in MASKS], trained.CLASSES, None) is None


def test_ignored_pixels_do_not_count() -> None:
    half = [np.where(np.arange(mask.shape[1]) < 16, 9, mask) for mask in MASKS]
    found = likeness(PREDICTED, half, trained.CLASSES, 9)
    assert found is not None
    right = [np.mean((p == m)[:, 16:]) for p, m in zip(PREDICTED, MASKS, strict=True)]
    assert abs(found.accuracy - float(np.mean(right))) < 1e-9
