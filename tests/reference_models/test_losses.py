"""Losses by hand and by laws, and augmentation of image and mask together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.errors import DataError

torch = pytest.importorskip("torch")

from reference_models.losses import IGNORED, LOSSES, class_weights, dice, jaccard, parse_loss  # noqa: E402

TARGET = torch.tensor([[[0, 1], [2, 2]]])


def one_hot(target, classes):
    return torch.nn.functional.one_hot(target, classes).movedim(-1, 1).float()


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_perfect_logits_is_nearly_zero_and_of_wrong_ones_is_not(name):
    right = 50.0 * (2 * one_hot(TARGET, 3) - 1)
    assert LOSSES[name](right, TARGET, None) < 1e-6
    assert LOSSES[name](-right, TARGET, None) > 0.3


def test_dice_and_jaccard_by_hand():
    # Uniform logits, p = 1/3. Class 0: one pixel, Σ p t = 1/3, Σ p = 4/3, Σ t = 1. Class 2 has two pixels.
    flat = torch.zeros(1, 3, 2, 2)
    by_hand = 1 - (2 * (5 / 3) / (10 / 3) + (4 / 3 + 1) / (4 / 3 + 3)) / 3
    assert float(dice(flat, TARGET)) == pytest.approx(by_hand)
    by_hand = 1 - (2 * (4 / 3) / (4 / 3 + 1 - 1 / 3 + 1) + (2 / 3 + 1) / (4 / 3 + 2 - 2 / 3 + 1)) / 3
    assert float(jaccard(flat, TARGET)) == pytest.approx(by_hand)


@pytest.mark.parametrize("name", LOSSES)
@given(seed=st.integers(0, 1000), shift=st.floats(-30, 30))
def test_pixels_that_are_ignored_change_no_loss_and_get_no_gradient(name, seed, shift):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 5, 3, generator=generator, requires_grad=True)
    target = torch.randint(0, 4, (2, 5, 3), generator=generator)
    hidden = torch.rand(2, 5, 3, generator=generator) < 0.4
    target[hidden] = IGNORED
    moved = logits.detach() + shift * hidden[:, None] * torch.arange(4)[:, None, None]
    loss = LOSSES[name](logits, target, None)
    torch.testing.assert_close(loss, LOSSES[name](moved, target, None))
    loss.backward()
    assert not logits.grad.movedim(1, -1)[hidden].any()


@given(
    names=st.lists(st.sampled_from(list(LOSSES)), min_size=1, max_size=4),
    weights=st.none() | st.lists(st.floats(0.1, 3), min_size=3, max_size=3),
)
def test_a_sum_of_losses_is_the_sum(names, weights):
    logits = torch.arange(12, dtype=torch.float32).reshape(1, 3, 2, 2) / 7
    weights = None if weights is None else torch.tensor(weights)
    total = parse_loss("+".join(names), weights)(logits, TARGET)
    torch.testing.assert_close(total, sum(LOSSES[name](logits, TARGET, weights) for name in names))


def test_an_unknown_loss_is_one_line_with_those_known():
    with pytest.raises(DataError, match=r"loss 'focal': unknown; choose from cross-entropy, bce, dice, jaccard"):
        parse_loss("bce+focal")


def test_class_weights_fall_with_the_share_and_have_mean_one():
    weights = class_weights(torch.tensor([900, 90, 10, 0]))
    assert float(weights.mean()) == pytest.approx(1)
    assert list(weights) == sorted(weights)
    assert float(weights[3] / weights[0]) == pytest.approx(np.log(2.0) / np.log(1.1))


@pytest.fixture(scope="module")
def augmented():
    """Images whose colour is their mask's id, mirrored, turned and cropped with it."""
    pytest.importorskip("kornia")
    from reference_models.augmentation import Augmentation

    torch.manual_seed(5)
    rows = torch.arange(48)[:, None] // 12
    columns = torch.arange(64)[None] // 16
    masks = (rows * 4 + columns)[None].repeat(8, 1, 1)
    images = ((masks + 1) / 20)[:, None].repeat(1, 3, 1, 1)
    return Augmentation((32, 40)), images, masks


def test_augmentation_moves_image_and_mask_together(augmented):
    augment, images, masks = augmented
    augment.sequence[2].p = augment.sequence[3].p = 0.0  # brightness and contrast
    from kornia import augmentation as k

    for layer in augment.sequence.children():
        if isinstance(layer, (k.RandomBrightness, k.RandomContrast, k.RandomGrayscale)):
            layer.p = layer.p_batch = 0.0
    seen = 0
    for seed in range(4):
        torch.manual_seed(seed)
        found, ids = augment(images, masks)
        assert found.shape == (8, 3, 32, 40)
        assert ids.shape == (8, 32, 40)
        inside = ids != IGNORED
        # Between two fields the image's colour is a mixture, so only most pixels can agree.
        same = (found[:, 0] * 20 - 1 - ids).abs() < 0.25
        assert same[inside].float().mean() > 0.8
        seen += int(inside.sum())
        assert set(ids.unique().tolist()) <= {IGNORED, *range(16)}
    assert seen > 0.8 * 4 * 8 * 32 * 40


def test_augmentation_draws_from_the_seed_and_keeps_the_range(augmented):
    augment, images, masks = augmented
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augment(images, masks))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[2][0])
    assert float(results[0][0].min()) >= 0
    assert float(results[0][0].max()) <= 1
