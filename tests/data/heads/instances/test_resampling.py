"""Values between pixels: onnxruntime's Resize and detectron2's rule, written out, are the oracles."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg.data.heads.instances.resampling import covered, pasted, resized, span
from tests.support import graphs

SEEDS = st.integers(0, 2**32 - 1)
SIZE = (9, 12)


def pasted_by_hand(mask, box, size):
    """detectron2's `_do_paste_mask`: grid_sample at the pixel's centre, zeros outside, align_corners=False."""
    padded = np.pad(mask.astype(np.float64), 1)
    found = np.zeros(size)
    for row in range(size[0]):
        for column in range(size[1]):
            y = (row + 0.5 - box[1]) / (box[3] - box[1]) * mask.shape[0] - 0.5
            x = (column + 0.5 - box[0]) / (box[2] - box[0]) * mask.shape[1] - 0.5
            if -1 < y < mask.shape[0] and -1 < x < mask.shape[1]:
                top, left = int(np.floor(y)), int(np.floor(x))
                for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    weight = abs(1 - dy - (y - top)) * abs(1 - dx - (x - left))
                    found[row, column] += weight * padded[top + dy + 1, left + dx + 1]
    return found


@st.composite
def boxes(draw):
    """Boxes in and out of an image of SIZE, of any size from a hundredth of a pixel."""
    x, y = (draw(st.floats(-6, 15)) for _ in range(2))
    return np.array([x, y, x + draw(st.floats(0.01, 20)), y + draw(st.floats(0.01, 20))])


@given(boxes(), SEEDS)
def test_a_mask_is_pasted_as_detectron2_pastes_it(box, seed):
    mask = np.random.default_rng(seed).random((5, 4)).astype(np.float32)
    patch, wanted = pasted(mask, box, SIZE), pasted_by_hand(mask, box, SIZE)
    np.testing.assert_allclose(patch.values, wanted[patch.rows, patch.columns], atol=1e-4)
    wanted[patch.rows, patch.columns] = 0
    assert wanted.max() < 0.5 + 1e-6  # what is left out is outside of the mask


@given(boxes(), SEEDS)
def test_a_pasted_mask_lies_inside_its_box(box, seed):
    mask = (np.random.default_rng(seed).random((7, 7)) > 0.2).astype(np.float32)
    patch = pasted(mask, box, SIZE)
    rows, columns = np.nonzero(patch.values >= 0.5)
    tolerance = 1e-4
    assert (box[1] - tolerance <= rows + patch.rows.start + 0.5).all()
    assert (rows + patch.rows.start + 0.5 <= box[3] + tolerance).all()
    assert (box[0] - tolerance <= columns + patch.columns.start + 0.5).all()
    assert (columns + patch.columns.start + 0.5 <= box[2] + tolerance).all()


@given(SEEDS, st.integers(-3, 8), st.integers(-3, 10))
def test_a_mask_of_the_boxes_own_size_is_copied(seed, top, left):
    mask = np.random.default_rng(seed).random((4, 5)).astype(np.float32)
    patch = pasted(mask, np.array([left, top, left + 5.0, top + 4.0]), SIZE)
    image = np.zeros(SIZE, np.float32)
    image[patch.rows, patch.columns] = np.where(patch.values >= 0.5, patch.values, 0)
    wanted = np.zeros((SIZE[0] + 20, SIZE[1] + 20), np.float32)
    wanted[top + 10 : top + 14, left + 10 : left + 15] = np.where(mask >= 0.5, mask, 0)
    np.testing.assert_allclose(image, wanted[10:-10, 10:-10], atol=1e-5)


def test_a_box_without_area_holds_nothing():
    for box in ([3, 3, 3, 8], [3, 8, 5, 8], [5, 5, 2, 9]):
        assert pasted(np.ones((3, 3), np.float32), np.array(box, np.float64), SIZE).values.size == 0


def test_a_box_far_away_or_huge_takes_no_memory():
    mask = np.ones((3, 3), np.float32)
    assert pasted(mask, np.array([1e30, 1e30, 2e30, 2e30]), SIZE).values.size == 0
    assert pasted(mask, np.array([-2e30, -2e30, -1e30, -1e30]), SIZE).values.size == 0
    whole = pasted(mask, np.array([-1e30, -1e30, 1e30, 1e30]), SIZE)
    assert whole.values.shape == SIZE
    assert (whole.values == 1).all()


@given(SEEDS, st.integers(1, 6), st.integers(1, 6), st.integers(1, 13), st.integers(1, 13))
@settings(max_examples=20, deadline=None)
def test_a_map_is_resized_as_onnxruntime_resizes_it(seed, height, width, rows, columns):
    values = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    model = graphs.graph(
        "y = Resize<mode='linear', coordinate_transformation_mode='half_pixel'>(x, , , sizes)".replace("'", '"'),
        x=f"float[1,1,{height},{width}]",
        y="float[1,1,H,W]",
        sizes=np.array([1, 1, rows, columns]),
    )
    (wanted,) = graphs.run(model, {"x": values[None, None]})
    np.testing.assert_allclose(resized(values, (rows, columns)), wanted[0, 0], atol=1e-5)


@given(st.floats(-20, 40), st.floats(-20, 40))
def test_a_span_holds_the_pixels_whose_centres_lie_in_it(low, high):
    wanted = [pixel for pixel in range(12) if low <= pixel + 0.5 <= high]
    found = span(low, high, 12)
    assert list(range(found.start, found.stop)) == wanted


@given(st.floats(-20, 40), st.floats(0, 30))
def test_what_is_covered_of_the_pixels_adds_up(low, length):
    shares = covered(low, low + length, 12)
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert abs(shares.sum() - max(0, min(low + length, 12) - max(low, 0))) < 1e-4
