import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from quantseg.report import image
from quantseg.report.images import LARGEST_SIDE, painted
from quantseg.report.palette import BACKGROUND, CHANGED, IGNORED, class_colours, css
from tests.support.sample_report import CLASSES, comparison


def pixels(panel):
    data = base64.b64decode(panel.uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def panels(pair, **arguments):
    shown = image(pair, CLASSES, arguments.get("ignore_index"))
    return {panel.title: pixels(panel) for panel in shown.panels}


def test_panels_show_image_masks_and_changes_in_the_colours_of_the_classes():
    pair = comparison()
    shown = panels(pair)
    colours = np.array(class_colours(CLASSES))
    assert list(shown) == ["image", "label", "float mask", "int8 mask", "pixels that differ"]
    assert np.array_equal(shown["image"], pair.reference.image)
    assert np.array_equal(shown["label"], colours[pair.reference.truth[0]])
    assert np.array_equal(shown["float mask"], colours[pair.reference.masks[0]])
    assert np.array_equal(shown["int8 mask"], colours[pair.candidate.masks[0]])


def test_a_single_changed_pixel_is_drawn_three_wide():
    pair = comparison()
    masks = pair.reference.masks.copy()
    masks[0, 10, 10] = 2
    shown = panels(replace(pair, candidate=replace(pair.candidate, masks=masks)))
    marked = (shown["pixels that differ"] == CHANGED).all(axis=2)
    assert np.argwhere(marked).tolist() == [[y, x] for y in (9, 10, 11) for x in (9, 10, 11)]


def test_what_is_not_there_has_no_panel():
    pair = comparison()
    bare = replace(pair.reference, image=None, truth=None)
    shown = panels(replace(pair, reference=bare))
    assert list(shown) == ["float mask", "int8 mask", "pixels that differ"]


def test_large_images_are_shrunk_without_new_colours():
    pair = comparison()
    large = np.kron(pair.reference.masks, np.ones((1, 61, 47), np.int64))
    both = [replace(p, masks=large, truth=None, image=None) for p in (pair.reference, pair.candidate)]
    shown = image(replace(pair, reference=both[0], candidate=both[1]), CLASSES, None)
    assert max(max(p.width, p.height) for p in shown.panels) == LARGEST_SIDE
    colours = {tuple(colour) for colour in pixels(shown.panels[0]).reshape(-1, 3).tolist()}
    assert colours <= set(class_colours(CLASSES))


def test_ignored_and_unknown_ids_are_drawn_as_ignored():
    colours = class_colours(CLASSES)
    assert painted(np.array([[0, 255], [-1, 2]]), colours).tolist() == [
        [list(colours[0]), list(IGNORED)],
        [list(IGNORED), list(colours[2])],
    ]


def test_only_classes_that_occur_are_in_the_legend():
    pair = comparison()
    assert (image(pair, CLASSES, None).present, image(pair, CLASSES, None).ignored) == ((0, 1), False)


def test_ignored_labels_are_drawn_as_ignored_even_where_their_id_is_a_class():
    pair = comparison()
    label = panels(pair, ignore_index=1)["label"]
    assert np.array_equal((label == IGNORED).all(axis=2), pair.reference.truth[0] == 1)
    assert image(pair, CLASSES, 1).ignored


def test_overlapping_channels_are_painted_in_order():
    channels = np.zeros((3, 1, 3), bool)
    channels[0, 0, :2] = True
    channels[2, 0, 1] = True
    colours = class_colours(("a", "b", "c"))
    assert painted(channels, colours).tolist() == [[list(colours[0]), list(colours[2]), list(BACKGROUND)]]


def test_the_share_of_changed_pixels_is_exact():
    pair = comparison()
    expected = (pair.reference.masks[0] != pair.candidate.masks[0]).mean()
    assert image(pair, CLASSES, None).changed == pytest.approx(expected)


def test_the_first_classes_have_colours_far_apart():
    colours = np.array(class_colours([f"class {k}" for k in range(16)]), int)
    distances = np.abs(colours[:, None] - colours[None]).sum(axis=2) + 999 * np.eye(16, dtype=int)
    assert distances.min() > 40
    assert len(set(class_colours([f"class {k}" for k in range(80)]))) == 80


def test_background_is_quiet_and_takes_no_colour():
    assert class_colours(("Background", "cell"))[0] == BACKGROUND
    assert class_colours(("Background", "cell"))[1:] == class_colours(("cell",))
    assert css((1, 2, 255)) == "#0102ff"
