"""What learning makes small at the output: how far it is from the float model's, most where that is about to change.

A pixel changes its class where the two best classes lie close together. There an error costs a pixel; elsewhere the
same error costs nothing. So pixels weigh more, the smaller their margin in the float model is. What decides a pixel,
and so what counts, is said by the head (`OutputLoss`).
"""

from typing import Any

import torch
from torch.nn import functional as F

from quantseg.data.heads import OutputLoss, head_of
from quantseg.data.recipe import OutputRecipe
from quantseg.errors import RecipeError


def losses_of(recipe: OutputRecipe) -> tuple[OutputLoss, ...]:
    """One for each output of the head. Raises RecipeError for a model whose output has no gradient."""
    losses = head_of(recipe).losses(recipe)
    if losses is None:
        raise RecipeError(
            "the model gives classes, which have no gradient; learn the rounding before argmax is folded in"
        )
    return losses


def margins(output: Any, loss: OutputLoss) -> Any:
    """How far each pixel of the float output is from another class: (images, height, width)."""
    scores = _channels_first(output, loss)
    if loss.competing and scores.shape[1] > 1:
        best = scores.topk(2, dim=1).values
        return best[:, 0] - best[:, 1]
    return (scores - loss.level).abs().amin(dim=1)


def pixel_weights(output: Any, loss: OutputLoss, boundary_weight: float) -> Any:
    """1 + boundary_weight · exp(−margin / a quarter of the mean margin), on average 1; (images, height, width)."""
    if loss.level is None:
        return torch.ones_like(_channels_first(output, loss)[:, 0])
    distance = margins(output, loss)
    near = torch.exp(-4 * distance / torch.clamp(distance.mean(), min=1e-12))
    weights = 1 + boundary_weight * near
    return weights / weights.mean()


def distance(output: Any, target: Any, weights: Any, loss: OutputLoss) -> Any:
    """Weighted squared error against the target's variance and, where classes compete, the divergence of their shares.

    output, target: of one model and of the float model. weights: of its pixels.
    """
    ours, wanted = _channels_first(output, loss), _channels_first(target, loss)
    squared = (weights * ((ours - wanted) ** 2).mean(dim=1)).mean() / torch.clamp(wanted.var(), min=1e-12)
    if not loss.competing or wanted.shape[1] == 1:
        return squared
    gap = F.log_softmax(wanted, dim=1) - F.log_softmax(ours, dim=1)
    return squared + (weights * (F.softmax(wanted, dim=1) * gap).sum(dim=1)).mean()


def _channels_first(output: Any, loss: OutputLoss) -> Any:
    """(images, channels, height, width)."""
    if loss.layout == "NHW":
        return output[:, None]
    return output.movedim(3, 1) if loss.layout == "NHWC" else output
