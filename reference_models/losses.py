"""Losses over logits (N, C, H, W) and class ids (N, H, W); pixels of the ignored id count nowhere.

Dice and Jaccard sum over the batch, which keeps a class that one image lacks from counting as a miss. A loss is
named on the command line, and names joined by + are summed: cross-entropy+jaccard.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from quantseg.errors import DataError

IGNORED = -100
"""The id of pixels that no loss counts, torch's own choice."""


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """−log p of the true class, averaged over pixels. weights: (C,) of the classes, or None for equal ones."""
    return functional.cross_entropy(logits, target, weight=weights, ignore_index=IGNORED)


def binary_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Every class as a question of its own: −log p or −log(1 − p), p the sigmoid, averaged over classes and pixels."""
    truth, counted = _planes(logits, target)
    losses = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    if weights is not None:
        losses = losses * weights[:, None, None]
    return (losses * counted).sum() / (counted.sum() * logits.shape[1]).clamp(min=1)


def dice(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """1 − mean over classes of (2 Σ p t + 1) / (Σ p + Σ t + 1) (Milletari et al., arXiv:1606.04797, no squares)."""
    overlap, total = _sums(logits, target)
    return 1 - torch.mean((2 * overlap + 1) / (total + 1))


def jaccard(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """1 − mean over classes of (Σ p t + 1) / (Σ p + Σ t − Σ p t + 1): a soft IoU (Rahman and Wang, ISVC 2016)."""
    overlap, total = _sums(logits, target)
    return 1 - torch.mean((overlap + 1) / (total - overlap + 1))


Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]

LOSSES: Mapping[str, Loss] = {
    "cross-entropy": cross_entropy,
    "bce": binary_cross_entropy,
    "dice": dice,
    "jaccard": jaccard,
}


@dataclass(frozen=True)
class SumOfLosses:
    """The sum of several losses, each with weight 1. weights: of the classes, for those that have use for them."""

    terms: tuple[Loss, ...]
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """A scalar, in float32."""
        logits = logits.float().contiguous()
        return torch.stack([term(logits, target, self.weights) for term in self.terms]).sum()


def parse_loss(text: str, weights: Tensor | None = None) -> SumOfLosses:
    """The loss of a text such as cross-entropy+dice. Raises DataError for a name that is none of LOSSES."""
    names = [name.strip() for name in text.split("+")]
    for name in names:
        if name not in LOSSES:
            raise DataError(f"loss {name!r}: unknown; choose from {', '.join(LOSSES)}, or sums such as bce+dice")
    return SumOfLosses(tuple(LOSSES[name] for name in names), weights)


def class_weights(pixels: Tensor) -> Tensor:
    """Weights (C,) of mean 1 out of the pixels of each class: 1 / ln(1.1 + share).

    The form is that of ENet (Paszke et al., arXiv:1606.02147), whose constant of 1.02 favours rare classes so much
    that they swallow their neighbours.
    """
    weights = 1 / torch.log(1.1 + pixels / pixels.sum())
    return (weights / weights.mean()).to(torch.float32)


def _planes(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Truth as planes (N, C, H, W) of zeros and ones, and which pixels count (N, 1, H, W)."""
    classes = torch.arange(logits.shape[1], device=logits.device)[:, None, None]
    truth = target[:, None] == classes
    return truth.to(logits.dtype), (target != IGNORED)[:, None].to(logits.dtype)


def _sums(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Σ p t and Σ p + Σ t of each class."""
    truth, counted = _planes(logits, target)
    probability = logits.softmax(dim=1)
    overlap = (probability * truth).sum(dim=(0, 2, 3))
    return overlap, (probability * counted).sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
