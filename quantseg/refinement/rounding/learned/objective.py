"""The loss at the outputs: the distance to the reference outputs, with more weight on pixels near a class boundary.

Where the two best classes of a pixel are close, an error changes its class; elsewhere the same error changes nothing.
So a pixel weighs more, the smaller its margin in the float model is. How the class of a pixel follows from the output,
and with it the margin, depends on the output head (`OutputLoss`).
"""

from typing import Any

import torch
from torch.nn import functional as F

from quantseg.data.heads import OutputLoss, head_of
from quantseg.data.recipe import OutputRecipe
from quantseg.errors import RecipeError


def losses_of(recipe: OutputRecipe) -> tuple[OutputLoss, ...]:
    """The loss of each output that the head reads. Raises RecipeError where these are class ids, without a gradient."""
    losses = head_of(recipe).losses(recipe)
    if losses is None:
        raise RecipeError(
            "the model gives classes, which have no gradient; learn the rounding before argmax is folded in"
        )
    return losses


def margins(output: Any, loss: OutputLoss) -> Any:
    """The margin of each pixel of a float output, its distance to another class: (images, height, width)."""
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
    """Weighted squared error over the target's variance, plus the KL divergence of the softmax where classes compete.

    output: of the trained model. target: of the float model. weights: of the pixels; see `pixel_weights`.
    """
    ours, wanted = _channels_first(output, loss), _channels_first(target, loss)
    squared = (weights * ((ours - wanted) ** 2).mean(dim=1)).mean() / torch.clamp(wanted.var(), min=1e-12)
    if not loss.competing or wanted.shape[1] == 1:
        return squared
    gap = F.log_softmax(wanted, dim=1) - F.log_softmax(ours, dim=1)
    return squared + (weights * (F.softmax(wanted, dim=1) * gap).sum(dim=1)).mean()


def _channels_first(output: Any, loss: OutputLoss) -> Any:
    """The output as (images, channels, height, width)."""
    if loss.layout == "NHW":
        return output[:, None]
    return output.movedim(3, 1) if loss.layout == "NHWC" else output
