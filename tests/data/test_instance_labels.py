"""Labelled instances from maps of ids and from regions: a plain loop over the ids is the oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.data.instance_labels import numbered, of_ids, of_regions
from quantseg.data.instances import Instances
from quantseg.data.masks import resize_nearest
from quantseg.data.recipe import OutputRecipe
from quantseg.errors import DataError
from quantseg.files import limits

SEEDS = st.integers(0, 2**32 - 1)
NUMBERS = [0, 1, 2, 7, 255, 65_535, 65_536, 3_000_000]


@st.composite
def maps(draw, *, dtype=np.int64):
    """Ids in a few rectangles, and a class of each pixel that is 0 nowhere but in the background."""
    rng = np.random.default_rng(draw(SEEDS))
    ids = np.zeros((6, 8), dtype)
    for _ in range(draw(st.integers(0, 4))):
        top, left = rng.integers(0, 5, 2)
        ids[top : top + 3, left : left + 4] = rng.choice(NUMBERS)
    return ids, np.where(ids == 0, 0, rng.integers(1, 4, ids.shape)).astype(np.uint8)


def plain(ids, semantic, size, void=None):
    """id → (mask, class), one after another."""
    found = {}
    for number in sorted(set(ids.ravel().tolist()) - {0, void}):
        inside = ids == number
        labels = [label for label in semantic[inside].tolist() if label not in (0, void)]
        mask = resize_nearest(inside, size)
        if mask.any():
            found[number] = mask, min(set(labels), key=lambda one: (-labels.count(one), one)) - 1
    return found


@given(maps(), st.sampled_from([(6, 8), (3, 4), (12, 5), (1, 1)]), st.sampled_from([None, 255]))
def test_an_instance_is_made_of_each_id_and_has_the_class_of_most_of_its_pixels(made, size, void):
    ids, semantic = made
    wanted = plain(ids, semantic, size, void)
    found = of_ids(ids, semantic, size=size, place="ids", void=void)
    assert len(found) == len(wanted)
    for mask, number, (own, label) in zip(found.masks, found.classes, wanted.values(), strict=True):
        np.testing.assert_array_equal(mask, own)
        assert number == label
    assert (found.scores == 1).all()
    assert not found.crowd.any()
    plainly = of_ids(ids, None, size=size, place="ids", void=void)
    np.testing.assert_array_equal(plainly.masks, found.masks)
    assert (plainly.classes == 0).all()


@given(maps(), st.permutations(NUMBERS[1:]))
def test_other_numbers_for_the_same_instances_change_nothing_but_their_order(made, names):
    ids, semantic = made
    renamed = np.zeros_like(ids)
    for old, new in zip(NUMBERS[1:], names, strict=True):
        renamed[ids == old] = new
    one, other = (of_ids(some, semantic, size=(6, 8), place="ids") for some in (ids, renamed))
    assert sorted(zip(map(bytes, one.masks), one.classes.tolist(), strict=True)) == sorted(
        zip(map(bytes, other.masks), other.classes.tolist(), strict=True)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.bool_])
def test_ids_of_every_type_are_read(dtype):
    ids = np.array([[0, 1], [1, 0]]).astype(dtype)
    assert len(of_ids(ids, None, size=(2, 2), place="ids")) == 1
    assert len(of_ids(np.zeros((2, 2), dtype), None, size=(2, 2), place="ids")) == 0


@pytest.mark.parametrize(
    ("ids", "semantic", "fact"),
    [
        ([[0, -1]], [[0, 1]], "ids: instance id -1 is negative"),
        ([[0, 9]], [[1, 0]], "ids: instance 9 covers no class"),
        ([[0, 9]], [[1, 255]], "ids: instance 9 covers no class"),
        ([0, 9], [1, 2], "ids: 1 axes"),
    ],
)
def test_ids_that_tell_no_instances_are_one_line(ids, semantic, fact):
    with pytest.raises(DataError, match=fact) as one:
        of_ids(np.array(ids), np.array(semantic), size=(1, 2), place="ids", void=255)
    assert "\n" not in str(one.value)


def test_more_instances_than_memory_should_hold_are_refused_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(limits, "INSTANCE_PIXELS", 1000)
    ids = np.arange(64).reshape(8, 8)
    assert len(of_ids(ids, None, size=(3, 3), place="ids")) == 9
    with pytest.raises(DataError, match=r"ids: 63 instances at 8x8 have more than 1,000 pixels"):
        of_ids(ids, None, size=(8, 8), place="ids")
    with pytest.raises(DataError, match="20 instances"):
        of_regions(iter(()), [0] * 20, [False] * 20, size=(8, 8), place="regions")


@given(SEEDS, st.sampled_from([(6, 8), (3, 4), (12, 5)]))
def test_regions_may_overlap_and_those_that_vanish_are_left_out(seed, size):
    rng = np.random.default_rng(seed)
    regions = rng.random((4, 6, 8)) > rng.choice([0.3, 0.98], (4, 1, 1))
    classes, crowds = rng.integers(0, 3, 4).tolist(), (rng.random(4) > 0.5).tolist()
    found = of_regions(iter(regions), classes, crowds, size=size, place="regions")
    resized = [resize_nearest(region, size) for region in regions]
    kept = [k for k, mask in enumerate(resized) if mask.any()]
    assert (found.classes.tolist(), found.crowd.tolist()) == ([classes[k] for k in kept], [crowds[k] for k in kept])
    for mask, k in zip(found.masks, kept, strict=True):
        np.testing.assert_array_equal(mask, resized[k])


def labelled(*classes):
    return Instances.of(np.ones((len(classes), 2, 2)), np.array(classes, np.int64))


def recipe(*names):
    return OutputRecipe(head="mask-rcnn", classes=names, size=(2, 2))


def test_names_decide_which_class_is_which_and_numbers_where_names_are_not_those_of_the_model():
    own = ("cat", "dog")
    assert numbered(labelled(0, 1, 1), own, recipe("dog", "cow", "cat"), "p").classes.tolist() == [2, 0, 0]
    assert numbered(labelled(0, 1), own, recipe("class 0", "class 1"), "p").classes.tolist() == [0, 1]
    assert numbered(labelled(2), (), recipe("a", "b", "c"), "p").classes.tolist() == [2]
    assert len(numbered(labelled(), own, recipe("x"), "p")) == 0


def test_a_class_that_the_model_does_not_have_is_one_line():
    with pytest.raises(DataError, match=r"p: an instance of class 1 \('dog'\), and the model has 1 classes .*classes="):
        numbered(labelled(0, 1), ("cat", "dog"), recipe("animal"), "p")
