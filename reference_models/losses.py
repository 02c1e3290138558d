"""Losses over logits (N, C, H, W) and class ids (N, H, W)."""

import torch
from torch import Tensor
from torch.nn import functional


def soft_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 − mean over classes of 2 Σ p t / (Σ p + Σ t), the sums over batch and pixels.

    Summing over the batch keeps a class that one picture lacks from counting as a miss.
    Source: Milletari et al., 3DV 2016, arXiv:1606.04797 (here without the squares).
    """
    probability = logits.softmax(dim=1)
    truth = functional.one_hot(target, logits.shape[1]).movedim(-1, 1).to(probability.dtype)
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    total = (probability + truth).sum(dim=(0, 2, 3))
    return 1 - torch.mean((2 * overlap + 1) / (total + 1))


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy for every pixel plus Dice for the small classes."""
    return functional.cross_entropy(logits, target) + soft_dice_loss(logits, target)
