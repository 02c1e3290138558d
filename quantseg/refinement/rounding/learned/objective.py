"""What learning makes small at the answer: how far it is from the float model's, most where that is about to change.

A pixel changes its class where the two best classes lie close together. There an error costs a pixel; elsewhere the
same error costs nothing. So pixels weigh more, the smaller their margin in the float model is.
"""

from typing import Any

import torch
from torch.nn import functional as F

from quantseg.data.recipe import OutputRecipe
from quantseg.errors import RecipeError


def check(recipe: OutputRecipe) -> None:
    """Raises RecipeError for a model whose answer has no gradient."""
    if recipe.head == "labels":
        raise RecipeError(
            "the model gives classes, which have no gradient; learn the rounding before argmax is folded in"
        )


def margins(answer: Any, recipe: OutputRecipe) -> Any:
    """How far each pixel of the float answer is from another class: (images, height, width)."""
    scores = _channels_first(answer, recipe)
    if recipe.head == "argmax" and scores.shape[1] > 1:
        best = scores.topk(2, dim=1).values
        return best[:, 0] - best[:, 1]
    return (scores - recipe.threshold).abs().amin(dim=1)


def pixel_weights(answer: Any, recipe: OutputRecipe, boundary_weight: float) -> Any:
    """1 + boundary_weight · exp(−margin / a quarter of the mean margin), on average 1; (images, height, width)."""
    distance = margins(answer, recipe)
    near = torch.exp(-4 * distance / torch.clamp(distance.mean(), min=1e-12))
    weights = 1 + boundary_weight * near
    return weights / weights.mean()


def distance(answer: Any, target: Any, weights: Any, recipe: OutputRecipe) -> Any:
    """Weighted squared error against the target's variance and, where classes compete, the divergence of their shares.

    answer, target: the model's output. weights: of its pixels.
    """
    ours, wanted = _channels_first(answer, recipe), _channels_first(target, recipe)
    squared = (weights * ((ours - wanted) ** 2).mean(dim=1)).mean() / torch.clamp(wanted.var(), min=1e-12)
    if recipe.head != "argmax" or wanted.shape[1] == 1:
        return squared
    gap = F.log_softmax(wanted, dim=1) - F.log_softmax(ours, dim=1)
    return squared + (weights * (F.softmax(wanted, dim=1) * gap).sum(dim=1)).mean()


def _channels_first(answer: Any, recipe: OutputRecipe) -> Any:
    """(images, channels, height, width)."""
    if recipe.layout == "NHW":
        return answer[:, None]
    return answer.movedim(3, 1) if recipe.layout == "NHWC" else answer
